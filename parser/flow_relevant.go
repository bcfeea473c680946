package parser

import "bytes"

// Whether the flow of values has to be followed: most statements of an
// application that leaves the org to row security cannot name one.

// maxSimpleNames bounds the names of columns that are compared with those of
// relations.
const maxSimpleNames = 256

// relevance collects what could make a value meet a column of the org.
type relevance struct {
	values    bool // there is a constant or parameter
	sure      bool // a column of the org is named, or may be reached without a name
	stars     int  // *
	listed    int  // those that are columns of a query's result
	queries   int
	relations [][]byte // names and aliases, of the tree
	simple    [][]byte // names of columns: they may mean a whole row
}

// reset is for another statement: with the memory of the lists.
func (r *relevance) reset() relevance {
	clear(r.relations)
	clear(r.simple)
	return relevance{relations: r.relations[:0], simple: r.simple[:0]}
}

// relevant reports whether the statement may have tenant terms.
func (r *relevance) relevant() bool {
	if !r.values {
		return false
	}
	if r.sure || r.stars > r.listed || r.stars > 0 && r.queries > 1 || len(r.simple) > maxSimpleNames {
		return true
	}
	for _, name := range r.simple {
		for _, relation := range r.relations {
			if bytes.Equal(name, relation) {
				return true
			}
		}
	}
	return false
}

// mention notes a name that may be that of a column of the org.
func (w *walker) mention(name []byte) {
	w.flow.sure = w.flow.sure || isTenant(w.options, name)
}

// mentionRelation notes a relation: it may have a column that carries the org
// under another name.
func (w *walker) mentionRelation(n node, name Name) {
	if len(w.options.TenantColumns) == 0 {
		return
	}
	w.flow.relations = append(w.flow.relations, n.raw("relname"))
	if w.flow.sure || w.options.Tables == nil {
		return
	}
	for _, t := range w.options.Tables(name) {
		w.flow.sure = w.flow.sure || t.Key != ""
		for _, column := range t.Org {
			w.flow.sure = w.flow.sure || !isTenant(w.options, column)
		}
	}
}

// mentionColumn notes the name of a column. It may be that of a relation: the
// whole row.
func (w *walker) mentionColumn(name []byte) {
	if len(w.options.TenantColumns) == 0 {
		return
	}
	w.mention(name)
	if len(w.flow.simple) <= maxSimpleNames {
		w.flow.simple = append(w.flow.simple, name)
	}
}

func columnRef(w *walker, n node) {
	w.descend(n)
	fields := n.count("fields")
	last := n.child("fields")
	switch {
	case last.is("A_Star"):
		w.flow.stars++
	case fields == 1 && len(w.options.TenantColumns) > 0:
		w.mentionColumn(last.raw("sval"))
	}
	if fields > 1 {
		w.attributes(n.list("fields"), 1)
	}
}

// raw is text as bytes of the tree, for what is only looked at.
func (n node) raw(name string) []byte {
	_, v, _ := n.last(name)
	return v.bytes
}

// resTarget is a column of a result, or one that is written.
func resTarget(w *walker, n node) {
	w.descend(n)
	if len(w.options.TenantColumns) == 0 {
		return
	}
	w.mention(n.raw("name"))
	if val := n.child("val"); val.is("ColumnRef") && val.child("fields").is("A_Star") {
		w.flow.listed++
	}
}

func joinExpr(w *walker, n node) {
	w.descend(n)
	w.flow.sure = w.flow.sure || n.flag("is_natural")
	n.each("using_clause", func(name node) {
		if name.is("String") {
			w.mention(name.raw("sval"))
		}
	})
}

// alias is AS t (a, b): it renames columns.
func alias(w *walker, n node) {
	w.descend(n)
	w.flow.sure = w.flow.sure || n.count("colnames") > 0
	if len(w.options.TenantColumns) > 0 {
		w.flow.relations = append(w.flow.relations, n.raw("aliasname"))
	}
}
