package policy

import (
	"github.com/pgbulkhead/bulkhead/parser"
)

func grants() Rule {
	return Rule{
		ID:       "G303",
		Title:    "GRANT or REVOKE",
		Attack:   "GRANT SELECT ON accounts TO PUBLIC, GRANT admin TO app, ALTER DEFAULT PRIVILEGES: what one tenant grants holds for all.",
		Surfaces: []string{onStatement},
		Why:      "Privileges belong to roles, which tenants share.",
		Blocked:  "GRANT SELECT ON accounts TO PUBLIC",
		Allowed:  "SELECT has_table_privilege('accounts', 'SELECT')",
		Remedy:   ddlRemedy,
		check:    kindRule(kindGrant, "changes privileges"),
	}
}

func roleDDL() Rule {
	return Rule{
		ID:       "G304",
		Title:    "roles changed",
		Attack:   "ALTER ROLE app PASSWORD 'x': an unprivileged role may alter itself, for every tenant. DROP OWNED BY itself removes the policies that name it (16 and later).",
		Surfaces: []string{onStatement},
		Why:      "Roles are shared by all tenants and outlive the session.",
		Blocked:  "ALTER ROLE app PASSWORD 'x'",
		Allowed:  "SELECT rolname FROM pg_roles",
		Remedy:   ddlRemedy,
		check:    kindRule(kindRole, "changes roles"),
	}
}

func policies() Rule {
	return Rule{
		ID:       "G305",
		Title:    "row security or policies changed",
		Attack:   "ALTER TABLE accounts DISABLE ROW LEVEL SECURITY by a login role that is a member of the owner.",
		Surfaces: []string{onStatement},
		Why:      "Policies are the wall between tenants; nothing that comes through the proxy may touch them.",
		Blocked:  "ALTER TABLE accounts DISABLE ROW LEVEL SECURITY",
		Allowed:  "SELECT polname FROM pg_policy",
		Remedy:   ddlRemedy,
		check: func(s *subject) []Violation {
			if s.statement.Flags&parser.FlagRowSecurity != 0 {
				return one("the statement changes row security")
			}
			return s.ofClass(kindPolicy, "changes policies")
		},
	}
}

func ownership() Rule {
	return Rule{
		ID:       "G306",
		Title:    "ownership changed",
		Attack:   "ALTER VIEW v OWNER TO app, or REASSIGN OWNED, which hands over views without the check that OWNER TO makes.",
		Surfaces: []string{onStatement},
		Why:      "An owner is not bound by row security unless it is forced, and may switch it off.",
		Blocked:  "ALTER TABLE accounts OWNER TO app",
		Allowed:  "SELECT tableowner FROM pg_tables",
		Remedy:   ddlRemedy,
		check: func(s *subject) []Violation {
			if s.statement.Flags&parser.FlagOwner != 0 {
				return one("the statement changes an owner")
			}
			return nil
		},
	}
}

func ddl() Rule {
	return Rule{
		ID:       "G601",
		Title:    "schema changed",
		Attack:   "CREATE FUNCTION f() ... AS 'SELECT set_config(...)', then SELECT f(): views, triggers, rules, defaults, casts, operators and aggregates run code as well.",
		Surfaces: []string{onStatement},
		Why: "The schema belongs to all tenants. Code in it runs later, in statements that only name it, of any tenant. " +
			"Temporary tables are allowed (G611 bounds their names): nobody else can name them. Temporary views, functions and types are not.",
		Gap:     "On a temporary table only CREATE TABLE, CREATE TABLE AS, SELECT INTO, CREATE INDEX, DROP TABLE and TRUNCATE are allowed.",
		Blocked: "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		Allowed: "CREATE TEMP TABLE my_import (id int)",
		Remedy:  ddlRemedy,
		check: func(s *subject) []Violation {
			kind, found := s.firstOf(kindDDL)
			if !found || s.onlyTemp() {
				return nil
			}
			return one(kind.String() + " changes what all tenants share")
		},
	}
}

func maintenance() Rule {
	return Rule{
		ID:       "G609",
		Title:    "maintenance of tables",
		Attack:   "VACUUM FULL accounts, CLUSTER or REINDEX lock the table for every tenant and load the server.",
		Surfaces: []string{onStatement},
		Why:      "Maintenance works on the rows of all tenants. The own temporary tables may be analysed.",
		Blocked:  "VACUUM FULL accounts",
		Allowed:  "SELECT 1",
		Remedy:   "Leave it to autovacuum and the operator.",
		check: func(s *subject) []Violation {
			kind, found := s.firstOf(kindMaintenance)
			if !found || kind == parser.KindAnalyze && s.onlyTemp() {
				return nil
			}
			return one(kind.String() + " works on data of all tenants")
		},
	}
}

func serverWide() Rule {
	return Rule{
		ID:       "G610",
		Title:    "statement on the server as a whole",
		Attack:   "LOAD, CHECKPOINT, CREATE DATABASE, CREATE SUBSCRIPTION or PUBLICATION: code is loaded, data of all tenants leaves, the server is busy.",
		Surfaces: []string{onStatement},
		Why:      "Databases, tablespaces, foreign servers, publications and subscriptions have no tenant.",
		Blocked:  "CHECKPOINT",
		Allowed:  "SELECT current_database()",
		Remedy:   "Do it as the operator, outside the proxy.",
		check:    kindRule(kindServer, "concerns the server as a whole"),
	}
}

func unknownKind() Rule {
	return Rule{
		ID:       "G612",
		Title:    "statement of a kind that no rule allows",
		Attack:   "A statement kind that came with a newer grammar and that nobody has judged.",
		Surfaces: []string{onStatement},
		Why:      "Kinds are allowed one by one; what is not on the list is refused.",
		Blocked:  "a statement of a kind that is new to the guard",
		Allowed:  "SELECT 1",
		Remedy:   "Let the operator add the command to policy.allow.statements.",
		check: func(s *subject) []Violation {
			if s.startup {
				return nil
			}
			if kind, found := s.firstOf(kindUnclassified); found {
				return one("kind " + kind.String() + " is not classified")
			}
			return nil
		},
	}
}

// onlyTemp reports whether a statement creates or changes nothing but tables
// in the session's own temporary schema.
func (s *subject) onlyTemp() bool {
	if !mayBeTemp(s.statement.Kind) {
		return false
	}
	seen := false
	for i := range s.statement.Relations {
		r := &s.statement.Relations[i]
		switch {
		case r.Access&parser.AccessCreate != 0: // that nothing has the name yet says nothing
			if !s.createsTemp(r) {
				return false
			}
			seen = true
		case r.Access&parser.AccessAlter == 0:
		case s.isOwnTemp(r):
			seen = true
		default:
			return false
		}
	}
	return seen
}

// isOwnTemp reports whether an existing relation is the session's own: it is
// written as temporary, or a fresh snapshot, which leaves temporary ones out,
// does not know it.
func (s *subject) isOwnTemp(r *parser.Relation) bool {
	return r.Temp || s.mayBeMissing(r) && len(s.known.findRelations(r.Name)) == 0 && !s.isSystemRelation(r.Name)
}
