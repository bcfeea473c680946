package context

import (
	_ "embed"
	"strings"
)

//go:embed sql/plain.sql
var plainBody string

//go:embed sql/signed.sql
var signedBody string

//go:embed sql/sealed.sql
var sealedBody string

//go:embed sql/add_key.sql
var addKeyBody string

//go:embed sql/challenge.sql
var challengeBody string

//go:embed sql/enter.sql
var enterBody string

// Function is a function of the schema bulkhead as it is shipped.
type Function struct {
	Name      string
	Arguments string // as pg_get_function_identity_arguments prints them
	Returns   string
	Language  string
	Body      string
	Volatile  string // volatile, stable
	Parallel  string // safe, restricted, unsafe
	Definer   bool   // runs with the owner's rights
	// Path says that the function has a search_path of its own. One without
	// qualifies every name, and so can be inlined.
	Path bool

	types    string // of the arguments
	config   string // of one that was read
	reason   string
	callable bool // by the roles of the application
}

// Object returns the function as findings spell it.
func (f *Function) Object() string { return "bulkhead." + f.Name + "(" + f.Arguments + ")" }

func (f *Function) signature() string { return "bulkhead." + f.Name + "(" + f.types + ")" }

func (f *Function) create(verb string) string {
	attributes := []string{"language " + f.Language, f.Volatile, "parallel " + f.Parallel}
	if f.Definer {
		attributes = append(attributes, "security definer")
	}
	if f.Path {
		attributes = append(attributes, "set search_path = pg_catalog, pg_temp")
	}
	return verb + f.Object() + " returns " + f.Returns + "\n" + strings.Join(attributes, " ") + " as $bulkhead$" + f.Body + "$bulkhead$"
}

// Signer is true for the functions that can make a tenant out of nothing, or
// show what is needed for it: no role of an application may call them.
func (f *Function) Signer() bool { return !f.callable }

// functionsOf returns the functions of a mode.
func functionsOf(o *Options) []Function {
	key, _ := typeName(o.KeyType)
	out := []Function{
		tenantFunction(o, "org_id", key, "the tenant of this session; policies call it as (select bulkhead.org_id())"),
		tenantFunction(o, "claims", "jsonb", "the claims of the user of this session, as sure as its tenant"),
	}
	if o.Mode == Plain {
		return out
	}
	out = append(out, keyFunctions()...)
	if o.Mode == Sealed {
		return append(out, sealedFunctions()...)
	}
	return append(out, Function{
		Name: "backend", Returns: "text", Language: "sql", Volatile: "stable", Parallel: "restricted", Path: true, callable: true,
		Body:   "\nselect " + backendExpression + "\n",
		reason: "what a signature is bound to; the proxy asks once for each server connection",
	})
}

// backendExpression names a backend as nobody who talks to another can.
const backendExpression = `concat_ws('|', current_database(), pg_backend_pid(),
    coalesce(host(inet_client_addr()), 'local'), coalesce(inet_client_port(), 0))`

// wellFormed checks that s is four digits, ten digits and 64 characters, joined
// by dots. What the 64 are is compared as it is. A regular expression for it
// would take as long as all the rest.
const wellFormed = `length(s) = 80 and substr(s, 5, 1) = '.' and substr(s, 16, 1) = '.' and translate(left(s, 15), '0123456789', '') = '.'`

// tenantFunction returns org_id() or claims() of the mode. The check is in
// each of them: a function called from another one would cost its own call.
func tenantFunction(o *Options, name, returns, reason string) Function {
	f := Function{
		Name: name, Returns: returns, Language: "plpgsql", Volatile: "stable", Parallel: "restricted",
		Definer: true, Path: true, reason: reason, callable: true,
	}
	switch {
	case o.Mode == Signed:
		f.Body = signedBody
	case o.Mode == Sealed:
		f.Body = sealedBody
	default:
		f.Body, f.Parallel, f.Definer = plainBody, "safe", false
	}
	value := "o::" + returns
	if name == "claims" {
		value = "nullif(c, '')::" + returns
	}
	missing := "return null;"
	if o.MissingError {
		missing = "raise exception using errcode = '42501', message = 'bulkhead: no tenant is set', " +
			"hint = 'Connect through Bulkhead, or set the tenant before the first statement.';"
	} else if o.Mode == Plain {
		return inlined(f)
	}
	f.Body = strings.NewReplacer(":missing", missing, ":value", value, ":backend", backendExpression, ":seal", sealExpression, ":wellformed", wellFormed).Replace(f.Body)
	return f
}

// inlined returns the form of a plain function that the planner replaces by
// its body: SQL, without a search_path of its own. Every name, operators
// included, is therefore qualified: it is looked up with the caller's path.
func inlined(f Function) Function {
	setting := "bulkhead.org_id"
	if f.Name == "claims" {
		setting = "request.jwt.claims"
	}
	read := "pg_catalog.current_setting('" + setting + "', true)"
	f.Language, f.Path = "sql", false
	f.Body = "\nselect case when " + read + " operator(pg_catalog.<>) '' then " + read + "::" + qualifiedType(f.Returns) + " end\n"
	return f
}

// qualifiedType returns a type under a name that no search_path can divert.
// The names of SQL's own types are keywords and need none.
func qualifiedType(name string) string {
	switch name {
	case "uuid", "text", "jsonb":
		return "pg_catalog." + name
	}
	return name
}

func keyFunctions() []Function {
	return []Function{
		{
			Name: "add_key", Arguments: "p_kid integer, p_key bytea", types: "integer, bytea", Returns: "void",
			Language: "plpgsql", Volatile: "volatile", Parallel: "unsafe", Definer: true, Path: true, Body: addKeyBody,
			reason: "adds a signing key",
		},
		{
			Name: "retire_key", Arguments: "p_kid integer, p_grace interval", types: "integer, interval", Returns: "void",
			Language: "sql", Volatile: "volatile", Parallel: "unsafe", Definer: true, Path: true,
			Body: `
update bulkhead.signing_key set not_after = clock_timestamp() + p_grace
  where kid = p_kid and (not_after is null or not_after > clock_timestamp() + p_grace)
`,
			reason: "ends a signing key after a grace period; never makes its life longer",
		},
		{
			Name: "keys", Returns: "TABLE(kid integer, created_at timestamp with time zone, not_after timestamp with time zone)",
			Language: "sql", Volatile: "stable", Parallel: "safe", Definer: true, Path: true,
			Body:   "\nselect k.kid, k.created_at, k.not_after from bulkhead.signing_key k order by k.kid\n",
			reason: "which keys there are, without the keys",
		},
	}
}

func sealedFunctions() []Function {
	return []Function{
		{
			Name: "challenge", Returns: "bigint", Language: "plpgsql", Volatile: "volatile", Parallel: "unsafe",
			Definer: true, Path: true, Body: strings.ReplaceAll(challengeBody, ":random", randomExpression), callable: true,
			reason: "ends what was sealed and begins anew; the proxy calls it when a connection is returned",
		},
		{
			Name: "enter", Arguments: "p_org text, p_claims text, p_signature text", types: "text, text, text", Returns: "bigint",
			Language: "plpgsql", Volatile: "volatile", Parallel: "unsafe", Definer: true, Path: true,
			Body: strings.NewReplacer(":seal", sealExpression, ":random", randomExpression, ":wellformed", wellFormed).Replace(enterBody), callable: true,
			reason: "proves the tenant by a signature over the challenge, and returns the next challenge; the proxy calls it at checkout",
		},
	}
}

// randomExpression is a number of 60 bits from a version 4 UUID h, whose digits
// of version and variant are not random.
const randomExpression = `('x' || substr(h, 1, 8) || substr(h, 18, 7))::bit(60)::bigint`

// sealExpression is the digest of a proven context o, c; never 0, which stands
// for none. Only the session's own challenge makes it, which the application's
// role cannot read.
const sealExpression = `greatest(1, ('x' || substr(encode(sha256(convert_to(concat_ws(chr(10), currval('bulkhead.slot'),
    octet_length(o), o, octet_length(c), c), 'UTF8')), 'hex'), 1, 15))::bit(60)::bigint)`
