package policy

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// exposureRule makes the check of a rule that judges relations by the
// catalogue: known.exposure has found which rule a use violates, and why.
func exposureRule(id string) func(*subject) []Violation {
	return func(s *subject) []Violation {
		if s.place == viewBody {
			return nil // what a view reads is judged with the view's own roles
		}
		var found []Violation
		for i := range s.statement.Relations {
			r := &s.statement.Relations[i]
			if r.Temp {
				continue
			}
			for _, k := range s.known.findRelations(r.Name) {
				if k.rule == id && k.Reachable && !s.options.allowRelations.has(k.Schema, k.Name) {
					found = append(found, one(k.reason)...)
				}
			}
		}
		return found
	}
}

const relationRemedy = "Protect it in the database (`bulkhead harden` writes the statements), or let the operator add the relation to policy.allow.relations."

func unprotectedTable() Rule {
	return Rule{
		ID:       "G501",
		Title:    "tenant table without row security",
		Attack:   "SELECT * FROM audit_events: the table carries the org, but no policy binds the session's role, so rows of all tenants appear.",
		Surfaces: []string{onStatement},
		Why: "The proxy does not filter rows; the database's policies do. They do not where row security is off, where the role owns the table without FORCE, " +
			"or where the role bypasses it. A condition on the org in the statement is no substitute: the client wrote it.",
		Gap:     "A policy that lets everything pass is not seen here; `bulkhead audit` finds it.",
		Blocked: "SELECT * FROM audit_events",
		Allowed: "SELECT * FROM accounts",
		Remedy:  relationRemedy,
		check:   exposureRule("G501"),
	}
}

func ownerView() Rule {
	return Rule{
		ID:       "G502",
		Title:    "view that runs as its owner",
		Attack:   "SELECT * FROM v_documents: the view's owner is not bound by row security, so rows of all tenants appear.",
		Surfaces: []string{onStatement},
		Why: "A view reads its tables with its owner's rights unless it has security_invoker (PostgreSQL 15). It is allowed if every table below binds " +
			"the role that reads it. Whether a condition in the view itself is sufficient cannot be told.",
		Gap:     "Rewrite rules of tables are treated alike: they run as the table's owner.",
		Blocked: "SELECT * FROM v_documents",
		Allowed: "SELECT * FROM v_documents_invoker",
		Remedy:  "ALTER VIEW ... SET (security_invoker = true), or give it an owner that row security binds, or let the operator add it to policy.allow.relations.",
		check:   exposureRule("G502"),
	}
}

func materializedView() Rule {
	return Rule{
		ID:       "G503",
		Title:    "materialized view of tenant data",
		Attack:   "SELECT * FROM mv_invoices: a materialized view holds what its owner saw, and cannot have policies.",
		Surfaces: []string{onStatement},
		Why:      "Row security cannot apply to a materialized view.",
		Blocked:  "SELECT * FROM mv_invoices",
		Allowed:  "SELECT * FROM mv_countries",
		Remedy:   "Read it through a view with the tenant's condition that the operator adds to policy.allow.relations.",
		check:    exposureRule("G503"),
	}
}

func partition() Rule {
	return Rule{
		ID:       "G504",
		Title:    "partition or child table without row security of its own",
		Attack:   "SELECT * FROM events_2025: policies of the partitioned table do not apply to a partition that is named directly.",
		Surfaces: []string{onStatement},
		Why:      "The server applies the policies of the relation that the statement names, and no others.",
		Blocked:  "SELECT * FROM events_2025",
		Allowed:  "SELECT * FROM events",
		Remedy:   "Name the parent table, or give the child the same policies.",
		check:    exposureRule("G504"),
	}
}

func foreignTable() Rule {
	return Rule{
		ID:       "G505",
		Title:    "foreign table",
		Attack:   "SELECT * FROM remote_orders: the rows come from another server as whoever the user mapping names.",
		Surfaces: []string{onStatement},
		Why:      "Row security cannot apply to a foreign table, and the tenant context does not reach the other server.",
		Blocked:  "SELECT * FROM remote_orders",
		Allowed:  "SELECT * FROM accounts",
		Remedy:   "Let the operator add the table to policy.allow.relations if it holds no tenant's data.",
		check:    exposureRule("G505"),
	}
}

func indirectTable() Rule {
	return Rule{
		ID:       "G506",
		Title:    "table that belongs to tenants through a foreign key, without row security",
		Attack:   "SELECT * FROM order_lines: no column carries the org, but each row belongs to an order that does.",
		Surfaces: []string{onStatement},
		Why:      "Policies of the referenced table do not filter the referencing one.",
		Gap:      "Tables that belong to tenants without a foreign key look like shared tables.",
		Blocked:  "SELECT * FROM order_lines",
		Allowed:  "SELECT * FROM countries",
		Remedy:   relationRemedy,
		check:    exposureRule("G506"),
	}
}

func systemRelation() Rule {
	return Rule{
		ID:       "G507",
		Title:    "system relation that shows other sessions or server secrets",
		Attack:   "SELECT query FROM pg_stat_activity: all tenants share one login role, so the texts of their statements are visible.",
		Surfaces: []string{onStatement},
		Why: "Statistics, locks, prepared transactions, large objects and histograms of columns have no row security. " +
			"Drivers and psql need the rest of the catalogue, which describes the schema that all tenants share. " +
			"A SELECT may use a view of counters if it names no column of it but those that say which table or index a row is about.",
		Gap:     "Counters of tables (pg_class.reltuples) are visible and tell of all tenants' volume.",
		Blocked: "SELECT query FROM pg_stat_activity",
		Allowed: "SELECT relname FROM pg_class",
		Remedy:  "Use a connection of the operator's own, not a tenant's.",
		check:   checkSystemRelations,
	}
}

func unknownRelation() Rule {
	return Rule{
		ID:       "G508",
		Title:    "relation that the catalogue does not know",
		Attack:   "A table that appeared after the snapshot, or that only the server can resolve, is read before anybody judged it.",
		Surfaces: []string{onStatement},
		Why: "A name that is not in the snapshot is looked up first. If a snapshot that is a few seconds old does not know it either, the name is passed on: " +
			"then it is missing, and the server says so (42P01), or it is a temporary table of this very session. Such a decision is not kept. " +
			"Without a fresh snapshot the statement is refused.",
		Gap:     "A table that is created unprotected is reachable for the few seconds in which a snapshot counts as fresh.",
		Blocked: "SELECT * FROM never_seen -- while the catalogue cannot be read",
		Allowed: "SELECT * FROM accounts",
		Remedy:  "Try again; if it goes on, the operator should look why the proxy cannot read the catalogue.",
		check: func(s *subject) []Violation {
			var found []Violation
			for i := range s.statement.Relations {
				if r := &s.statement.Relations[i]; s.unknownRelation(r) && !s.mayBeMissing(r) {
					found = append(found, one("relation "+spell(r.Name)+" is not in the catalogue")...)
				}
			}
			return found
		},
	}
}

// mayBeMissing reports whether a relation that is not known may pass: a fresh
// snapshot does not have it either, and its name is not one that the server
// keeps for itself. Those may be of a newer server, or, as pg_temp_3.t, the
// temporary tables of another session, which the same login role may drop.
func (s *subject) mayBeMissing(r *parser.Relation) bool {
	return s.fresh && !strings.HasPrefix(r.Name.Name, "pg_") && !strings.HasPrefix(r.Schema, "pg_")
}

// namesUnknown reports whether the statement uses a relation of which nothing
// is known. It is asked before the rules are, since each of them may refuse
// the statement for that: with an old snapshot DROP TABLE IF EXISTS, of a
// temporary table that is not there yet, looks like one of a tenant's table.
func (s *subject) namesUnknown() bool {
	for i := range s.statement.Relations {
		if s.unknownRelation(&s.statement.Relations[i]) {
			return true
		}
	}
	return false
}

// unknownRelation reports whether nothing is known of a relation that the
// statement uses.
func (s *subject) unknownRelation(r *parser.Relation) bool {
	if r.Temp || r.Access == parser.AccessCreate || s.isSystemRelation(r.Name) || s.place != clientText {
		return false
	}
	if s.known.absent && s.options.assumeRelations {
		return false
	}
	return len(s.known.findRelations(r.Name)) == 0 && !s.options.allowRelations.has(r.Schema, r.Name.Name)
}
