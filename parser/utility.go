package parser

import "strings"

// addUtilityHandlers adds those for statements that are no queries and define
// nothing.
func addUtilityHandlers(table map[string]handler) {
	table["VariableSetStmt"] = variableSet
	table["VariableShowStmt"] = variableShow
	table["AlterRoleSetStmt"] = storedSetting
	table["AlterDatabaseSetStmt"] = storedSetting
	table["AlterSystemStmt"] = storedSetting
	table["CopyStmt"] = copyStmt
	table["ExplainStmt"] = explainStmt
	table["PrepareStmt"] = func(w *walker, n node) { w.prepared(n) }
	table["ExecuteStmt"] = func(w *walker, n node) { w.prepared(n); w.flow.sure = true }
	table["DeallocateStmt"] = func(w *walker, n node) { w.prepared(n) }
	table["DeclareCursorStmt"] = declareCursor
	table["FetchStmt"] = func(w *walker, n node) { w.cursor(n) }
	table["ClosePortalStmt"] = func(w *walker, n node) { w.cursor(n) }
	table["TransactionStmt"] = transactionStmt
	table["DiscardStmt"] = discardStmt
	table["LockStmt"] = lockStmt
	table["TruncateStmt"] = truncateStmt
	table["ListenStmt"] = func(w *walker, n node) { w.channel(n) }
	table["NotifyStmt"] = func(w *walker, n node) { w.channel(n) }
	table["UnlistenStmt"] = func(w *walker, n node) { w.channel(n) }
	table["CallStmt"] = func(w *walker, n node) { w.descend(n) }
	table["ReturnStmt"] = func(w *walker, n node) { w.descend(n) }
	table["ConstraintsSetStmt"] = setConstraints
	table["DefElem"] = defElem
}

// defElem lists the name of an option.
func defElem(w *walker, n node) {
	w.statement.Options = append(w.statement.Options, lower(n.text("defname")))
	if w.statement.Kind == KindCreateFunction || w.statement.Kind == KindCreateProcedure || w.stored {
		if lower(n.text("defname")) == "security" && isTrue(n.child("arg")) {
			w.statement.Flags |= FlagSecurityDefiner
		}
	}
	w.descend(n)
}

// isTrue reads the argument of an option (defGetBoolean). What is not surely
// false counts as true.
func isTrue(n node) bool {
	switch n.name() {
	case "Boolean":
		return n.flag("boolval")
	case "Integer":
		return n.int("ival") != 0
	case "String":
		s := lower(n.text("sval"))
		return s != "false" && s != "off"
	}
	return true
}

// setConstraints is SET CONSTRAINTS: what it names look like relations, but are
// constraints.
func setConstraints(w *walker, n node) {
	for _, c := range n.list("constraints") {
		w.descend(c)
	}
	w.descend(n, "constraints")
}

func copyStmt(w *walker, n node) {
	c := &w.statement.Copy
	c.From, c.Program = n.flag("is_from"), n.flag("is_program")
	c.Query = n.child("query").ok()
	c.Stdio = !c.Program && n.text("filename") == ""
	access := AccessRead
	if c.From {
		access = AccessInsert
		w.statement.Flags |= FlagModifies
	}
	w.target(n, "relation", access)
	w.descend(n, "relation")
}

func explainStmt(w *walker, n node) {
	for _, o := range n.list("options") {
		if o.is("DefElem") && lower(o.text("defname")) == "analyze" && isTrue(o.child("arg")) {
			w.statement.Flags |= FlagAnalyze
		}
	}
	w.descend(n)
}

func (w *walker) prepared(n node) {
	w.statement.Prepared = n.text("name")
	w.descend(n)
}

func (w *walker) cursor(n node) {
	w.statement.Cursor = n.text("portalname")
	w.descend(n)
}

// cursorHold is CURSOR_OPT_HOLD (src/include/nodes/parsenodes.h, PostgreSQL 16).
const cursorHold = 0x20

func declareCursor(w *walker, n node) {
	if n.int("options")&cursorHold != 0 {
		w.statement.Flags |= FlagHold
	}
	w.cursor(n)
}

func transactionStmt(w *walker, n node) {
	s := w.statement
	s.Savepoint, s.GlobalID = n.text("savepoint_name"), n.text("gid")
	switch n.enum("kind") {
	case "TRANS_STMT_BEGIN", "TRANS_STMT_START":
		s.Transaction = TransactionBegin
	case "TRANS_STMT_COMMIT":
		s.Transaction = TransactionCommit
		if n.flag("chain") {
			s.Transaction = TransactionCommitChain
		}
	case "TRANS_STMT_ROLLBACK":
		s.Transaction = TransactionRollback
		if n.flag("chain") {
			s.Transaction = TransactionRollbackChain
		}
	case "TRANS_STMT_SAVEPOINT":
		s.Transaction = TransactionSavepoint
	case "TRANS_STMT_RELEASE":
		s.Transaction = TransactionRelease
	case "TRANS_STMT_ROLLBACK_TO":
		s.Transaction = TransactionRollbackTo
	case "TRANS_STMT_PREPARE":
		s.Transaction = TransactionPrepare
	case "TRANS_STMT_COMMIT_PREPARED":
		s.Transaction = TransactionCommitPrepared
	case "TRANS_STMT_ROLLBACK_PREPARED":
		s.Transaction = TransactionRollbackPrepared
	}
	w.descend(n)
}

func discardStmt(w *walker, n node) {
	switch n.enum("target") {
	case "DISCARD_ALL":
		w.statement.Discard = DiscardAll
	case "DISCARD_PLANS":
		w.statement.Discard = DiscardPlans
	case "DISCARD_SEQUENCES":
		w.statement.Discard = DiscardSequences
	case "DISCARD_TEMP":
		w.statement.Discard = DiscardTemp
	}
	w.descend(n)
}

func lockStmt(w *walker, n node) {
	mode := LockMode(n.int("mode"))
	if mode == LockNone || mode > LockAccessExclusive {
		w.unknown("value of LockStmt.mode")
	}
	w.statement.LockMode = mode
	w.with(AccessLock, func() { w.descend(n) })
}

func truncateStmt(w *walker, n node) {
	w.statement.Flags |= FlagModifies
	w.behavior(n)
	if n.flag("restart_seqs") {
		w.statement.Options = append(w.statement.Options, "restart_identity")
	}
	w.with(AccessTruncate, func() { w.descend(n) })
}

// behavior lists CASCADE as an option.
func (w *walker) behavior(n node) {
	if n.enum("behavior") == "DROP_CASCADE" {
		w.statement.Options = append(w.statement.Options, "cascade")
	}
}

func (w *walker) channel(n node) {
	w.statement.Channel = n.text("conditionname")
	if w.statement.Channel == "" && strings.HasPrefix(n.name(), "Unlisten") {
		w.statement.Channel = "*"
	}
	w.descend(n)
}
