package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// indexChecks ask what indexes tell of other tenants, and whether they work
// under row security.
func indexChecks() []Check {
	return []Check{
		{
			ID: "A505", Name: "unique_ignores_tenant", Severity: Medium, CWE: "CWE-203", Controls: controlsIntegrity,
			Title: "uniqueness across all tenants",
			Why:   "A duplicate key error tells one tenant that another has the value, and keeps it from using it. Row security does not hide it.",
			Fix:   "Add the tenant column to the key.",
			Run:   uniqueIgnoresTenant,
		},
		{
			ID: "A701", Name: "tenant_column_not_indexed", Severity: Medium, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "the tenant column has no index",
			Why:   "Every query is narrowed by the tenant; without an index that begins with it, each reads the rows of all tenants.",
			Fix:   "CREATE INDEX CONCURRENTLY on the tenant column (first, if others follow).",
			Run:   tenantColumnNotIndexed,
		},
		{
			ID: "A705", Name: "index_not_usable_under_rls", Severity: Low, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "index that row security makes useless",
			Why: "Under row security only leakproof operators may run before the policy. Those of full text, trigrams, JSON and LIKE are not: " +
				"their index is not used, and searches become slow when row security is turned on.",
			Fix: "Partition by tenant, or search through a SECURITY DEFINER function that takes the tenant from the context.",
			Run: indexNotUsable,
		},
	}
}

func uniqueIgnoresTenant(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.tenantTables() {
		if t.Class == inventory.Root || f.judgedAtParent(t) {
			continue
		}
		for _, i := range t.Relation.Indexes {
			if !i.Unique && !i.Exclusion || i.Primary || i.Inherited || f.scoped(t, i) || harmlessKey(t.Relation, i) {
				continue
			}
			finding := f.about(t.Relation, i.Object(), fmt.Sprintf("%s keeps values unique across all tenants (%s).", i.Name, i.Definition))
			if t.Column != nil {
				finding = finding.withFix("Put " + inventory.Quote(t.Column.Name) + " into the key: " + inventory.Quote(t.Column.Name) + ", " + keyList(i) + ".")
			}
			found = append(found, finding)
		}
	}
	return found
}

func keyList(i *inventory.Index) string {
	var list []string
	for _, k := range i.Keys {
		list = append(list, k.Expression)
	}
	return strings.Join(list, ", ")
}

// scoped reports whether a key holds the tenant column, or a reference to
// another row of the tenant.
func (f *Facts) scoped(t *inventory.Tenancy, i *inventory.Index) bool {
	return slices.ContainsFunc(i.Keys, func(key inventory.IndexKey) bool {
		if key.Column == nil {
			return false
		}
		return key.Column == t.Column || slices.ContainsFunc(f.Links(t.Relation), func(k *inventory.Constraint) bool { return slices.Contains(k.Columns, key.Column) })
	})
}

// harmlessKey reports whether two tenants cannot meet in the key: it holds the
// whole primary key, or is a single uuid or identity column.
func harmlessKey(r *inventory.Relation, i *inventory.Index) bool {
	has := func(c *inventory.Column) bool {
		return slices.ContainsFunc(i.Keys, func(k inventory.IndexKey) bool { return k.Column == c })
	}
	if pk := r.PrimaryKey(); pk != nil && !i.Exclusion && !slices.ContainsFunc(pk.Columns, func(c *inventory.Column) bool { return !has(c) }) {
		return true
	}
	if len(i.Keys) != 1 || i.Keys[0].Column == nil || i.Exclusion {
		return false
	}
	c := i.Keys[0].Column
	return c.BaseType == "uuid" || c.Identity != 0 || strings.HasPrefix(c.Default, "nextval(")
}

func tenantColumnNotIndexed(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.directTables() {
		c, r := t.Column, t.Relation
		begins := func(i *inventory.Index) bool { return serves(i) && i.Keys[0].Column == c }
		if !r.TakesPolicies() || slices.ContainsFunc(r.Indexes, begins) {
			continue
		}
		found = append(found, f.about(r, c.Object(), fmt.Sprintf("No valid, complete index begins with %s.", c.Object())).
			withSQL("CREATE INDEX ON "+r.SQL()+" ("+inventory.Quote(c.Name)+");"))
	}
	return found
}

func indexNotUsable(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.tenantTables() {
		if f.judgedAtParent(t) {
			continue
		}
		for _, i := range t.Relation.Indexes {
			key := i.Keys[0]
			if i.Unique || i.Exclusion || i.Inherited || key.Leakproof && !strings.HasSuffix(key.Class, "_pattern_ops") {
				continue
			}
			found = append(found, f.about(t.Relation, i.Object(), fmt.Sprintf("The operators of %s in index %s are not leakproof: under row security queries cannot use it.", key.Class, i.Name)))
		}
	}
	return found
}
