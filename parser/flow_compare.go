package parser

import "strings"

// operator is what an operator does with what stands on its sides.
type operator uint8

const (
	opOther   operator = iota // nothing that is followed
	opEqual                   // =: both sides are the same
	opOrder                   // <, @> and the like: a column may have that value
	opUnequal                 // <>
	opLike                    // LIKE; a pattern
	opRegex                   // SIMILAR TO, ~
	opNotLike                 // NOT LIKE, !~
	opPart                    // replace(x, part, ''), and the like
	opLooks                   // @@, ?: looks for one side in the other
	opShape                   // ||, +: the result has the operands in it
	opJSON                    // ->, ->>: a member of the left one
)

// operators are the server's own.
func operatorOf(name string) operator {
	switch name {
	case "=":
		return opEqual
	case "<", ">", "<=", ">=", "@>", "<@", "&&", "~=~", "~<~", "~>~", "~<=~", "~>=~":
		return opOrder
	case "<>", "!=", "~<>~":
		return opUnequal
	case "~~", "~~*":
		return opLike
	case "~", "~*", "^@":
		return opRegex
	case "!~~", "!~~*", "!~", "!~*":
		return opNotLike
	case "?", "?|", "?&", "@@", "@@@", "@?":
		return opLooks
	case "||", "+", "-", "*", "/", "@", "|/", "^":
		return opShape
	case "->", "->>", "#>", "#>>":
		return opJSON
	}
	return opOther
}

// expression follows an A_Expr.
func (f *flow) expression(n node, s *scope) flowValue {
	op := operatorOf(n.child("name").textOf("String", "sval"))
	left, right := f.value(n.child("lexpr"), s), flowValue{}
	opaque := flowValue{opaque: true}
	switch kind := n.enum("kind"); kind {
	case "AEXPR_IN", "AEXPR_BETWEEN", "AEXPR_BETWEEN_SYM", "AEXPR_NOT_BETWEEN", "AEXPR_NOT_BETWEEN_SYM":
		if strings.HasPrefix(kind, "AEXPR_NOT") {
			op = opUnequal
		} else if kind != "AEXPR_IN" {
			op = opOrder
		}
		n.child("rexpr").eachItem(func(item node) { f.compare(op, left, f.value(item, s)) })
		return opaque
	}
	right = f.value(n.child("rexpr"), s)
	switch n.enum("kind") {
	case "AEXPR_NULLIF":
		f.compare(opUnequal, left, right)
		return f.add(flowValue{}, left, FlagAlternative)
	case "AEXPR_DISTINCT":
		op = opUnequal
	case "AEXPR_NOT_DISTINCT":
		op = opEqual
	}
	switch op {
	case opShape:
		return f.shaped(n, left, right)
	case opJSON:
		return f.jsonMember(left, right)
	}
	f.compare(op, left, right)
	return opaque
}

func (f *flow) shaped(n node, left, right flowValue) flowValue {
	if !n.child("lexpr").ok() {
		return f.changed(right, foldOperator(n.child("name").text("sval")))
	}
	name := n.child("name").text("sval")
	if name == "-" {
		f.compare(opUnequal, left, right) // org_id - 5 = 0
	}
	return f.combine([]flowValue{left, right}, foldOperator(name))
}

// compare notes what meets what, on either side of a comparison.
func (f *flow) compare(op operator, l, r flowValue) {
	if op == opOther || op == opShape || op == opJSON {
		return
	}
	if len(l.fields) > 0 && len(r.fields) > 0 {
		for i := range min(len(l.fields), len(r.fields)) {
			if l.fields[i].star != nil || r.fields[i].star != nil {
				break
			}
			f.compare(op, l.fields[i].value, r.fields[i].value)
		}
		return
	}
	if len(l.fields) > 0 {
		l.leaves = append(l.leaves[:len(l.leaves):len(l.leaves)], f.inside(l)...)
	}
	if len(r.fields) > 0 {
		r.leaves = append(r.leaves[:len(r.leaves):len(r.leaves)], f.inside(r)...)
	}
	f.compareLeaves(op, l.leaves, r.leaves)
	if op == opLike || op == opRegex || op == opNotLike || op == opPart {
		return // what stands left of LIKE is no pattern
	}
	f.compareLeaves(op, r.leaves, l.leaves)
}

// compareLeaves notes the values that the columns of the left side meet.
func (f *flow) compareLeaves(op operator, left, right []leaf) {
	for i := range left {
		l := &left[i]
		if l.column == nil {
			continue
		}
		for j := range right {
			if f.left < 0 {
				return
			}
			r := &right[j]
			switch {
			case r.column == nil:
				t := TenantTerm{Value: r.value, Match: op.match(), Flags: l.flags | r.flags, Member: r.member, Key: r.key}
				if l.flags&FlagDocument != 0 {
					t.Member, t.Key = l.member, l.key
				}
				f.meet(l.column, t)
			case op == opEqual && (l.flags|r.flags)&^FlagAlternative == 0 && f.spend(1):
				equate(l.column, r.column)
			}
		}
	}
}

func (o operator) match() Match {
	switch o {
	case opUnequal, opNotLike:
		return MatchUnequal
	case opLike:
		return MatchLike
	case opRegex, opLooks:
		return MatchRegex
	case opPart:
		return MatchPart
	}
	return MatchEqual
}

// sublink follows IN (SELECT ...), = ANY (SELECT ...), (SELECT ...), EXISTS.
func (f *flow) sublink(n node, s *scope) flowValue {
	test := f.value(n.child("testexpr"), s)
	list := f.query(n.child("subselect"), s, nil)
	switch n.enum("sub_link_type") {
	case "EXPR_SUBLINK", "ARRAY_SUBLINK":
		return first(list)
	case "ANY_SUBLINK", "ALL_SUBLINK", "ROWCOMPARE_SUBLINK":
		op := opEqual // IN has no name
		if name := n.child("oper_name"); name.ok() {
			op = operatorOf(name.textOf("String", "sval"))
		}
		f.compare(op, test, first(list))
	}
	return flowValue{opaque: true}
}
