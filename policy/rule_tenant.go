package policy

func otherOrgLiteral() Rule {
	return Rule{
		ID:       "G801",
		Title:    "another org named in a literal",
		Attack:   "SELECT * FROM accounts WHERE org_id = 'B': on tables with row security nothing is found, on others everything of B; either way somebody tries.",
		Surfaces: []string{onStatement, onStartup},
		Why: "A literal that meets a column that carries the org must be the session's own org. It is compared as the server compares it " +
			"(spellings of a uuid, forms of an integer); a literal that is no id of this form is refused. Literals are followed through aliases, sub-selects, " +
			"common table expressions, VALUES, joins, set operations, JSON documents, EXECUTE, columns that are compared with the org's, and the server's own functions " +
			"of text and numbers. A pattern must match the own org. A setting of the application's that is called as such a column (app.tenant_id) counts as one.",
		Gap: "What a function of the schema makes of a literal, and the rows of COPY FROM STDIN, are not followed; " +
			"nor are numbers that an integer column is compared with by %, bits or a hash.",
		Blocked: "SELECT * FROM accounts WHERE org_id = 'B'",
		Allowed: "SELECT * FROM accounts WHERE org_id = current_setting('app.org_id')::uuid",
		Remedy:  "Leave the condition on the org out: row security adds it.",
	}
}

func otherOrgParameter() Rule {
	return Rule{
		ID:       "G802",
		Title:    "another org bound to a parameter",
		Attack:   "WHERE org_id = $1 with B's id bound, as text or in binary form.",
		Surfaces: []string{onBind},
		Why: "A value bound to a parameter that meets a column that carries the org, on whatever way (see G801), must be the session's own org, or an array of it alone. " +
			"A value that is no id of this form is refused, NULL passes: it equals nothing. Where functions change the value first, it must have the own org in it.",
		Gap:     "The parameter's type is not known to the guard; a binary value of 2, 4 or 8 bytes is read as an integer when orgs are integers.",
		Blocked: "SELECT * FROM accounts WHERE org_id = $1 -- B's id bound",
		Allowed: "SELECT * FROM accounts WHERE org_id = $1 -- the own id bound",
		Remedy:  "Leave the condition on the org out: row security adds it.",
	}
}

func noOrgPicked() Rule {
	return Rule{
		ID:       "G803",
		Title:    "no org picked",
		Attack:   "The pool of a service, or a worker over all orgs, runs a statement before it says for whom: on tables without row security it would reach every org.",
		Surfaces: []string{onStatement, onBind},
		Why: "Without an org there is no tenant context. Only the control of transactions and of the session, and queries that read and call nothing " +
			"(SELECT 1), may run. It is refused in every mode.",
		Blocked: "SELECT name FROM accounts -- in a session whose token names no org",
		Allowed: "BEGIN",
		Remedy:  "Send SET bulkhead.token = '...', or SET bulkhead.org_id = '...' if the token grants several orgs, first.",
	}
}

func orgNotGranted() Rule {
	return Rule{
		ID:       "G804",
		Title:    "org that the token does not grant",
		Attack:   "SET bulkhead.org_id = 'B' by a worker whose token lists other orgs.",
		Surfaces: []string{onStatement},
		Why:      "Only a verified token says for which orgs its holder may act. It is refused in every mode.",
		Blocked:  "SET bulkhead.org_id = 'B' -- with a token for A and C",
		Allowed:  "SET bulkhead.org_id = 'A'",
		Remedy:   "Pick an org of the token's org claim, in the form of tenant.org_type.",
	}
}
