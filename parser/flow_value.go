package parser

import "slices"

// value follows an expression, or whatever else a field holds, and returns
// what is known of its value.
func (f *flow) value(n node, s *scope) flowValue {
	n = n.unwrap()
	if !n.ok() {
		return flowValue{}
	}
	if f.depth++; f.depth > maxWalkDepth {
		f.left = -1
	}
	defer func() { f.depth-- }()
	if f.left < 0 {
		return flowValue{opaque: true}
	}
	if n.message.query {
		return first(f.query(n, s, nil))
	}
	switch n.name() {
	case "A_Const":
		return constantValue(n)
	case "ParamRef":
		return flowValue{leaves: []leaf{{value: valueOf(n, false)}}}
	case "ColumnRef":
		v, _ := f.named(columnParts(n), s)
		return v
	case "TypeCast":
		return f.cast(n, s)
	case "NamedArgExpr", "CollateClause":
		return f.value(n.child("arg"), s)
	case "A_Indirection":
		return f.member(n, s)
	case "A_Expr":
		return f.expression(n, s)
	case "SubLink":
		return f.sublink(n, s)
	case "FuncCall":
		return f.call(n, s)
	case "ExecuteStmt":
		f.execute(n, s)
		return flowValue{}
	}
	return f.several(n, s)
}

// several follows expressions that are one of others, or consist of them.
func (f *flow) several(n node, s *scope) (v flowValue) {
	each := func(field string, flags TermFlags) {
		for _, item := range n.list(field) {
			v = f.add(v, f.value(item, s), flags)
		}
	}
	switch n.name() {
	case "A_ArrayExpr":
		each("elements", 0)
	case "List":
		each("items", 0)
	case "CoalesceExpr", "MinMaxExpr":
		each("args", FlagAlternative)
	case "RowExpr":
		for i, item := range n.list("args") {
			if stars, ok := f.stars(item, s); ok {
				v.fields = append(v.fields, stars...)
				continue
			}
			v.fields = append(v.fields, output{name: "f" + itoa(i+1), value: f.value(item, s)})
		}
		v.opaque = true
	case "CaseExpr":
		test := f.value(n.child("arg"), s)
		for _, when := range n.list("args") {
			f.compare(opEqual, test, f.value(when.child("expr"), s))
			v = f.add(v, f.value(when.child("result"), s), FlagAlternative)
		}
		v = f.add(v, f.value(n.child("defresult"), s), FlagAlternative)
	case "XmlExpr", "XmlSerialize", "JsonObjectConstructor", "JsonArrayConstructor", "JsonKeyValue", "JsonValueExpr", "JsonArrayQueryConstructor":
		return f.built(f.parts(n, s))
	default:
		f.rest(n, s)
		v.opaque = true
	}
	return v
}

// parts are the values of all fields of n.
func (f *flow) parts(n node, s *scope) (list []flowValue) {
	for r := n.read(); r.next(); {
		if r.field == nil || r.field.message == nil {
			continue
		}
		child := node{r.field.message, r.value.bytes}.unwrap()
		if child.is("List") || child.is("ResTarget") || child.is("JsonKeyValue") || child.is("JsonValueExpr") {
			list = append(list, f.parts(child, s)...)
		} else if !child.is("JsonFormat") && !child.is("JsonOutput") && !child.is("TypeName") && !child.is("JsonReturning") {
			list = append(list, f.value(child, s))
		}
	}
	return list
}

// first is the value of a query that stands for one.
func first(list []output) flowValue {
	if len(list) == 0 || list[0].star != nil {
		return flowValue{opaque: true}
	}
	v := list[0].value
	v.leaves = slices.Clip(v.leaves)
	if len(list) > 1 {
		v.fields = list
	}
	return v
}

func constantValue(n node) flowValue {
	v := valueOf(n, false)
	if v.Kind != ValueConstant { // NULL
		return flowValue{}
	}
	return flowValue{leaves: []leaf{{value: v}}}
}

func columnParts(n node) []string {
	parts := stringsOf(n.list("fields"))
	if n.child("fields").is("A_Star") {
		parts = append(parts, starName)
	}
	return parts
}

// named is what the name of a column means, or that of a whole row.
func (f *flow) named(parts []string, s *scope) (v flowValue, ok bool) {
	if len(parts) == 0 {
		return flowValue{opaque: true}, false
	}
	name := parts[len(parts)-1]
	if len(parts) > 1 && name != starName {
		if src := s.source(parts[len(parts)-2]); src != nil {
			if v, ok := f.field(src, name); ok {
				return v, true
			}
			return f.byName(name)
		}
		if v, ok := f.named(parts[:len(parts)-1], s); ok {
			return f.fieldOf(v, name), true // (composite column).field
		}
	} else if v, ok := f.unqualified(name, s); ok {
		return v, true
	}
	if name == starName {
		name = parts[max(len(parts)-2, 0)]
	}
	if src := s.source(name); src != nil {
		return f.whole(src), true
	}
	return f.byName(name)
}

// byName is a column of which nothing but the name is known.
func (f *flow) byName(name string) (v flowValue, ok bool) {
	if f.isTenant(name) {
		return f.columnValue(&column{name: name, tenant: true}), true
	}
	return flowValue{opaque: true}, false
}

// unqualified looks for a column in the sources of the scope and of those
// around it. Where the catalogue knows no table, any may have the column.
func (f *flow) unqualified(name string, s *scope) (v flowValue, ok bool) {
	for ; s != nil; s = s.outer {
		var unsure *source
		for _, src := range s.sources {
			if src.table && len(src.known) == 0 && !slices.Contains(src.renamed, name) {
				if unsure == nil && src.name != name {
					unsure = src
				}
				continue
			}
			if found, has := f.field(src, name); has {
				v, ok = f.add(v, found, 0), true
			}
		}
		if ok {
			return v, true
		}
		if unsure != nil && s.source(name) == nil {
			return f.field(unsure, name)
		}
	}
	return flowValue{}, false
}

// whole is the row of a source.
func (f *flow) whole(s *source) flowValue {
	v := flowValue{fields: f.all(s), opaque: true}
	if len(v.fields) == 1 && !s.table {
		v.leaves = v.fields[0].value.leaves // a function's result: a value as well as a row
	}
	return v
}

// fieldOf is a field of a row.
func (f *flow) fieldOf(v flowValue, name string) flowValue {
	if found, ok := f.output(v.fields, name); ok {
		return found
	}
	found, _ := f.byName(name)
	return found
}

// member follows (row).field and array[1].
func (f *flow) member(n node, s *scope) flowValue {
	v := f.value(n.child("arg"), s)
	for _, part := range n.list("indirection") {
		switch {
		case part.is("String"):
			v = f.fieldOf(v, part.text("sval"))
		case part.is("A_Indices"):
			f.rest(part, s)
		}
	}
	return v
}

// cast follows x::type.
func (f *flow) cast(n node, s *scope) flowValue {
	v := f.value(n.child("arg"), s)
	t := n.child("type_name")
	name := nameOf(stringsOf(t.list("names")))
	if row := f.rowType(name); row != nil {
		return f.castRow(v, row)
	}
	if len(v.fields) > 0 {
		v = flowValue{leaves: f.inside(v), opaque: true} // row::text
	}
	if name.Schema != "" && name.Schema != "pg_catalog" || keepsOrg(name.Name) && len(t.list("typmods")) == 0 {
		return v
	}
	return f.changed(v, nil)
}

// keepsOrg reports whether a cast to a type leaves an id what it is. Types
// that are not the server's may.
func keepsOrg(name string) bool {
	switch name {
	case "bpchar", "char", "bit", "varbit", "name", "money", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
		"bool", "bytea", "inet", "cidr", "macaddr", "xml", "point", "box", "tsvector", "tsquery", "regclass", "regtype":
		return false
	}
	return true
}

// rowType is a table whose rows a type name means.
func (f *flow) rowType(n Name) *source {
	if n.Name == "" || n.Schema == "pg_catalog" {
		return nil
	}
	known := f.tables(n)
	if len(known) == 0 {
		return nil
	}
	return &source{name: n.Name, table: true, known: known}
}

// castRow gives a row the names of a table's columns. The fields of a row that
// is written as one constant are not looked at: whatever they meet, it is
// computed.
func (f *flow) castRow(v flowValue, t *source) flowValue {
	out := flowValue{opaque: true, fields: f.all(t)}
	for i := range out.fields {
		switch {
		case i < len(v.fields):
			out.fields[i].value = v.fields[i].value
		case len(v.leaves) > 0:
			out.fields[i].value = f.changed(v, nil)
		default:
			out.fields[i].value = flowValue{opaque: true}
		}
	}
	return out
}

// inside are the leaves of a row that are columns, as parts of it.
func (f *flow) inside(v flowValue) []leaf {
	var list []leaf
	for i := range v.fields {
		o := &v.fields[i]
		if o.star != nil {
			for _, name := range f.walker.options.TenantColumns {
				list = append(list, leaf{column: f.column(o.star, name, name), flags: FlagColumnInRow})
			}
		}
		for _, l := range o.value.leaves {
			if l.column != nil {
				l.flags |= FlagColumnInRow
				list = append(list, l)
			}
		}
	}
	f.spend(len(list))
	return list
}

// execute lists the constants that EXECUTE gives to parameters.
func (f *flow) execute(n node, s *scope) {
	for i, p := range n.list("params") {
		for _, l := range f.value(p, s).leaves {
			if l.column == nil && l.value.Kind == ValueConstant {
				f.walker.statement.Arguments = append(f.walker.statement.Arguments, ExecuteArgument{i + 1, l.value, l.flags})
			}
		}
	}
}
