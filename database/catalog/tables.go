package catalog

import (
	"sort"
	"strings"
)

// JudgeTables says which tables of tenants the database itself does not
// protect: those that sessions can reach and that have no row security. Findings
// are sorted like those of JudgeLogin.
func JudgeTables(s *Snapshot, columns []string) []Finding {
	var found []Finding
	tenants := 0
	for i := range s.Relations {
		r := &s.Relations[i]
		if !isTenant(r) || r.Kind != 'r' && r.Kind != 'p' {
			continue
		}
		tenants++
		if r.Reachable {
			found = append(found, judgeTable(r)...)
		}
	}
	if tenants == 0 {
		found = append(found, Finding{
			Severity: Warning, Key: "no_tenant_table", Subject: s.Database,
			Text:   "no table has a column that carries the org: " + strings.Join(columns, ", "),
			Remedy: "Name the columns in tenant.columns.",
		})
	}
	sort.SliceStable(found, func(i, j int) bool {
		if found[i].Severity != found[j].Severity {
			return found[i].Severity > found[j].Severity
		}
		return found[i].Subject < found[j].Subject
	})
	return found
}

// Protected counts the tables of tenants that sessions can reach and that have
// row security.
func Protected(s *Snapshot) (tables int) {
	for i := range s.Relations {
		if r := &s.Relations[i]; isTenant(r) && (r.Kind == 'r' || r.Kind == 'p') && r.Reachable && r.RowSecurity {
			tables++
		}
	}
	return tables
}

func judgeTable(r *Relation) []Finding {
	name := r.Schema + "." + r.Name
	switch {
	case !r.RowSecurity:
		return []Finding{{
			Severity: Unsafe, Key: "rls", Subject: name,
			Text:   "tenant table " + name + " has no row security: every session sees the rows of all tenants",
			Remedy: "ALTER TABLE " + name + " ENABLE ROW LEVEL SECURITY, with a policy on its org; bulkhead audit says more.",
		}}
	case !r.Force:
		return []Finding{{
			Severity: Warning, Key: "force", Subject: name,
			Text:   "row security of tenant table " + name + " does not bind its owner: views and functions that run as " + r.Owner + " see all rows",
			Remedy: "ALTER TABLE " + name + " FORCE ROW LEVEL SECURITY.",
		}}
	}
	return nil
}
