package parser

import (
	"strings"
)

// handlers are those for messages that give facts. Other messages are only
// descended into.
func handlers() map[string]handler {
	table := map[string]handler{
		"SelectStmt":    selectStmt,
		"InsertStmt":    insertStmt,
		"UpdateStmt":    updateStmt,
		"DeleteStmt":    deleteStmt,
		"MergeStmt":     mergeStmt,
		"RangeVar":      func(w *walker, n node) { w.relation(n, w.access) },
		"LockingClause": lockingClause,
		"IntoClause":    intoClause,
		"CurrentOfExpr": currentOf,
		"FuncCall":      funcCall,
		"A_Const":       constantLeaf,
		"ParamRef":      param,
		"ColumnRef":     columnRef,
		"A_Indirection": indirection,
		"RangeFunction": rangeFunction,
		"ResTarget":     resTarget,
		"JoinExpr":      joinExpr,
		"Alias":         alias,
		"TypeName":      typeName,
		"RoleSpec":      roleSpec,
	}

	addUtilityHandlers(table)
	addDefinitionHandlers(table)
	return table
}

func selectStmt(w *walker, n node) {
	if n.child("into_clause").ok() {
		w.statement.Flags |= FlagSelectInto
	}
	w.flow.queries++
	outer := w.settingRow
	w.settingRow = ""
	if name, ok := settingRow(n); ok && len(w.ctes) == 0 {
		w.settingRow = name
	}
	w.scope(n, func() { w.descend(n, "with_clause") })
	w.settingRow = outer
}

// lockingClause is FOR UPDATE and the like. Its relations are aliases of those
// in FROM.
func lockingClause(w *walker, n node) {
	w.statement.Flags |= FlagRowLock
	w.descend(n, "locked_rels")
}

func intoClause(w *walker, n node) {
	w.descend(n, "rel")
	w.target(n, "rel", AccessCreate)
}

func currentOf(w *walker, n node) {
	w.statement.Flags |= FlagWhereCurrentOf
	w.statement.Cursor = n.text("cursor_name")
	w.descend(n)
}

func insertStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.flow.sure = w.flow.sure || n.count("cols") == 0
	w.scope(n, func() {
		access := AccessInsert
		if conflict := n.child("on_conflict_clause"); conflict.enum("action") == "ONCONFLICT_UPDATE" {
			access |= AccessUpdate
			w.statement.Flags |= FlagOnConflictUpdate
		}
		w.target(n, "relation", access)
		w.descend(n, "with_clause", "relation")
	})
}

func updateStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.scope(n, func() {
		w.target(n, "relation", AccessUpdate)
		w.descend(n, "with_clause", "relation")
	})
}

func deleteStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.scope(n, func() {
		w.target(n, "relation", AccessDelete)
		w.descend(n, "with_clause", "relation")
	})
}

func mergeStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.scope(n, func() {
		var access Access
		for _, when := range n.list("merge_when_clauses") {
			access |= w.mergeWhen(when)
		}
		if access == 0 { // DO NOTHING in all of them
			access = AccessRead | AccessUpdate
		}
		w.target(n, "relation", access)
		w.descend(n, "with_clause", "relation")
	})
}

func (w *walker) mergeWhen(n node) Access {
	switch n.enum("command_type") {
	case "CMD_INSERT":
		w.flow.sure = w.flow.sure || n.count("target_list") == 0
		return AccessInsert
	case "CMD_UPDATE":
		return AccessUpdate
	case "CMD_DELETE":
		return AccessDelete
	}
	return 0
}

// constantLeaf descends no further: the messages in an A_Const hold one value each.
// Lists of constants are the longest there are.
func constantLeaf(w *walker, n node) {
	w.flow.values = true
	r := n.read()
	for r.next() {
		if r.field == nil {
			w.unknown("field of " + n.name())
		}
	}
	if r.bad {
		w.unknown("bytes of " + n.name())
	}
}

func param(w *walker, n node) {
	w.flow.values = true
	w.descend(n)
}

func indirection(w *walker, n node) {
	w.descend(n)
	before := len(w.statement.Attributes)
	w.attributes(n.list("indirection"), 0)
	w.flow.sure = w.flow.sure || n.child("indirection").is("A_Star")
	w.statement.Selected = append(w.statement.Selected, w.statement.Attributes[before:]...)
}

func rangeFunction(w *walker, n node) {
	w.statement.Flags |= FlagFromFunction
	w.descend(n)
}

func (w *walker) attributes(parts []node, from int) {
	for i := from; i < len(parts); i++ {
		if parts[i].is("String") {
			w.mentionColumn(parts[i].raw("sval"))
			w.statement.Attributes = append(w.statement.Attributes, parts[i].text("sval"))
		}
	}
}

func typeName(w *walker, n node) {
	w.descend(n)
	name := nameOf(stringsOf(n.list("names")))
	if name.Name == "" || w.types[name] {
		return
	}
	if w.types == nil {
		w.types = make(map[Name]bool)
	}
	w.types[name] = true
	w.statement.Types = append(w.statement.Types, name)
}

func roleSpec(w *walker, n node) {
	w.descend(n)
	switch kind := n.enum("roletype"); kind {
	case "ROLESPEC_CSTRING":
		w.statement.Roles = append(w.statement.Roles, n.text("rolename"))
	default:
		w.statement.Roles = append(w.statement.Roles, strings.ToLower(strings.TrimPrefix(kind, "ROLESPEC_")))
	}
}
