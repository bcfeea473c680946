package parser

import "sync"

// fixedKinds maps the statements whose kind does not depend on their fields.
var fixedKinds = sync.OnceValue(func() map[string]Kind {
	return map[string]Kind{
		"InsertStmt": KindInsert, "UpdateStmt": KindUpdate, "DeleteStmt": KindDelete, "MergeStmt": KindMerge,
		"ExplainStmt": KindExplain, "PrepareStmt": KindPrepare, "ExecuteStmt": KindExecute, "DeallocateStmt": KindDeallocate,
		"DeclareCursorStmt": KindDeclareCursor, "ClosePortalStmt": KindClose, "VariableShowStmt": KindShow,
		"DiscardStmt": KindDiscard, "ConstraintsSetStmt": KindSetConstraints, "ListenStmt": KindListen,
		"NotifyStmt": KindNotify, "UnlistenStmt": KindUnlisten, "LockStmt": KindLock, "TruncateStmt": KindTruncate,
		"CopyStmt": KindCopy, "CallStmt": KindCall, "DoStmt": KindDo, "LoadStmt": KindLoad, "CheckPointStmt": KindCheckpoint,
		"ClusterStmt": KindCluster, "ReindexStmt": KindReindex, "RefreshMatViewStmt": KindRefreshMaterializedView,
		"AlterDefaultPrivilegesStmt": KindAlterDefaultPrivileges, "ReassignOwnedStmt": KindReassignOwned,
		"DropOwnedStmt": KindDropOwned, "AlterSystemStmt": KindAlterSystem, "CommentStmt": KindComment,
		"SecLabelStmt": KindSecurityLabel, "ImportForeignSchemaStmt": KindImportForeignSchema,
		"CreateStmt": KindCreateTable, "CreateForeignTableStmt": KindCreateForeignTable, "ViewStmt": KindCreateView,
		"IndexStmt": KindCreateIndex, "CreateSeqStmt": KindCreateSequence, "CreateTrigStmt": KindCreateTrigger,
		"RuleStmt": KindCreateRule, "CreatePolicyStmt": KindCreatePolicy, "CreateEventTrigStmt": KindCreateEventTrigger,
		"CreateSchemaStmt": KindCreateSchema, "CreateExtensionStmt": KindCreateExtension, "CreatePLangStmt": KindCreateLanguage,
		"CompositeTypeStmt": KindCreateType, "CreateEnumStmt": KindCreateType, "CreateRangeStmt": KindCreateType,
		"CreateDomainStmt": KindCreateDomain, "CreateOpClassStmt": KindCreateOperatorClass,
		"CreateOpFamilyStmt": KindCreateOperatorFamily, "CreateConversionStmt": KindCreateConversion,
		"CreateCastStmt": KindCreateCast, "CreateTransformStmt": KindCreateTransform, "CreateAmStmt": KindCreateAccessMethod,
		"CreateStatsStmt": KindCreateStatistics, "CreatedbStmt": KindCreateDatabase, "CreateTableSpaceStmt": KindCreateTablespace,
		"CreateRoleStmt": KindCreateRole, "CreateFdwStmt": KindCreateForeignDataWrapper,
		"CreateForeignServerStmt": KindCreateServer, "CreateUserMappingStmt": KindCreateUserMapping,
		"CreatePublicationStmt": KindCreatePublication, "CreateSubscriptionStmt": KindCreateSubscription,
		"AlterSeqStmt": KindAlterSequence, "AlterPolicyStmt": KindAlterPolicy, "AlterEventTrigStmt": KindAlterEventTrigger,
		"AlterExtensionStmt": KindAlterExtension, "AlterExtensionContentsStmt": KindAlterExtension,
		"AlterTypeStmt": KindAlterType, "AlterEnumStmt": KindAlterType, "AlterDomainStmt": KindAlterDomain,
		"AlterOperatorStmt": KindAlterOperator, "AlterOpFamilyStmt": KindAlterOperatorFamily,
		"AlterCollationStmt": KindAlterCollation, "AlterStatsStmt": KindAlterStatistics,
		"AlterTSConfigurationStmt": KindAlterTextSearchConfiguration, "AlterTSDictionaryStmt": KindAlterTextSearchDictionary,
		"AlterDatabaseStmt": KindAlterDatabase, "AlterDatabaseSetStmt": KindAlterDatabase,
		"AlterDatabaseRefreshCollStmt": KindAlterDatabase, "AlterTableSpaceOptionsStmt": KindAlterTablespace,
		"AlterRoleStmt": KindAlterRole, "AlterRoleSetStmt": KindAlterRole, "AlterFdwStmt": KindAlterForeignDataWrapper,
		"AlterForeignServerStmt": KindAlterServer, "AlterUserMappingStmt": KindAlterUserMapping,
		"AlterPublicationStmt": KindAlterPublication, "AlterSubscriptionStmt": KindAlterSubscription,
		"DropTableSpaceStmt": KindDropTablespace, "DropdbStmt": KindDropDatabase, "DropRoleStmt": KindDropRole,
		"DropUserMappingStmt": KindDropUserMapping, "DropSubscriptionStmt": KindDropSubscription, "ReturnStmt": KindReturn,
		"ReplicaIdentityStmt": KindAlterTable,
	}
})
