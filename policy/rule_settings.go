package policy

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

func tenantSetting() Rule {
	return Rule{
		ID:       "G201",
		Title:    "tenant context changed",
		Attack:   "SET app.org_id = 'B', or set_config inside any expression of any statement, makes the session another tenant's.",
		Surfaces: []string{onStatement, onStartup},
		Why: "The policies of the database trust these settings. set_config is evaluated per row while WHERE runs, so one statement is enough; " +
			"SET LOCAL in a batch leaves no trace. No value is let through: not even the session's own org has to be set by the client.",
		Gap:     "RESET is allowed: it returns to the tenant's own values, which are part of the server connection's startup packet.",
		Blocked: "SELECT pg_catalog.set_config('app.org_id', 'B', false)",
		Allowed: "SELECT current_setting('app.org_id')",
		Remedy:  "Remove it: the proxy sets the tenant context from the verified token.",
		check: func(s *subject) []Violation {
			var found []Violation
			for i := range s.statement.Settings {
				v := &s.statement.Settings[i]
				if changesValue(v) && s.options.isTenantSetting(v.Name) {
					found = append(found, one("setting "+v.Name+" carries the tenant context")...)
				}
			}
			return found
		},
	}
}

// isTenantSetting reports whether a setting belongs to the proxy: it carries
// the tenant context, or its namespace is one that policies commonly trust.
func (o *compiledOptions) isTenantSetting(name string) bool {
	if _, ok := o.tenantSettings[name]; ok {
		return true
	}
	return strings.HasPrefix(name, "bulkhead.") || strings.HasPrefix(name, "request.jwt.") || name == "request.jwt"
}

// changesValue is true for what gives a setting a value that the client
// chose. RESET and DEFAULT return to the session's own.
func changesValue(v *parser.Setting) bool {
	return v.Action == parser.SettingSet || v.Action == parser.SettingFromCurrent
}

func settingName() Rule {
	return Rule{
		ID:       "G202",
		Title:    "setting name not known before execution",
		Attack:   "SELECT set_config($1, $2, false) with the name of the tenant's setting as a parameter, or a name put together by an expression.",
		Surfaces: []string{onStatement},
		Why: "The statement is judged when it is parsed; at execution the name may be any. SELECT set_config(name, ...) FROM pg_settings WHERE name = '...', " +
			"as pg_dump has it, is read as the setting of that name.",
		Blocked: "SELECT set_config($1, $2, false)",
		Allowed: "SELECT set_config('statement_timeout', $1, true)",
		Remedy:  "Write the setting's name as a literal.",
		check: func(s *subject) []Violation {
			for i := range s.statement.Settings {
				v := &s.statement.Settings[i]
				if changesValue(v) && v.Name == "" {
					return one("set_config with a name that is not a literal")
				}
			}
			return nil
		},
	}
}

func literalReading() Rule {
	return Rule{
		ID:       "G203",
		Title:    "setting that changes how literals are read",
		Attack:   `SET standard_conforming_strings = off, then a literal with \': the server sees code where the guard saw text.`,
		Surfaces: []string{onStatement, onStartup},
		Why:      "The guard must read what the server reads; it reads as with standard_conforming_strings = on and backslash_quote = safe_encoding.",
		Blocked:  "SET standard_conforming_strings = off",
		Allowed:  "SET standard_conforming_strings = on",
		Remedy:   "Leave standard_conforming_strings on; write E'...' where a backslash is meant to escape.",
		check: func(s *subject) []Violation {
			return append(s.eachSet("standard_conforming_strings", func(values []string, known bool) string {
				if known && len(values) == 1 && meansOn(values[0]) {
					return ""
				}
				return "standard_conforming_strings may only be on"
			}), s.eachSet("backslash_quote", func(values []string, known bool) string {
				if known && len(values) == 1 && (meansOff(values[0]) || strings.EqualFold(values[0], "safe_encoding")) {
					return ""
				}
				return "backslash_quote may only be safe_encoding or off"
			})...)
		},
	}
}

func settingNotAllowed() Rule {
	return Rule{
		ID:       "G204",
		Title:    "setting that tenants may not change",
		Attack:   "SET session_replication_role = replica, local_preload_libraries, or a setting of an extension that opens what policies close.",
		Surfaces: []string{onStatement, onStartup},
		Why: "Settings decide which code is loaded, which checks run and what is logged. Those that drivers and ORMs send are known to be harmless " +
			"for other tenants; any other is refused, the server's own refusal notwithstanding: privileges to set parameters can be granted.",
		Gap:     "Settings with a dot belong to the application and are allowed, save those of G201.",
		Blocked: "SET session_replication_role = replica",
		Allowed: "SET statement_timeout = '30s'",
		Remedy:  "Remove it, or let the operator add the setting to policy.allow.settings.",
		check: func(s *subject) []Violation {
			var found []Violation
			for i := range s.statement.Settings {
				v := &s.statement.Settings[i]
				if changesValue(v) && v.Name != "" && !s.settable(v.Name) {
					found = append(found, one("setting "+v.Name+" is not one that tenants may change")...)
				}
			}
			return found
		},
	}
}

func rowSecurityOff() Rule {
	return Rule{
		ID:       "G205",
		Title:    "row_security turned off",
		Attack:   "SET row_security = off: every statement fails on a table with policies, and bypasses them for a role that may.",
		Surfaces: []string{onStatement, onStartup},
		Why:      "For a role without BYPASSRLS the server only raises errors; for one with it, a careless login role say, all rows appear.",
		Blocked:  "SET row_security = off",
		Allowed:  "SET row_security = on",
		Remedy:   "Leave row_security on; with pg_dump use --enable-row-security.",
		check: func(s *subject) []Violation {
			return s.eachSet("row_security", func(values []string, known bool) string {
				if known && len(values) == 1 && meansOn(values[0]) {
					return ""
				}
				return "row_security may only be on"
			})
		},
	}
}

func searchPath() Rule {
	return Rule{
		ID:       "G206",
		Title:    "search_path into a schema of the server's or the proxy's own",
		Attack:   "SET search_path = pg_temp, public: temporary objects take the place of tables that functions of the schema name without their schema.",
		Surfaces: []string{onStatement, onStartup},
		Why: "Ordinary schemas are allowed, since the guard judges an unqualified name in every schema that has it, and clients cannot create objects there. " +
			"Schemas whose names begin with pg_ (save pg_catalog) and the proxy's own schema bulkhead are refused, and so is a value that is not known before execution.",
		Gap:     "A SECURITY DEFINER function without its own search_path can be led to a table of another ordinary schema.",
		Blocked: "SET search_path = pg_temp, public",
		Allowed: "SELECT pg_catalog.set_config('search_path', '', false)",
		Remedy:  "Name ordinary schemas, as literals.",
		check: func(s *subject) []Violation {
			return s.eachSet("search_path", func(values []string, known bool) string {
				if !known {
					return "search_path is set to a value that is not a literal"
				}
				for _, v := range values {
					for _, schema := range strings.Split(v, ",") {
						schema = strings.ToLower(strings.Trim(schema, " \t\n\v\f\r\""))
						if schema == "bulkhead" || strings.HasPrefix(schema, "pg_") && schema != "pg_catalog" {
							return "search_path may not hold schemas of the server or of the proxy"
						}
					}
				}
				return ""
			})
		},
	}
}

func storedSetting() Rule {
	return Rule{
		ID:       "G207",
		Title:    "setting stored for later sessions",
		Attack:   "ALTER ROLE app SET search_path = evil: an unprivileged role may alter itself, and every later session of every tenant begins with it.",
		Surfaces: []string{onStatement},
		Why:      "Settings stored for a role, database, system or function outlive the session and do not belong to one tenant.",
		Blocked:  "ALTER ROLE app SET statement_timeout = 1",
		Allowed:  "SET statement_timeout = 1000",
		Remedy:   "Use SET in the session; an administrator stores settings outside the proxy.",
		check: func(s *subject) []Violation {
			for i := range s.statement.Settings {
				if v := &s.statement.Settings[i]; v.Stored {
					return one("the statement stores a setting for later sessions")
				}
			}
			return nil
		},
	}
}

func pgSettings() Rule {
	return Rule{
		ID:       "G208",
		Title:    "settings changed through pg_settings",
		Attack:   "UPDATE pg_settings SET setting = 'B' WHERE name = 'app.org_id': a rule of the view calls set_config.",
		Surfaces: []string{onStatement},
		Why:      "Which settings change depends on the rows that match, not on the text.",
		Blocked:  "UPDATE pg_settings SET setting = 'x' WHERE name = 'app.org_id'",
		Allowed:  "SELECT name, setting FROM pg_settings",
		Remedy:   "Use SET.",
		check: func(s *subject) []Violation {
			for i := range s.statement.Relations {
				r := &s.statement.Relations[i]
				if r.Name.Name == "pg_settings" && r.Access&^(parser.AccessRead|parser.AccessLock) != 0 {
					return one("the statement writes to pg_settings")
				}
			}
			return nil
		},
	}
}

// eachSet calls judge for every new value of one setting. judge gets the items
// of the value, known is false if one is not a literal, and returns the reason
// of a violation or "".
func (s *subject) eachSet(name string, judge func(values []string, known bool) string) []Violation {
	var found []Violation
	for i := range s.statement.Settings {
		v := &s.statement.Settings[i]
		if v.Name != name || v.Action != parser.SettingSet {
			continue
		}
		values, known := s.values(v)
		if reason := judge(values, known); reason != "" {
			found = append(found, one(reason)...)
		}
	}
	return found
}

// values reads the items of a new value; ok is false if one is not a literal.
func (s *subject) values(v *parser.Setting) (values []string, ok bool) {
	if s.startup {
		return []string{s.startupValue}, true
	}
	for _, item := range v.Values {
		text, ok := s.batch.Constant(item)
		if !ok {
			return nil, false
		}
		values = append(values, text)
	}
	return values, len(values) > 0
}

// meansOn reports whether the server reads a value of a boolean setting as
// true: on, true, yes, 1 and their unique prefixes, in any case (parse_bool).
func meansOn(value string) bool {
	v := strings.ToLower(strings.TrimSpace(value))
	switch v {
	case "1", "on", "t", "tr", "tru", "true", "y", "ye", "yes":
		return true
	}
	return false
}
