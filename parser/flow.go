package parser

import (
	"slices"
)

// Table is what is known of a table: for INSERT without a list of columns,
// for *, and for columns that a statement renames.
type Table struct {
	Columns []string // in their order
	Org     []string // those of them that carry the org
	// Key is the key of the table of orgs, which such columns reference. It
	// counts where it is compared, not where it is written: that makes an org.
	Key string
}

// The flow of values: which constants and parameters of a statement meet a
// column that carries the org, on whatever way. Values flow through sub-selects,
// common table expressions, VALUES, set operations, aliases, functions of the
// server that only shape text and numbers, and from one column to another that
// it is compared with (a.org_id = o.id AND o.id = 'B').
//
// What the text does not tell, such as what a function of the schema makes of
// its arguments, is not followed: it meets nothing.

// flow follows the values of one statement.
type flow struct {
	walker  *walker
	columns []*column // those that have met something
	left    int       // how many leaves may still be copied
	depth   int
}

// leastFlow bounds the work for one statement, with what is added for each byte
// of it: WITH a AS (...), b AS (SELECT coalesce(x, x) FROM a), ... doubles the
// number of values with every step. A constant takes two bytes at least.
const (
	leastFlow   = 1 << 16
	flowPerByte = 2
)

// column is a column of a table that the statement reads or writes.
type column struct {
	name   string
	tenant bool
	key    bool         // Table.Key
	same   *column      // it equals this one; nil for the first of its class
	met    []TenantTerm // what it is compared with, or given
}

// leaf is one value that an expression may have: a constant, a parameter or a
// column.
type leaf struct {
	column *column // nil for a constant and a parameter
	value  Value
	flags  TermFlags
	member string // FlagDocument: the key, "" if it is given by memberValue or not known
	key    Value
}

// flowValue is what is known of the value of an expression.
type flowValue struct {
	leaves []leaf
	// opaque: it may also be something that is not known before execution.
	opaque bool
	// fields are those of a row.
	fields []output
}

// output is a column of a query's result or the field of a row. An output
// named starName stands for all columns of a source that are not known.
type output struct {
	name  string
	value flowValue
	star  *source
}

const starName = "*"

// followFlow fills in the tenant terms of a statement.
func (w *walker) followFlow(stmt node) {
	if len(w.options.TenantColumns) == 0 || !w.flow.relevant() {
		return
	}
	f := &flow{walker: w, left: leastFlow + flowPerByte*(w.statement.End-w.statement.Start)}
	f.value(stmt, nil)
	if f.left < 0 {
		w.unknown("values that flow too far")
	}
	for _, c := range f.columns {
		class := c.class()
		if !class.tenant {
			continue
		}
		for _, t := range c.met {
			t.Column = class.name
			w.statement.TenantTerms = append(w.statement.TenantTerms, t)
		}
	}
}

// spend reports whether n more leaves may be copied.
func (f *flow) spend(n int) bool {
	f.left -= n
	return f.left >= 0
}

func (c *column) class() *column {
	for c.same != nil {
		if c.same.same != nil {
			c.same = c.same.same
		}
		c = c.same
	}
	return c
}

// equate notes that two columns have equal values.
func equate(a, b *column) {
	a, b = a.class(), b.class()
	switch {
	case a == b:
	case a.tenant:
		b.same = a
	default:
		a.same = b
	}
}

// meet notes that a column meets a value.
func (f *flow) meet(c *column, t TenantTerm) {
	if !f.spend(1) {
		return
	}
	if len(c.met) == 0 {
		f.columns = append(f.columns, c)
	}
	c.met = append(c.met, t)
}

// add appends the leaves of another value that the expression may have.
func (f *flow) add(v, other flowValue, flags TermFlags) flowValue {
	v.opaque = v.opaque || other.opaque
	if !f.spend(len(other.leaves) + len(other.fields)) {
		return v
	}
	if len(other.fields) > 0 {
		v.fields = f.addFields(v.fields, other.fields)
	}
	if flags == 0 && len(v.leaves) == 0 {
		v.leaves = slices.Clip(other.leaves)
		return v
	}
	for _, l := range other.leaves {
		l.flags |= flags
		if !v.has(&l) {
			v.leaves = append(v.leaves, l)
		}
	}
	return v
}

// addFields adds the fields of another row that the expression may be.
func (f *flow) addFields(fields, other []output) []output {
	if len(fields) == 0 {
		return other
	}
	merged := slices.Clone(fields)
	for i := range min(len(merged), len(other)) {
		if merged[i].star == nil && other[i].star == nil {
			merged[i].value = f.add(merged[i].value, other[i].value, 0)
		}
	}
	return merged
}

// fewLeaves is how many leaves are looked through for one that is there.
const fewLeaves = 8

// has reports whether a column is among the first leaves.
func (v *flowValue) has(l *leaf) bool {
	if l.column == nil {
		return false
	}
	for i := range min(len(v.leaves), fewLeaves) {
		if v.leaves[i].column == l.column && v.leaves[i].flags == l.flags {
			return true
		}
	}
	return false
}

// source is an item of FROM, or the target of a statement.
type source struct {
	name    string // alias or name
	outputs []output
	// Of a table.
	table   bool
	known   []Table  // what the catalogue knows of tables of that name
	renamed []string // AS t (a, b)
	columns []*column
}

// scope is what names may mean at a place of the statement.
type scope struct {
	outer   *scope
	sources []*source
	ctes    []*source
}

func (s *scope) cte(name string) *source {
	for ; s != nil; s = s.outer {
		for i := len(s.ctes) - 1; i >= 0; i-- {
			if s.ctes[i].name == name {
				return s.ctes[i]
			}
		}
	}
	return nil
}

// isTenant reports whether a name is that of a column that carries the org, as
// catalogues are searched for it: without regard to case and underscores.
func isTenant[T string | []byte](o *Options, name T) bool {
	for _, t := range o.TenantColumns {
		if sameColumn(name, t) {
			return true
		}
	}
	return false
}

func sameColumn[T string | []byte](name T, column string) bool {
	i, j := 0, 0
	for {
		for i < len(name) && name[i] == '_' {
			i++
		}
		for j < len(column) && column[j] == '_' {
			j++
		}
		if i == len(name) || j == len(column) {
			return i == len(name) && j == len(column)
		}
		if lowerByte(name[i]) != lowerByte(column[j]) {
			return false
		}
		i++
		j++
	}
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// columnNames are the columns of the source in their order; nil if they are
// not known. position tells the one that stands at a place.
func (s *source) width() int {
	if !s.table {
		return len(s.outputs)
	}
	n := len(s.renamed)
	for i := range s.known {
		n = max(n, len(s.known[i].Columns))
	}
	return n
}

// at returns the column at a place, counted from 0, under the name that the
// statement knows it by.
func (f *flow) at(s *source, i int) output {
	if !s.table {
		return s.outputs[i]
	}
	name, known := "", ""
	for k := range s.known {
		if t := &s.known[k]; i < len(t.Columns) && (known == "" || f.carries(t, t.Columns[i])) {
			known = t.Columns[i]
		}
	}
	if name = known; i < len(s.renamed) {
		name = s.renamed[i]
	}
	if known == "" {
		known = name
	}
	return output{name: name, value: f.columnValue(f.column(s, name, known))}
}

func (f *flow) isTenant(name string) bool { return isTenant(f.walker.options, name) }

func (f *flow) carries(t *Table, column string) bool {
	return slices.Contains(t.Org, column) || t.Key == column || f.isTenant(column)
}

func (f *flow) columnValue(c *column) flowValue {
	return flowValue{leaves: []leaf{{column: c}}}
}

// column returns the column of a table by the name that the statement knows it
// by; the catalogue knows it as known.
func (f *flow) column(s *source, name, known string) *column {
	for _, c := range s.columns {
		if c.name == name {
			return c
		}
	}
	c := &column{name: name, tenant: f.isTenant(known)}
	for i := range s.known {
		t := &s.known[i]
		c.tenant = c.tenant || slices.Contains(t.Org, known)
		c.key = c.key || t.Key == known && known != ""
	}
	c.key = c.key && !c.tenant
	c.tenant = c.tenant || c.key
	s.columns = append(s.columns, c)
	return c
}

// field looks for a column of a source by name.
func (f *flow) field(s *source, name string) (v flowValue, ok bool) {
	if !s.table {
		return f.output(s.outputs, name)
	}
	if i := slices.Index(s.renamed, name); i >= 0 {
		return f.at(s, i).value, true
	}
	known := len(s.known) == 0 || slices.ContainsFunc(s.known, func(t Table) bool { return slices.Contains(t.Columns, name) })
	if !known {
		return flowValue{}, false
	}
	return f.columnValue(f.column(s, name, name)), true
}

// output looks for a column of a query's result. One that is called as a
// column that carries the org counts as such a column too.
func (f *flow) output(list []output, name string) (v flowValue, ok bool) {
	for i := range list {
		switch o := &list[i]; {
		case o.star != nil:
			if !ok {
				v, ok = f.field(o.star, name)
			}
		case o.name == name:
			v, ok = f.add(v, o.value, 0), true
		}
	}
	if ok && f.isTenant(name) {
		v = f.add(f.columnValue(&column{name: name, tenant: true}), v, 0)
	}
	return v, ok
}
