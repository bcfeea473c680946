package policy

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// This file says which rule the server's own functions, relations and settings
// belong to.

// judgeBuiltin judges a function of pg_catalog by its name. known is false if
// there is none of that name.
func (s *subject) judgeBuiltin(name string) (v verdict, known bool) {
	if rule := builtinRule(name); rule != "" {
		return verdict{rule, "function " + name}, true
	}
	_, known = s.known.system[name]
	return verdict{}, known || s.known.absent && s.options.assumeRelations
}

func (s *subject) isBuiltin(name string) bool {
	_, known := s.judgeBuiltin(name)
	return known
}

// builtinRule names the rule that a call of a function of pg_catalog violates,
// "" if none.
func builtinRule(name string) string {
	switch name {
	case "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "cursor_to_xml", "cursor_to_xmlschema",
		"table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema", "schema_to_xml", "schema_to_xmlschema",
		"schema_to_xml_and_xmlschema", "database_to_xml", "database_to_xmlschema", "database_to_xml_and_xmlschema",
		"ts_stat", "ts_rewrite":
		return "G401"
	case "pg_stat_file", "pg_current_logfile", "lo_import", "lo_export", "pg_file_write", "pg_file_read", "pg_file_rename",
		"pg_file_unlink", "pg_file_sync", "pg_logdir_ls", "pg_file_length", "pg_hba_file_rules", "pg_ident_file_mappings",
		"pg_show_all_file_settings", "pg_import_system_collations", "pg_config":
		return "G402"
	case "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile", "pg_rotate_logfile_old",
		"pg_log_backend_memory_contexts", "pg_get_backend_memory_contexts", "pg_lock_status", "pg_prepared_xact",
		"pg_blocking_pids", "pg_safe_snapshot_blocking_pids", "pg_isolation_test_session_is_blocked", "pg_promote",
		"pg_show_replication_origin_status", "pg_get_multixact_members":
		return "G403"
	case "setval":
		return "G406"
	case "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared":
		return "G407"
	case "pg_notify":
		return "G607"
	case "loread", "lowrite", "be_lo_unlink":
		return "G405"
	case "pg_get_wait_events", "pg_describe_object", "pg_get_acl":
		return ""
	}
	return builtinRuleByPrefix(name)
}

func builtinRuleByPrefix(name string) string {
	switch {
	case strings.HasPrefix(name, "lo_"):
		return "G405"
	case strings.HasPrefix(name, "pg_read_"), strings.HasPrefix(name, "pg_ls_"):
		return "G402"
	case strings.HasPrefix(name, "pg_stat_get_"):
		return "G403"
	}
	for _, prefix := range []string{
		"pg_stat_reset", "pg_stat_force", "pg_stat_have", "pg_stat_clear", "pg_create_", "pg_drop_", "pg_copy_", "pg_replication_", "pg_logical_",
		"pg_switch_", "pg_wal_re", "pg_backup_", "pg_start_backup", "pg_stop_backup", "pg_get_replication_slots", "pg_sync_replication",
		"binary_upgrade_", "pg_nextoid", "pg_stop_making_pinned_objects", "pg_export_wal", "pg_log_standby_snapshot", "pg_restore_", "pg_clear_",
		"pg_available_wal", "pg_walfile", "brin_summarize", "brin_desummarize", "gin_clean_pending", "pg_upgrade", "fmgr_", "pg_extension_config_dump",
		"pg_event_trigger", "pg_nextxact", "pg_set_relation_", "pg_set_attribute_", "pg_collation_actual_version_set", "pg_get_aios",
	} {
		if strings.HasPrefix(name, prefix) {
			return "G404"
		}
	}
	return ""
}

// isSystemRelation reports whether a name means, or may mean, a relation of
// pg_catalog or information_schema.
func (s *subject) isSystemRelation(n parser.Name) bool {
	switch n.Schema {
	case "pg_catalog", "information_schema":
		return true
	case "":
		_, known := s.known.system[n.Name]
		return known || s.known.absent && strings.HasPrefix(n.Name, "pg_")
	}
	return false
}

// checkSystemRelations is the check of G507.
func checkSystemRelations(s *subject) []Violation {
	var found []Violation
	for i := range s.statement.Relations {
		r := &s.statement.Relations[i]
		if r.Temp || !s.isSystemRelation(r.Name) && r.Schema != "pg_toast" || s.options.allowRelations.has(r.Schema, r.Name.Name) {
			continue
		}
		switch {
		case r.Schema == "pg_toast":
			found = append(found, one("relation "+spell(r.Name)+" holds rows of tables past their policies")...)
		case showsOthers(r.Name.Name):
			found = append(found, one("relation "+spell(r.Name)+" shows other sessions or server secrets")...)
		case r.Access&^(parser.AccessRead|parser.AccessLock|parser.AccessCreate) != 0:
			found = append(found, one("the statement changes the catalogue: "+spell(r.Name))...)
		}
	}
	return found
}

// showsOthers lists relations of pg_catalog that show what other sessions do,
// or what no tenant may see.
func showsOthers(name string) bool {
	switch name {
	case "pg_authid", "pg_shadow", "pg_largeobject", "pg_statistic", "pg_statistic_ext_data", "pg_locks",
		"pg_prepared_xacts", "pg_replication_slots", "pg_replication_origin_status", "pg_subscription", "pg_subscription_rel", "pg_user_mapping",
		"pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings", "pg_shmem_allocations", "pg_backend_memory_contexts",
		"pg_cursors_all", "pg_shmem_allocations_numa", "pg_dsm_registry_allocations", "pg_aios", "pg_replication_origin", "pg_buffercache":
		return true
	}
	return strings.HasPrefix(name, "pg_stat_") || strings.HasPrefix(name, "pg_statio_")
}

// settable reports whether a tenant may give a setting a value.
func (s *subject) settable(name string) bool {
	if _, ok := s.options.allowSettings[name]; ok {
		return true
	}
	if strings.Contains(name, ".") {
		return true // the application's own; the tenant's are G201's
	}
	return s.hasOwnRule(name) || harmlessSetting(name)
}

// hasOwnRule lists settings that other rules judge by their value.
func (s *subject) hasOwnRule(name string) bool {
	switch name {
	case "client_encoding", "standard_conforming_strings", "row_security", "search_path", "role", "session_authorization":
		return true
	}
	return false
}

// harmlessSetting lists settings that concern the session alone and loosen
// nothing.
func harmlessSetting(name string) bool {
	switch name {
	case "application_name", "backslash_quote", "bytea_output", "check_function_bodies", "client_connection_check_interval",
		"client_min_messages", "commit_delay", "constraint_exclusion", "cpu_index_tuple_cost", "cpu_operator_cost", "cpu_tuple_cost",
		"cursor_tuple_fraction", "datestyle", "default_statistics_target", "default_text_search_config", "default_toast_compression",
		"default_transaction_deferrable", "default_transaction_isolation", "default_transaction_read_only", "effective_cache_size",
		"effective_io_concurrency", "escape_string_warning", "exit_on_error", "extra_float_digits", "from_collapse_limit",
		"gin_fuzzy_search_limit", "gin_pending_list_limit", "hash_mem_multiplier", "icu_validation_level", "idle_in_transaction_session_timeout",
		"idle_session_timeout", "intervalstyle", "join_collapse_limit", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout",
		"logical_decoding_work_mem", "maintenance_work_mem", "max_parallel_maintenance_workers", "max_parallel_workers",
		"max_parallel_workers_per_gather", "min_parallel_index_scan_size", "min_parallel_table_scan_size", "parallel_leader_participation",
		"parallel_setup_cost", "parallel_tuple_cost", "plan_cache_mode", "quote_all_identifiers", "random_page_cost", "recursive_worktable_factor",
		"restrict_nonsystem_relation_kind", "seed", "seq_page_cost", "statement_timeout", "stats_fetch_consistency", "synchronize_seqscans",
		"synchronous_commit", "tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_user_timeout", "temp_buffers",
		"timezone", "timezone_abbreviations", "transaction_deferrable", "transaction_isolation", "transaction_read_only", "transaction_timeout",
		"transform_null_equals", "vacuum_cost_delay", "work_mem", "xmlbinary", "xmloption", "default_table_access_method", "operator_precedence_warning":
		return true
	}
	return strings.HasPrefix(name, "enable_") || strings.HasPrefix(name, "jit") && !strings.HasPrefix(name, "jit_provider") ||
		strings.HasPrefix(name, "geqo")
}

// weakLock reports whether LOCK asks for no more than SELECT and DML take.
func (s *subject) weakLock() bool {
	return s.statement.LockMode >= parser.LockAccessShare && s.statement.LockMode <= parser.LockRowExclusive
}
