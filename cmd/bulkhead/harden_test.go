package main

import (
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/config"
)

// The mode of the context follows what the proxy signs, unless a flag says it.
func TestHardenFlags_Mode(t *testing.T) {
	for _, tt := range []struct {
		flag, key string
		sharing   config.Sharing
		want      string
	}{
		{"", "", config.SharingDedicated, ""},
		{"", "", config.SharingShared, ""},
		{"", "key", config.SharingDedicated, "signed"},
		{"", "key", config.SharingShared, "sealed"},
		{"plain", "key", config.SharingShared, "plain"},
	} {
		c := config.Default()
		c.Tenant.SigningKeyFile, c.Pool.Sharing = config.Path(tt.key), tt.sharing
		if got := (&hardenFlags{context: tt.flag}).mode(c); string(got) != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}
