package parser

import (
	"strconv"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// readExpr turns a node of the parse tree into an Expr.
func readExpr(n node) ast.Expr {
	if !n.ok() {
		return &ast.Unknown{Node: "nothing"}
	}
	switch n.name() {
	case "BoolExpr":
		return readBool(n)
	case "A_Expr":
		return readOperator(n)
	case "A_Const":
		return readConstant(n)
	case "ColumnRef":
		return readColumn(n)
	case "ParamRef":
		return &ast.Parameter{Number: n.int("number")}
	case "TypeCast":
		return readCast(n)
	case "FuncCall":
		return readCall(n)
	case "NullTest":
		return negateIf(n.enum("nulltesttype") != "IS_NULL", &ast.IsNull{Arg: readExpr(n.child("arg"))})
	case "BooleanTest":
		return readTruth(n)
	case "SubLink":
		return readSublink(n)
	}
	return readRest(n)
}

// readRest reads the expressions that are only lists of others.
func readRest(n node) ast.Expr {
	switch n.name() {
	case "CoalesceExpr":
		return &ast.Coalesce{Args: readExprs(n.list("args"))}
	case "MinMaxExpr":
		return &ast.MinMax{Args: readExprs(n.list("args"))}
	case "CaseExpr":
		return readCase(n)
	case "SQLValueFunction":
		keyword := strings.ToLower(strings.TrimPrefix(n.enum("op"), "SVFOP_"))
		return &ast.Value{Keyword: strings.TrimSuffix(keyword, "_n")}
	case "RowExpr":
		return &ast.Row{Args: readExprs(n.list("args"))}
	case "A_ArrayExpr":
		return &ast.Array{Elements: readExprs(n.list("elements"))}
	case "A_Indirection":
		return readMember(n)
	case "CollateClause":
		return readExpr(n.child("arg")) // changes the order, and equality only by nondeterministic collations
	case "List":
		return &ast.Row{Args: readExprs(n.items())}
	}
	return &ast.Unknown{Node: n.name()}
}

func readExprs(nodes []node) []ast.Expr {
	list := make([]ast.Expr, len(nodes))
	for i, n := range nodes {
		list[i] = readExpr(n)
	}
	return list
}

func negateIf(negate bool, e ast.Expr) ast.Expr {
	if negate {
		return &ast.Not{Arg: e}
	}
	return e
}

func readBool(n node) ast.Expr {
	args := readExprs(n.list("args"))
	switch {
	case n.enum("boolop") == "AND_EXPR" && len(args) > 0:
		return &ast.And{Args: args}
	case n.enum("boolop") == "OR_EXPR" && len(args) > 0:
		return &ast.Or{Args: args}
	case n.enum("boolop") == "NOT_EXPR" && len(args) == 1:
		return &ast.Not{Arg: args[0]}
	}
	return &ast.Unknown{Node: n.name()}
}

// readOperator reads an A_Expr of any kind.
func readOperator(n node) ast.Expr {
	name := astName(n.list("name"))
	left, right := n.child("lexpr"), n.child("rexpr")
	switch n.enum("kind") {
	case "AEXPR_OP":
		o := &ast.Operator{Name: name, Right: readExpr(right)}
		if left.ok() {
			o.Left = readExpr(left)
		}
		return o
	case "AEXPR_OP_ANY", "AEXPR_OP_ALL":
		return &ast.Quantified{Name: name, Left: readExpr(left), Right: readExpr(right), All: n.enum("kind") == "AEXPR_OP_ALL"}
	case "AEXPR_DISTINCT":
		return &ast.Distinct{Left: readExpr(left), Right: readExpr(right)}
	case "AEXPR_NOT_DISTINCT":
		return &ast.Not{Arg: &ast.Distinct{Left: readExpr(left), Right: readExpr(right)}}
	case "AEXPR_NULLIF":
		return &ast.NullIf{Left: readExpr(left), Right: readExpr(right)}
	case "AEXPR_IN":
		in := &ast.Quantified{Name: ast.Name{Name: "="}, Left: readExpr(left), Right: &ast.Array{Elements: readExprs(right.items())}}
		return negateIf(name.Name != "=", in)
	case "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR":
		return &ast.Operator{Name: name, Left: readExpr(left), Right: readExpr(right)}
	}
	return readBetween(n.enum("kind"), readExpr(left), right.items())
}

func readBetween(kind string, arg ast.Expr, bounds []node) ast.Expr {
	if len(bounds) != 2 || !strings.Contains(kind, "BETWEEN") {
		return &ast.Unknown{Node: kind}
	}
	low, high := readExpr(bounds[0]), readExpr(bounds[1])
	symmetric := strings.HasSuffix(kind, "_SYM")
	if !repeatable(arg) || symmetric && !(repeatable(low) && repeatable(high)) {
		return &ast.Unknown{Node: kind}
	}
	within := func(low, high ast.Expr) ast.Expr {
		return &ast.And{Args: []ast.Expr{compare(">=", arg, low), compare("<=", arg, high)}}
	}
	between := within(low, high)
	if symmetric {
		between = &ast.Or{Args: []ast.Expr{between, within(high, low)}}
	}
	return negateIf(strings.Contains(kind, "NOT_BETWEEN"), between)
}

// maxRepeated is the size of what is written twice. BETWEEN in BETWEEN would
// otherwise double with every level.
const maxRepeated = 32

// repeatable reports whether an expression is small, and no query.
func repeatable(e ast.Expr) bool {
	left := maxRepeated
	var fits func(e ast.Expr) bool
	fits = func(e ast.Expr) bool {
		if _, query := e.(*ast.Sublink); query || left == 0 {
			return false
		}
		left--
		for _, child := range ast.Children(e) {
			if !fits(child) {
				return false
			}
		}
		return true
	}
	return fits(e)
}

func compare(operator string, left, right ast.Expr) ast.Expr {
	return &ast.Operator{Name: ast.Name{Name: operator}, Left: left, Right: right}
}

// astName makes a name of its parts; the database's own name, which may stand
// first, is left out.
func astName(parts []node) ast.Name {
	n := nameOf(stringsOf(parts))
	return ast.Name{Schema: n.Schema, Name: n.Name}
}

func readConstant(n node) ast.Expr {
	switch {
	case n.flag("isnull"):
		return &ast.Constant{Kind: ast.ConstantNull}
	case n.child("boolval").ok():
		return &ast.Constant{Kind: ast.ConstantBoolean, Text: strconv.FormatBool(n.child("boolval").flag("boolval"))}
	case n.child("ival").ok():
		return &ast.Constant{Kind: ast.ConstantInteger, Text: strconv.Itoa(int(int32(n.child("ival").int("ival"))))}
	case n.child("fval").ok():
		return &ast.Constant{Kind: ast.ConstantFloat, Text: n.child("fval").text("fval")}
	case n.child("sval").ok():
		return &ast.Constant{Kind: ast.ConstantString, Text: n.child("sval").text("sval")}
	case n.child("bsval").ok():
		return &ast.Constant{Kind: ast.ConstantBits, Text: n.child("bsval").text("bsval")}
	}
	return &ast.Unknown{Node: n.name()}
}

func readColumn(n node) ast.Expr {
	c := &ast.Column{}
	for _, f := range n.list("fields") {
		switch {
		case f.is("String"):
			c.Parts = append(c.Parts, f.text("sval"))
		case f.is("A_Star"):
			c.Star = true
		default:
			return &ast.Unknown{Node: f.name()}
		}
	}
	return c
}

func readCast(n node) ast.Expr {
	t := n.child("type_name")
	if t.flag("setof") || t.flag("pct_type") {
		return &ast.Unknown{Node: t.name()}
	}
	return &ast.Cast{Arg: readExpr(n.child("arg")), Type: astName(t.list("names")), Array: len(t.list("array_bounds")) > 0}
}

func readCall(n node) ast.Expr {
	c := &ast.Call{Name: astName(n.list("funcname"))}
	c.Aggregate = n.flag("agg_star") || n.flag("agg_distinct") || n.flag("agg_within_group") ||
		n.child("agg_filter").ok() || n.child("over").ok() || len(n.list("agg_order")) > 0
	args := n.list("args")
	for i, a := range args {
		if a.is("NamedArgExpr") {
			if c.Names == nil {
				c.Names = make([]string, len(args))
			}
			c.Names[i] = a.text("name")
			a = a.child("arg")
		}
		c.Args = append(c.Args, readExpr(a))
	}
	return c
}

func readTruth(n node) ast.Expr {
	tests := map[string]ast.Truth{
		"IS_TRUE": ast.IsTrue, "IS_NOT_TRUE": ast.IsNotTrue, "IS_FALSE": ast.IsFalse,
		"IS_NOT_FALSE": ast.IsNotFalse, "IS_UNKNOWN": ast.IsUnknown, "IS_NOT_UNKNOWN": ast.IsNotUnknown,
	}
	test, ok := tests[n.enum("booltesttype")]
	if !ok {
		return &ast.Unknown{Node: n.name()}
	}
	return &ast.IsTruth{Arg: readExpr(n.child("arg")), Test: test}
}

func readCase(n node) ast.Expr {
	c := &ast.Case{}
	if arg := n.child("arg"); arg.ok() {
		c.Arg = readExpr(arg)
	}
	for _, w := range n.list("args") {
		if !w.is("CaseWhen") {
			return &ast.Unknown{Node: w.name()}
		}
		c.Whens = append(c.Whens, ast.When{Condition: readExpr(w.child("expr")), Result: readExpr(w.child("result"))})
	}
	if e := n.child("defresult"); e.ok() {
		c.Else = readExpr(e)
	}
	return c
}

// readMember reads (a).b[1].c from the inside out.
func readMember(n node) ast.Expr {
	e := readExpr(n.child("arg"))
	for _, part := range n.list("indirection") {
		switch {
		case part.is("String"):
			e = &ast.Member{Arg: e, Field: part.text("sval")}
		case part.is("A_Star"):
			e = &ast.Member{Arg: e, Field: "*"}
		case part.is("A_Indices"):
			e = &ast.Member{Arg: e}
		default:
			return &ast.Unknown{Node: part.name()}
		}
	}
	return e
}

func readSublink(n node) ast.Expr {
	kinds := map[string]ast.SublinkKind{
		"EXISTS_SUBLINK": ast.SublinkExists, "ANY_SUBLINK": ast.SublinkAny, "ALL_SUBLINK": ast.SublinkAll,
		"EXPR_SUBLINK": ast.SublinkScalar, "ARRAY_SUBLINK": ast.SublinkArray,
	}
	kind, ok := kinds[n.enum("sub_link_type")]
	query := n.child("subselect")
	if !ok || !query.is("SelectStmt") {
		return &ast.Unknown{Node: n.name()}
	}
	s := &ast.Sublink{Kind: kind, Operator: astName(n.list("oper_name")), Query: readSelect(query)}
	if kind == ast.SublinkAny || kind == ast.SublinkAll {
		s.Test = readExpr(n.child("testexpr"))
		if s.Operator.Name == "" {
			s.Operator.Name = "=" // IN
		}
	}
	return s
}
