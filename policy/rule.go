package policy

import "github.com/pgbulkhead/bulkhead/parser"

// Mode says what happens to a message that violates a rule.
type Mode uint8

// The modes.
const (
	Enforce     Mode = iota // refuse it
	ObserveMode             // record it and forward it
)

// RuleMode is the mode of one rule; it wins over Options.Mode.
type RuleMode uint8

// The modes of a rule. RuleDefault follows Options.Mode.
const (
	RuleDefault RuleMode = iota
	RuleEnforce
	RuleObserve
	RuleOff
)

// Rule is one rule: what it stops, why, and how to live with it. The texts are
// the source of docs/rules.md and of `bulkhead rules`.
type Rule struct {
	ID       string   // stable, design 3.6
	Title    string   // a few words; the client's error and the record carry it
	Attack   string   // what an attacker would do without it
	Surfaces []string // where it is checked: statement, startup, fastpath, bind
	Why      string   // why a looser rule is unsound
	Gap      string   // what it does not stop; "" if nothing is known
	Blocked  string   // an example that this rule refuses
	Allowed  string   // a similar one that passes
	Remedy   string   // what to do instead: the hint of the client's error
	SQLState string   // "" means 42501, insufficient_privilege

	// check finds violations in one statement. It is nil for a rule that is
	// not about a parsed statement: the Engine's methods name it directly.
	check func(*subject) []Violation
}

// Violation is one finding of a rule. Its texts name objects, never values.
type Violation struct {
	Reason string
	Hint   string // "" means the rule's remedy
}

// subject is what a rule looks at: one statement with what is known around it.
type subject struct {
	batch     *parser.Batch
	statement *parser.Statement
	options   *compiledOptions
	known     *known // the catalogue, with what follows from it; never nil
	fresh     bool   // what neither list nor catalogue knows may count as missing
	place     place

	startup      bool   // the statement stands for a startup parameter
	startupValue string // and this is its value

	// found while rules look
	unknown  bool      // a name was not known: a fresh snapshot may help, and the decision must not be kept
	verdicts []verdict // of the functions, once judged
}

// place is where a statement stands.
type place uint8

const (
	clientText   place = iota
	functionBody       // in a function that whoever owns the schema wrote; runs as the client
	viewBody           // the query of a view; what it reads is judged with the view's own roles
)

// The surfaces, as docs/rules.md spells them.
const (
	onStatement = "statement"
	onStartup   = "startup parameter"
	onFastpath  = "FunctionCall message"
	onBind      = "Bind parameter"
)

const (
	stateRefused    = "42501" // insufficient_privilege
	stateSyntax     = "42601" // syntax_error
	stateEncoding   = "22021" // character_not_in_repertoire
	stateTooLarge   = "54000" // program_limit_exceeded
	stateTooDeep    = "54001" // statement_too_complex
	stateNotOffered = "0A000" // feature_not_supported
)

func one(reason string) []Violation { return []Violation{{Reason: reason}} }
