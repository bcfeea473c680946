package ast

// Visitor says what to do with each part of an expression or query, those of
// sub-selects included.
type Visitor struct {
	// Expr is called for each expression; where it returns false, what is in
	// it is left out. It may be nil.
	Expr func(Expr) bool
	// Table is called for each table, view or WITH query that is read. It may
	// be nil.
	Table func(*Table)
}

// Visit walks over an expression.
func (v Visitor) Visit(e Expr) {
	if e == nil || v.Expr != nil && !v.Expr(e) {
		return
	}
	for _, child := range Children(e) {
		v.Visit(child)
	}
	if s, ok := e.(*Sublink); ok {
		v.VisitQuery(s.Query)
	}
}

// VisitQuery walks over a query.
func (v Visitor) VisitQuery(q *Select) {
	if q == nil {
		return
	}
	for _, w := range q.With {
		v.VisitQuery(w.Query)
	}
	for _, t := range q.Targets {
		v.Visit(t.Value)
	}
	for _, f := range q.From {
		v.visitFrom(f)
	}
	v.Visit(q.Where)
	v.Visit(q.Having)
	for _, row := range q.Values {
		for _, e := range row {
			v.Visit(e)
		}
	}
	v.VisitQuery(q.Left)
	v.VisitQuery(q.Right)
}

func (v Visitor) visitFrom(f FromItem) {
	switch f := f.(type) {
	case *Table:
		if v.Table != nil {
			v.Table(f)
		}
	case *Derived:
		v.VisitQuery(f.Query)
	case *FunctionTable:
		for _, c := range f.Calls {
			v.Visit(c)
		}
	case *Join:
		v.visitFrom(f.Left)
		v.visitFrom(f.Right)
		v.Visit(f.On)
	}
}

// Children are the expressions directly in an expression, those of sub-selects
// aside.
func Children(e Expr) []Expr {
	switch e := e.(type) {
	case *And:
		return e.Args
	case *Or:
		return e.Args
	case *Not:
		return []Expr{e.Arg}
	case *Operator:
		return present(e.Left, e.Right)
	case *Quantified:
		return present(e.Left, e.Right)
	case *Distinct:
		return present(e.Left, e.Right)
	case *NullIf:
		return present(e.Left, e.Right)
	case *IsNull:
		return []Expr{e.Arg}
	case *IsTruth:
		return []Expr{e.Arg}
	case *Cast:
		return []Expr{e.Arg}
	case *Member:
		return []Expr{e.Arg}
	case *Sublink:
		return present(e.Test)
	}
	return lists(e)
}

func lists(e Expr) []Expr {
	switch e := e.(type) {
	case *Call:
		return e.Args
	case *Coalesce:
		return e.Args
	case *MinMax:
		return e.Args
	case *Row:
		return e.Args
	case *Array:
		return e.Elements
	case *Case:
		list := present(e.Arg)
		for _, w := range e.Whens {
			list = append(list, w.Condition, w.Result)
		}
		return append(list, present(e.Else)...)
	}
	return nil
}

func present(list ...Expr) []Expr {
	var found []Expr
	for _, e := range list {
		if e != nil {
			found = append(found, e)
		}
	}
	return found
}
