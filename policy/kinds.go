package policy

import "github.com/pgbulkhead/bulkhead/parser"

// kindClass says which rule a statement kind belongs to.
type kindClass uint8

const (
	kindUnclassified kindClass = iota // nobody has judged it: refused by G612
	kindPlain                         // allowed; what it names and calls is judged
	kindRuled                         // judged by a rule of its own
	kindGrant                         // G303
	kindRole                          // G304
	kindPolicy                        // G305
	kindDDL                           // G601
	kindMaintenance                   // G609
	kindServer                        // G610
)

// classOf classifies every kind of the grammar; a test holds it to that.
func classOf(k parser.Kind) kindClass {
	switch k {
	case parser.KindSelect, parser.KindInsert, parser.KindUpdate, parser.KindDelete, parser.KindMerge,
		parser.KindExplain, parser.KindPrepare, parser.KindExecute, parser.KindDeallocate,
		parser.KindDeclareCursor, parser.KindFetch, parser.KindMove, parser.KindClose,
		parser.KindBegin, parser.KindStartTransaction, parser.KindCommit, parser.KindRollback,
		parser.KindSavepoint, parser.KindRelease, parser.KindRollbackTo,
		parser.KindSet, parser.KindReset, parser.KindShow, parser.KindDiscard, parser.KindSetConstraints,
		parser.KindUnlisten, parser.KindCall, parser.KindReturn:
		return kindPlain
	case parser.KindListen, parser.KindNotify, parser.KindLock, parser.KindTruncate, parser.KindCopy, parser.KindDo,
		parser.KindPrepareTransaction, parser.KindCommitPrepared, parser.KindRollbackPrepared:
		return kindRuled
	case parser.KindGrant, parser.KindRevoke, parser.KindGrantRole, parser.KindRevokeRole, parser.KindAlterDefaultPrivileges:
		return kindGrant
	case parser.KindCreateRole, parser.KindAlterRole, parser.KindDropRole, parser.KindReassignOwned, parser.KindDropOwned:
		return kindRole
	case parser.KindCreatePolicy, parser.KindAlterPolicy, parser.KindDropPolicy:
		return kindPolicy
	case parser.KindAnalyze, parser.KindVacuum, parser.KindCluster, parser.KindReindex:
		return kindMaintenance
	}
	if class := classOfServerKind(k); class != kindUnclassified {
		return class
	}
	return classOfDDL(k)
}

func classOfServerKind(k parser.Kind) kindClass {
	switch k {
	case parser.KindLoad, parser.KindCheckpoint, parser.KindAlterSystem,
		parser.KindCreateDatabase, parser.KindAlterDatabase, parser.KindDropDatabase,
		parser.KindCreateTablespace, parser.KindAlterTablespace, parser.KindDropTablespace,
		parser.KindCreatePublication, parser.KindAlterPublication, parser.KindDropPublication,
		parser.KindCreateSubscription, parser.KindAlterSubscription, parser.KindDropSubscription,
		parser.KindCreateForeignDataWrapper, parser.KindAlterForeignDataWrapper, parser.KindDropForeignDataWrapper,
		parser.KindCreateServer, parser.KindAlterServer, parser.KindDropServer,
		parser.KindCreateUserMapping, parser.KindAlterUserMapping, parser.KindDropUserMapping,
		parser.KindAlterLargeObject:
		return kindServer
	}
	return kindUnclassified
}

func classOfDDL(k parser.Kind) kindClass {
	switch k {
	case parser.KindComment, parser.KindSecurityLabel, parser.KindImportForeignSchema, parser.KindRefreshMaterializedView,
		parser.KindCreateTable, parser.KindCreateTableAs, parser.KindSelectInto, parser.KindCreateMaterializedView,
		parser.KindCreateForeignTable, parser.KindCreateView, parser.KindCreateIndex, parser.KindCreateSequence,
		parser.KindCreateFunction, parser.KindCreateProcedure, parser.KindCreateTrigger, parser.KindCreateRule,
		parser.KindCreateEventTrigger, parser.KindCreateSchema, parser.KindCreateExtension, parser.KindCreateLanguage,
		parser.KindCreateType, parser.KindCreateDomain, parser.KindCreateAggregate, parser.KindCreateOperator,
		parser.KindCreateOperatorClass, parser.KindCreateOperatorFamily, parser.KindCreateCollation,
		parser.KindCreateConversion, parser.KindCreateCast, parser.KindCreateTransform, parser.KindCreateAccessMethod,
		parser.KindCreateStatistics, parser.KindCreateTextSearchConfiguration, parser.KindCreateTextSearchDictionary,
		parser.KindCreateTextSearchParser, parser.KindCreateTextSearchTemplate,
		parser.KindAlterTable, parser.KindAlterMaterializedView, parser.KindAlterForeignTable, parser.KindAlterView,
		parser.KindAlterIndex, parser.KindAlterSequence, parser.KindAlterFunction, parser.KindAlterProcedure,
		parser.KindAlterRoutine, parser.KindAlterTrigger, parser.KindAlterRule, parser.KindAlterEventTrigger,
		parser.KindAlterSchema, parser.KindAlterExtension, parser.KindAlterLanguage, parser.KindAlterType,
		parser.KindAlterDomain, parser.KindAlterAggregate, parser.KindAlterOperator, parser.KindAlterOperatorClass,
		parser.KindAlterOperatorFamily, parser.KindAlterCollation, parser.KindAlterConversion, parser.KindAlterCast,
		parser.KindAlterTransform, parser.KindAlterAccessMethod, parser.KindAlterStatistics, parser.KindAlterConstraint,
		parser.KindAlterTextSearchConfiguration, parser.KindAlterTextSearchDictionary,
		parser.KindAlterTextSearchParser, parser.KindAlterTextSearchTemplate,
		parser.KindDropTable, parser.KindDropMaterializedView, parser.KindDropForeignTable, parser.KindDropView,
		parser.KindDropIndex, parser.KindDropSequence, parser.KindDropFunction, parser.KindDropProcedure,
		parser.KindDropRoutine, parser.KindDropTrigger, parser.KindDropRule, parser.KindDropEventTrigger,
		parser.KindDropSchema, parser.KindDropExtension, parser.KindDropLanguage, parser.KindDropType,
		parser.KindDropDomain, parser.KindDropAggregate, parser.KindDropOperator, parser.KindDropOperatorClass,
		parser.KindDropOperatorFamily, parser.KindDropCollation, parser.KindDropConversion, parser.KindDropCast,
		parser.KindDropTransform, parser.KindDropAccessMethod, parser.KindDropStatistics,
		parser.KindDropTextSearchConfiguration, parser.KindDropTextSearchDictionary,
		parser.KindDropTextSearchParser, parser.KindDropTextSearchTemplate:
		return kindDDL
	}
	return kindUnclassified
}

// mayBeTemp lists the kinds that may do their work on temporary tables only.
func mayBeTemp(k parser.Kind) bool {
	switch k {
	case parser.KindCreateTable, parser.KindCreateTableAs, parser.KindSelectInto, parser.KindCreateIndex,
		parser.KindDropTable, parser.KindAnalyze:
		return true
	}
	return false
}

// firstOf returns the first kind of a class that the statement has, nested
// ones included.
func (s *subject) firstOf(class kindClass) (parser.Kind, bool) {
	if classOf(s.statement.Kind) == class {
		return s.statement.Kind, true
	}
	for _, k := range s.statement.Nested {
		if classOf(k) == class {
			return k, true
		}
	}
	return parser.KindUnknown, false
}

// has reports whether the statement, or one nested in it, is of that kind.
func (s *subject) has(kind parser.Kind) bool {
	if s.statement.Kind == kind {
		return true
	}
	for _, k := range s.statement.Nested {
		if k == kind {
			return true
		}
	}
	return false
}

// kindRule makes the check of a rule that refuses a class of statement kinds.
func kindRule(class kindClass, reason string) func(*subject) []Violation {
	return func(s *subject) []Violation { return s.ofClass(class, reason) }
}

// ofClass is the violation of the first kind of a class.
func (s *subject) ofClass(class kindClass, reason string) []Violation {
	if kind, found := s.firstOf(class); found {
		return one(kind.String() + " " + reason)
	}
	return nil
}
