package parser

import (
	_ "embed"
	"strings"
	"sync"
)

// FunctionClass says what the server's function of a name can do beyond
// computing a result from its arguments and from relations that the statement
// names.
type FunctionClass uint8

// The classes.
const (
	FunctionHarmless      FunctionClass = iota + 1 // computes, or describes the schema
	FunctionInternal                               // input, output, operator, index and trigger support; cannot be called usefully
	FunctionSetsState                              // set_config, setseed: see Statement.Settings
	FunctionRunsSQL                                // runs SQL text or reads a relation or cursor named by an argument
	FunctionFiles                                  // reads or writes files of the server's host
	FunctionOtherSessions                          // shows or disturbs other sessions
	FunctionAdmin                                  // acts on the server or the whole database, or shows its configuration
	FunctionReplication                            // slots, origins, WAL messages
	FunctionLargeObject                            // large objects
	FunctionSequence                               // setval
	FunctionAdvisoryLock                           // takes an advisory lock of session level
	FunctionNotify                                 // pg_notify
	FunctionStatistics                             // counters of relations and the server
	FunctionSnapshot                               // pg_export_snapshot
	FunctionChanging                               // declared STABLE, and may change within a statement
)

//go:embed lists/functions.txt
var harmlessFunctions string

//go:embed lists/internal.txt
var internalFunctions string

// functionClasses is built once and then only read.
var functionClasses = sync.OnceValue(func() map[string]FunctionClass {
	table := make(map[string]FunctionClass)
	add := func(class FunctionClass, names string) {
		for _, name := range strings.Fields(names) {
			table[name] = class
		}
	}
	add(FunctionHarmless, harmlessFunctions)
	add(FunctionInternal, internalFunctions)
	for class, names := range namedFunctions() {
		add(class, names)
	}
	return table
})

// ClassifyFunction returns the class of the functions in pg_catalog of a name,
// which is the worst of them. Names of types that are called like functions,
// int4('1'), count. ok is false for a name that no PostgreSQL from 13 to 18
// has: nobody has judged it.
func ClassifyFunction(name string) (class FunctionClass, ok bool) {
	class, ok = functionClasses()[name]
	return class, ok
}

// namedFunctions are the functions that are more than harmless. Names that are
// in no list of the package's tests are of extensions or older servers.
func namedFunctions() map[FunctionClass]string {
	return map[FunctionClass]string{
		FunctionSetsState: "set_config setseed",
		FunctionRunsSQL: `cursor_to_xml cursor_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema
			query_to_xml query_to_xml_and_xmlschema query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
			table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat`,
		FunctionFiles: `lo_export lo_import pg_current_logfile pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir
			pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_read_binary_file pg_read_file
			pg_read_file_old pg_stat_file`,
		FunctionOtherSessions: `pg_blocking_pids pg_cancel_backend pg_get_aios pg_isolation_test_session_is_blocked pg_lock_status
			pg_log_backend_memory_contexts pg_prepared_xact pg_reload_conf pg_safe_snapshot_blocking_pids pg_stat_get_activity
			pg_stat_get_backend_activity pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr
			pg_stat_get_backend_client_port pg_stat_get_backend_dbid pg_stat_get_backend_idset pg_stat_get_backend_io
			pg_stat_get_backend_pid pg_stat_get_backend_start pg_stat_get_backend_subxact pg_stat_get_backend_userid
			pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type pg_stat_get_backend_wal
			pg_stat_get_backend_xact_start pg_stat_get_progress_info pg_stat_get_wal_receiver pg_stat_get_wal_senders
			pg_stat_reset_backend_stats pg_terminate_backend`,
		FunctionAdmin:       adminFunctions,
		FunctionReplication: replicationFunctions,
		FunctionLargeObject: `lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64
			lo_truncate lo_truncate64 lo_unlink loread lowrite`,
		FunctionSequence:     "setval",
		FunctionAdvisoryLock: "pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared",
		FunctionNotify:       "pg_notify",
		FunctionStatistics:   statisticsFunctions,
		FunctionSnapshot:     "pg_export_snapshot",
		// The planner trusts STABLE, row security with it: an equation with such
		// a value can take the place of one in a policy (policy's G209).
		FunctionChanging: "mxid_age pg_current_xact_id_if_assigned txid_current_if_assigned",
	}
}

const adminFunctions = `
	binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension binary_upgrade_logical_slot_has_caught_up
	binary_upgrade_replorigin_advance binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
	binary_upgrade_set_next_heap_pg_class_oid binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
	binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
	binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid binary_upgrade_set_next_pg_enum_oid
	binary_upgrade_set_next_pg_tablespace_oid binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
	binary_upgrade_set_next_toast_pg_type_oid binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs
	brin_desummarize_range brin_summarize_new_values brin_summarize_range fmgr_c_validator fmgr_internal_validator
	fmgr_sql_validator gin_clean_pending_list pg_backup_start pg_backup_start_time pg_backup_stop pg_clear_attribute_stats
	pg_clear_relation_stats pg_config pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system
	pg_create_restore_point pg_extension_config_dump pg_get_backend_memory_contexts pg_get_loaded_modules
	pg_get_multixact_members pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wal_resource_managers
	pg_get_wal_summarizer_state pg_available_wal_summaries pg_wal_summary_contents pg_hba_file_rules pg_ident_file_mappings
	pg_import_system_collations pg_is_in_backup pg_log_standby_snapshot pg_nextoid pg_promote pg_restore_attribute_stats
	pg_restore_relation_stats pg_rotate_logfile pg_rotate_logfile_old pg_show_all_file_settings pg_start_backup pg_stat_reset
	pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
	pg_stop_backup pg_stop_making_pinned_objects pg_switch_wal pg_wal_replay_pause pg_wal_replay_resume plpgsql_validator`

const replicationFunctions = `
	pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
	pg_create_physical_replication_slot pg_drop_replication_slot pg_get_replication_slots pg_logical_emit_message
	pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
	pg_logical_slot_peek_changes pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
	pg_replication_origin_oid pg_replication_origin_progress pg_replication_origin_session_is_setup
	pg_replication_origin_session_progress pg_replication_origin_session_reset pg_replication_origin_session_setup
	pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_replication_slot_advance
	pg_show_replication_origin_status pg_stat_get_replication_slot pg_stat_get_subscription pg_stat_get_subscription_stats
	pg_stat_reset_replication_slot pg_stat_reset_subscription_stats pg_sync_replication_slots`

const statisticsFunctions = `
	pg_last_committed_xact pg_stat_force_next_flush pg_stat_get_analyze_count pg_stat_get_archiver pg_stat_get_autoanalyze_count
	pg_stat_get_autovacuum_count pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_buf_written_clean
	pg_stat_get_bgwriter_maxwritten_clean pg_stat_get_bgwriter_requested_checkpoints pg_stat_get_bgwriter_stat_reset_time
	pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_buf_alloc
	pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend pg_stat_get_checkpoint_sync_time
	pg_stat_get_checkpoint_write_time pg_stat_get_checkpointer_buffers_written pg_stat_get_checkpointer_num_performed
	pg_stat_get_checkpointer_num_requested pg_stat_get_checkpointer_num_timed
	pg_stat_get_checkpointer_restartpoints_performed pg_stat_get_checkpointer_restartpoints_requested
	pg_stat_get_checkpointer_restartpoints_timed pg_stat_get_checkpointer_slru_written
	pg_stat_get_checkpointer_stat_reset_time pg_stat_get_checkpointer_sync_time pg_stat_get_checkpointer_write_time
	pg_stat_get_db_active_time pg_stat_get_db_blk_read_time pg_stat_get_db_blk_write_time pg_stat_get_db_blocks_fetched
	pg_stat_get_db_blocks_hit pg_stat_get_db_checksum_failures pg_stat_get_db_checksum_last_failure
	pg_stat_get_db_conflict_all pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_lock
	pg_stat_get_db_conflict_logicalslot pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_startup_deadlock
	pg_stat_get_db_conflict_tablespace pg_stat_get_db_deadlocks pg_stat_get_db_idle_in_transaction_time
	pg_stat_get_db_numbackends pg_stat_get_db_parallel_workers_launched pg_stat_get_db_parallel_workers_to_launch
	pg_stat_get_db_session_time pg_stat_get_db_sessions pg_stat_get_db_sessions_abandoned pg_stat_get_db_sessions_fatal
	pg_stat_get_db_sessions_killed pg_stat_get_db_stat_reset_time pg_stat_get_db_temp_bytes pg_stat_get_db_temp_files
	pg_stat_get_db_tuples_deleted pg_stat_get_db_tuples_fetched pg_stat_get_db_tuples_inserted pg_stat_get_db_tuples_returned
	pg_stat_get_db_tuples_updated pg_stat_get_db_xact_commit pg_stat_get_db_xact_rollback pg_stat_get_dead_tuples
	pg_stat_get_function_calls pg_stat_get_function_self_time pg_stat_get_function_total_time pg_stat_get_ins_since_vacuum
	pg_stat_get_io pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time
	pg_stat_get_last_vacuum_time pg_stat_get_lastscan pg_stat_get_live_tuples pg_stat_get_mod_since_analyze
	pg_stat_get_numscans pg_stat_get_recovery_prefetch pg_stat_get_slru pg_stat_get_snapshot_timestamp
	pg_stat_get_total_analyze_time pg_stat_get_total_autoanalyze_time pg_stat_get_total_autovacuum_time
	pg_stat_get_total_vacuum_time pg_stat_get_tuples_deleted pg_stat_get_tuples_fetched pg_stat_get_tuples_hot_updated
	pg_stat_get_tuples_inserted pg_stat_get_tuples_newpage_updated pg_stat_get_tuples_returned pg_stat_get_tuples_updated
	pg_stat_get_vacuum_count pg_stat_get_wal pg_stat_have_stats`
