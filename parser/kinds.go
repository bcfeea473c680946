package parser

import "strings"

// Kind is the kind of a statement. There is one for each command tag of
// PostgreSQL 16 (src/include/tcop/cmdtaglist.h), save that those which differ
// in an operand only are one: DISCARD ALL and DISCARD TEMP are KindDiscard.
type Kind uint8

// The kinds. KindUnknown is a statement that the walker does not know; its
// statement has Unclassified set.
const (
	KindUnknown                       Kind = iota
	KindSelect                             // SELECT
	KindInsert                             // INSERT
	KindUpdate                             // UPDATE
	KindDelete                             // DELETE
	KindMerge                              // MERGE
	KindExplain                            // EXPLAIN
	KindPrepare                            // PREPARE
	KindExecute                            // EXECUTE
	KindDeallocate                         // DEALLOCATE
	KindDeclareCursor                      // DECLARE CURSOR
	KindFetch                              // FETCH
	KindMove                               // MOVE
	KindClose                              // CLOSE
	KindBegin                              // BEGIN
	KindStartTransaction                   // START TRANSACTION
	KindCommit                             // COMMIT
	KindRollback                           // ROLLBACK
	KindSavepoint                          // SAVEPOINT
	KindRelease                            // RELEASE
	KindRollbackTo                         // ROLLBACK TO
	KindPrepareTransaction                 // PREPARE TRANSACTION
	KindCommitPrepared                     // COMMIT PREPARED
	KindRollbackPrepared                   // ROLLBACK PREPARED
	KindSet                                // SET
	KindReset                              // RESET
	KindShow                               // SHOW
	KindDiscard                            // DISCARD
	KindSetConstraints                     // SET CONSTRAINTS
	KindListen                             // LISTEN
	KindNotify                             // NOTIFY
	KindUnlisten                           // UNLISTEN
	KindLock                               // LOCK
	KindTruncate                           // TRUNCATE
	KindCopy                               // COPY
	KindCall                               // CALL
	KindDo                                 // DO
	KindLoad                               // LOAD
	KindCheckpoint                         // CHECKPOINT
	KindAnalyze                            // ANALYZE
	KindVacuum                             // VACUUM
	KindCluster                            // CLUSTER
	KindReindex                            // REINDEX
	KindRefreshMaterializedView            // REFRESH MATERIALIZED VIEW
	KindGrant                              // GRANT
	KindRevoke                             // REVOKE
	KindGrantRole                          // GRANT ROLE
	KindRevokeRole                         // REVOKE ROLE
	KindAlterDefaultPrivileges             // ALTER DEFAULT PRIVILEGES
	KindReassignOwned                      // REASSIGN OWNED
	KindDropOwned                          // DROP OWNED
	KindAlterSystem                        // ALTER SYSTEM
	KindComment                            // COMMENT
	KindSecurityLabel                      // SECURITY LABEL
	KindImportForeignSchema                // IMPORT FOREIGN SCHEMA
	KindCreateTable                        // CREATE TABLE
	KindCreateTableAs                      // CREATE TABLE AS
	KindSelectInto                         // SELECT INTO
	KindCreateMaterializedView             // CREATE MATERIALIZED VIEW
	KindCreateForeignTable                 // CREATE FOREIGN TABLE
	KindCreateView                         // CREATE VIEW
	KindCreateIndex                        // CREATE INDEX
	KindCreateSequence                     // CREATE SEQUENCE
	KindCreateFunction                     // CREATE FUNCTION
	KindCreateProcedure                    // CREATE PROCEDURE
	KindCreateTrigger                      // CREATE TRIGGER
	KindCreateRule                         // CREATE RULE
	KindCreatePolicy                       // CREATE POLICY
	KindCreateEventTrigger                 // CREATE EVENT TRIGGER
	KindCreateSchema                       // CREATE SCHEMA
	KindCreateExtension                    // CREATE EXTENSION
	KindCreateLanguage                     // CREATE LANGUAGE
	KindCreateType                         // CREATE TYPE
	KindCreateDomain                       // CREATE DOMAIN
	KindCreateAggregate                    // CREATE AGGREGATE
	KindCreateOperator                     // CREATE OPERATOR
	KindCreateOperatorClass                // CREATE OPERATOR CLASS
	KindCreateOperatorFamily               // CREATE OPERATOR FAMILY
	KindCreateCollation                    // CREATE COLLATION
	KindCreateConversion                   // CREATE CONVERSION
	KindCreateCast                         // CREATE CAST
	KindCreateTransform                    // CREATE TRANSFORM
	KindCreateAccessMethod                 // CREATE ACCESS METHOD
	KindCreateStatistics                   // CREATE STATISTICS
	KindCreateTextSearchConfiguration      // CREATE TEXT SEARCH CONFIGURATION
	KindCreateTextSearchDictionary         // CREATE TEXT SEARCH DICTIONARY
	KindCreateTextSearchParser             // CREATE TEXT SEARCH PARSER
	KindCreateTextSearchTemplate           // CREATE TEXT SEARCH TEMPLATE
	KindCreateDatabase                     // CREATE DATABASE
	KindCreateTablespace                   // CREATE TABLESPACE
	KindCreateRole                         // CREATE ROLE
	KindCreateForeignDataWrapper           // CREATE FOREIGN DATA WRAPPER
	KindCreateServer                       // CREATE SERVER
	KindCreateUserMapping                  // CREATE USER MAPPING
	KindCreatePublication                  // CREATE PUBLICATION
	KindCreateSubscription                 // CREATE SUBSCRIPTION
	KindAlterTable                         // ALTER TABLE
	KindAlterMaterializedView              // ALTER MATERIALIZED VIEW
	KindAlterForeignTable                  // ALTER FOREIGN TABLE
	KindAlterView                          // ALTER VIEW
	KindAlterIndex                         // ALTER INDEX
	KindAlterSequence                      // ALTER SEQUENCE
	KindAlterFunction                      // ALTER FUNCTION
	KindAlterProcedure                     // ALTER PROCEDURE
	KindAlterRoutine                       // ALTER ROUTINE
	KindAlterTrigger                       // ALTER TRIGGER
	KindAlterRule                          // ALTER RULE
	KindAlterPolicy                        // ALTER POLICY
	KindAlterEventTrigger                  // ALTER EVENT TRIGGER
	KindAlterSchema                        // ALTER SCHEMA
	KindAlterExtension                     // ALTER EXTENSION
	KindAlterLanguage                      // ALTER LANGUAGE
	KindAlterType                          // ALTER TYPE
	KindAlterDomain                        // ALTER DOMAIN
	KindAlterAggregate                     // ALTER AGGREGATE
	KindAlterOperator                      // ALTER OPERATOR
	KindAlterOperatorClass                 // ALTER OPERATOR CLASS
	KindAlterOperatorFamily                // ALTER OPERATOR FAMILY
	KindAlterCollation                     // ALTER COLLATION
	KindAlterConversion                    // ALTER CONVERSION
	KindAlterCast                          // ALTER CAST
	KindAlterTransform                     // ALTER TRANSFORM
	KindAlterAccessMethod                  // ALTER ACCESS METHOD
	KindAlterStatistics                    // ALTER STATISTICS
	KindAlterConstraint                    // ALTER CONSTRAINT
	KindAlterTextSearchConfiguration       // ALTER TEXT SEARCH CONFIGURATION
	KindAlterTextSearchDictionary          // ALTER TEXT SEARCH DICTIONARY
	KindAlterTextSearchParser              // ALTER TEXT SEARCH PARSER
	KindAlterTextSearchTemplate            // ALTER TEXT SEARCH TEMPLATE
	KindAlterDatabase                      // ALTER DATABASE
	KindAlterTablespace                    // ALTER TABLESPACE
	KindAlterRole                          // ALTER ROLE
	KindAlterForeignDataWrapper            // ALTER FOREIGN DATA WRAPPER
	KindAlterServer                        // ALTER SERVER
	KindAlterUserMapping                   // ALTER USER MAPPING
	KindAlterPublication                   // ALTER PUBLICATION
	KindAlterSubscription                  // ALTER SUBSCRIPTION
	KindAlterLargeObject                   // ALTER LARGE OBJECT
	KindDropTable                          // DROP TABLE
	KindDropMaterializedView               // DROP MATERIALIZED VIEW
	KindDropForeignTable                   // DROP FOREIGN TABLE
	KindDropView                           // DROP VIEW
	KindDropIndex                          // DROP INDEX
	KindDropSequence                       // DROP SEQUENCE
	KindDropFunction                       // DROP FUNCTION
	KindDropProcedure                      // DROP PROCEDURE
	KindDropRoutine                        // DROP ROUTINE
	KindDropTrigger                        // DROP TRIGGER
	KindDropRule                           // DROP RULE
	KindDropPolicy                         // DROP POLICY
	KindDropEventTrigger                   // DROP EVENT TRIGGER
	KindDropSchema                         // DROP SCHEMA
	KindDropExtension                      // DROP EXTENSION
	KindDropLanguage                       // DROP LANGUAGE
	KindDropType                           // DROP TYPE
	KindDropDomain                         // DROP DOMAIN
	KindDropAggregate                      // DROP AGGREGATE
	KindDropOperator                       // DROP OPERATOR
	KindDropOperatorClass                  // DROP OPERATOR CLASS
	KindDropOperatorFamily                 // DROP OPERATOR FAMILY
	KindDropCollation                      // DROP COLLATION
	KindDropConversion                     // DROP CONVERSION
	KindDropCast                           // DROP CAST
	KindDropTransform                      // DROP TRANSFORM
	KindDropAccessMethod                   // DROP ACCESS METHOD
	KindDropStatistics                     // DROP STATISTICS
	KindDropTextSearchConfiguration        // DROP TEXT SEARCH CONFIGURATION
	KindDropTextSearchDictionary           // DROP TEXT SEARCH DICTIONARY
	KindDropTextSearchParser               // DROP TEXT SEARCH PARSER
	KindDropTextSearchTemplate             // DROP TEXT SEARCH TEMPLATE
	KindDropDatabase                       // DROP DATABASE
	KindDropTablespace                     // DROP TABLESPACE
	KindDropRole                           // DROP ROLE
	KindDropForeignDataWrapper             // DROP FOREIGN DATA WRAPPER
	KindDropServer                         // DROP SERVER
	KindDropUserMapping                    // DROP USER MAPPING
	KindDropPublication                    // DROP PUBLICATION
	KindDropSubscription                   // DROP SUBSCRIPTION
	KindReturn                             // RETURN

	kindEnd
)

// kindTags are the tags in the order of the constants.
var kindTags = [kindEnd]string{
	KindUnknown:                       "UNKNOWN",
	KindSelect:                        "SELECT",
	KindInsert:                        "INSERT",
	KindUpdate:                        "UPDATE",
	KindDelete:                        "DELETE",
	KindMerge:                         "MERGE",
	KindExplain:                       "EXPLAIN",
	KindPrepare:                       "PREPARE",
	KindExecute:                       "EXECUTE",
	KindDeallocate:                    "DEALLOCATE",
	KindDeclareCursor:                 "DECLARE CURSOR",
	KindFetch:                         "FETCH",
	KindMove:                          "MOVE",
	KindClose:                         "CLOSE",
	KindBegin:                         "BEGIN",
	KindStartTransaction:              "START TRANSACTION",
	KindCommit:                        "COMMIT",
	KindRollback:                      "ROLLBACK",
	KindSavepoint:                     "SAVEPOINT",
	KindRelease:                       "RELEASE",
	KindRollbackTo:                    "ROLLBACK TO",
	KindPrepareTransaction:            "PREPARE TRANSACTION",
	KindCommitPrepared:                "COMMIT PREPARED",
	KindRollbackPrepared:              "ROLLBACK PREPARED",
	KindSet:                           "SET",
	KindReset:                         "RESET",
	KindShow:                          "SHOW",
	KindDiscard:                       "DISCARD",
	KindSetConstraints:                "SET CONSTRAINTS",
	KindListen:                        "LISTEN",
	KindNotify:                        "NOTIFY",
	KindUnlisten:                      "UNLISTEN",
	KindLock:                          "LOCK",
	KindTruncate:                      "TRUNCATE",
	KindCopy:                          "COPY",
	KindCall:                          "CALL",
	KindDo:                            "DO",
	KindLoad:                          "LOAD",
	KindCheckpoint:                    "CHECKPOINT",
	KindAnalyze:                       "ANALYZE",
	KindVacuum:                        "VACUUM",
	KindCluster:                       "CLUSTER",
	KindReindex:                       "REINDEX",
	KindRefreshMaterializedView:       "REFRESH MATERIALIZED VIEW",
	KindGrant:                         "GRANT",
	KindRevoke:                        "REVOKE",
	KindGrantRole:                     "GRANT ROLE",
	KindRevokeRole:                    "REVOKE ROLE",
	KindAlterDefaultPrivileges:        "ALTER DEFAULT PRIVILEGES",
	KindReassignOwned:                 "REASSIGN OWNED",
	KindDropOwned:                     "DROP OWNED",
	KindAlterSystem:                   "ALTER SYSTEM",
	KindComment:                       "COMMENT",
	KindSecurityLabel:                 "SECURITY LABEL",
	KindImportForeignSchema:           "IMPORT FOREIGN SCHEMA",
	KindCreateTable:                   "CREATE TABLE",
	KindCreateTableAs:                 "CREATE TABLE AS",
	KindSelectInto:                    "SELECT INTO",
	KindCreateMaterializedView:        "CREATE MATERIALIZED VIEW",
	KindCreateForeignTable:            "CREATE FOREIGN TABLE",
	KindCreateView:                    "CREATE VIEW",
	KindCreateIndex:                   "CREATE INDEX",
	KindCreateSequence:                "CREATE SEQUENCE",
	KindCreateFunction:                "CREATE FUNCTION",
	KindCreateProcedure:               "CREATE PROCEDURE",
	KindCreateTrigger:                 "CREATE TRIGGER",
	KindCreateRule:                    "CREATE RULE",
	KindCreatePolicy:                  "CREATE POLICY",
	KindCreateEventTrigger:            "CREATE EVENT TRIGGER",
	KindCreateSchema:                  "CREATE SCHEMA",
	KindCreateExtension:               "CREATE EXTENSION",
	KindCreateLanguage:                "CREATE LANGUAGE",
	KindCreateType:                    "CREATE TYPE",
	KindCreateDomain:                  "CREATE DOMAIN",
	KindCreateAggregate:               "CREATE AGGREGATE",
	KindCreateOperator:                "CREATE OPERATOR",
	KindCreateOperatorClass:           "CREATE OPERATOR CLASS",
	KindCreateOperatorFamily:          "CREATE OPERATOR FAMILY",
	KindCreateCollation:               "CREATE COLLATION",
	KindCreateConversion:              "CREATE CONVERSION",
	KindCreateCast:                    "CREATE CAST",
	KindCreateTransform:               "CREATE TRANSFORM",
	KindCreateAccessMethod:            "CREATE ACCESS METHOD",
	KindCreateStatistics:              "CREATE STATISTICS",
	KindCreateTextSearchConfiguration: "CREATE TEXT SEARCH CONFIGURATION",
	KindCreateTextSearchDictionary:    "CREATE TEXT SEARCH DICTIONARY",
	KindCreateTextSearchParser:        "CREATE TEXT SEARCH PARSER",
	KindCreateTextSearchTemplate:      "CREATE TEXT SEARCH TEMPLATE",
	KindCreateDatabase:                "CREATE DATABASE",
	KindCreateTablespace:              "CREATE TABLESPACE",
	KindCreateRole:                    "CREATE ROLE",
	KindCreateForeignDataWrapper:      "CREATE FOREIGN DATA WRAPPER",
	KindCreateServer:                  "CREATE SERVER",
	KindCreateUserMapping:             "CREATE USER MAPPING",
	KindCreatePublication:             "CREATE PUBLICATION",
	KindCreateSubscription:            "CREATE SUBSCRIPTION",
	KindAlterTable:                    "ALTER TABLE",
	KindAlterMaterializedView:         "ALTER MATERIALIZED VIEW",
	KindAlterForeignTable:             "ALTER FOREIGN TABLE",
	KindAlterView:                     "ALTER VIEW",
	KindAlterIndex:                    "ALTER INDEX",
	KindAlterSequence:                 "ALTER SEQUENCE",
	KindAlterFunction:                 "ALTER FUNCTION",
	KindAlterProcedure:                "ALTER PROCEDURE",
	KindAlterRoutine:                  "ALTER ROUTINE",
	KindAlterTrigger:                  "ALTER TRIGGER",
	KindAlterRule:                     "ALTER RULE",
	KindAlterPolicy:                   "ALTER POLICY",
	KindAlterEventTrigger:             "ALTER EVENT TRIGGER",
	KindAlterSchema:                   "ALTER SCHEMA",
	KindAlterExtension:                "ALTER EXTENSION",
	KindAlterLanguage:                 "ALTER LANGUAGE",
	KindAlterType:                     "ALTER TYPE",
	KindAlterDomain:                   "ALTER DOMAIN",
	KindAlterAggregate:                "ALTER AGGREGATE",
	KindAlterOperator:                 "ALTER OPERATOR",
	KindAlterOperatorClass:            "ALTER OPERATOR CLASS",
	KindAlterOperatorFamily:           "ALTER OPERATOR FAMILY",
	KindAlterCollation:                "ALTER COLLATION",
	KindAlterConversion:               "ALTER CONVERSION",
	KindAlterCast:                     "ALTER CAST",
	KindAlterTransform:                "ALTER TRANSFORM",
	KindAlterAccessMethod:             "ALTER ACCESS METHOD",
	KindAlterStatistics:               "ALTER STATISTICS",
	KindAlterConstraint:               "ALTER CONSTRAINT",
	KindAlterTextSearchConfiguration:  "ALTER TEXT SEARCH CONFIGURATION",
	KindAlterTextSearchDictionary:     "ALTER TEXT SEARCH DICTIONARY",
	KindAlterTextSearchParser:         "ALTER TEXT SEARCH PARSER",
	KindAlterTextSearchTemplate:       "ALTER TEXT SEARCH TEMPLATE",
	KindAlterDatabase:                 "ALTER DATABASE",
	KindAlterTablespace:               "ALTER TABLESPACE",
	KindAlterRole:                     "ALTER ROLE",
	KindAlterForeignDataWrapper:       "ALTER FOREIGN DATA WRAPPER",
	KindAlterServer:                   "ALTER SERVER",
	KindAlterUserMapping:              "ALTER USER MAPPING",
	KindAlterPublication:              "ALTER PUBLICATION",
	KindAlterSubscription:             "ALTER SUBSCRIPTION",
	KindAlterLargeObject:              "ALTER LARGE OBJECT",
	KindDropTable:                     "DROP TABLE",
	KindDropMaterializedView:          "DROP MATERIALIZED VIEW",
	KindDropForeignTable:              "DROP FOREIGN TABLE",
	KindDropView:                      "DROP VIEW",
	KindDropIndex:                     "DROP INDEX",
	KindDropSequence:                  "DROP SEQUENCE",
	KindDropFunction:                  "DROP FUNCTION",
	KindDropProcedure:                 "DROP PROCEDURE",
	KindDropRoutine:                   "DROP ROUTINE",
	KindDropTrigger:                   "DROP TRIGGER",
	KindDropRule:                      "DROP RULE",
	KindDropPolicy:                    "DROP POLICY",
	KindDropEventTrigger:              "DROP EVENT TRIGGER",
	KindDropSchema:                    "DROP SCHEMA",
	KindDropExtension:                 "DROP EXTENSION",
	KindDropLanguage:                  "DROP LANGUAGE",
	KindDropType:                      "DROP TYPE",
	KindDropDomain:                    "DROP DOMAIN",
	KindDropAggregate:                 "DROP AGGREGATE",
	KindDropOperator:                  "DROP OPERATOR",
	KindDropOperatorClass:             "DROP OPERATOR CLASS",
	KindDropOperatorFamily:            "DROP OPERATOR FAMILY",
	KindDropCollation:                 "DROP COLLATION",
	KindDropConversion:                "DROP CONVERSION",
	KindDropCast:                      "DROP CAST",
	KindDropTransform:                 "DROP TRANSFORM",
	KindDropAccessMethod:              "DROP ACCESS METHOD",
	KindDropStatistics:                "DROP STATISTICS",
	KindDropTextSearchConfiguration:   "DROP TEXT SEARCH CONFIGURATION",
	KindDropTextSearchDictionary:      "DROP TEXT SEARCH DICTIONARY",
	KindDropTextSearchParser:          "DROP TEXT SEARCH PARSER",
	KindDropTextSearchTemplate:        "DROP TEXT SEARCH TEMPLATE",
	KindDropDatabase:                  "DROP DATABASE",
	KindDropTablespace:                "DROP TABLESPACE",
	KindDropRole:                      "DROP ROLE",
	KindDropForeignDataWrapper:        "DROP FOREIGN DATA WRAPPER",
	KindDropServer:                    "DROP SERVER",
	KindDropUserMapping:               "DROP USER MAPPING",
	KindDropPublication:               "DROP PUBLICATION",
	KindDropSubscription:              "DROP SUBSCRIPTION",
	KindReturn:                        "RETURN",
}

// String returns the command tag in capitals, "UNKNOWN" for KindUnknown.
func (k Kind) String() string {
	if k >= kindEnd {
		return kindTags[KindUnknown]
	}
	return kindTags[k]
}

// Kinds returns all kinds but KindUnknown, in the order of the constants.
func Kinds() []Kind {
	list := make([]Kind, 0, kindEnd-1)
	for k := KindUnknown + 1; k < kindEnd; k++ {
		list = append(list, k)
	}
	return list
}

// KindByTag returns the kind with a command tag; case does not matter.
func KindByTag(tag string) (Kind, bool) {
	tag = strings.ToUpper(strings.Join(strings.Fields(tag), " "))
	for k := KindUnknown + 1; k < kindEnd; k++ {
		if kindTags[k] == tag {
			return k, true
		}
	}
	return KindUnknown, false
}
