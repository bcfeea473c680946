package condition

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// values returns what an expression may be.
func (j *Judge) values(e ast.Expr, s *scope) []alternative {
	switch e := e.(type) {
	case *ast.Column:
		return s.column(e)
	case *ast.Parameter:
		return s.parameter(e.Number)
	case *ast.Constant:
		if e.Kind == ast.ConstantNull {
			return just(term{kind: termNull})
		}
		return just(term{kind: termLiteral, text: e.Text})
	case *ast.Cast:
		return j.values(e.Arg, s)
	case *ast.Value:
		return valueOf(e.Keyword)
	case *ast.Call:
		return j.call(e, s)
	case *ast.Operator:
		return j.operatorValue(e, s)
	case *ast.Coalesce:
		return j.choice(e.Args, s)
	case *ast.MinMax:
		return j.choice(e.Args, s)
	case *ast.NullIf:
		return j.values(e.Left, s)
	case *ast.Case:
		return j.caseValue(e, s)
	case *ast.Array:
		return j.elements(e.Elements, s)
	case *ast.Sublink:
		return j.sublinkValue(e, s)
	case *ast.Member:
		return j.memberValue(e, s)
	}
	return opaque(j.children(e, s))
}

// children are the values of all that an expression has in it.
func (j *Judge) children(e ast.Expr, s *scope) []alternative {
	var list []alternative
	for _, child := range ast.Children(e) {
		list = append(list, j.values(child, s)...)
	}
	return list
}

// parameter is $n, of the function whose body this is.
func (s *scope) parameter(number int) []alternative {
	for at := s; at != nil; at = at.outer {
		if at.function != nil && number > 0 && number <= len(at.function.numbered) {
			return at.function.numbered[number-1]
		}
	}
	return just(term{})
}

func valueOf(keyword string) []alternative {
	switch keyword {
	case "current_user", "session_user", "user", "current_role":
		return just(term{kind: termLogin, has: hasLogin})
	}
	return just(term{})
}

// choice is one of several values: COALESCE, GREATEST, LEAST. The tenant
// column among them makes rows or contexts without a tenant pass. A literal
// for "no tenant" behind the context is none of the tenants.
func (j *Judge) choice(args []ast.Expr, s *scope) []alternative {
	var list []alternative
	context := false
	for _, a := range args {
		values := j.values(a, s)
		for _, v := range values {
			if context && v.kind == termLiteral && isSentinel(v.text) {
				v.term = term{kind: termNull}
			}
			list = append(list, v)
		}
		context = context || hasOf(values)&hasContext != 0
	}
	if hasOf(list)&hasTenant != 0 {
		for i := range list {
			list[i].marks |= markNull
		}
	}
	return list
}

func (j *Judge) caseValue(e *ast.Case, s *scope) []alternative {
	list := just(term{kind: termNull})
	for _, w := range e.Whens {
		list = append(list, j.values(w.Result, s)...)
	}
	if e.Else != nil {
		list = append(list, j.values(e.Else, s)...)
	}
	return list
}

// elements is an array: one of its elements.
func (j *Judge) elements(list []ast.Expr, s *scope) []alternative {
	var all []alternative
	for _, e := range list {
		all = append(all, j.values(e, s)...)
	}
	return all
}

// sublinkValue is a query as a value, or as an array of values.
func (j *Judge) sublinkValue(e *ast.Sublink, s *scope) []alternative {
	var list []alternative
	for _, r := range j.rows(e.Query, s) {
		if len(r.columns) == 0 {
			return just(term{})
		}
		if e.Kind != ast.SublinkScalar && e.Kind != ast.SublinkArray {
			list = append(list, opaque(j.values(r.columns[0].Value, r.at))...)
			continue
		}
		for _, v := range j.values(r.columns[0].Value, r.at) {
			list = append(list, alternative{v.term, r.holding(r.columns[0].Value).with(v.clause)})
		}
	}
	if e.Kind != ast.SublinkScalar && e.Kind != ast.SublinkArray {
		return opaque(append(list, j.children(e, s)...))
	}
	return list
}

// memberValue is (arg).field or arg[i]: a part of the session's values is the
// session's, and a field of a row of a function is taken for it.
func (j *Judge) memberValue(e *ast.Member, s *scope) []alternative {
	if c, ok := e.Arg.(*ast.Call); ok && e.Field != "" {
		if rows, ok := j.callRows(c, s); ok && len(rows) > 0 && len(rows[0].columns) > 1 {
			return j.columnOf(rows, e.Field)
		}
	}
	list := j.values(e.Arg, s)
	for i := range list {
		switch {
		case list[i].kind == termContext && e.Field != "":
			list[i].term = list[i].named(e.Field)
		case list[i].kind == termColumn && e.Field != "":
			list[i].term = term{has: list[i].has}
		}
	}
	return list
}

// named is a part of a context.
func (t term) named(key string) term {
	if t.kind != termContext {
		return t
	}
	t.key = key
	if isEditableName(key) {
		t.has |= hasEditable
	}
	return t
}

// operatorValue is the value of an operator that is no condition, such as ->>
// on claims.
func (j *Judge) operatorValue(e *ast.Operator, s *scope) []alternative {
	if e.Left == nil {
		return j.values(e.Right, s)
	}
	left, right := j.values(e.Left, s), j.values(e.Right, s)
	list := combine(left, right)
	switch e.Name.Name {
	case "->", "->>", "#>", "#>>":
		for i := range list {
			for _, key := range keysOf(right) {
				list[i].term = list[i].named(key)
				if isEditableName(key) {
					list[i].has |= hasEditable
				}
			}
		}
	}
	return list
}

// keysOf are the JSON keys that literals name: 'a', or '{a,b}'.
func keysOf(list []alternative) []string {
	var keys []string
	for _, a := range list {
		if a.kind != termLiteral {
			continue
		}
		for _, key := range strings.Split(strings.Trim(a.text, "{}"), ",") {
			keys = append(keys, strings.Trim(key, `" `))
		}
	}
	return keys
}
