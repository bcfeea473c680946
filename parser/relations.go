package parser

import (
	_ "embed"
	"strings"
	"sync"
)

// RelationClass says what one of the server's own relations shows.
type RelationClass uint8

// The classes.
const (
	RelationCatalog       RelationClass = iota + 1 // describes the schema or this session
	RelationOtherSessions                          // statements, locks and progress of other sessions
	RelationSecrets                                // passwords, connection strings, the server's configuration
	RelationSamples                                // values from rows of tables: histograms and the like
	RelationCounters                               // activity counters of tables and of the server
	RelationLargeObject                            // large objects
	RelationReplication                            // slots, origins, subscriptions
)

//go:embed lists/relations.txt
var catalogRelations string

// relationClasses is built once and then only read. Names have their schema.
var relationClasses = sync.OnceValue(func() map[Name]RelationClass {
	table := make(map[Name]RelationClass)
	for _, name := range strings.Fields(catalogRelations) {
		table[splitName(name)] = RelationCatalog
	}
	for class, names := range namedRelations() {
		for _, name := range strings.Fields(names) {
			if !strings.Contains(name, ".") {
				name = "pg_catalog." + name
			}
			table[splitName(name)] = class
		}
	}
	return table
})

func splitName(schemaAndName string) Name {
	schema, name, _ := strings.Cut(schemaAndName, ".")
	return Name{Schema: schema, Name: name}
}

// namedRelations are those that are not for tenants as a matter of course.
func namedRelations() map[RelationClass]string {
	return map[RelationClass]string{
		RelationOtherSessions: `pg_aios pg_locks pg_prepared_xacts pg_stat_activity pg_stat_gssapi pg_stat_progress_analyze
			pg_stat_progress_basebackup pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index
			pg_stat_progress_vacuum pg_stat_replication pg_stat_ssl pg_stat_wal_receiver`,
		RelationSecrets: `pg_authid pg_config pg_file_settings pg_hba_file_rules pg_ident_file_mappings pg_shadow pg_user_mapping
			pg_user_mappings information_schema._pg_user_mappings information_schema.user_mapping_options
			information_schema.user_mappings`,
		RelationSamples: "pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs",
		RelationCounters: `pg_backend_memory_contexts pg_shmem_allocations pg_shmem_allocations_numa pg_stat_all_indexes
			pg_stat_all_tables pg_stat_archiver pg_stat_bgwriter pg_stat_checkpointer pg_stat_database
			pg_stat_database_conflicts pg_stat_io pg_stat_recovery_prefetch pg_stat_slru pg_stat_sys_indexes
			pg_stat_sys_tables pg_stat_user_functions pg_stat_user_indexes pg_stat_user_tables pg_stat_wal
			pg_stat_xact_all_tables pg_stat_xact_sys_tables pg_stat_xact_user_functions pg_stat_xact_user_tables
			pg_statio_all_indexes pg_statio_all_sequences pg_statio_all_tables pg_statio_sys_indexes
			pg_statio_sys_sequences pg_statio_sys_tables pg_statio_user_indexes pg_statio_user_sequences
			pg_statio_user_tables`,
		RelationLargeObject: "pg_largeobject pg_largeobject_metadata",
		RelationReplication: `pg_replication_origin pg_replication_origin_status pg_replication_slots pg_stat_replication_slots
			pg_stat_subscription pg_stat_subscription_stats pg_subscription pg_subscription_rel`,
	}
}

// ClassifyRelation returns the class of one of the server's own relations. An
// unqualified name means one in pg_catalog. ok is false for names that no
// PostgreSQL from 13 to 18 has.
func ClassifyRelation(n Name) (class RelationClass, ok bool) {
	schema := n.Schema
	if schema == "" {
		schema = "pg_catalog"
	}
	class, ok = relationClasses()[Name{Schema: schema, Name: n.Name}]
	return class, ok
}

// readsCounters reports whether a statement names a relation of counters.
func (s *Statement) readsCounters() bool {
	for i := range s.Relations {
		if class, ok := ClassifyRelation(s.Relations[i].Name); ok && class == RelationCounters {
			return true
		}
	}
	return false
}
