package parser

import "strings"

// AnyMember as TenantTerm.Member stands for every member of the document.
const AnyMember = "*"

// jsonMember is a member of a document: of a constant or a parameter, or of a
// row that was made one.
func (f *flow) jsonMember(document, key flowValue) flowValue {
	v := flowValue{opaque: document.opaque && len(document.leaves) == 0}
	var k Value
	if n := len(key.leaves); n > 0 && key.leaves[n-1].column == nil {
		k = key.leaves[n-1].value // of a path the last part
	}
	if !f.spend(len(document.leaves)) {
		return v
	}
	for _, l := range document.leaves {
		if l.column != nil && l.flags&FlagColumnInRow == 0 {
			l.flags |= FlagColumnChanged
		} else {
			l.flags |= FlagDocument
			if k.Kind != ValueNone {
				l.key, l.member = k, ""
			}
		}
		v.leaves = append(v.leaves, l)
	}
	return v
}

// elements are the members of a document, as functions in FROM return them.
func (f *flow) elements(n node, args []flowValue) flowValue {
	name := n.child("funcname").text("sval")
	document := args[0]
	if t := rowArgument(name, args); t != nil {
		document = args[1]
		v := flowValue{opaque: true}
		for _, field := range t {
			v.fields = append(v.fields, output{name: field.name, value: f.documentField(document, field.name)})
		}
		return v
	}
	switch {
	case isEach(name):
		return f.documentField(document, AnyMember)
	case strings.HasPrefix(name, "jsonb_path_") && len(args) > 1:
		return f.jsonMember(document, args[1])
	}
	return f.jsonMember(document, flowValue{})
}

// rowArgument are the fields of the row that json_populate_record and the like
// are given first: null::accounts.
func rowArgument(name string, args []flowValue) []output {
	switch name {
	case "json_populate_record", "json_populate_recordset", "jsonb_populate_record", "jsonb_populate_recordset":
		if len(args) > 1 {
			return args[0].fields
		}
	}
	return nil
}

// documentField is the member of a document that becomes a column.
func (f *flow) documentField(document flowValue, name string) flowValue {
	v := f.jsonMember(document, flowValue{})
	for i := range v.leaves {
		v.leaves[i].member = name
	}
	return v
}

// fromFunction is a function in FROM.
func (f *flow) fromFunction(n node, s *scope) *source {
	alias := n.child("alias")
	src := &source{name: alias.textIfSet("aliasname"), renamed: stringsOf(alias.list("colnames"))}
	var list []output
	for _, item := range n.list("functions") {
		parts := item.items()
		if len(parts) == 0 {
			continue
		}
		list = append(list, f.results(parts[0], src.name, s)...)
		if len(parts) > 1 {
			list = f.defined(parts[1].items(), list)
		}
	}
	list = f.defined(n.list("coldeflist"), list)
	if n.flag("ordinality") {
		list = append(list, output{name: "ordinality"})
	}
	if src.name == "" {
		src.name = figureName(n.firstFunction())
	}
	src.setOutputs(list)
	return src
}

func (n node) firstFunction() node {
	for _, item := range n.list("functions") {
		if parts := item.items(); len(parts) > 0 {
			return parts[0]
		}
	}
	return node{}
}

// results are the columns that a function in FROM returns. unnest of several
// arrays returns one for each.
func (f *flow) results(n node, alias string, s *scope) []output {
	name := figureName(n)
	if name == "unnest" && n.count("args") > 1 {
		var list []output
		for _, a := range n.list("args") {
			list = append(list, output{name: name, value: f.value(a, s)})
		}
		return list
	}
	v := f.value(n, s)
	switch {
	case len(v.fields) > 0:
		return v.fields
	case isEach(name):
		return []output{{name: "key"}, {name: "value", value: v}}
	case name == "json_array_elements" || name == "jsonb_array_elements" || name == "json_array_elements_text" || name == "jsonb_array_elements_text":
		if alias == "" {
			alias = "value"
			return []output{{name: alias, value: v}}
		}
		return []output{{name: alias, value: v}, {name: "value", value: v}}
	}
	if alias == "" {
		alias = name
	}
	return []output{{name: alias, value: v}}
}

func isEach(name string) bool {
	return name == "json_each" || name == "jsonb_each" || name == "json_each_text" || name == "jsonb_each_text"
}

// defined are the columns of a list of definitions: AS x(org_id uuid). Their
// names are the keys of the document.
func (f *flow) defined(definitions []node, list []output) []output {
	if len(definitions) == 0 || len(list) == 0 {
		return list
	}
	document := list[len(list)-1].value
	list = list[:len(list)-1]
	for _, d := range definitions {
		if d.is("ColumnDef") {
			name := d.text("colname")
			list = append(list, output{name: name, value: f.documentField(document, name)})
		}
	}
	return list
}
