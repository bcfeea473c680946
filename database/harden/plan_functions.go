package harden

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// functions closes SECURITY DEFINER functions: they run with the rights of their
// owner, whatever row security says about the caller.
func (p *planner) functions() {
	for _, f := range p.s.Functions {
		if !f.SecurityDefiner || own(f.Schema) || f.Extension != "" || p.appRoles[f.Owner] {
			continue
		}
		callable := p.m.Calls(f) != nil || p.callable(f)
		if callable && !f.Trigger && !p.kept(f) {
			p.revoke(functionSecurable(f), []string{"EXECUTE"},
				"it runs with the rights of "+f.Owner+", and so around what row security says about the caller; name it with --keep-function if it checks the tenant itself")
		}
		if callable || f.Trigger || p.kept(f) {
			p.pinPath(f)
		}
	}
}

// callable is Calls for the state that the plan has reached.
func (p *planner) callable(f *inventory.Function) bool {
	return slices.ContainsFunc(p.runAs, func(r *inventory.Role) bool {
		return p.effective(r, functionKey(f), "EXECUTE") && p.effective(r, schemaKey(f.Schema), "USAGE")
	})
}

// kept reports whether the application must go on calling a function: because
// policies or defaults call it with the application's rights, or because the
// operator says so.
func (p *planner) kept(f *inventory.Function) bool {
	if slices.ContainsFunc(p.o.KeepFunctions, func(name string) bool { return named(f, name) }) {
		return true
	}
	if len(f.UsedByPolicies) > 0 {
		return true
	}
	return slices.ContainsFunc(p.s.Relations, func(r *inventory.Relation) bool {
		return slices.ContainsFunc(r.Columns, func(c *inventory.Column) bool { return slices.Contains(c.DefaultUses.Functions, f) })
	})
}

// named reports whether a function is the one that an operator wrote:
// schema.name, with or without arguments.
func named(f *inventory.Function, name string) bool {
	return name == inventory.Quote(f.Schema)+"."+inventory.Quote(f.Name) || name == f.Object()
}

// pinPath gives a function a search_path that nobody else can lead astray:
// temporary objects come last.
func (p *planner) pinPath(f *inventory.Function) {
	old, has := f.Setting("search_path")
	schemas := splitPath(old)
	inverse := "alter " + f.SQL() + " reset search_path"
	if has {
		if len(schemas) == 0 || slices.Contains(schemas, "pg_temp") {
			return
		}
		inverse = "alter " + f.SQL() + " set search_path = " + literals(schemas)
	} else {
		schemas = append([]string{"pg_catalog"}, p.defaultPath(f)...)
	}
	p.add(Step{
		SQL: "alter " + f.SQL() + " set search_path = " + literals(append(schemas, "pg_temp")), Inverse: inverse,
		Reason: "it runs with the rights of " + f.Owner + ": a caller's search_path, or a temporary table, must not decide what its names mean",
		Object: f.Object(),
	})
}

// defaultPath is where names of a function without a path are found today.
func (p *planner) defaultPath(f *inventory.Function) []string {
	path := []string{f.Schema}
	configured := false
	for i := range p.s.RoleSettings {
		s := &p.s.RoleSettings[i]
		if strings.EqualFold(s.Name, "search_path") && (s.Database == "" || s.Database == p.s.Database) && (s.Role == "" || p.appRoles[s.Role]) {
			configured = true
			path = append(path, splitPath(s.Value)...)
		}
	}
	if !configured {
		path = append(path, "public")
	}
	var out []string
	for _, schema := range path {
		if !slices.Contains(out, schema) && p.s.Schema(schema) != nil && !own(schema) {
			out = append(out, schema)
		}
	}
	return out
}

// splitPath splits the stored value of search_path: names, quoted where they
// must be, separated by commas.
func splitPath(value string) []string {
	var out []string
	var name strings.Builder
	quoted := false
	flush := func() {
		if s := strings.TrimSpace(name.String()); s != "" {
			out = append(out, s)
		}
		name.Reset()
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' && quoted && i+1 < len(value) && value[i+1] == '"':
			name.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			flush()
		default:
			name.WriteByte(c)
		}
	}
	flush()
	return out
}

func literals(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = inventory.QuoteLiteral(n)
	}
	return strings.Join(quoted, ", ")
}
