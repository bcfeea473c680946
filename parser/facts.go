package parser

import "sync"

// Batch holds the facts of one SQL text: the body of a Query message (any
// number of statements) or of a Parse message (at most one).
//
// A Batch is built by [Parse] and then only read. Rules see facts, never a
// parse tree.
type Batch struct {
	// Text is the SQL text that was parsed. Rules must not read it: a
	// decision that depends on it cannot be shared between texts.
	Text string
	// Statements are in the order of the text. It is empty for an empty text.
	Statements []Statement

	constantRead bool
	walker       walker // of the statement that is walked through
	options      Options
}

// batches are those that were given back.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// keptStatements is how many statements a batch that is given back may have:
// memory for more is not kept.
const keptStatements = 16

// Release gives the batch's memory back, for another text. It must not be used
// any more; the lists in its statements stay with whoever has taken them.
func (b *Batch) Release() {
	clear(b.Statements)
	kept := b.Statements[:0]
	if cap(kept) > keptStatements {
		kept = nil
	}
	*b = Batch{Statements: kept, walker: walker{flow: b.walker.flow.reset()}}
	batches.Put(b)
}

// Constant returns the text of a constant and marks the batch: a decision
// that read a constant is valid for this exact text only and must not be
// cached by shape. ok is false if v is not a constant.
func (b *Batch) Constant(v Value) (text string, ok bool) {
	if v.Kind != ValueConstant {
		return "", false
	}
	b.constantRead = true
	return v.text, true
}

// ConstantRead reports whether any rule read a constant of the batch.
func (b *Batch) ConstantRead() bool { return b.constantRead }

// ValueKind tells what stands where a value is expected.
type ValueKind uint8

// The kinds of values.
const (
	ValueNone       ValueKind = iota // nothing stands there
	ValueConstant                    // a literal; its text is read through Batch.Constant
	ValueParam                       // a parameter, $n; see Value.Param
	ValueExpression                  // anything else: not known before execution
)

// Value is one argument, operand or setting value as far as the text tells.
type Value struct {
	Kind  ValueKind
	Param int // 1-based number of the parameter if Kind is ValueParam

	text string // of the constant, after the server's unquoting; read by Batch.Constant
}

// Statement holds the facts of one top-level statement, those of everything
// nested in it included (CTEs, sub-selects, the statement behind EXPLAIN,
// PREPARE, COPY, CREATE TABLE AS, DECLARE CURSOR, a view's query, ...).
type Statement struct {
	Kind Kind
	// Nested are the kinds of the statements inside: EXPLAIN ANALYZE DELETE
	// has Kind Explain and Nested {Delete}; a SELECT with a data-modifying
	// CTE has the kind of that CTE here.
	Nested []Kind
	// Start and End delimit the statement in Batch.Text, in bytes.
	Start, End int

	Relations    []Relation
	Functions    []Function
	Settings     []Setting
	Types        []Name   // type names written out: casts, column types, typed literals; not function results
	Attributes   []string // last names of dotted column references and of (expr).name: PostgreSQL may call a function of that name with the row
	Selected     []string // those of (expr).name: PostgreSQL may call a function of that name with any value
	TenantTerms  []TenantTerm
	Arguments    []ExecuteArgument // EXECUTE: the constants among its arguments
	Roles        []string          // roles that a statement names as a target: SET ROLE x, GRANT ... TO x, ALTER ROLE x, CREATE POLICY ... TO x; lower-case keywords CURRENT_USER etc. as "current_user"
	ObjectNames  []Name            // objects that DDL creates, alters or drops
	Channel      string            // LISTEN, NOTIFY, UNLISTEN; "*" for UNLISTEN *
	Prepared     string            // SQL-level PREPARE, EXECUTE, DEALLOCATE: the name; "" for DEALLOCATE ALL
	Cursor       string            // DECLARE, FETCH, MOVE, CLOSE: the name; "" for CLOSE ALL
	Savepoint    string            // SAVEPOINT, RELEASE, ROLLBACK TO
	GlobalID     string            // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
	Copy         Copy              // for COPY
	Transaction  Transaction
	Discard      Discard  // for DISCARD
	LockMode     LockMode // for LOCK
	Flags        Flags
	Options      []string // names of statement options that a rule may care about (CREATE FUNCTION ... SET x, VACUUM options, GRANT OPTION), lower case
	Unclassified []string // names of nodes, fields or enum values that the walker does not know; not empty means: refuse
}

// Name is a possibly qualified name, after the server's case folding.
type Name struct {
	Catalog string // "" unless written with three parts
	Schema  string // "" if unqualified
	Name    string
}

// Access is a set of ways in which a statement touches a relation.
type Access uint16

// The ways.
const (
	AccessRead     Access = 1 << iota
	AccessInsert          // INSERT, MERGE insert, COPY FROM, SELECT INTO's target is AccessCreate
	AccessUpdate          // UPDATE, ON CONFLICT DO UPDATE, MERGE update
	AccessDelete          // DELETE, MERGE delete
	AccessTruncate        // TRUNCATE
	AccessLock            // LOCK TABLE (row locks, FOR UPDATE, are AccessRead with FlagRowLock)
	AccessCreate          // the relation is created
	AccessAlter           // altered, dropped, commented, reindexed, clustered, analysed, ...
)

// Relation is one relation that a statement names, CTE names and their
// references excluded where the scope is certain; in doubt a name is listed.
type Relation struct {
	Name
	Access Access
	Only   bool // ONLY was written
	Temp   bool // pg_temp or TEMP was written
}

// Function is one function or procedure call, aggregates and window functions
// included, however it is written: f(), COALESCE-like keywords are not
// functions, but AT TIME ZONE, OVERLAPS, SUBSTRING ... FROM and so on are
// listed by the pg_catalog function that they call. A function named as a
// value (regproc casts of a constant) is not a call.
type Function struct {
	Name
	Args     []Value  // as far as written; named arguments in written order
	ArgNames []string // parallel to Args when any argument is named, "" for positional
	Variadic bool
}

// SettingAction is what happens to a setting.
type SettingAction uint8

// The actions.
const (
	SettingSet         SettingAction = iota + 1 // SET x = ..., SET TIME ZONE ..., set_config(...)
	SettingReset                                // RESET x, SET x TO DEFAULT
	SettingResetAll                             // RESET ALL
	SettingFromCurrent                          // ... SET x FROM CURRENT
	SettingTransaction                          // SET TRANSACTION ..., SET SESSION CHARACTERISTICS: Name is transaction_isolation etc.
	SettingShow                                 // SHOW x, current_setting(...)
)

// Setting is one setting that a statement changes or shows, in whatever
// costume: SET, RESET, SET TIME ZONE, SET NAMES, SET SESSION AUTHORIZATION
// (name session_authorization), SET ROLE (name role), set_config,
// ALTER ROLE/DATABASE/SYSTEM/FUNCTION ... SET, CREATE FUNCTION ... SET.
type Setting struct {
	Action          SettingAction
	Name            string  // lower case; "" if it is not known before execution (see NameValue)
	NameValue       Value   // where the name comes from an argument: set_config($1, ...)
	Values          []Value // the items of the list; empty for reset
	Local           bool    // SET LOCAL, or set_config with a constant true
	LocalUnknown    bool    // set_config whose third argument is not a constant
	Function        bool    // came from a function call (set_config, current_setting)
	Stored          bool    // does not change this session: ALTER ROLE/DATABASE/SYSTEM/FUNCTION ... SET, CREATE FUNCTION ... SET
	Characteristics bool    // SET SESSION CHARACTERISTICS AS TRANSACTION
}

// TenantTerm is a place where a column that carries the org (Options.TenantColumns,
// Table.Org) meets a constant or a parameter: in a comparison, in a value that
// is written, or on a longer way through the statement (flow.go). What COPY
// reads from the client is not covered.
type TenantTerm struct {
	Column string
	Value  Value // ValueConstant or ValueParam; an expression is not listed
	Match  Match
	Write  bool // the value is written (INSERT, UPDATE SET, MERGE), not compared
	Flags  TermFlags
	// FlagDocument: the key of the member, where the text names it: a name, or
	// a value that itself is read by Batch.Constant.
	Member string
	Key    Value
}

// ExecuteArgument is a constant that EXECUTE gives to a parameter.
type ExecuteArgument struct {
	Param int // counted from 1
	Value Value
	Flags TermFlags
}

// Match says how a column meets a value.
type Match uint8

// The ways.
const (
	MatchEqual   Match = iota // =, IN, <, BETWEEN, a value that is written
	MatchUnequal              // <>, NOT IN, NULLIF, NOT LIKE
	MatchLike                 // LIKE, ILIKE
	MatchRegex                // ~, SIMILAR TO, and functions that look for a part
	MatchPart                 // a part that a function cuts out or replaces
)

// TermFlags say what happened to column and value before they met. Flags may
// depend on constants: a rule reads a term's constant before them.
type TermFlags uint8

// The flags.
const (
	FlagColumnChanged TermFlags = 1 << iota // functions changed the column's value
	FlagColumnInRow                         // the column is a part of a row: row_to_json(t), t::text
	FlagValueChanged                        // functions changed the parameter
	FlagComputed                            // functions made the value from constants: its text is not known
	FlagAlternative                         // it is one of several, by COALESCE, CASE or the like
	FlagDocument                            // it is the member of a JSON document: of the value, or of a row in one
)

// Copy tells the direction and the other end of a COPY.
type Copy struct {
	From    bool // COPY ... FROM
	Stdio   bool // STDIN or STDOUT
	Program bool // PROGRAM '...'
	Query   bool // COPY (query) TO
}

// Transaction is the transaction command of a statement, if it is one.
type Transaction uint8

// The transaction commands.
const (
	TransactionNone Transaction = iota
	TransactionBegin
	TransactionCommit
	TransactionRollback
	TransactionSavepoint
	TransactionRelease
	TransactionRollbackTo
	TransactionPrepare
	TransactionCommitPrepared
	TransactionRollbackPrepared
	TransactionCommitChain
	TransactionRollbackChain
)

// Discard is the target of a DISCARD.
type Discard uint8

// The targets.
const (
	DiscardNone Discard = iota
	DiscardAll
	DiscardPlans
	DiscardSequences
	DiscardTemp
)

// LockMode is the mode of LOCK TABLE, from the weakest to the strongest
// (PostgreSQL manual, 13.3.1).
type LockMode uint8

// The modes. Each is what a statement takes by itself up to LockRowExclusive:
// SELECT, SELECT FOR UPDATE, and INSERT, UPDATE and DELETE.
const (
	LockNone LockMode = iota
	LockAccessShare
	LockRowShare
	LockRowExclusive
	LockShareUpdateExclusive
	LockShare
	LockShareRowExclusive
	LockExclusive
	LockAccessExclusive
)

// Flags are yes-or-no facts of a statement.
type Flags uint32

// The flags.
const (
	FlagAnalyze          Flags = 1 << iota // EXPLAIN ANALYZE: the statement runs
	FlagRowLock                            // FOR UPDATE, FOR SHARE, ...
	FlagHold                               // DECLARE ... WITH HOLD
	FlagTemp                               // creates a temporary object
	FlagOnConflictUpdate                   // INSERT ... ON CONFLICT DO UPDATE
	FlagSecurityDefiner                    // CREATE/ALTER FUNCTION ... SECURITY DEFINER
	FlagModifies                           // writes rows, somewhere in it
	FlagRowSecurity                        // ALTER TABLE ... [NO] FORCE / ENABLE / DISABLE ROW LEVEL SECURITY
	FlagOwner                              // ... OWNER TO
	FlagWhereCurrentOf                     // WHERE CURRENT OF cursor
	FlagSelectInto                         // SELECT ... INTO
	FlagFromFunction                       // a function stands in FROM: its name, or alias, may be a value that is no row
	FlagNoCounters                         // of statistics views only the columns are read that say which table or index a row is about
)
