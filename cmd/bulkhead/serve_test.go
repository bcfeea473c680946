package main

import (
	"slices"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// The floor of a hardened database reads bulkhead.org_id, whatever settings
// the application's own policies read.
func TestTenantOptions_AlwaysSetTheFloorsSetting(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"default": config.Default().Tenant.Settings,
		"own":     {"my.org": "${org}"},
		"none":    nil,
	} {
		c := config.Default()
		c.Tenant.Settings, c.Tenant.Role = settings, "tenant" // without settings a role must tell the tenant
		r, err := tenant.NewResolver(tenantOptions(c))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ctx, err := r.Resolve(tenant.Claims{Org: "o", JSON: []byte("{}")})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Contains(ctx.Fixed, tenant.Setting{Name: "bulkhead.org_id", Value: "o"}) {
			t.Errorf("%s: got settings %v, want bulkhead.org_id among them", name, ctx.Fixed)
		}
		if !slices.Contains(r.Names(), "bulkhead.org_id") {
			t.Errorf("%s: clients may change bulkhead.org_id", name)
		}
	}
}

// TLS towards a server that is not local is verified unless the DSN says
// otherwise.
func TestServerOptions_TLS(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	tests := []struct {
		dsn    string
		verify bool
		host   string
	}{
		{"postgres://app@db.example.com/app", true, "db.example.com"},
		{"postgres://app@db.example.com/app?connect_timeout=3", true, "db.example.com"},
		{"host=db.example.com user=app dbname=app", true, "db.example.com"},
		{"postgres://app@127.0.0.1/app", false, "127.0.0.1"},
		{"host=/tmp user=app", false, "/tmp"},
		{"postgres://app@db.example.com/app?sslmode=disable", false, "db.example.com"},
	}
	for _, tt := range tests {
		o, err := serverOptions(&config.Config{Server: config.Server{DSN: config.NewSecret(tt.dsn)}})
		if err != nil {
			t.Errorf("%s: %v", tt.dsn, err)
			continue
		}
		verified := o.Config.TLSConfig != nil && !o.Config.TLSConfig.InsecureSkipVerify && o.Config.TLSConfig.ServerName == tt.host
		if verified != tt.verify || o.Config.Host != tt.host {
			t.Errorf("%s: TLS verified %v, want %v; host %q", tt.dsn, verified, tt.verify, o.Config.Host)
		}
	}
	if _, err := serverOptions(&config.Config{Server: config.Server{DSN: config.NewSecret("postgres://a:%zz@x")}}); err == nil {
		t.Error("a DSN that cannot be parsed is accepted")
	}
}
