package parser

import "strconv"

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
