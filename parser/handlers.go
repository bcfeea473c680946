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
		"A_Const":       leaf,
		"A_Expr":        comparison,
		"SubLink":       sublink,
		"ColumnRef":     columnRef,
		"A_Indirection": indirection,
		"RangeFunction": rangeFunction,
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
	settingRow, ownRow := w.settingRow, w.ownRow
	w.settingRow, w.ownRow = "", false
	if row, ok := oneRowOf(n); ok && len(w.ctes) == 0 {
		w.settingRow, w.ownRow = row.setting(), row.own()
	}
	w.scope(n, func() { w.descend(n, "with_clause") })
	w.settingRow, w.ownRow = settingRow, ownRow
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
	w.scope(n, func() {
		access := AccessInsert
		if conflict := n.child("on_conflict_clause"); conflict.enum("action") == "ONCONFLICT_UPDATE" {
			access |= AccessUpdate
			w.statement.Flags |= FlagOnConflictUpdate
			w.assignments(conflict.list("target_list"))
		}
		w.target(n, "relation", access)
		w.inserted(n)
		w.descend(n, "with_clause", "relation")
	})
}

// inserted lists the values for tenant columns. Without a list of columns it
// is not known which value is for which.
func (w *walker) inserted(n node) {
	query := n.child("select_stmt")
	for i, c := range n.list("cols") {
		column, ok := w.tenantColumn(c.text("name"))
		if !ok || !query.is("SelectStmt") {
			continue
		}
		for _, row := range query.list("values_lists") {
			if items := row.items(); i < len(items) {
				w.each(column, items[i], true)
			}
		}
		if targets := query.list("target_list"); i < len(targets) {
			w.each(column, targets[i].child("val"), true)
		}
	}
}

// assignments lists the values that SET gives to tenant columns.
func (w *walker) assignments(targets []node) {
	for _, t := range targets {
		column, ok := w.tenantColumn(t.text("name"))
		if !ok {
			continue
		}
		val := t.child("val")
		if val.is("MultiAssignRef") {
			args := val.child("source").list2("RowExpr", "args")
			i := val.int("colno") - 1
			if i < 0 || i >= len(args) {
				continue
			}
			val = args[i]
		}
		w.each(column, val, true)
	}
}

// list2 returns the items of a field if n is that message.
func (n node) list2(message, field string) []node {
	if !n.is(message) {
		return nil
	}
	return n.list(field)
}

func updateStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.scope(n, func() {
		w.target(n, "relation", AccessUpdate)
		w.assignments(n.list("target_list"))
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
		values := n.list("values")
		for i, c := range n.list("target_list") {
			if column, ok := w.tenantColumn(c.text("name")); ok && i < len(values) {
				w.each(column, values[i], true)
			}
		}
		return AccessInsert
	case "CMD_UPDATE":
		w.assignments(n.list("target_list"))
		return AccessUpdate
	case "CMD_DELETE":
		return AccessDelete
	}
	return 0
}

// leaf descends no further: the messages in an A_Const hold one value each.
// Lists of constants are the longest there are.
func leaf(w *walker, n node) {
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

// comparison looks for tenant columns: =, <, BETWEEN, IS NOT DISTINCT FROM, IN,
// = ANY and the like. <> names what is not looked for.
func comparison(w *walker, n node) {
	w.descend(n)
	if len(w.options.TenantColumns) == 0 {
		return
	}
	left, right := n.child("lexpr"), n.child("rexpr")
	switch n.enum("kind") {
	case "AEXPR_BETWEEN", "AEXPR_BETWEEN_SYM":
		right.eachItem(func(item node) { w.compare(left, item) })
		return
	}
	switch n.child("name").text("sval") { // the last part of the operator's name
	case "=", "<", ">", "<=", ">=":
	default:
		return
	}
	switch n.enum("kind") {
	case "AEXPR_OP", "AEXPR_NOT_DISTINCT", "AEXPR_DISTINCT", "AEXPR_OP_ANY", "AEXPR_OP_ALL":
		w.compare(left, right)
	case "AEXPR_IN":
		right.eachItem(func(item node) { w.compare(left, item) })
	}
}

// sublink looks for tenant columns before IN (SELECT ...) and = ANY (...).
func sublink(w *walker, n node) {
	w.descend(n)
	operator := n.child("oper_name").text("sval") // none is IN
	if n.enum("sub_link_type") != "ANY_SUBLINK" || operator != "" && operator != "=" {
		return
	}
	if c, ok := w.column(n.child("testexpr")); ok {
		w.each(c, n.child("subselect"), false)
	}
}

func columnRef(w *walker, n node) {
	w.descend(n)
	if fields := n.count("fields"); fields > 1 {
		w.attributes(n.list("fields"), 1)
	}
}

func indirection(w *walker, n node) {
	w.descend(n)
	before := len(w.statement.Attributes)
	w.attributes(n.list("indirection"), 0)
	w.statement.Selected = append(w.statement.Selected, w.statement.Attributes[before:]...)
}

func rangeFunction(w *walker, n node) {
	w.statement.Flags |= FlagFromFunction
	w.descend(n)
}

func (w *walker) attributes(parts []node, from int) {
	for i := from; i < len(parts); i++ {
		if parts[i].is("String") {
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
