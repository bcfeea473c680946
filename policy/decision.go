package policy

import (
	"sync/atomic"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Action is what happens to a message.
type Action uint8

// The actions.
const (
	Allow   Action = iota
	Observe        // a rule was violated, its mode is observe: recorded and forwarded
	Block
)

// Decision is the outcome of the rules for one message, the single source of
// the client's error, the blocked-query record and the span event. Apart
// from Message it holds no literal, parameter value or token.
type Decision struct {
	Action   Action
	Rule     string // "G203"; "" if allowed
	Title    string // of the rule
	Reason   string // what in this message violates it; names objects, never values
	Hint     string // what to do instead
	SQLState string // 42501, 42601, 54000, 54001, 22021, 0A000
	Message  string // primary message for the client alone: a syntax error (G701) quotes the text that it sent
	Position int    // 1-based character position in the text for 42601, else 0
}

// String is the action as the blocked-query record spells it, or "allowed".
func (a Action) String() string {
	switch a {
	case Observe:
		return "observed"
	case Block:
		return "blocked"
	default:
		return "allowed"
	}
}

// Protocol is the way a text or message came in.
type Protocol uint8

// The ways, as the blocked-query record spells them.
const (
	Simple Protocol = iota
	Extended
	Fastpath
	Startup
	Copy
)

// String is the way as the blocked-query record spells it.
func (p Protocol) String() string {
	switch p {
	case Extended:
		return "extended"
	case Fastpath:
		return "fastpath"
	case Startup:
		return "startup"
	case Copy:
		return "copy"
	default:
		return "simple"
	}
}

// Inspection is what is known of one SQL text. It does not depend on the
// tenant, is shared between sessions and never changes, so it can be cached.
// The check against the tenant's own org is Inspection.ForOrg.
type Inspection struct {
	// Decision is the outcome of all rules that do not depend on the tenant.
	Decision Decision
	// Effects says what the text does to the state of a session.
	Effects parser.Effects
	// Begins and Ends: the text is one statement, that begins a transaction,
	// or that ends one and begins no other.
	Begins, Ends bool
	// Tenantless: the text touches no relation, calls no function and runs no
	// code: it may run before an org is picked.
	Tenantless bool
	// ResetsInside: a statement takes the tenant context back to that of the
	// login, and one behind it in the same text could notice.
	ResetsInside bool
	// OrgParams are the parameters (1-based, ascending) that meet a tenant
	// column; Bind values for them are checked with Engine.CheckParam.
	OrgParams []int

	// Encoding: it may set client_encoding to another encoding than UTF8.
	Encoding bool

	// For records and spans.
	Kind        string   // of the first or the offending statement: "SELECT"
	Collection  string   // its first relation, "" if none
	Relations   []string // of all statements, sorted, without duplicates; same for the next two
	Functions   []string
	Settings    []string
	Fingerprint string // set if Decision is not Allow, or may not be for some org

	// Prepares are the statements that PREPARE makes, by name; Executes are the
	// EXECUTE statements: Engine.CheckExecute brings both together.
	Prepares []PreparedStatement
	Executes []Execution

	orgConstants []orgTerm // for ForOrg
	orgParams    []orgTerm // for CheckParam, in the order of OrgParams
	source       string    // the text that was inspected
	read         bool      // it could be parsed and bounded
	redacted     atomic.Pointer[Redacted]
	anyConstant  bool   // it is the same whatever the constants are
	known        *known // what it was judged by
	unknown      bool   // it names what the catalogue did not know
}

// Text is the text with constants replaced by $n, "" if it could not be parsed
// or bounded. It is made when it is first asked for: most statements are
// neither recorded nor traced.
func (i *Inspection) Text() Redacted {
	if t := i.redacted.Load(); t != nil {
		return *t
	}
	var t Redacted
	if i.read {
		t = Redacted(parser.Redact(i.source))
	}
	i.redacted.Store(&t)
	return t
}

// Described is the inspection of a statement that the proxy answers itself: text
// holds no literal.
func Described(kind string, text Redacted) *Inspection {
	i := &Inspection{Kind: kind}
	i.redacted.Store(&text)
	return i
}

// Slim returns what a session needs of a statement that it has prepared. The
// whole holds the text, and a client may prepare many.
func (i *Inspection) Slim() *Inspection {
	return &Inspection{
		Effects: i.Effects, OrgParams: i.OrgParams, orgConstants: i.orgConstants, orgParams: i.orgParams, Kind: i.Kind, Collection: i.Collection,
		Begins: i.Begins, Ends: i.Ends, Tenantless: i.Tenantless, Prepares: i.Prepares, Executes: i.Executes,
	}
}

// Redacted is SQL text without literals: the only form in which SQL may be
// logged, traced or recorded.
type Redacted string
