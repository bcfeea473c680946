package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Proposal is what a configuration should say about a database, as far as it
// can be told from the catalogue.
type Proposal struct {
	AppRoles      []string
	RootTable     string
	OrgType       string // uuid, integer or text
	TenantColumns []string
	// Settings are what policies read, with the template that seems to be
	// meant; OtherSettings those whose meaning their name does not tell.
	Settings      []ProposedSetting
	OtherSettings []string
	// GlobalTables hold no way to a tenant and cannot be written by the
	// application: they may be declared global.
	GlobalTables []string
	// Undecided hold no way to a tenant either, and the application writes
	// them.
	Undecided []string
}

// ProposedSetting is an entry of tenant.settings.
type ProposedSetting struct{ Name, Template string }

// Propose reads a proposal from a model.
func Propose(m *inventory.Model) Proposal {
	f := &Facts{Model: m}
	p := Proposal{AppRoles: roleNames(m.AppRoles), OrgType: "uuid"}
	if m.Root != nil {
		p.RootTable = m.Root.Object()
	}
	if m.RootKey != nil {
		p.OrgType = orgType(m.RootKey.BaseType)
	}
	for _, t := range m.Tenancies() {
		switch {
		case t.Class == inventory.Direct && t.Column != nil && !hasName(p.TenantColumns, t.Column.Name):
			p.TenantColumns = append(p.TenantColumns, t.Column.Name)
		case t.Class == inventory.Global:
			p.GlobalTables = append(p.GlobalTables, t.Relation.Object())
		}
	}
	if len(p.TenantColumns) == 0 {
		p.TenantColumns = m.TenantColumns
	}
	for _, name := range f.settingsRead() {
		if strings.HasPrefix(name, inventory.OwnSchema+".") {
			continue // the proxy sets it anyway
		}
		if template := f.template(name); template != "" {
			p.Settings = append(p.Settings, ProposedSetting{name, template})
		} else {
			p.OtherSettings = append(p.OtherSettings, name)
		}
	}
	for _, t := range f.reached() {
		if t.Class != inventory.Unknown || t.Relation.Kind == inventory.ForeignTable {
			continue
		}
		writable := slices.ContainsFunc(writes, func(privilege string) bool { return f.Can(t.Relation, privilege) != nil })
		if writable {
			p.Undecided = append(p.Undecided, t.Relation.Object())
		} else {
			p.GlobalTables = append(p.GlobalTables, t.Relation.Object())
		}
	}
	return p
}

// template guesses from a setting's name what a session must put into it; ""
// if it does not tell.
func (f *Facts) template(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case name == "request.jwt.claims":
		return "${claims}"
	case f.carries(nil, name):
		return "${org}"
	case slices.Contains([]string{"sub", "subject", "user", "user_id", "current_user_id"}, last):
		return "${subject}"
	case last == "role":
		return "${role}"
	}
	return ""
}

// hasName compares names as tenant.columns does.
func hasName(list []string, name string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	return slices.ContainsFunc(list, func(s string) bool { return plain(s) == plain(name) })
}

// orgType is the value of tenant.org_type for a type of the tenant's key.
func orgType(typ string) string {
	switch typ {
	case "uuid":
		return "uuid"
	case "bigint", "integer", "smallint":
		return "integer"
	}
	return "text"
}

// YAML writes the proposal as a configuration file with remarks.
func (p *Proposal) YAML(database string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Proposed by `bulkhead audit --propose` for database %s. Check every line.\n", strings.ReplaceAll(database, "\n", " "))
	b.WriteString("# For `bulkhead serve`, add server.dsn and auth.issuers.\n")
	fmt.Fprintf(&b, "tenant:\n  org_type: %s\n  columns: %s\n", p.OrgType, yamlList(p.TenantColumns))
	if len(p.Settings) > 0 {
		b.WriteString("  settings: # what policies read\n")
	}
	for _, s := range p.Settings {
		fmt.Fprintf(&b, "    %s: '%s'\n", yamlString(s.Name), s.Template)
	}
	for _, name := range p.OtherSettings {
		fmt.Fprintf(&b, "  # undecided: policies read %s as well\n", strings.ReplaceAll(name, "\n", " "))
	}
	fmt.Fprintf(&b, "audit:\n  app_roles: %s\n  root_table: %s\n  global_tables: %s\n", yamlList(p.AppRoles), yamlString(p.RootTable), yamlList(p.GlobalTables))
	if len(p.GlobalTables) > 0 {
		b.WriteString("  # global_tables are those without a way to a tenant that the application cannot write\n")
	}
	for _, name := range p.Undecided {
		fmt.Fprintf(&b, "  # undecided: %s has no way to a tenant, and the application writes it\n", strings.ReplaceAll(name, "\n", " "))
	}
	return b.String()
}

func yamlList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = yamlString(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// yamlString writes a scalar that YAML cannot misread.
func yamlString(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.") == "" && s[0] >= 'a' &&
		!slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, s)
	switch {
	case plain:
		return s
	case strings.ContainsFunc(s, unicode.IsControl):
		return strconv.Quote(s)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
