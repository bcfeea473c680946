package inventory

import "strings"

// Function is a function, procedure, aggregate or window function.
type Function struct {
	Schema, Name string
	Arguments    string // identity arguments
	Owner        string
	Kind         byte // pg_proc.prokind: f, p, a, w
	Language     string
	Source       string // body: prosrc, or the SQL-standard body (14+)
	Definition   string // CREATE FUNCTION, "" for aggregates and window functions
	Result       string
	Volatility   byte // i, s, v
	Parallel     byte // s, r, u
	// SecurityDefiner, Leakproof and Strict are as in CREATE FUNCTION.
	SecurityDefiner, Leakproof, Strict bool
	Trigger                            bool     // returns trigger or event_trigger
	Settings                           []string // SET clauses, name=value
	Extension                          string   // that it belongs to, "" for none
	Grants                             []Grant
	DefaultGrants                      bool // no access list is stored: PUBLIC may execute
	Uses                               Uses // of an SQL-standard body (14+)

	// UsedByPolicies, UsedByTriggers and UsedByViews are the objects that call
	// it directly.
	UsedByPolicies []*Policy
	UsedByTriggers []*Trigger
	UsedByViews    []*Relation

	oid uint32
}

// Object spells the function as reports do: schema.name(arguments).
func (f *Function) Object() string {
	return Quote(f.Schema) + "." + Quote(f.Name) + "(" + f.Arguments + ")"
}

// SQL is FUNCTION or PROCEDURE and the name, for GRANT, ALTER and DROP.
func (f *Function) SQL() string {
	switch f.Kind {
	case 'p':
		return "PROCEDURE " + f.Object()
	case 'a':
		if f.Arguments == "" {
			return "AGGREGATE " + Quote(f.Schema) + "." + Quote(f.Name) + "(*)"
		}
		return "AGGREGATE " + f.Object()
	}
	return "FUNCTION " + f.Object()
}

// Setting returns the value that the function sets for its run.
func (f *Function) Setting(name string) (value string, ok bool) {
	for _, s := range f.Settings {
		if v, found := cutOption(s, name); found {
			return v, true
		}
	}
	return "", false
}

// cutOption splits name=value, where names are compared without case.
func cutOption(option, name string) (value string, ok bool) {
	n, v, _ := strings.Cut(option, "=")
	return v, strings.EqualFold(n, name)
}

// isTrue reads a boolean as PostgreSQL's parse_bool does.
func isTrue(s string) bool {
	switch s = strings.ToLower(strings.TrimSpace(s)); {
	case s == "1" || s == "on":
		return true
	case s == "":
		return false
	}
	return strings.HasPrefix("true", s) || strings.HasPrefix("yes", s)
}
