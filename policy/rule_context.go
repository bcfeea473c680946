package policy

// contextSchema is the schema of the tenant context inside the database
// (database/context).
const contextSchema = "bulkhead"

func contextFunction() Rule {
	return Rule{
		ID:       "G413",
		Title:    "function of the tenant context's own",
		Attack:   "SELECT bulkhead.challenge() makes the database forget the tenant of the session; bulkhead.enter(...) with a signature that leaked would set another.",
		Surfaces: []string{onStatement},
		Why: "The functions of the schema bulkhead are the proxy's. Only org_id() and claims() are for policies and clients. The database refuses a forged " +
			"context by itself; this rule says so before, and records it.",
		Gap:     "An unqualified name is not taken for one of the schema bulkhead: rule G206 keeps that schema out of the search_path.",
		Blocked: "SELECT bulkhead.challenge()",
		Allowed: "SELECT bulkhead.org_id()",
		Remedy:  "Remove it: the proxy sets the tenant context from the verified token.",
		check:   functionRule("G413"),
	}
}

// judgeContextFunction fills in what rules say to a function of the tenant
// context. Its definition is not looked at: bulkhead audit does that (A901).
func judgeContextFunction(f *knownFunction) {
	switch f.Name {
	case "org_id", "claims":
	default:
		f.verdict = verdict{"G413", "function bulkhead." + f.Name + " is the proxy's own"}
	}
}
