package policy

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

const ddlRemedy = "Change the schema as its owner, outside the proxy (migrations do not run as a tenant)."

func doBlock() Rule {
	return Rule{
		ID:       "G602",
		Title:    "DO block",
		Attack:   "DO $$ BEGIN PERFORM set_config('app.org_id', 'B', false); END $$: any code, in a literal.",
		Surfaces: []string{onStatement},
		Why:      "The block is a string in another language, with EXECUTE at its disposal.",
		Blocked:  "DO $$ BEGIN PERFORM 1; END $$",
		Allowed:  "SELECT 1",
		Remedy:   "Send the statements themselves, or call a function that the operator reviewed.",
		check: func(s *subject) []Violation {
			if s.has(parser.KindDo) {
				return one("DO runs code that cannot be read")
			}
			return nil
		},
	}
}

func copyOutside() Rule {
	return Rule{
		ID:       "G604",
		Title:    "COPY with a file or program of the server",
		Attack:   "COPY accounts TO PROGRAM 'curl ...': the server's host reads, writes and runs.",
		Surfaces: []string{onStatement},
		Why:      "The privileges for it can be granted, and belong to the login role that all tenants share.",
		Blocked:  "COPY accounts TO PROGRAM 'cat'",
		Allowed:  "COPY accounts TO STDOUT",
		Remedy:   "Use COPY ... FROM STDIN and TO STDOUT.",
		check: func(s *subject) []Violation {
			if s.has(parser.KindCopy) && (s.statement.Copy.Program || !s.statement.Copy.Stdio) {
				return one("COPY with a file or program of the server")
			}
			return nil
		},
	}
}

func truncate() Rule {
	return Rule{
		ID:       "G605",
		Title:    "TRUNCATE of tenant data",
		Attack:   "TRUNCATE messages: row security does not apply, the rows of all tenants are gone.",
		Surfaces: []string{onStatement},
		Why: "It may be used on tables that the catalogue knows to hold no tenant's data, and on the session's own temporary tables. " +
			"CASCADE reaches tables that the statement does not name, and is refused.",
		Blocked: "TRUNCATE messages",
		Allowed: "TRUNCATE countries",
		Remedy:  "Use DELETE: row security applies to it.",
		check: func(s *subject) []Violation {
			return s.eachAccess(parser.AccessTruncate, func(r *parser.Relation, k *knownRelation) string {
				switch {
				case s.hasOption("cascade"):
					return "TRUNCATE ... CASCADE reaches tables that it does not name"
				case k == nil && !s.mayBeMissing(r):
					return "TRUNCATE of " + spell(r.Name) + ", which is not known"
				case k != nil && (k.TenantColumn != "" || k.TenantPath != "" || k.RowSecurity || k.Kind == KindForeign):
					return "TRUNCATE of " + spell(r.Name) + ", which holds data of all tenants"
				}
				return ""
			})
		},
	}
}

func lockTable() Rule {
	return Rule{
		ID:       "G606",
		Title:    "strong table lock",
		Attack:   "BEGIN; LOCK TABLE accounts: every other tenant waits until the transaction ends.",
		Surfaces: []string{onStatement},
		Why:      "ACCESS SHARE, ROW SHARE and ROW EXCLUSIVE are what SELECT and DML take anyway (pg_dump locks so). Stronger modes shut others out.",
		Blocked:  "LOCK TABLE accounts",
		Allowed:  "LOCK TABLE accounts IN ACCESS SHARE MODE",
		Remedy:   "Lock rows (SELECT ... FOR UPDATE), or use a weaker mode.",
		check: func(s *subject) []Violation {
			if !s.has(parser.KindLock) || s.weakLock() {
				return nil
			}
			return s.eachAccess(parser.AccessLock, func(r *parser.Relation, _ *knownRelation) string {
				return "LOCK TABLE " + spell(r.Name) + " in a mode that shuts other tenants out"
			})
		},
	}
}

func channels() Rule {
	return Rule{
		ID:       "G607",
		Title:    "LISTEN or NOTIFY",
		Attack:   "LISTEN orders while another tenant notifies: its payload arrives here. NOTIFY wakes the listeners of all tenants with a made-up payload.",
		Surfaces: []string{onStatement},
		Why:      "Channels belong to the database and have no tenant. UNLISTEN is allowed.",
		Blocked:  "LISTEN orders",
		Allowed:  "UNLISTEN *",
		Remedy:   "Poll a table with row security, or let the operator add LISTEN or NOTIFY to policy.allow.statements.",
		check: func(s *subject) []Violation {
			for _, kind := range []parser.Kind{parser.KindListen, parser.KindNotify} {
				if s.has(kind) {
					return one(kind.String() + " on a channel that all tenants share")
				}
			}
			return s.functionsAgainst("G607")
		},
	}
}

func twoPhase() Rule {
	return Rule{
		ID:       "G608",
		Title:    "prepared transaction",
		Attack:   "PREPARE TRANSACTION 'x' leaves locks that outlive the session; COMMIT PREPARED finishes a transaction of another tenant.",
		Surfaces: []string{onStatement},
		Why:      "Prepared transactions belong to the login role, which all tenants share, and stay until somebody ends them.",
		Blocked:  "PREPARE TRANSACTION 'x'",
		Allowed:  "COMMIT",
		Remedy:   "Use an ordinary transaction.",
		SQLState: stateNotOffered,
		check: func(s *subject) []Violation {
			for _, kind := range []parser.Kind{parser.KindPrepareTransaction, parser.KindCommitPrepared, parser.KindRollbackPrepared} {
				if s.has(kind) {
					return one(kind.String() + " acts on transactions that outlive sessions")
				}
			}
			return nil
		},
	}
}

func shadowTable() Rule {
	return Rule{
		ID:       "G611",
		Title:    "temporary object with the name of another",
		Attack:   "CREATE TEMP TABLE accounts: temporary objects come first in every search_path, so functions of the schema that name accounts without its schema read the client's rows.",
		Surfaces: []string{onStatement},
		Why:      "A function that decides who sees what can be fed with rows of the client's own making; and a pooled connection would hand them to the next tenant.",
		Blocked:  "CREATE TEMP TABLE accounts (id int)",
		Allowed:  "CREATE TEMP TABLE my_import (id int)",
		Remedy:   "Give the temporary table a name of its own.",
		check: func(s *subject) []Violation {
			for i := range s.statement.Relations {
				r := &s.statement.Relations[i]
				if r.Access&parser.AccessCreate == 0 || !s.createsTemp(r) {
					continue
				}
				if len(s.known.relations[r.Name.Name]) > 0 || s.isSystemRelation(parser.Name{Name: r.Name.Name}) {
					return one("temporary " + r.Name.Name + " would stand in front of the relation of that name")
				}
			}
			return nil
		},
	}
}

// createsTemp reports whether a relation that the statement creates is
// temporary.
func (s *subject) createsTemp(r *parser.Relation) bool {
	return r.Temp || s.statement.Flags&parser.FlagTemp != 0 || r.Schema == "pg_temp"
}

// eachAccess calls judge for each relation that the statement touches in that
// way, with each that the catalogue knows by the name, or nil for one that it
// does not know. Temporary tables are the session's own.
func (s *subject) eachAccess(access parser.Access, judge func(*parser.Relation, *knownRelation) string) []Violation {
	var found []Violation
	for i := range s.statement.Relations {
		r := &s.statement.Relations[i]
		if r.Access&access == 0 || r.Temp || s.options.allowRelations.has(r.Schema, r.Name.Name) {
			continue
		}
		candidates := s.known.findRelations(r.Name)
		if len(candidates) == 0 {
			candidates = append(candidates, nil)
		}
		for _, k := range candidates {
			if reason := judge(r, k); reason != "" {
				found = append(found, one(reason)...)
				break
			}
		}
	}
	return found
}

func (s *subject) hasOption(name string) bool {
	for _, o := range s.statement.Options {
		if strings.EqualFold(o, name) {
			return true
		}
	}
	return false
}
