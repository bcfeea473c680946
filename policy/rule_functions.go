package policy

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/parser"
)

// verdict is what the rules say to one function call: the rule that it
// violates and why, or "" and "".
type verdict struct {
	rule, reason string
}

// functionRule makes the check of a rule on functions. All of them share one
// look at each call (subject.functionVerdicts).
func functionRule(id string) func(*subject) []Violation {
	return func(s *subject) []Violation { return s.functionsAgainst(id) }
}

// functionsAgainst are the violations of a rule on functions.
func (s *subject) functionsAgainst(id string) []Violation {
	var found []Violation
	for _, v := range s.functionVerdicts() {
		if v.rule == id {
			found = append(found, one(v.reason)...)
		}
	}
	return found
}

const functionRemedy = "Do it without this function, or let the operator add the function to policy.allow.functions."

func sqlTextFunction() Rule {
	return Rule{
		ID:       "G401",
		Title:    "function that runs SQL text or reads a table by its name",
		Attack:   "SELECT query_to_xml('SELECT set_config(...)', true, false, '') hides a statement in a literal; table_to_xml('audit_events', ...) hides a table.",
		Surfaces: []string{onStatement},
		Why:      "The text is not parsed by the guard, and may come from a parameter, a column or an expression.",
		Blocked:  "SELECT query_to_xml('SELECT 1', true, false, '')",
		Allowed:  "SELECT xmlelement(name a, 1)",
		Remedy:   "Write the statement itself.",
		check:    functionRule("G401"),
	}
}

func hostFunction() Rule {
	return Rule{
		ID:       "G402",
		Title:    "function that reaches the server's files or other machines",
		Attack:   "SELECT pg_read_file('/etc/passwd'), or dblink('host=127.0.0.1 ...', ...) for a second connection that no guard sees.",
		Surfaces: []string{onStatement},
		Why:      "Files and connections of the server have no tenant. Most need a privilege, which can be granted.",
		Blocked:  "SELECT pg_read_file('postgresql.conf')",
		Allowed:  "SELECT pg_size_pretty(1024::bigint)",
		Remedy:   functionRemedy,
		check:    functionRule("G402"),
	}
}

func otherSessionsFunction() Rule {
	return Rule{
		ID:       "G403",
		Title:    "function that shows or disturbs other sessions or the server",
		Attack:   "SELECT pg_terminate_backend(pid): all tenants share one login role, so each may end the sessions of all.",
		Surfaces: []string{onStatement},
		Why:      "The server's check compares login roles, which tenants share.",
		Gap:      "The session's own pid cannot be told from another's before execution: it is refused too. Send a CancelRequest instead.",
		Blocked:  "SELECT pg_terminate_backend(4711)",
		Allowed:  "SELECT pg_backend_pid()",
		Remedy:   "Cancel a statement with the driver's cancel function.",
		check:    functionRule("G403"),
	}
}

func roleFunction() Rule {
	return Rule{
		ID:       "G404",
		Title:    "built-in function that tenants may not call",
		Attack:   "A function of the server that changes or shows what belongs to no tenant: replication slots, statistics, the write-ahead log.",
		Surfaces: []string{onStatement},
		Why:      "Every function of pg_catalog is classified for PostgreSQL 13 to 18; this rule refuses those of the classes that no other rule names.",
		Blocked:  "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
		Allowed:  "SELECT pg_get_viewdef('v'::regclass)",
		Remedy:   functionRemedy,
		check:    functionRule("G404"),
	}
}

func largeObject() Rule {
	return Rule{
		ID:       "G405",
		Title:    "large object",
		Attack:   "SELECT lo_get(50002): large objects belong to the login role, which all tenants share, and have no row security.",
		Surfaces: []string{onStatement},
		Why:      "The id of a large object is a number that can be guessed, and nothing ties it to a tenant.",
		Blocked:  "SELECT lo_get(50002)",
		Allowed:  "SELECT 'x'::bytea",
		Remedy:   "Store binary data in a bytea column of a table with row security.",
		check:    functionRule("G405"),
	}
}

func sequenceFunction() Rule {
	return Rule{
		ID:       "G406",
		Title:    "sequence set",
		Attack:   "SELECT setval('accounts_id_seq', 1, false): the next inserts of every tenant fail.",
		Surfaces: []string{onStatement},
		Why:      "Sequences are shared by all tenants. nextval and currval move forward only or not at all.",
		Gap:      "nextval lets a tenant use up or observe a sequence that others use.",
		Blocked:  "SELECT setval('accounts_id_seq', 1, false)",
		Allowed:  "SELECT nextval('accounts_id_seq')",
		Remedy:   "Let the sequence run; correct it as an administrator, outside the proxy.",
		check:    functionRule("G406"),
	}
}

func advisoryLock() Rule {
	return Rule{
		ID:       "G407",
		Title:    "session-level advisory lock",
		Attack:   "SELECT pg_advisory_lock(1): the keys have no tenant, so another tenant's jobs wait for as long as the session lives, and with a pool beyond it.",
		Surfaces: []string{onStatement},
		Why:      "The number space is shared by all tenants of a database, and nothing bounds how long such a lock is held.",
		Gap:      "Transaction-level locks are allowed: the transaction's limits bound them, but while one is held another tenant that uses the same key waits.",
		Blocked:  "SELECT pg_advisory_lock(1)",
		Allowed:  "SELECT pg_advisory_xact_lock(1), pg_advisory_unlock_all()",
		Remedy:   "Use pg_advisory_xact_lock, or let the operator add the function to policy.allow.functions.",
		check:    functionRule("G407"),
	}
}

func definerFunction() Rule {
	return Rule{
		ID:       "G408",
		Title:    "SECURITY DEFINER function",
		Attack:   "SELECT * FROM document_by_id(5): the function reads with its owner's rights, which row security may not bind.",
		Surfaces: []string{onStatement},
		Why:      "What the body checks cannot be proven. Functions that policies call are not affected: the client's statement does not name them.",
		Blocked:  "SELECT * FROM document_by_id(5)",
		Allowed:  "SELECT * FROM document_by_id_invoker(5)",
		Remedy:   "Make it SECURITY INVOKER, or let the operator add the function to policy.allow.functions once it was reviewed.",
		check:    functionRule("G408"),
	}
}

func unsafeFunction() Rule {
	return Rule{
		ID:       "G409",
		Title:    "function whose body is not safe",
		Attack:   "SELECT exec_sql('SET app.org_id = ...'): a helper of the schema runs its argument, changes the context, or reads an unprotected table.",
		Surfaces: []string{onStatement},
		Why: "A body in SQL goes through all rules. In PL/pgSQL the words decide: EXECUTE, a forbidden function, a setting of the tenant context, an unprotected " +
			"relation. Bodies in other languages cannot be read and may do anything.",
		Gap:     "Operators, casts, aggregates' transition functions and triggers of the schema are trusted.",
		Blocked: "SELECT exec_sql('SELECT 1')",
		Allowed: "SELECT add_tax(100)",
		Remedy:  "Let the operator add the function to policy.allow.functions once it was reviewed.",
		check:   functionRule("G409"),
	}
}

func extensionFunction() Rule {
	return Rule{
		ID:       "G410",
		Title:    "function of an extension that is not known to be harmless",
		Attack:   "SELECT crosstab('SELECT ...') runs SQL text, http_get leaves the host, pg_stat_statements shows other tenants' statements.",
		Surfaces: []string{onStatement},
		Why:      "Code in C cannot be read. Extensions that only compute (pgcrypto, pg_trgm, PostGIS, pgvector, hstore, ...) are on a list; others are refused.",
		Blocked:  "SELECT dblink_connect('host=127.0.0.1')",
		Allowed:  "SELECT gen_random_uuid()",
		Remedy:   functionRemedy,
		check:    functionRule("G410"),
	}
}

func unknownFunction() Rule {
	return Rule{
		ID:       "G411",
		Title:    "function that is not known",
		Attack:   "A function of a newer server, of pg_temp, or made after the snapshot, is called before anybody judged it.",
		Surfaces: []string{onStatement},
		Why: "A name that neither the list of the server's functions nor the catalogue knows is looked up first, and refused if a fresh snapshot does not know it " +
			"either: it may be one of a newer server that nobody has judged.",
		Gap:     "A function that does not exist is refused by this rule instead of by the server's own error 42883.",
		Blocked: "SELECT pg_temp.f()",
		Allowed: "SELECT lower('A')",
		Remedy:  functionRemedy,
		check:   functionRule("G411"),
	}
}

func attributeFunction() Rule {
	return Rule{
		ID:    "G412",
		Title: "function called like a column",
		Attack: "SELECT d.document_owner_key FROM documents d: if the table has no such column, PostgreSQL calls the function of that name with the row. " +
			"SELECT (50002::oid).lo_get does the same with a value of any type.",
		Surfaces: []string{onStatement},
		Why:      "Whether it is a column or a call is decided by the server; a function that a call would be refused for is refused in this form too.",
		Blocked:  "SELECT d.leak_row FROM documents d",
		Allowed:  "SELECT d.title FROM documents d",
		Remedy:   "Rename the column or the function, or let the operator add the function to policy.allow.functions.",
		check:    checkAttributes,
	}
}

// checkAttributes is the check of G412. A call in this notation has one
// argument. It is a row, save in (expr).name and where a function in FROM
// gives its name to values that are no rows.
func checkAttributes(s *subject) []Violation {
	var found []Violation
	for _, name := range s.statement.Attributes {
		if v, _ := s.judgeBuiltin(name); v.rule != "" && !s.options.allowFunctions.has("pg_catalog", name) {
			found = append(found, one("attribute "+name+" may call "+v.reason)...)
		}
		scalar := s.statement.Flags&parser.FlagFromFunction != 0 || slices.Contains(s.statement.Selected, name)
		for _, f := range s.known.findFunctions(parser.Name{Name: name}) {
			callable := f.RowArgument || scalar && f.OneArgument
			if callable && f.rule != "" && !s.options.allowFunctions.has(f.Schema, f.Name) {
				found = append(found, one("attribute "+name+" may call "+f.Schema+"."+f.Name+": "+f.reason)...)
			}
		}
	}
	return found
}

// functionVerdicts judges each call of the statement, once.
func (s *subject) functionVerdicts() []verdict {
	if s.verdicts == nil {
		s.verdicts = make([]verdict, 0, len(s.statement.Functions))
		for i := range s.statement.Functions {
			if v := s.judgeCall(&s.statement.Functions[i]); v.rule != "" {
				s.verdicts = append(s.verdicts, v)
			}
		}
	}
	return s.verdicts
}

// judgeCall judges one call. An unqualified name may mean the server's
// function or any of the schema's: all must be allowed.
func (s *subject) judgeCall(f *parser.Function) verdict {
	n := f.Name
	if s.options.allowFunctions.has(n.Schema, n.Name) {
		return verdict{}
	}
	found := false
	if n.Schema == "" || n.Schema == "pg_catalog" {
		v, known := s.judgeBuiltin(n.Name)
		if v.rule != "" && !s.options.allowFunctions.has("pg_catalog", n.Name) {
			return v
		}
		found = known
	}
	if n.Schema == "information_schema" {
		return verdict{} // helpers of its views; they read nothing
	}
	for _, k := range s.known.findFunctions(n) {
		found = true
		if k.rule != "" && !s.options.allowFunctions.has(k.Schema, k.Name) {
			return k.verdict
		}
	}
	if found || s.known.isType(n) {
		return verdict{}
	}
	return s.unknownFunction(n)
}

func (s *subject) unknownFunction(n parser.Name) verdict {
	s.unknown = s.unknown || n.Schema != "pg_catalog" || s.known.absent // those of pg_catalog are on a list, not in the catalogue
	return verdict{"G411", "function " + spell(n) + " is not known"}
}
