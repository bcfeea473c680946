package parser

import "github.com/pgbulkhead/bulkhead/parser/ast"

// readSelect turns a SelectStmt into a Select.
func readSelect(n node) *ast.Select {
	s := &ast.Select{}
	if n.child("into_clause").ok() {
		s.Unknown = "INTO"
	}
	readWith(s, n.child("with_clause"))
	switch n.enum("op") {
	case "SETOP_NONE":
		readPlain(s, n)
	case "SETOP_UNION":
		s.Set = ast.SetUnion
	case "SETOP_INTERSECT":
		s.Set = ast.SetIntersect
	case "SETOP_EXCEPT":
		s.Set = ast.SetExcept
	default:
		s.Unknown = "set operation"
	}
	if s.Set != ast.SetNone {
		s.Left, s.Right = readSelect(n.child("larg")), readSelect(n.child("rarg"))
	}
	return s
}

func readWith(s *ast.Select, n node) {
	if !n.ok() {
		return
	}
	for _, c := range n.list("ctes") {
		if !c.is("CommonTableExpr") {
			s.Unknown = c.name()
			continue
		}
		w := ast.With{Name: c.text("ctename"), Columns: stringsOf(c.list("aliascolnames")), Recursive: n.flag("recursive")}
		if query := c.child("ctequery"); query.is("SelectStmt") {
			w.Query = readSelect(query)
		}
		s.With = append(s.With, w)
	}
}

// readPlain reads a query that is no set operation.
func readPlain(s *ast.Select, n node) {
	for _, t := range n.list("target_list") {
		if !t.is("ResTarget") {
			s.Unknown = t.name()
			continue
		}
		s.Targets = append(s.Targets, ast.Target{Name: t.text("name"), Value: readExpr(t.child("val"))})
	}
	for _, f := range n.list("from_clause") {
		s.From = append(s.From, readFrom(f))
	}
	if where := n.child("where_clause"); where.ok() {
		s.Where = readExpr(where)
	}
	s.Grouped = len(n.list("group_clause")) > 0
	if having := n.child("having_clause"); having.ok() {
		s.Having = readExpr(having)
	}
	for _, row := range n.list("values_lists") {
		s.Values = append(s.Values, readExprs(row.items()))
	}
}

func readFrom(n node) ast.FromItem {
	alias := n.aliasOf()
	columns := n.aliasColumns()
	switch n.name() {
	case "RangeVar":
		return &ast.Table{Name: ast.Name{Schema: n.text("schemaname"), Name: n.text("relname")}, Alias: alias, Columns: columns}
	case "RangeSubselect":
		if query := n.child("subquery"); query.is("SelectStmt") {
			return &ast.Derived{Query: readSelect(query), Alias: alias, Columns: columns}
		}
	case "RangeFunction":
		f := &ast.FunctionTable{Alias: alias, Columns: columns}
		for _, item := range n.list("functions") {
			if parts := item.items(); len(parts) > 0 {
				f.Calls = append(f.Calls, readExpr(parts[0]))
			}
		}
		if n.flag("ordinality") || len(n.list("coldeflist")) > 0 || len(f.Calls) == 0 {
			return &ast.UnknownFrom{Node: n.name()}
		}
		return f
	case "JoinExpr":
		return readJoin(n)
	}
	return &ast.UnknownFrom{Node: n.name()}
}

func readJoin(n node) ast.FromItem {
	kinds := map[string]ast.JoinKind{"JOIN_INNER": ast.JoinInner, "JOIN_LEFT": ast.JoinLeft, "JOIN_RIGHT": ast.JoinRight, "JOIN_FULL": ast.JoinFull}
	kind, ok := kinds[n.enum("jointype")]
	if !ok || n.child("alias").ok() || n.child("join_using_alias").ok() { // an alias would hide the tables inside
		return &ast.UnknownFrom{Node: n.name()}
	}
	j := &ast.Join{
		Kind: kind, Left: readFrom(n.child("larg")), Right: readFrom(n.child("rarg")),
		Using: stringsOf(n.list("using_clause")), Natural: n.flag("is_natural"),
	}
	if on := n.child("quals"); on.ok() {
		j.On = readExpr(on)
	}
	return j
}

func (n node) aliasOf() string {
	switch n.name() {
	case "RangeVar", "RangeSubselect", "RangeFunction":
		return n.child("alias").textIfSet("aliasname")
	}
	return ""
}

func (n node) aliasColumns() []string {
	switch n.name() {
	case "RangeVar", "RangeSubselect", "RangeFunction":
		return stringsOf(n.child("alias").list("colnames"))
	}
	return nil
}

// textIfSet is text for a node that may not be there.
func (n node) textIfSet(name string) string {
	if !n.ok() {
		return ""
	}
	return n.text(name)
}
