package parser

import (
	_ "embed"
	"strings"
	"sync"
)

// SettingClass says what a change of a setting in a session can do.
type SettingClass uint8

// The classes.
const (
	SettingHarmless   SettingClass = iota + 1 // changes this session's own results, plans and limits
	SettingGuarded                            // rules of their own judge the value: role, search_path, client_encoding, ...
	SettingLoading                            // loads code into the session
	SettingLogging                            // writes to the server's log
	SettingRoles                              // how roles and passwords are made
	SettingPrivileged                         // needs a superuser, or a privilege granted on it
	SettingServer                             // belongs to the server: fixed, or from its configuration file
)

//go:embed lists/settings-harmless.txt
var harmlessSettings string

//go:embed lists/settings-privileged.txt
var privilegedSettings string

//go:embed lists/settings-server.txt
var serverSettings string

// settingClasses is built once and then only read.
var settingClasses = sync.OnceValue(func() map[string]SettingClass {
	table := make(map[string]SettingClass)
	add := func(class SettingClass, names string) {
		for _, name := range strings.Fields(names) {
			table[name] = class
		}
	}
	add(SettingHarmless, harmlessSettings)
	add(SettingPrivileged, privilegedSettings)
	add(SettingServer, serverSettings)
	for class, names := range namedSettings() {
		add(class, names)
	}
	return table
})

// namedSettings are those that anybody may set but that are not harmless, and
// those that the server does not list in pg_settings.
func namedSettings() map[SettingClass]string {
	return map[SettingClass]string{
		SettingGuarded:    "client_encoding role row_security search_path session_authorization standard_conforming_strings",
		SettingLoading:    "local_preload_libraries",
		SettingLogging:    "debug_pretty_print debug_print_parse debug_print_plan debug_print_raw_parse debug_print_rewritten log_parameter_max_length_on_error trace_notify trace_sort",
		SettingRoles:      "createrole_self_grant md5_password_warnings password_encryption scram_iterations",
		SettingHarmless:   "default_with_oids seed ssl_renegotiation_limit",
		SettingPrivileged: "trace_locks trace_lwlocks trace_userlocks",
		SettingServer:     "is_superuser",
	}
}

// ClassifySetting returns the class of one of the server's settings by its
// name in lower case. ok is false for names that no PostgreSQL from 13 to 18
// has: settings of extensions and applications have a dot.
func ClassifySetting(name string) (class SettingClass, ok bool) {
	class, ok = settingClasses()[name]
	return class, ok
}
