package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// foreignKeyChecks ask whether references stay within a tenant.
func foreignKeyChecks() []Check {
	return []Check{
		{
			ID: "A503", Name: "no_cascade_to_root", Severity: Low, CWE: "CWE-459", Controls: controlsIntegrity,
			Title: "deleting a tenant does not delete its rows",
			Why:   "Off-boarding fails at this foreign key, or leaves rows behind.",
			Fix:   "Make it ON DELETE CASCADE, if tenants are deleted at all.",
			Run:   noCascade,
		},
		{
			ID: "A504", Name: "fk_ignores_tenant", Severity: High, CWE: "CWE-639", Controls: controlsIntegrity,
			Title: "a foreign key may lead to another tenant's row",
			Why: "Foreign keys are not bound by row security: a row of one tenant can reference a row of another, which tells that it exists, " +
				"joins its data in, and goes with it by CASCADE.",
			Fix: "Make the key composite, with the tenant column on both sides (or let `bulkhead harden` check references in its floor).",
			Run: fkIgnoresTenant,
		},
		{
			ID: "A514", Name: "fk_not_validated", Severity: Medium, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "foreign key was never validated",
			Why:   "Rows from before the constraint may reference nothing, or another tenant's key that comes later.",
			Fix:   "VALIDATE CONSTRAINT, after repairing what it finds.",
			Run:   fkNotValidated,
		},
		{
			ID: "A517", Name: "tenant_fk_sets_null", Severity: High, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "deleting the referenced row takes the tenant from the row",
			Why:   "ON DELETE SET NULL on a foreign key with the tenant column makes rows without a tenant.",
			Fix:   "Use ON DELETE CASCADE, or from 15 on SET NULL with the other column alone.",
			Run:   tenantFKSetsNull,
		},
		{
			ID: "A704", Name: "fk_not_indexed", Severity: Low, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "foreign key without an index",
			Why:   "Deleting or moving a referenced row reads the whole table of all tenants; so does off-boarding.",
			Fix:   "CREATE INDEX CONCURRENTLY on the referencing columns.",
			Run:   fkNotIndexed,
		},
	}
}

// foreignKeys are those of reached tenant tables, declared there.
func (f *Facts) foreignKeys() []*inventory.Constraint {
	var keys []*inventory.Constraint
	for _, t := range f.tenantTables() {
		for _, k := range t.Relation.Constraints {
			if k.Kind == inventory.ForeignKey && !k.Inherited && k.References != nil {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// carriesTenant reports whether the tenant column is among the referencing
// columns.
func (f *Facts) carriesTenant(k *inventory.Constraint) bool {
	t := f.Tenancy(k.Relation)
	return t.Class == inventory.Direct && slices.Contains(k.Columns, t.Column)
}

func noCascade(f *Facts) []Finding {
	var found []Finding
	for _, k := range f.foreignKeys() {
		t := f.Tenancy(k.Relation)
		if k != t.Reference || k.References != f.Root || k.OnDelete != inventory.NoAction && k.OnDelete != inventory.Restrict {
			continue
		}
		found = append(found, f.about(k.Relation, k.Object(), fmt.Sprintf("Foreign key %s is ON DELETE %s.", k.Name, k.OnDelete.SQL())).withSQL(f.replaceSQL(k, k.Definition+" ON DELETE CASCADE")))
	}
	return found
}

// replaceSQL makes a foreign key anew with another definition. The server
// leaves ON DELETE NO ACTION out of definitions.
func (f *Facts) replaceSQL(k *inventory.Constraint, definition string) string {
	definition = strings.Replace(strings.ReplaceAll(definition, " NOT VALID", ""), " ON DELETE RESTRICT", "", 1)
	name := inventory.Quote(k.Name)
	return "ALTER TABLE " + k.Relation.SQL() + " DROP CONSTRAINT " + name + ", ADD CONSTRAINT " + name + " " + definition + ";"
}

// fkIgnoresTenant looks at tables with a tenant column of their own. Indirect
// ones have no other tenant than what they reference.
func fkIgnoresTenant(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.directTables() {
		for _, k := range f.Links(t.Relation) {
			if k.Inherited || f.tenantConsistent(k) || f.checkedByPolicy(k) {
				continue
			}
			found = append(found, f.about(k.Relation, k.Object(), fmt.Sprintf("A row of %s may reference a row of %s that belongs to another tenant (%s).",
				k.Relation.Object(), k.References.Object(), k.Definition)).withFix(f.compositeFix(k)))
		}
	}
	return found
}

// tenantConsistent reports whether the key, or another one over the same
// columns, compares the tenant columns of both sides.
func (f *Facts) tenantConsistent(k *inventory.Constraint) bool {
	child, parent := f.Tenancy(k.Relation), f.Tenancy(k.References)
	return slices.ContainsFunc(k.Relation.Constraints, func(other *inventory.Constraint) bool {
		if other.Kind != inventory.ForeignKey || other.References != k.References || parent.Column == nil {
			return false
		}
		i := slices.Index(other.Columns, child.Column)
		if i < 0 || other.ReferencedColumns[i] != parent.Column {
			return false
		}
		return !slices.ContainsFunc(k.Columns, func(c *inventory.Column) bool { return !slices.Contains(other.Columns, c) })
	})
}

// checkedByPolicy reports whether the referenced row is looked up whenever the
// key is written, by a restrictive policy or by every permissive one: its
// parent is then bound by its own policies.
func (f *Facts) checkedByPolicy(k *inventory.Constraint) bool {
	if !k.Relation.RowSecurity {
		return false
	}
	permissive := 0
	for _, p := range k.Relation.Policies {
		writes := p.Command == allCommands || p.Command == 'a' || p.Command == 'w'
		looks := looksUp(p, k)
		switch {
		case !p.Permissive && writes && looks:
			return true
		case p.Permissive && writes && !looks:
			permissive = -len(k.Relation.Policies)
		case p.Permissive && writes:
			permissive++
		}
	}
	return permissive > 0
}

// looksUp reports whether a policy's check names the key's columns and the
// referenced table, itself or in a function that it calls: a policy that looks
// into its own table would never end.
func looksUp(p *inventory.Policy, k *inventory.Constraint) bool {
	check := p.Check
	if check == "" {
		check = p.Using // it is the check as well
	}
	if slices.ContainsFunc(k.Columns, func(c *inventory.Column) bool { return !slices.Contains(p.Uses.Columns, c) }) {
		return false
	}
	table := k.References.SQL()
	if slices.Contains(p.Uses.Relations, k.References) && strings.Contains(check, table) {
		return true
	}
	return slices.ContainsFunc(p.Uses.Functions, func(fn *inventory.Function) bool {
		name := inventory.Quote(fn.Schema) + "." + inventory.Quote(fn.Name) + "("
		return strings.Contains(check, name) && strings.Contains(fn.Source, table)
	})
}

func (f *Facts) compositeFix(k *inventory.Constraint) string {
	child, parent := f.Tenancy(k.Relation), f.Tenancy(k.References)
	if parent.Column == nil {
		return k.References.Object() + " has no tenant column: give it one, then make the foreign key composite; or check the reference in the policy."
	}
	columns, referenced := []string{inventory.Quote(child.Column.Name)}, []string{inventory.Quote(parent.Column.Name)}
	for i, c := range k.Columns {
		columns = append(columns, inventory.Quote(c.Name))
		referenced = append(referenced, inventory.Quote(k.ReferencedColumns[i].Name))
	}
	return "ALTER TABLE " + k.References.SQL() + " ADD UNIQUE (" + strings.Join(referenced, ", ") + "); ALTER TABLE " + k.Relation.SQL() +
		" ADD FOREIGN KEY (" + strings.Join(columns, ", ") + ") REFERENCES " + k.References.SQL() + " (" + strings.Join(referenced, ", ") + ")" +
		"; on a busy table build the indexes CONCURRENTLY first and add the key NOT VALID (`bulkhead harden` writes these files)."
}

func fkNotValidated(f *Facts) []Finding {
	var found []Finding
	for _, k := range f.foreignKeys() {
		if k.Validated || !k.Enforced || !f.IsTenant(k.References) {
			continue // NOT ENFORCED is as good as none
		}
		found = append(found, f.about(k.Relation, k.Object(), fmt.Sprintf("Foreign key %s is NOT VALID: rows from before were never checked.", k.Name)).
			withSQL("ALTER TABLE "+k.Relation.SQL()+" VALIDATE CONSTRAINT "+inventory.Quote(k.Name)+";"))
	}
	return found
}

func tenantFKSetsNull(f *Facts) []Finding {
	var found []Finding
	for _, k := range f.foreignKeys() {
		if !f.carriesTenant(k) {
			continue
		}
		sets := func(a inventory.Action) bool { return a == inventory.SetNull || a == inventory.SetDefault }
		nulls := sets(k.OnDelete) && (len(k.SetNullColumns) == 0 || slices.Contains(k.SetNullColumns, f.Tenancy(k.Relation).Column))
		if !nulls && !sets(k.OnUpdate) {
			continue
		}
		definition := k.Definition
		for _, a := range []inventory.Action{inventory.SetNull, inventory.SetDefault} {
			definition = strings.ReplaceAll(definition, " ON UPDATE "+a.SQL(), "")
			if nulls {
				before, after, _ := strings.Cut(definition, " ON DELETE "+a.SQL())
				if i := strings.Index(after, ")"); strings.HasPrefix(after, " (") && i >= 0 {
					after = after[i+1:]
				}
				definition = before + after
			}
		}
		if nulls {
			definition += " ON DELETE CASCADE"
		}
		found = append(found, f.about(k.Relation, k.Object(), fmt.Sprintf("Foreign key %s sets the tenant column to NULL or its default (%s).", k.Name, k.Definition)).
			withSQL(f.replaceSQL(k, definition)))
	}
	return found
}

func fkNotIndexed(f *Facts) []Finding {
	var found []Finding
	for _, k := range f.foreignKeys() {
		t := f.Tenancy(k.Relation)
		tenantAlone := len(k.Columns) == 1 && k.Columns[0] == t.Column // A701
		if tenantAlone || !f.IsTenant(k.References) || indexedFor(k) {
			continue
		}
		var columns []string
		for _, c := range k.Columns {
			columns = append(columns, inventory.Quote(c.Name))
		}
		found = append(found, f.about(k.Relation, k.Object(), fmt.Sprintf("No index begins with the columns of foreign key %s.", k.Name)).
			withSQL("CREATE INDEX ON "+k.Relation.SQL()+" ("+strings.Join(columns, ", ")+");"))
	}
	return found
}

// indexedFor reports whether a valid, complete index begins with a column of
// the foreign key: that narrows a search to one tenant, or to one row.
func indexedFor(k *inventory.Constraint) bool {
	return slices.ContainsFunc(k.Relation.Indexes, func(i *inventory.Index) bool {
		return serves(i) && i.Keys[0].Column != nil && slices.Contains(k.Columns, i.Keys[0].Column)
	})
}

// serves reports whether an index finds rows by equality, all of them.
func serves(i *inventory.Index) bool {
	return i.Valid && i.Predicate == "" && (i.Method == "btree" || i.Method == "hash")
}
