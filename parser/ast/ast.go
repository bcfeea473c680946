// Package ast holds the parsed form of expressions and queries that stand in
// a database: conditions of policies, bodies of functions, views.
//
// Other than the facts that the guard works with it keeps the structure, so
// that one can ask what a condition implies. What the reader of the parse tree
// does not know is an [*Unknown], never left out: whoever reads an expression
// must take that for anything.
package ast

// Name is a possibly qualified name, after the server's case folding.
type Name struct {
	Schema string // "" if unqualified
	Name   string
}

// Expr is one node of an expression. The types below are all that there are.
type Expr interface{ isExpr() }

// The expressions.
type (
	// And and Or have at least two arguments.
	And struct{ Args []Expr }
	Or  struct{ Args []Expr }
	Not struct{ Arg Expr }

	// Operator is an operator with two operands, or a prefix operator with Left
	// nil. LIKE, ILIKE and SIMILAR TO are the operators ~~, ~~* and ~ that
	// they stand for; BETWEEN and a list behind IN are written out.
	Operator struct {
		Name        Name
		Left, Right Expr
	}
	// Quantified is Left operator ANY (Right) or ALL (Right), where Right is an
	// array. Left = x IN (a, b) is Left = ANY (ARRAY[a, b]).
	Quantified struct {
		Name        Name
		Left, Right Expr
		All         bool
	}
	// Distinct is Left IS DISTINCT FROM Right; Not is around it for IS NOT.
	Distinct struct{ Left, Right Expr }
	// IsNull is Arg IS NULL; Not is around it for IS NOT NULL.
	IsNull struct{ Arg Expr }
	// IsTruth is Arg IS [NOT] TRUE, FALSE or UNKNOWN.
	IsTruth struct {
		Arg  Expr
		Test Truth
	}

	// Column is a reference to a column: a, t.a, s.t.a. Star is set for t.*.
	Column struct {
		Parts []string
		Star  bool
	}
	// Parameter is $n of a function's body.
	Parameter struct{ Number int }
	// Constant is a literal.
	Constant struct {
		Kind ConstantKind
		Text string // after the server's unquoting; "true" or "false"; "" for NULL
	}
	// Cast is a cast, however it is written.
	Cast struct {
		Arg   Expr
		Type  Name
		Array bool
	}
	// Call is the call of a function. Names are those of named arguments, ""
	// for the others, nil if there are none.
	Call struct {
		Name      Name
		Args      []Expr
		Names     []string
		Aggregate bool // count(*), DISTINCT, ORDER BY, FILTER or OVER: certainly no plain function
	}
	// Value is CURRENT_USER, SESSION_USER and the like, by its keyword in lower
	// case.
	Value struct{ Keyword string }
	// Coalesce is COALESCE, MinMax is GREATEST or LEAST.
	Coalesce struct{ Args []Expr }
	MinMax   struct{ Args []Expr }
	NullIf   struct{ Left, Right Expr }
	// Case is CASE; Arg is nil where each WHEN is a condition.
	Case struct {
		Arg   Expr
		Whens []When
		Else  Expr // nil: NULL
	}
	Row   struct{ Args []Expr }
	Array struct{ Elements []Expr }
	// Member is a part of a value: (arg).field, arg[subscript]. Field is "" for
	// a subscript, "*" for all fields.
	Member struct {
		Arg   Expr
		Field string
	}
	// Sublink is a sub-select in an expression. Test and Operator are those of
	// Test operator ANY (query), which IN is, and of ALL.
	Sublink struct {
		Kind     SublinkKind
		Test     Expr
		Operator Name
		Query    *Select
	}
	// Unknown is what is none of these; Node is the grammar's name for it.
	Unknown struct{ Node string }
)

// When is one WHEN ... THEN ... of a Case.
type When struct{ Condition, Result Expr }

// Truth is the test of an IsTruth.
type Truth uint8

// The tests.
const (
	IsTrue Truth = iota
	IsNotTrue
	IsFalse
	IsNotFalse
	IsUnknown
	IsNotUnknown
)

// ConstantKind is the form of a literal.
type ConstantKind uint8

// The forms.
const (
	ConstantNull ConstantKind = iota
	ConstantBoolean
	ConstantInteger
	ConstantFloat
	ConstantString
	ConstantBits
)

// SublinkKind is what a sub-select in an expression is asked for.
type SublinkKind uint8

// The kinds of sub-selects.
const (
	SublinkExists SublinkKind = iota
	SublinkAny                // Test operator ANY (query), IN
	SublinkAll                // Test operator ALL (query)
	SublinkScalar             // (query) as a value
	SublinkArray              // ARRAY(query)
)

// Select is a query. A set operation has Left and Right, VALUES has Values,
// and any other query the rest.
type Select struct {
	With    []With
	Targets []Target
	From    []FromItem
	Where   Expr // nil if there is none
	Grouped bool // GROUP BY
	Having  Expr
	Values  [][]Expr

	Set         SetOperation
	Left, Right *Select
	// Unknown names what the query has that this type cannot hold: it must be
	// taken for any query.
	Unknown string
}

// With is one query of a WITH clause.
type With struct {
	Name      string
	Columns   []string
	Query     *Select // nil for a statement that is no SELECT
	Recursive bool
}

// Target is one column of a query's result. Name is "" where the server
// chooses it.
type Target struct {
	Name  string
	Value Expr
}

// SetOperation joins two queries.
type SetOperation uint8

// The operations.
const (
	SetNone SetOperation = iota
	SetUnion
	SetIntersect
	SetExcept
)

// FromItem is one item of FROM.
type FromItem interface{ isFromItem() }

// The items of FROM.
type (
	// Table is a table, view or query of WITH.
	Table struct {
		Name    Name
		Alias   string
		Columns []string // alias (a, b)
	}
	// Derived is a query in FROM.
	Derived struct {
		Query   *Select
		Alias   string
		Columns []string
	}
	// FunctionTable is a function in FROM; more than one for ROWS FROM.
	FunctionTable struct {
		Calls   []Expr
		Alias   string
		Columns []string
	}
	// Join joins two items.
	Join struct {
		Kind        JoinKind
		Left, Right FromItem
		On          Expr
		Using       []string
		Natural     bool
	}
	// UnknownFrom is any other item.
	UnknownFrom struct{ Node string }
)

// JoinKind tells which side of a join keeps rows without a partner.
type JoinKind uint8

// The kinds of joins.
const (
	JoinInner JoinKind = iota
	JoinLeft
	JoinRight
	JoinFull
)

func (*And) isExpr()        {}
func (*Or) isExpr()         {}
func (*Not) isExpr()        {}
func (*Operator) isExpr()   {}
func (*Quantified) isExpr() {}
func (*Distinct) isExpr()   {}
func (*IsNull) isExpr()     {}
func (*IsTruth) isExpr()    {}
func (*Column) isExpr()     {}
func (*Parameter) isExpr()  {}
func (*Constant) isExpr()   {}
func (*Cast) isExpr()       {}
func (*Call) isExpr()       {}
func (*Value) isExpr()      {}
func (*Coalesce) isExpr()   {}
func (*MinMax) isExpr()     {}
func (*NullIf) isExpr()     {}
func (*Case) isExpr()       {}
func (*Row) isExpr()        {}
func (*Array) isExpr()      {}
func (*Member) isExpr()     {}
func (*Sublink) isExpr()    {}
func (*Unknown) isExpr()    {}

func (*Table) isFromItem()         {}
func (*Derived) isFromItem()       {}
func (*FunctionTable) isFromItem() {}
func (*Join) isFromItem()          {}
func (*UnknownFrom) isFromItem()   {}

// OnlyTargets reports whether a query is nothing but SELECT and values.
func (s *Select) OnlyTargets() bool {
	return s.Unknown == "" && s.With == nil && s.From == nil && s.Where == nil && !s.Grouped && s.Having == nil &&
		s.Values == nil && s.Set == SetNone
}
