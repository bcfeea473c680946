package parser

import (
	"slices"
	"strconv"
)

// value returns what an expression is as far as the text tells. A cast of a
// constant is a constant. strict allows only casts that leave its text as it
// is for every purpose: 'app.org_idx'::varchar(10) is another name than it
// looks, and so is a name padded with blanks that loses them.
func valueOf(n node, strict bool) Value {
	for n.ok() {
		switch n.name() {
		case "A_Const":
			return constant(n)
		case "ParamRef":
			if p := n.int("number"); p > 0 {
				return Value{Kind: ValueParam, Param: p}
			}
			return Value{Kind: ValueExpression}
		case "NamedArgExpr", "CollateClause":
			n = n.child("arg")
		case "TypeCast":
			if strict && !keepsText(n.child("type_name")) {
				return Value{Kind: ValueExpression}
			}
			n = n.child("arg")
		default:
			return Value{Kind: ValueExpression}
		}
	}
	return Value{}
}

func constant(n node) Value {
	v := Value{Kind: ValueConstant}
	switch {
	case n.flag("isnull"):
		return Value{Kind: ValueExpression}
	case n.child("sval").ok():
		v.text = n.child("sval").text("sval")
	case n.child("fval").ok():
		v.text = n.child("fval").text("fval")
	case n.child("bsval").ok():
		v.text = n.child("bsval").text("bsval")
	case n.child("boolval").ok():
		v.text = strconv.FormatBool(n.child("boolval").flag("boolval"))
	case n.child("ival").ok():
		v.text = strconv.Itoa(int(int32(n.child("ival").int("ival"))))
	default:
		return Value{Kind: ValueExpression}
	}
	return v
}

// keepsText reports whether a cast to the type leaves a constant as it is
// written, or as what it means (booleans, integers).
func keepsText(n node) bool {
	if len(n.list("typmods")) > 0 || len(n.list("array_bounds")) > 0 || n.flag("setof") || n.flag("pct_type") {
		return false
	}
	name := nameOf(stringsOf(n.list("names")))
	if name.Schema != "" && name.Schema != "pg_catalog" {
		return false
	}
	switch name.Name {
	case "text", "varchar", "bool", "int2", "int4", "int8":
		return true
	}
	return false
}

// constantText returns the text of a constant, for the walker's own use.
func constantText(v Value) (string, bool) { return v.text, v.Kind == ValueConstant }

// column returns the tenant column that an expression is, whatever it is cast
// to.
func (w *walker) column(n node) (string, bool) {
	for n.ok() {
		switch n.name() {
		case "TypeCast", "CollateClause":
			n = n.child("arg")
		case "ColumnRef":
			return w.lastName(n, "fields")
		case "A_Indirection":
			return w.lastName(n, "indirection")
		default:
			return "", false
		}
	}
	return "", false
}

// lastName returns the tenant column that the last item of a list names.
func (w *walker) lastName(n node, list string) (string, bool) {
	last := n.child(list)
	if !last.is("String") {
		return "", false
	}
	return w.tenantColumn(last.text("sval"))
}

func (w *walker) tenantColumn(name string) (string, bool) {
	return name, slices.Contains(w.options.TenantColumns, name)
}

// term lists that a tenant column meets an expression, if that is a constant
// or a parameter.
func (w *walker) term(column string, n node, write bool) {
	v := valueOf(n, false)
	if v.Kind == ValueConstant || v.Kind == ValueParam {
		w.statement.TenantTerms = append(w.statement.TenantTerms, TenantTerm{Column: column, Value: v, Write: write})
	}
}

// compare looks for a tenant column on either side of a comparison.
func (w *walker) compare(left, right node) {
	if left.is("RowExpr") && right.is("RowExpr") {
		l, r := left.list("args"), right.list("args")
		for i := range min(len(l), len(r)) {
			w.compare(l[i], r[i])
		}
		return
	}
	if c, ok := w.column(left); ok {
		w.each(c, right, false)
	}
	if c, ok := w.column(right); ok {
		w.each(c, left, false)
	}
}

// each lists what the value that a tenant column meets may be: the expression
// itself, the items of an array, the results of COALESCE and CASE, the rows of
// a query's first column.
func (w *walker) each(column string, n node, write bool) {
	inner := n
	for inner.is("TypeCast") {
		inner = inner.child("arg")
	}
	every := func(list []node, field string) {
		for _, item := range list {
			if field != "" {
				item = item.child(field)
			}
			w.each(column, item, write)
		}
	}
	switch inner.name() {
	case "A_ArrayExpr":
		every(inner.list("elements"), "")
	case "CoalesceExpr", "MinMaxExpr":
		every(inner.list("args"), "")
	case "CaseExpr":
		every(inner.list("args"), "result")
		w.each(column, inner.child("defresult"), write)
	case "SubLink":
		switch inner.enum("sub_link_type") {
		case "EXPR_SUBLINK", "ARRAY_SUBLINK":
			w.each(column, inner.child("subselect"), write)
		}
	case "SelectStmt":
		w.eachRow(column, inner, write)
	default:
		w.term(column, n, write)
	}
}

func (w *walker) eachRow(column string, query node, write bool) {
	for _, row := range query.list("values_lists") {
		if items := row.items(); len(items) > 0 {
			w.each(column, items[0], write)
		}
	}
	if targets := query.list("target_list"); len(targets) > 0 {
		w.each(column, targets[0].child("val"), write)
	}
	for _, part := range []string{"larg", "rarg"} {
		if q := query.child(part); q.ok() {
			w.each(column, q, write)
		}
	}
}
