package parser

import "strings"

// kindOf returns the kind of a statement, KindUnknown for one that this
// package does not know.
func kindOf(n node) Kind {
	if k, ok := fixedKinds()[n.name()]; ok {
		return k
	}
	switch n.name() {
	case "SelectStmt":
		if n.selectInto() {
			return KindSelectInto
		}
		return KindSelect
	case "TransactionStmt":
		return transactionKind(n.enum("kind"))
	case "VariableSetStmt":
		if kind := n.enum("kind"); kind == "VAR_RESET" || kind == "VAR_RESET_ALL" {
			return KindReset
		}
		return KindSet
	case "FetchStmt":
		return either(n.flag("ismove"), KindMove, KindFetch)
	case "VacuumStmt":
		return either(n.flag("is_vacuumcmd"), KindVacuum, KindAnalyze)
	case "GrantStmt":
		return either(n.flag("is_grant"), KindGrant, KindRevoke)
	case "GrantRoleStmt":
		return either(n.flag("is_grant"), KindGrantRole, KindRevokeRole)
	case "CreateFunctionStmt":
		return either(n.flag("is_procedure"), KindCreateProcedure, KindCreateFunction)
	case "CreateTableAsStmt":
		return createTableAsKind(n)
	case "DefineStmt":
		return objectKind("CREATE", n.enum("kind"))
	case "DropStmt":
		return objectKind("DROP", n.enum("remove_type"))
	case "RenameStmt":
		return renameKind(n)
	case "AlterTableStmt", "AlterFunctionStmt", "AlterTableMoveAllStmt":
		return objectKind("ALTER", n.enum("objtype"))
	case "AlterObjectSchemaStmt", "AlterObjectDependsStmt", "AlterOwnerStmt":
		return objectKind("ALTER", n.enum("object_type"))
	}
	return KindUnknown
}

func either(condition bool, yes, no Kind) Kind {
	if condition {
		return yes
	}
	return no
}

// selectInto reports whether a SELECT has an INTO. In a set operation it is in
// the leftmost one.
func (n node) selectInto() bool {
	for ; n.ok(); n = n.child("larg") {
		if n.child("into_clause").ok() {
			return true
		}
	}
	return false
}

func createTableAsKind(n node) Kind {
	switch {
	case n.enum("objtype") == "OBJECT_MATVIEW":
		return KindCreateMaterializedView
	case n.flag("is_select_into"):
		return KindSelectInto
	}
	return KindCreateTableAs
}

func transactionKind(kind string) Kind {
	switch kind {
	case "TRANS_STMT_BEGIN":
		return KindBegin
	case "TRANS_STMT_START":
		return KindStartTransaction
	case "TRANS_STMT_COMMIT":
		return KindCommit
	case "TRANS_STMT_ROLLBACK":
		return KindRollback
	case "TRANS_STMT_SAVEPOINT":
		return KindSavepoint
	case "TRANS_STMT_RELEASE":
		return KindRelease
	case "TRANS_STMT_ROLLBACK_TO":
		return KindRollbackTo
	case "TRANS_STMT_PREPARE":
		return KindPrepareTransaction
	case "TRANS_STMT_COMMIT_PREPARED":
		return KindCommitPrepared
	case "TRANS_STMT_ROLLBACK_PREPARED":
		return KindRollbackPrepared
	}
	return KindUnknown
}

// renameKind: a column or constraint is renamed by altering what has it.
func renameKind(n node) Kind {
	switch kind := n.enum("rename_type"); kind {
	case "OBJECT_COLUMN", "OBJECT_ATTRIBUTE":
		return objectKind("ALTER", n.enum("relation_type"))
	default:
		return objectKind("ALTER", kind)
	}
}

// objectKind returns the kind of a verb on an object type, as the command tag
// spells it.
func objectKind(verb, objectType string) Kind {
	k, _ := KindByTag(verb + " " + objectTag(objectType))
	return k
}

// objectTag spells an ObjectType as command tags do.
func objectTag(objectType string) string {
	switch objectType {
	case "OBJECT_MATVIEW":
		return "MATERIALIZED VIEW"
	case "OBJECT_FDW":
		return "FOREIGN DATA WRAPPER"
	case "OBJECT_FOREIGN_SERVER":
		return "SERVER"
	case "OBJECT_LARGEOBJECT":
		return "LARGE OBJECT"
	case "OBJECT_OPCLASS", "OBJECT_AMOP", "OBJECT_AMPROC":
		return "OPERATOR CLASS"
	case "OBJECT_OPFAMILY":
		return "OPERATOR FAMILY"
	case "OBJECT_STATISTIC_EXT":
		return "STATISTICS"
	case "OBJECT_TABCONSTRAINT", "OBJECT_COLUMN", "OBJECT_DEFAULT":
		return "TABLE"
	case "OBJECT_DOMCONSTRAINT":
		return "DOMAIN"
	case "OBJECT_ATTRIBUTE":
		return "TYPE"
	case "OBJECT_TSCONFIGURATION":
		return "TEXT SEARCH CONFIGURATION"
	case "OBJECT_TSDICTIONARY":
		return "TEXT SEARCH DICTIONARY"
	case "OBJECT_TSPARSER":
		return "TEXT SEARCH PARSER"
	case "OBJECT_TSTEMPLATE":
		return "TEXT SEARCH TEMPLATE"
	}
	return strings.ReplaceAll(strings.TrimPrefix(objectType, "OBJECT_"), "_", " ")
}
