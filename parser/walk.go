package parser

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxWalkDepth bounds the walk. A text that Guard passed stays far below.
const maxWalkDepth = 50_000

// handler takes what facts a message gives. It must see to it that every field
// of the message is visited: by walker.descend.
type handler func(w *walker, n node)

// walker walks through one statement.
type walker struct {
	statement *Statement
	options   *Options
	depth     int
	access    Access         // what happens to a relation that is met
	ctes      []string       // names of common table expressions in scope
	isCTE     map[string]int // how often a name is among ctes
	stored    bool           // below CREATE or ALTER FUNCTION: a SET is kept with it
	inQuery   bool           // below a query: further SELECTs are parts of it
	flow      relevance

	settingRow string // in a query that reads the row of one setting in pg_settings: its name

	relations map[relationKey]int // index in statement.Relations, once there are many
	types     map[Name]bool
}

type relationKey struct {
	Name
	only, temp bool
}

// top walks through a RawStmt.
func (w *walker) top(raw node) {
	stmt := raw.child("stmt")
	if !stmt.ok() {
		w.unknown("statement without a node")
		return
	}
	w.access = AccessRead
	w.statement.Kind = kindOf(stmt)
	if w.statement.Kind == KindUnknown {
		w.unknown("statement " + stmt.name())
	}
	w.depth++
	w.enter(stmt)
	w.depth--
	w.followFlow(stmt)
	if w.statement.Kind == KindSelect && w.statement.readsCounters() && onlyIdentities(stmt) {
		w.statement.Flags |= FlagNoCounters
	}
	w.statement.finish()
}

func (w *walker) unknown(what string) {
	w.statement.Unclassified = append(w.statement.Unclassified, what)
}

// visit walks through a node inside the statement.
func (w *walker) visit(n node) {
	n = n.unwrap()
	if !n.ok() {
		return
	}
	if !n.message.raw {
		w.unknown("node " + n.name())
	}
	if w.depth++; w.depth > maxWalkDepth {
		w.unknown("depth")
		w.depth--
		return
	}
	if n.message.stmt {
		w.nested(n)
	}
	w.enter(n)
	w.depth--
}

func (w *walker) enter(n node) {
	if n.message.handler != nil {
		n.message.handler(w, n)
		return
	}
	if n.message.stmt && !n.message.query {
		w.utility(n)
		return
	}
	w.descend(n)
}

// nested lists the kind of a statement inside another. Sub-selects of a query
// are parts of it.
func (w *walker) nested(n node) {
	k := kindOf(n)
	if k == KindUnknown {
		w.unknown("statement " + n.name())
		return
	}
	if k == KindSelect && w.inQuery {
		return
	}
	w.statement.Nested = append(w.statement.Nested, k)
}

func isQueryMessage(name string) bool {
	switch name {
	case "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt":
		return true
	}
	return false
}

// descend visits every field of a message save those to skip, which the caller
// has visited itself.
func (w *walker) descend(n node, skip ...string) {
	if !n.ok() {
		return
	}
	r := n.read()
	for r.next() {
		f, v := r.field, r.value
		switch {
		case f == nil:
			w.unknown("field of " + n.name())
		case f.kind == protoreflect.EnumKind:
			if _, known := f.values[int32(v.integer)]; !known {
				w.unknown("value of " + n.name() + "." + f.name)
			}
		case f.message == nil || slices.Contains(skip, f.name):
		default:
			w.visitField(n, f, v)
		}
	}
	if r.bad {
		w.unknown("bytes of " + n.name())
	}
}

func (w *walker) visitField(n node, f *field, v value) {
	child := node{f.message, v.bytes}
	if !f.message.oneof {
		w.visit(child)
		return
	}
	inner := child.unwrap()
	if !inner.ok() && !mayBeEmpty(n.name(), f.name) {
		w.unknown("empty " + n.name() + "." + f.name)
	}
	if len(child.bytes) > 0 && !inner.ok() {
		w.unknown("node in " + n.name() + "." + f.name)
	}
	w.visit(inner)
}

// mayBeEmpty names the lists in which the grammar puts nothing on purpose:
// DISTINCT without ON, a missing operand, the types of an aggregate's (*), a
// function in FROM without column definitions.
func mayBeEmpty(message, field string) bool {
	switch message + "." + field {
	case "SelectStmt.distinct_clause", "List.items", "ObjectWithArgs.objargs", "DefineStmt.args":
		return true
	}
	return false
}

// with runs body while relations that are met have that access.
func (w *walker) with(access Access, body func()) {
	saved := w.access
	w.access = access
	body()
	w.access = saved
}

// scope runs body with the common table expressions of n's WITH in scope.
func (w *walker) scope(n node, body func()) {
	access, ctes, inQuery := w.access, len(w.ctes), w.inQuery
	w.access, w.inQuery = AccessRead, true
	w.withClause(n.child("with_clause"))
	body()
	for _, name := range w.ctes[ctes:] {
		w.isCTE[name]--
	}
	w.access, w.ctes, w.inQuery = access, w.ctes[:ctes], inQuery
}

func (w *walker) withClause(n node) {
	if !n.ok() {
		return
	}
	w.descend(n, "ctes")
	list := n.list("ctes")
	recursive := n.flag("recursive")
	if recursive {
		for _, c := range list {
			w.addCTE(c)
		}
	}
	for _, c := range list {
		w.visit(c)
		if !recursive {
			w.addCTE(c)
		}
	}
}

func (w *walker) addCTE(n node) {
	if !n.is("CommonTableExpr") {
		return
	}
	if w.isCTE == nil {
		w.isCTE = make(map[string]int)
	}
	name := n.text("ctename")
	w.ctes = append(w.ctes, name)
	w.isCTE[name]++
}

// relation lists a RangeVar.
func (w *walker) relation(n node, access Access) {
	w.descend(n)
	name := Name{Catalog: n.text("catalogname"), Schema: n.text("schemaname"), Name: n.text("relname")}
	w.mentionRelation(n, name)
	if access == AccessRead && name.Schema == "" && w.isCTE[name.Name] > 0 {
		return
	}
	key := relationKey{Name: name, only: !n.flag("inh"), temp: n.text("relpersistence") == "t" || name.Schema == "pg_temp"}
	if access&AccessCreate != 0 && key.temp {
		w.statement.Flags |= FlagTemp
	}
	if i := w.listed(key); i >= 0 {
		w.statement.Relations[i].Access |= access
		return
	}
	if w.relations != nil {
		w.relations[key] = len(w.statement.Relations)
	}
	w.statement.Relations = append(w.statement.Relations, Relation{Name: name, Access: access, Only: key.only, Temp: key.temp})
}

// fewRelations is up to which going through the list is faster than a map.
const fewRelations = 8

// listed returns where a relation is in the statement's list, -1 if it is not.
func (w *walker) listed(key relationKey) int {
	list := w.statement.Relations
	if len(list) <= fewRelations {
		return slices.IndexFunc(list, func(r Relation) bool { return r.key() == key })
	}
	if w.relations == nil {
		w.relations = make(map[relationKey]int, 2*len(list))
		for i := range list {
			w.relations[list[i].key()] = i
		}
	}
	if i, found := w.relations[key]; found {
		return i
	}
	return -1
}

func (r *Relation) key() relationKey { return relationKey{Name: r.Name, only: r.Only, temp: r.Temp} }

// target lists the relation in a field of n with the access that the statement
// has to it.
func (w *walker) target(n node, name string, access Access) {
	if r := n.child(name); r.ok() {
		w.relation(r, access)
	}
}
