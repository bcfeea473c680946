package main

import (
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/config"
)

// The mode of the context follows what the proxy signs, unless a flag says it.
func TestHardenFlags_Mode(t *testing.T) {
	for _, tt := range []struct {
		flag    string
		key     config.Path
		context config.ContextMode
		want    string
	}{
		{"", "", config.ContextAuto, ""},
		{"", "", config.ContextPlain, "plain"},
		{"", "key", config.ContextAuto, "signed"},
		{"", "key", config.ContextSealed, "sealed"},
		{"plain", "key", config.ContextSealed, "plain"},
	} {
		c := config.Default()
		c.Tenant.SigningKeyFile, c.Tenant.Context = tt.key, tt.context
		if got := (&hardenFlags{context: tt.flag}).mode(c); string(got) != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}
