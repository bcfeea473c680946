package parser

import "strconv"

func itoa(n int) string { return strconv.Itoa(n) }

// give notes that a column is given a value.
func (f *flow) give(column, v flowValue) {
	for _, c := range column.leaves {
		if c.column == nil || c.column.key {
			continue
		}
		for i := range v.leaves {
			l := &v.leaves[i]
			if l.column == nil {
				f.meet(c.column, TenantTerm{Value: l.value, Match: MatchEqual, Write: true, Flags: l.flags, Member: l.member, Key: l.key})
			}
		}
	}
}

func (f *flow) insert(n node, s *scope) []output {
	t := f.relation(n.child("relation"), nil)
	inner := &scope{outer: s}
	values := f.query(n.child("select_stmt"), inner, nil)
	f.giveAll(f.inserted(t, n.list("cols")), values)
	s.sources = append(s.sources, t)
	if conflict := n.child("on_conflict_clause"); conflict.ok() {
		excluded := &source{name: "excluded", table: true, known: t.known}
		with := &scope{outer: s, sources: []*source{excluded}}
		f.assign(t, conflict.list("target_list"), with)
		f.rest(conflict, with, "target_list")
	}
	f.rest(n, s, "with_clause", "relation", "cols", "select_stmt", "on_conflict_clause", "returning_list")
	return f.targets(n, "returning_list", s)
}

// inserted are the columns that an INSERT gives values to, in the order of the
// values.
func (f *flow) inserted(t *source, columns []node) []flowValue {
	var list []flowValue
	for _, c := range columns {
		list = append(list, f.written(t, c.text("name")))
	}
	if len(columns) == 0 {
		for i := range t.width() {
			list = append(list, f.at(t, i).value)
		}
	}
	return list
}

// written is a column that a statement names as one to write. The names in
// AS t (a, b) do not count there.
func (f *flow) written(t *source, name string) flowValue {
	return f.columnValue(f.column(t, name, name))
}

// giveAll gives columns the values of a query. Behind a * of what is not known
// there is no telling which is for which.
func (f *flow) giveAll(columns []flowValue, values []output) {
	for i := range min(len(columns), len(values)) {
		if values[i].star != nil {
			return
		}
		f.give(columns[i], values[i].value)
	}
}

// assign follows SET a = x, (b, c) = (y, z).
func (f *flow) assign(t *source, targets []node, s *scope) {
	var row node
	var several []output
	for _, target := range targets {
		column := f.written(t, target.text("name"))
		val := target.child("val")
		if !val.is("MultiAssignRef") {
			f.give(column, f.value(val, s))
			continue
		}
		if val.int("colno") == 1 {
			row = val.child("source")
			several = f.assigned(row, s)
		}
		if i := val.int("colno") - 1; i >= 0 && i < len(several) {
			f.give(column, several[i].value)
		}
	}
}

// assigned are the values of the right side of (a, b) = ...
func (f *flow) assigned(n node, s *scope) []output {
	if n.is("SubLink") {
		return f.query(n.child("subselect"), s, nil)
	}
	return f.value(n, s).fields
}

func (f *flow) merge(n node, s *scope) {
	t := f.target(n, s)
	f.from([]node{n.child("source_relation")}, s)
	for _, when := range n.list("merge_when_clauses") {
		switch when.enum("command_type") {
		case "CMD_INSERT":
			var values []output
			for _, v := range when.list("values") {
				values = append(values, output{value: f.value(v, s)})
			}
			f.giveAll(f.inserted(t, when.list("target_list")), values)
		case "CMD_UPDATE":
			f.assign(t, when.list("target_list"), s)
		}
		f.value(when.child("condition"), s)
	}
}
