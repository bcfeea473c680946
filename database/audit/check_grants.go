package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// grantChecks ask for privileges that row security does not narrow.
func grantChecks() []Check {
	return []Check{
		{
			ID: "A307", Name: "truncate_granted", Severity: High, CWE: "CWE-732", Controls: controlsPrivilege,
			Title: "the application may TRUNCATE",
			Why:   "TRUNCATE ignores row security: one tenant can delete the rows of all.",
			Fix:   "REVOKE TRUNCATE.",
			Run:   func(f *Facts) []Finding { return f.granted("TRUNCATE", "ignores row security") },
		},
		{
			ID: "A308", Name: "references_granted", Severity: Low, CWE: "CWE-203", Controls: controlsPrivilege,
			Title: "the application may reference the table",
			Why:   "With REFERENCES a foreign key can be made that tells which keys exist, those of other tenants included.",
			Fix:   "REVOKE REFERENCES.",
			Run: func(f *Facts) []Finding {
				return f.granted("REFERENCES", "lets a foreign key probe for keys of other tenants")
			},
		},
		{
			ID: "A309", Name: "trigger_granted", Severity: High, CWE: "CWE-732", Controls: controlsPrivilege,
			Title: "the application may add triggers",
			Why:   "A trigger runs as whoever writes to the table: code of one tenant in the session of another, or of an administrator.",
			Fix:   "REVOKE TRIGGER.",
			Run:   func(f *Facts) []Finding { return f.granted("TRIGGER", "puts code into the sessions of others") },
		},
		{
			ID: "A310", Name: "maintain_granted", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "the application may maintain the table",
			Why:   "MAINTAIN (17 and later) lets it CLUSTER, REINDEX, LOCK and VACUUM FULL: everybody else waits.",
			Fix:   "REVOKE MAINTAIN.",
			Run:   func(f *Facts) []Finding { return f.granted("MAINTAIN", "lets it lock out everybody else") },
		},
	}
}

// accessChecks ask who may make objects, and for grants that are easily
// overlooked.
func accessChecks() []Check {
	return []Check{
		{
			ID: "A311", Name: "create_on_schema", Severity: High, CWE: "CWE-426", Controls: controlsPrivilege,
			Title: "the application may create objects in a schema",
			Why:   "A function, operator or table of its own can stand in front of the one that others mean, and runs in their sessions.",
			Fix:   "REVOKE CREATE ON SCHEMA.",
			Run:   createOnSchema,
		},
		{
			ID: "A312", Name: "temp_on_database", Severity: Low, CWE: "CWE-426", Controls: controlsPrivilege,
			Title: "the application may create temporary tables",
			Why: "A temporary table shadows the real one for everything that names it without schema, and outlives the tenant on a shared server connection. " +
				"Where PUBLIC has the privilege, as in every new database, that is listed as information.",
			Fix: "REVOKE TEMPORARY ON DATABASE.",
			Run: tempOnDatabase,
		},
		{
			ID: "A314", Name: "granted_to_public", Severity: High, CWE: "CWE-732", Controls: controlsPrivilege,
			Title: "privileges on a table are granted to PUBLIC",
			Why:   "Every role of the server has them, those made tomorrow included.",
			Fix:   "Revoke them from PUBLIC and grant them to the roles that need them.",
			Run:   grantedToPublic,
		},
		{
			ID: "A315", Name: "column_grants", Severity: Info, CWE: "CWE-732", Controls: controlsPrivilege,
			Title: "privileges on a column",
			Why:   "Column privileges are stored apart from the table's and easily overlooked when privileges are reviewed.",
			Fix:   "Check that they are meant; grant on the table instead where possible.",
			Run:   columnGrants,
		},
		{
			ID: "A811", Name: "sequence_update_granted", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "the application may set a sequence",
			Why:   "With UPDATE on a sequence, setval makes the next inserts of all tenants fail or collide. USAGE is enough for inserts.",
			Fix:   "REVOKE UPDATE ON SEQUENCE, keep USAGE.",
			Run:   sequenceUpdate,
		},
	}
}

// granted finds a privilege on tables that are not global. What PUBLIC has is
// A314's.
func (f *Facts) granted(privilege, why string) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if t.Class == inventory.Global {
			continue // A111
		}
		grantees := withoutPublic(f.Grantees(r, privilege))
		if len(grantees) == 0 {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s is granted to %s on %s: it %s.", privilege, roleList(grantees), r.Object(), why)).
			withSQL(revokeSQL(privilege, r.SQL(), grantees)))
	}
	return found
}

func withoutPublic(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == inventory.Public })
}

func createOnSchema(f *Facts) []Finding {
	var found []Finding
	for _, s := range f.Snapshot.Schemas {
		grantees := f.GranteesOf(s.Owner, s.Grants, "CREATE")
		if len(grantees) == 0 || s.Extension != "" {
			continue
		}
		found = append(found, Finding{Object: s.Object(), Detail: fmt.Sprintf("CREATE on schema %s is granted to %s.", s.Name, roleList(grantees))}.
			withSQL(revokeSQL("CREATE", "SCHEMA "+inventory.Quote(s.Name), grantees)))
	}
	return found
}

func tempOnDatabase(f *Facts) []Finding {
	s := f.Snapshot
	grantees := f.GranteesOf(s.DatabaseOwner, s.DatabaseGrants, "TEMPORARY")
	if len(grantees) == 0 {
		return nil
	}
	finding := Finding{Object: "database:" + s.Database, Detail: fmt.Sprintf("TEMPORARY on database %s is granted to %s.", s.Database, roleList(grantees))}
	if slices.Equal(grantees, []string{inventory.Public}) {
		finding.Severity = Info // every database is made so: a fact, and nobody's decision
		finding.Detail += " A new database is like that."
	}
	return []Finding{finding.withSQL(revokeSQL("TEMPORARY", "DATABASE "+inventory.Quote(s.Database), grantees))}
}

func grantedToPublic(f *Facts) []Finding {
	var found []Finding
	for _, r := range f.Snapshot.Relations {
		if !judged(r) || r.Kind == inventory.Sequence || f.Uses(r.Schema) == nil {
			continue
		}
		var held []string
		for _, g := range r.Grants {
			readsGlobal := g.Privilege == "SELECT" && f.Tenancy(r) != nil && f.Tenancy(r).Class == inventory.Global
			if g.Grantee == inventory.Public && !readsGlobal {
				held = append(held, g.Privilege)
			}
		}
		if len(held) == 0 {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("PUBLIC may %s %s.", strings.Join(held, ", "), r.Object())).
			withSQL(revokeSQL(strings.Join(held, ", "), r.SQL(), []string{inventory.Public})))
	}
	return found
}

func columnGrants(f *Facts) []Finding {
	var found []Finding
	for _, r := range f.Snapshot.Relations {
		if !judged(r) || f.Uses(r.Schema) == nil {
			continue
		}
		for _, c := range r.Columns {
			grantees := f.GranteesOf(r.Owner, c.Grants, "")
			if len(grantees) == 0 {
				continue
			}
			var held []string
			for _, g := range c.Grants {
				if slices.Contains(grantees, g.Grantee) {
					held = append(held, g.Privilege)
				}
			}
			slices.Sort(held)
			held = slices.Compact(held)
			columns := " (" + inventory.Quote(c.Name) + ")"
			found = append(found, f.about(r, c.Object(), fmt.Sprintf("%s on column %s is granted to %s.", strings.Join(held, ", "), c.Object(), roleList(grantees))).
				withSQL(revokeSQL(strings.Join(held, columns+", ")+columns, r.SQL(), grantees)))
		}
	}
	return found
}

func sequenceUpdate(f *Facts) []Finding {
	var found []Finding
	for _, r := range f.Snapshot.Relations {
		if r.Kind != inventory.Sequence || !judged(r) {
			continue
		}
		if grantees := f.Grantees(r, "UPDATE"); len(grantees) > 0 {
			found = append(found, f.forTable(r, fmt.Sprintf("UPDATE on sequence %s is granted to %s.", r.Object(), roleList(grantees))).
				withSQL(revokeSQL("UPDATE", "SEQUENCE "+r.SQL(), grantees)))
		}
	}
	return found
}
