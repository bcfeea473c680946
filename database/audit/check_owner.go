package audit

import (
	"fmt"
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// ownerChecks ask whether the application could change the rules that bind it.
func ownerChecks() []Check {
	return []Check{
		{
			ID: "A104", Name: "owner_is_app", Severity: Critical, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application owns a tenant table, or can become its owner",
			Why:   "An owner can switch row security off, FORCE or not, drop policies, and truncate. So can whoever can become the owner.",
			Fix: "Give the table to a NOLOGIN role that the application is no member of, and grant SELECT, INSERT, UPDATE and DELETE back " +
				"(`bulkhead harden` does both).",
			Run: ownerIsApp,
		},
		{
			ID: "A316", Name: "app_owns_container", Severity: Critical, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application owns a schema or the database",
			Why:   "The owner of a schema can drop and replace everything in it, tables of other owners included; the owner of a database can drop any schema's worth of it.",
			Fix:   "Give the schema or database to a role that the application cannot become.",
			Run:   appOwnsContainer,
		},
	}
}

func ownerIsApp(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.Tenancies() {
		r := t.Relation
		way := f.Owns(r.Owner)
		if !judged(r) || !t.Tenant() || way == nil {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("%s belongs to %s, which the application is or can become (%s): it can switch row security off.", r.Object(), r.Owner, way)).
			withEvidence("owner: " + way.String())
		if len(way.Path) > 0 {
			finding = finding.withSQL(f.leaveSQL(way.Path))
		}
		found = append(found, finding)
	}
	return found
}

func appOwnsContainer(f *Facts) []Finding {
	var found []Finding
	s := f.Snapshot
	if way := f.Owns(s.DatabaseOwner); way != nil {
		finding := Finding{Object: "database:" + s.Database, Detail: fmt.Sprintf("Database %s belongs to %s, which the application is or can become (%s).", s.Database, s.DatabaseOwner, way)}
		found = append(found, finding.leaving(f, way))
	}
	for _, schema := range s.Schemas {
		way := f.Owns(schema.Owner)
		if way == nil || schema.Extension != "" || !f.inUse(schema.Name) || throughDatabase(way) {
			continue
		}
		finding := Finding{Object: schema.Object(), Detail: fmt.Sprintf("Schema %s belongs to %s, which the application is or can become (%s).", schema.Name, schema.Owner, way)}
		found = append(found, finding.leaving(f, way))
	}
	return found
}

// leaving adds the fix for an ownership that comes from a membership.
func (f Finding) leaving(facts *Facts, way *inventory.Way) Finding {
	f = f.withEvidence("owner: " + way.String())
	if len(way.Path) == 0 {
		return f
	}
	return f.withSQL(facts.leaveSQL(way.Path))
}

// throughDatabase reports whether the way leads over pg_database_owner: then
// the owner of the database is the fault.
func throughDatabase(way *inventory.Way) bool {
	return slices.ContainsFunc(way.Path, func(s inventory.Step) bool { return s.Membership.Implicit })
}

// inUse reports whether there is anything in a schema.
func (f *Facts) inUse(schema string) bool {
	return slices.ContainsFunc(f.Snapshot.Relations, func(r *inventory.Relation) bool { return r.Schema == schema }) ||
		slices.ContainsFunc(f.Snapshot.Functions, func(fn *inventory.Function) bool { return fn.Schema == schema })
}
