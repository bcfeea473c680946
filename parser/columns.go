package parser

// What of a statement can be read out of one relation, and which value a
// column certainly has: for the few statements of drivers that would be
// refused by the names alone.

// oneRow is what a query tells that reads one relation, without an alias and
// without other clauses, WHERE a column = a value.
type oneRow struct {
	relation Name
	column   string
	value    node
}

// oneRowOf reads such a query. Whatever the relation is in truth, the condition
// holds for each row that the query's expressions see.
func oneRowOf(query node) (row oneRow, ok bool) {
	// Nearly every query reads something else.
	if relation := query.child("from_clause"); !relation.is("RangeVar") || !isOneRowRelation(string(relation.raw("relname"))) {
		return oneRow{}, false
	}
	r := query.read()
	for r.next() {
		if r.field == nil {
			return oneRow{}, false
		}
		switch r.field.name {
		case "target_list", "from_clause", "where_clause", "limit_option", "op":
		default:
			return oneRow{}, false
		}
	}
	from := query.list("from_clause")
	if r.bad || query.enum("op") != "SETOP_NONE" || len(from) != 1 || !from[0].is("RangeVar") || from[0].child("alias").ok() {
		return oneRow{}, false
	}
	where := query.child("where_clause")
	if !where.is("A_Expr") || where.enum("kind") != "AEXPR_OP" {
		return oneRow{}, false
	}
	if operator := stringsOf(where.list("name")); len(operator) != 1 || operator[0] != "=" {
		return oneRow{}, false
	}
	left := where.child("lexpr")
	if !left.is("ColumnRef") {
		return oneRow{}, false
	}
	column := left.list("fields")
	if len(column) != 1 || !column[0].is("String") {
		return oneRow{}, false
	}
	name := Name{Schema: from[0].text("schemaname"), Name: from[0].text("relname")}
	if name.Schema == "" {
		name.Schema = "pg_catalog"
	}
	return oneRow{relation: name, column: column[0].text("sval"), value: where.child("rexpr")}, true
}

// isOneRowRelation reports whether oneRow has any use for a relation.
func isOneRowRelation(name string) bool { return name == "pg_settings" || isOwnRowRelation(name) }

func isOwnRowRelation(name string) bool {
	return name == "pg_stat_activity" || name == "pg_stat_ssl" || name == "pg_stat_gssapi"
}

// setting returns the name of the setting whose row of pg_settings is read:
//
//	SELECT set_config(name, '...', false) FROM pg_settings WHERE name = '...'
//
// pg_dump sets in this way what an older server does not have.
func (r *oneRow) setting() string {
	if r.relation != (Name{Schema: "pg_catalog", Name: "pg_settings"}) || r.column != "name" || !r.value.is("A_Const") {
		return ""
	}
	return r.value.child("sval").text("sval")
}

// own reports whether the row is that of the session in one of the views of
// sessions:
//
//	SELECT encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()
func (r *oneRow) own() bool {
	if r.relation.Schema != "pg_catalog" || !isOwnRowRelation(r.relation.Name) || r.column != "pid" || !r.value.is("FuncCall") || r.value.count("args") > 0 {
		return false
	}
	f := nameOf(stringsOf(r.value.list("funcname")))
	return f.Name == "pg_backend_pid" && (f.Schema == "" || f.Schema == "pg_catalog") && f.Catalog == ""
}

// isColumn reports whether an expression is a column written without its
// relation.
func isColumn(n node, name string) bool {
	if !n.is("ColumnRef") {
		return false
	}
	fields := n.list("fields")
	return len(fields) == 1 && fields[0].is("String") && fields[0].text("sval") == name
}

// isIdentity reports whether a column of a statistics view tells which table or
// index a row is about. The others are counters.
func isIdentity(column string) bool {
	switch column {
	case "relid", "indexrelid", "schemaname", "relname", "indexrelname":
		return true
	}
	return false
}

// onlyIdentities reports whether a statement takes no more from statistics
// views than the columns that say which table or index a row is about.
func onlyIdentities(statement node) bool {
	c := &columns{counters: make(map[string]bool)}
	c.collect(statement)
	if c.unclear {
		return false
	}
	for _, ref := range c.refs {
		column := ref[len(ref)-1]
		if isIdentity(column) {
			continue
		}
		if len(ref) == 1 || column == "" || c.counters[ref[len(ref)-2]] {
			return false
		}
	}
	return true
}

// columns are those that a statement names, whatever their scope.
type columns struct {
	refs     [][]string      // the parts of each, "" for *
	counters map[string]bool // names by which it may call a statistics view
	unclear  bool            // it may call columns, or rows, by other names
}

func (c *columns) collect(n node) {
	if n = n.unwrap(); !n.ok() {
		return
	}
	switch n.name() {
	case "ColumnRef":
		var ref []string
		for _, part := range n.list("fields") {
			name := "" // *
			if part.is("String") {
				name = part.text("sval")
			}
			ref = append(ref, name)
		}
		c.refs = append(c.refs, ref)
		c.unclear = c.unclear || len(ref) == 0
	case "RangeVar":
		c.relation(n)
	case "JoinExpr":
		named := n.child("alias").ok() || n.child("join_using_alias").ok()
		c.unclear = c.unclear || named || n.flag("is_natural") || n.count("using_clause") > 0
	}
	r := n.read()
	for r.next() {
		if r.field != nil && r.field.message != nil {
			c.collect(node{r.field.message, r.value.bytes})
		}
	}
	c.unclear = c.unclear || r.bad
}

func (c *columns) relation(n node) {
	name := Name{Schema: n.text("schemaname"), Name: n.text("relname")}
	if class, known := ClassifyRelation(name); !known || class != RelationCounters {
		return
	}
	called := name.Name
	if alias := n.child("alias"); alias.ok() {
		called = alias.text("aliasname")
		c.unclear = c.unclear || alias.count("colnames") > 0
	}
	c.counters[called] = true
	c.unclear = c.unclear || isIdentity(called) // the name alone would be the row
}
