package parser

import "slices"

// query follows a statement that reads or writes rows, and returns the columns
// of its result. cte is the recursive common table expression that it defines,
// nil if it does not: its first part says what the others read.
func (f *flow) query(n node, outer *scope, cte *source) []output {
	if f.depth++; f.depth > maxWalkDepth {
		f.left = -1
	}
	defer func() { f.depth-- }()
	if f.left < 0 {
		return nil
	}
	s := &scope{outer: outer}
	f.with(n.child("with_clause"), s)
	switch n.name() {
	case "SelectStmt":
		return f.selected(n, s, cte)
	case "InsertStmt":
		return f.insert(n, s)
	case "UpdateStmt":
		t := f.target(n, s)
		f.from(n.list("from_clause"), s)
		f.assign(t, n.list("target_list"), s)
	case "DeleteStmt":
		f.target(n, s)
		f.from(n.list("using_clause"), s)
	case "MergeStmt":
		f.merge(n, s)
		f.rest(n, s, "with_clause", "relation", "source_relation", "merge_when_clauses")
		return nil
	}
	f.rest(n, s, "with_clause", "relation", "from_clause", "using_clause", "target_list", "returning_list")
	return f.targets(n, "returning_list", s)
}

func (f *flow) with(n node, s *scope) {
	recursive := n.ok() && n.flag("recursive")
	for _, c := range n.list("ctes") {
		if !c.is("CommonTableExpr") {
			continue
		}
		cte := &source{name: c.text("ctename"), renamed: stringsOf(c.list("aliascolnames"))}
		if recursive {
			s.ctes = append(s.ctes, cte)
			cte.setOutputs(f.query(c.child("ctequery"), s, cte))
			continue
		}
		cte.setOutputs(f.query(c.child("ctequery"), s, nil))
		s.ctes = append(s.ctes, cte)
	}
}

// setOutputs gives a source the columns of a query, under its own names.
func (s *source) setOutputs(list []output) {
	s.outputs = slices.Clone(list)
	for i, name := range s.renamed {
		if i >= len(s.outputs) || s.outputs[i].star != nil {
			break
		}
		s.outputs[i].name = name
	}
}

func (f *flow) selected(n node, s *scope, cte *source) []output {
	if op := n.enum("op"); op != "SETOP_NONE" {
		left := f.query(n.child("larg"), s, nil)
		if cte != nil {
			cte.setOutputs(left)
		}
		right := f.query(n.child("rarg"), s, nil)
		f.rest(n, s, "with_clause", "larg", "rarg", "sort_clause")
		return f.combined(op, left, right)
	}
	f.from(n.list("from_clause"), s)
	f.rest(n, s, "with_clause", "from_clause", "target_list", "values_lists")
	if n.count("values_lists") > 0 {
		return f.rows(n.list("values_lists"), s)
	}
	return f.targets(n, "target_list", s)
}

// combined are the columns of a UNION, INTERSECT or EXCEPT. The latter two
// compare.
func (f *flow) combined(op string, left, right []output) []output {
	for i := range min(len(left), len(right)) {
		switch op {
		case "SETOP_INTERSECT":
			f.compare(opEqual, left[i].value, right[i].value)
		case "SETOP_EXCEPT":
			f.compare(opUnequal, left[i].value, right[i].value)
		}
		left[i].value = f.add(left[i].value, right[i].value, 0)
	}
	return left
}

// rows are the columns of VALUES.
func (f *flow) rows(lists []node, s *scope) []output {
	var list []output
	for _, row := range lists {
		i := 0
		row.eachItem(func(item node) {
			if i == len(list) {
				list = append(list, output{name: "column" + itoa(i+1)})
			}
			list[i].value = f.add(list[i].value, f.value(item, s), 0)
			i++
		})
	}
	return list
}

// targets are the columns of a list of targets.
func (f *flow) targets(n node, field string, s *scope) []output {
	var list []output
	for _, t := range n.list(field) {
		if !t.is("ResTarget") {
			f.value(t, s)
			continue
		}
		val := t.child("val")
		if stars, ok := f.stars(val, s); ok {
			list = append(list, stars...)
			continue
		}
		name := t.text("name")
		if name == "" {
			name = figureName(val)
		}
		list = append(list, output{name: name, value: f.value(val, s)})
	}
	return list
}

// figureName is the name of a column that is given none (FigureColname).
func figureName(n node) string {
	switch n.name() {
	case "ColumnRef":
		return n.child("fields").textOf("String", "sval")
	case "A_Indirection":
		if last := n.child("indirection"); last.is("String") {
			return last.text("sval")
		}
		return figureName(n.child("arg"))
	case "FuncCall":
		return n.child("funcname").textOf("String", "sval")
	case "CollateClause":
		return figureName(n.child("arg"))
	case "TypeCast":
		if name := figureName(n.child("arg")); name != "" {
			return name
		}
		return n.child("type_name").child("names").textOf("String", "sval")
	}
	return ""
}

// textOf is a field of n if n is that message.
func (n node) textOf(message, field string) string {
	if !n.is(message) {
		return ""
	}
	return n.text(field)
}

// stars expands * and x.* and (row).*.
func (f *flow) stars(n node, s *scope) (list []output, ok bool) {
	switch {
	case n.is("ColumnRef") && n.child("fields").is("A_Star"):
		if n.count("fields") == 1 {
			for _, src := range s.sources {
				list = append(list, f.all(src)...)
			}
			return list, true
		}
		parts := stringsOf(n.list("fields"))
		if src := s.source(parts[len(parts)-1]); src != nil {
			return f.all(src), true
		}
		v, _ := f.named(parts, s)
		return v.fields, true
	case n.is("A_Indirection") && n.child("indirection").is("A_Star") && n.count("indirection") == 1:
		return f.value(n.child("arg"), s).fields, true
	}
	return nil, false
}

// all are the columns of a source.
func (f *flow) all(s *source) []output {
	if s.table && len(s.known) == 0 {
		return []output{{name: starName, star: s}}
	}
	list := make([]output, 0, s.width())
	for i := range s.width() {
		list = append(list, f.at(s, i))
	}
	f.spend(len(list))
	return list
}

// source finds what a qualifier means.
func (s *scope) source(name string) *source {
	for ; s != nil; s = s.outer {
		for _, src := range s.sources {
			if src.name == name {
				return src
			}
		}
	}
	return nil
}

// from adds the items of FROM to the scope. An item may refer to those before
// it.
func (f *flow) from(items []node, s *scope) {
	for _, item := range items {
		s.sources = append(s.sources, f.fromItem(item, s)...)
	}
}

func (f *flow) fromItem(n node, s *scope) []*source {
	switch n.name() {
	case "RangeVar":
		return []*source{f.relation(n, s)}
	case "RangeSubselect":
		src := &source{name: n.aliasOf(), renamed: n.aliasColumns()}
		src.setOutputs(f.query(n.child("subquery"), s, nil))
		return []*source{src}
	case "RangeFunction":
		return []*source{f.fromFunction(n, s)}
	case "RangeTableSample":
		f.rest(n, s, "relation")
		return f.fromItem(n.child("relation"), s)
	case "JoinExpr":
		return f.join(n, s)
	}
	if n.is("RangeTableFunc") {
		return []*source{f.xmlTable(n, s)}
	}
	f.value(n, s)
	alias := n.childIfKnown("alias")
	return []*source{{name: alias.textIfSet("aliasname"), renamed: stringsOf(alias.list("colnames"))}}
}

// xmlTable is XMLTABLE: each column is made of the document.
func (f *flow) xmlTable(n node, s *scope) *source {
	document := f.changed(f.value(n.child("docexpr"), s), nil)
	f.rest(n, s, "docexpr", "alias", "columns")
	var list []output
	for _, c := range n.list("columns") {
		list = append(list, output{name: c.text("colname"), value: f.add(document, f.value(c.child("coldefexpr"), s), FlagAlternative)})
	}
	src := &source{name: n.child("alias").textIfSet("aliasname"), renamed: stringsOf(n.child("alias").list("colnames"))}
	src.setOutputs(list)
	return src
}

// childIfKnown is child for a field that the message may not have.
func (n node) childIfKnown(name string) node {
	if !n.ok() || n.message.named(name) == nil {
		return node{}
	}
	return n.child(name)
}

// relation is a table, view or common table expression.
func (f *flow) relation(n node, s *scope) *source {
	name := Name{Catalog: n.text("catalogname"), Schema: n.text("schemaname"), Name: n.text("relname")}
	src := &source{name: name.Name}
	if alias := n.child("alias"); alias.ok() {
		src.name, src.renamed = alias.text("aliasname"), stringsOf(alias.list("colnames"))
	}
	if name.Schema == "" {
		if cte := s.cte(name.Name); cte != nil {
			src.setOutputs(cte.outputs)
			return src
		}
	}
	src.table = true
	src.known = f.tables(name)
	return src
}

// tables are what is known of the tables of a name; nil unless that is all.
func (f *flow) tables(n Name) []Table {
	if f.walker.options.Tables == nil {
		return nil
	}
	list := f.walker.options.Tables(n)
	if slices.ContainsFunc(list, func(t Table) bool { return len(t.Columns) == 0 }) {
		return nil
	}
	return list
}

// target adds the table that a statement writes to.
func (f *flow) target(n node, s *scope) *source {
	t := f.relation(n.child("relation"), nil)
	s.sources = append(s.sources, t)
	return t
}

func (f *flow) join(n node, s *scope) []*source {
	left := f.fromItem(n.child("larg"), s)
	inner := &scope{outer: s, sources: left}
	right := f.fromItem(n.child("rarg"), inner)
	for _, name := range f.joined(n, left, right) {
		l, ok := f.amongst(left, name)
		if r, okToo := f.amongst(right, name); ok && okToo {
			f.compare(opEqual, l, r)
		}
	}
	all := append(slices.Clip(left), right...)
	f.value(n.child("quals"), &scope{outer: s, sources: all})
	if alias := n.child("alias"); alias.ok() {
		src := &source{name: alias.text("aliasname"), renamed: stringsOf(alias.list("colnames"))}
		var list []output
		for _, part := range all {
			list = append(list, f.all(part)...)
		}
		src.setOutputs(list)
		return []*source{src}
	}
	return all
}

// joined are the names of the columns that USING and NATURAL compare.
func (f *flow) joined(n node, left, right []*source) []string {
	if !n.flag("is_natural") {
		return stringsOf(n.list("using_clause"))
	}
	var names []string
	for _, src := range append(slices.Clip(left), right...) {
		for _, o := range f.all(src) {
			if o.star == nil {
				names = append(names, o.name)
			}
		}
	}
	return compact(append(names, f.walker.options.TenantColumns...))
}

// amongst looks for a column by name in some sources.
func (f *flow) amongst(list []*source, name string) (v flowValue, ok bool) {
	for _, src := range list {
		if found, has := f.field(src, name); has {
			v, ok = f.add(v, found, 0), true
		}
	}
	return v, ok
}

// rest follows all fields of n save those to skip.
func (f *flow) rest(n node, s *scope, skip ...string) {
	for r := n.read(); r.next(); {
		if r.field == nil || r.field.message == nil || slices.Contains(skip, r.field.name) {
			continue
		}
		f.value(node{r.field.message, r.value.bytes}.unwrap(), s)
	}
}
