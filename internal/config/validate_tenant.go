package config

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// A setting with a prefix, as PostgreSQL takes it for a custom option
	// (manual, "Customized Options").
	customSetting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)+$`)
	placeholder   = regexp.MustCompile(`\$\{[^}]*\}?`)
)

// placeholders are what a template of tenant.settings may hold.
func isPlaceholder(s string) bool {
	switch s {
	case "${org}", "${subject}", "${role}", "${claims}":
		return true
	}
	return false
}

func (v *validator) tenant() {
	t := v.c.Tenant
	for _, name := range sortedKeys(t.Settings) {
		v.tenantSetting("tenant.settings."+name, name, t.Settings[name])
	}
	if len(t.Settings) == 0 && t.Role == "" && len(t.Roles) == 0 && !v.c.Given("tenant.signing_key_file") {
		v.problem("tenant.settings", "is empty and there is no role: nothing would tell PostgreSQL the tenant",
			`write {app.org_id: "${org}"}`)
	}
	if t.Role != "" && len(t.Roles) > 0 {
		v.problem("tenant.roles", "tenant.role is set as well", "keep one: one role for all sessions, or one by the role claim")
	}
	v.roleName("tenant.role", t.Role)
	for _, claim := range sortedKeys(t.Roles) {
		key := "tenant.roles." + claim
		if t.Roles[claim] == "" {
			v.problem(key, "names no database role", "write the role")
		}
		v.roleName(key, t.Roles[claim])
	}
	v.noEmpty("tenant.columns", t.Columns)
	v.context()
}

// context checks the keys of the signed tenant context.
func (v *validator) context() {
	t, mode := &v.c.Tenant, v.c.Tenant.ContextMode()
	switch {
	case mode == ContextPlain && t.SigningKeyFile != "":
		v.problem("tenant.signing_key_file", "tenant.context is plain: nothing would be signed", "remove one of the two")
	case mode != ContextPlain && t.SigningKeyFile == "":
		v.problem("tenant.signing_key_file", "is missing: tenant.context is "+string(mode), "name the file that bulkhead key new makes")
	}
	if mode == ContextSigned && v.c.Pool.Sharing == SharingShared {
		v.problem("pool.sharing", "shared and a signed tenant context: a signature that was once valid on a server connection would count again "+
			"when it serves another org", "write dedicated, or tenant.context: sealed")
	}
	if _, ok := t.Settings["bulkhead.signature"]; ok {
		v.problem("tenant.settings.bulkhead.signature", "is made by the proxy", "remove it")
	}
	if template, ok := t.Settings["bulkhead.org_id"]; ok && mode != ContextPlain && template != "${org}" {
		v.problem("tenant.settings.bulkhead.org_id", "is signed, and is the org as the token gives it", "write ${org}, or remove it")
	}
}

func (v *validator) tenantSetting(key, name, template string) {
	if !customSetting.MatchString(name) {
		v.problem(key, "is not a setting with a prefix",
			"write a name such as app.org_id; for the role use tenant.role or tenant.roles")
	}
	for _, p := range placeholder.FindAllString(template, -1) {
		if !isPlaceholder(p) {
			v.problem(key, fmt.Sprintf("unknown placeholder %q", p), "write ${org}, ${subject}, ${role} or ${claims}")
		}
	}
}

// roleName refuses what SET ROLE reads as something else than a role.
func (v *validator) roleName(key, role string) {
	if strings.EqualFold(role, "none") {
		v.problem(key, "NONE would go back to the login role", "name a role")
	}
}
