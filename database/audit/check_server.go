package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// serverChecks ask for what tenants share beside tables.
func serverChecks() []Check {
	return []Check{
		{
			ID: "A801", Name: "large_objects", Severity: Medium, CWE: "CWE-668", Controls: controlsAccess,
			Title: "large objects are shared by all tenants",
			Why:   "Large objects have owners but no row security: what one session of the application wrote, every other reads by its number.",
			Fix:   "Store the data in a bytea column of a tenant table.",
			Run:   largeObjects,
		},
		{
			ID: "A802", Name: "publication_all_tenants", Severity: High, CWE: "CWE-668", Controls: controlsBoundary,
			Title: "a publication ships the rows of all tenants",
			Why: "Logical replication does not obey row security: whoever may subscribe gets every tenant's rows; FOR ALL TABLES ships the keys " +
				"of the signed context as well.",
			Fix: "Publish tables by name, with a row filter (15 and later), to a subscriber that may have them all.",
			Run: publications,
		},
		{
			ID: "A803", Name: "replication_slot", Severity: Medium, CWE: "CWE-668", Controls: controlsBoundary,
			Title: "a replication slot streams changes of all tenants",
			Why:   "A slot is a standing exit for the changes of every table. Whoever reads it is not bound by row security.",
			Fix:   "Know who reads it; drop it with pg_drop_replication_slot if nobody does.",
			Run:   replicationSlots,
		},
		{
			ID: "A805", Name: "activity_visible", Severity: Medium, Source: RunTime, CWE: "CWE-200", Controls: controlsAccess,
			Title: "statements of other tenants are visible",
			Why: "All tenants share the application's role, and a role sees the statements of its own sessions in pg_stat_activity, with the values " +
				"in them. What a session really sees is proven by `bulkhead verify`; from the catalogue alone it is information only.",
			Fix: "ALTER ROLE ... SET track_activities = off, or REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer) FROM PUBLIC.",
			Run: activityVisible,
		},
	}
}

// installationChecks ask what the server itself brings along.
func installationChecks() []Check {
	return []Check{
		{
			ID: "A808", Name: "server_has_rls_cve", Severity: High, CWE: "CWE-1395", Controls: controlsChange,
			Title: "the server's version has a known fault in row security",
			Why:   "Row security is only as good as the server that enforces it. Faults that only one source reports are listed as information.",
			Fix:   "Install the newest minor release.",
			Run:   serverVersion,
		},
		{
			ID: "A810", Name: "foreign_server_mapping", Severity: High, CWE: "CWE-522", Controls: controlsBoundary,
			Title: "the application is mapped to a user on another server",
			Why:   "Through the mapping every tenant acts as that user there, whose rights know nothing of tenants.",
			Fix:   "DROP USER MAPPING, or reach the server through a role that the application cannot become.",
			Run:   foreignMappings,
		},
		{
			ID: "A818", Name: "extended_statistics", Severity: Info, CWE: "CWE-200", Controls: controlsAccess,
			Title: "extended statistics are readable by all",
			Why:   "Before 16.3, 15.7 and 14.12, pg_stats_ext shows common values of a table's columns to everybody, past row security (CVE-2024-4317).",
			Fix:   "Update the server and run its fix-CVE-2024-4317.sql, or DROP STATISTICS.",
			Run:   extendedStatistics,
		},
		{
			ID: "A820", Name: "prepared_transactions", Severity: Info, CWE: "CWE-668", Controls: controlsAccess,
			Title: "prepared transactions are shared by all tenants",
			Why:   "With max_prepared_transactions above 0 one tenant can commit or roll back what another has prepared: the role is the same.",
			Fix:   "Set max_prepared_transactions = 0, or rely on the proxy, which refuses PREPARE TRANSACTION.",
			Run:   preparedTransactions,
		},
	}
}

func largeObjects(f *Facts) []Finding {
	total := 0
	var owners []string
	for _, o := range f.Snapshot.LargeObjects {
		total += o.Count
		owners = append(owners, fmt.Sprintf("%d of %s", o.Count, o.Owner))
	}
	if total == 0 {
		return nil
	}
	return []Finding{Finding{Object: "large_objects", Detail: plural(total, "large object", "large objects") + " in the database."}.withEvidence(owners...)}
}

func publications(f *Facts) []Finding {
	var found []Finding
	for _, p := range f.Snapshot.Publications {
		var what []string
		if p.AllTables {
			what = append(what, "all tables")
		}
		for _, s := range p.Schemas {
			if f.hasTenants(s) {
				what = append(what, "all tables of schema "+s)
			}
		}
		for _, t := range p.Tables {
			if r := f.Snapshot.Relation(t.Table.Schema, t.Table.Name); r != nil && f.IsTenant(r) && t.RowFilter == "" {
				what = append(what, r.Object())
			}
		}
		if len(what) > 0 {
			found = append(found, Finding{Object: p.Object(), Detail: fmt.Sprintf("Publication %s ships %s.", p.Name, strings.Join(what, ", "))})
		}
	}
	return found
}

func (f *Facts) hasTenants(schema string) bool {
	return slices.ContainsFunc(f.Snapshot.Relations, func(r *inventory.Relation) bool { return r.Schema == schema && f.IsTenant(r) })
}

func replicationSlots(f *Facts) []Finding {
	var found []Finding
	for _, s := range f.Snapshot.ReplicationSlots {
		kind := "physical, of the whole server"
		if s.Plugin != "" {
			kind = "logical, by " + s.Plugin
		}
		found = append(found, Finding{Object: "replication_slot:" + s.Name, Detail: fmt.Sprintf("Replication slot %s (%s) streams changes of all tenants.", s.Name, kind)})
	}
	return found
}

func activityVisible(f *Facts) []Finding {
	i := slices.IndexFunc(f.Snapshot.CoreFunctions, func(fn *inventory.Function) bool { return fn.Name == "pg_stat_get_activity" })
	if i < 0 || f.Calls(f.Snapshot.CoreFunctions[i]) == nil || f.Snapshot.Server.Settings["track_activities"] == "off" {
		return nil
	}
	return f.eachApp(func(app *inventory.Role) []Finding {
		for _, s := range f.Snapshot.RoleSettings {
			if s.Name == "track_activities" && s.Value == "off" && (s.Role == app.Name || s.Role == "") {
				return nil
			}
		}
		finding := Finding{Object: app.Object(), Severity: Info, Detail: fmt.Sprintf("Sessions of role %s see each other's statements in pg_stat_activity.", app.Name)}
		return []Finding{finding.withSQL("ALTER ROLE " + inventory.Quote(app.Name) + " SET track_activities = off;")}
	})
}

func foreignMappings(f *Facts) []Finding {
	var found []Finding
	for _, s := range f.Snapshot.ForeignServers {
		var roles, sql []string
		for _, m := range f.Snapshot.UserMappings {
			if m.Server == s.Name && (m.Role == inventory.Public || f.runsAs(m.Role)) {
				roles = append(roles, m.Role)
				sql = append(sql, "DROP USER MAPPING FOR "+inventory.QuoteRole(m.Role)+" SERVER "+inventory.Quote(s.Name)+";")
			}
		}
		if len(roles) > 0 {
			found = append(found, Finding{Object: s.Object(), Detail: fmt.Sprintf("Foreign server %s has a user mapping for %s.", s.Name, roleList(roles))}.withSQL(strings.Join(sql, "\n")))
		}
	}
	return found
}

func extendedStatistics(f *Facts) []Finding {
	if !vulnerable(f.Snapshot.Server.VersionNum, map[int]int{14: 12, 15: 7, 16: 3}, 14) {
		return nil
	}
	var found []Finding
	for _, s := range f.Snapshot.Statistics {
		if f.IsTenant(s.Relation) {
			object := inventory.Quote(s.Name.Schema) + "." + inventory.Quote(s.Name.Name)
			found = append(found, f.about(s.Relation, object, fmt.Sprintf("Statistics %s on %s are readable by all.", object, s.Relation.Object())).
				withSQL("DROP STATISTICS "+object+";"))
		}
	}
	return found
}

func preparedTransactions(f *Facts) []Finding {
	n, known := f.Snapshot.Server.Settings["max_prepared_transactions"]
	if !known || n == "0" {
		return nil
	}
	return []Finding{{Object: "setting:*@*", Detail: "max_prepared_transactions is " + n + "."}}
}
