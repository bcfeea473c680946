package policy

func setRole() Rule {
	return Rule{
		ID:       "G301",
		Title:    "change of role",
		Attack:   "SET ROLE admin_bypass, set_config('role', ...), or role= at startup: as a role with BYPASSRLS all rows appear. SET ROLE NONE returns to the login role and what it may do.",
		Surfaces: []string{onStatement, onStartup},
		Why: "Which rows a session sees depends on its role. Only the role that the tenant context sets may be named; " +
			"NONE is refused since it leaves that role for the login role.",
		Blocked: "SET ROLE admin_bypass",
		Allowed: "RESET ROLE",
		Remedy:  "Remove it: the proxy sets the role. RESET ROLE and SET role TO DEFAULT keep it.",
		check: func(s *subject) []Violation {
			return s.eachSet("role", func(values []string, known bool) string {
				if known && len(values) == 1 && values[0] != "none" && values[0] != "" && values[0] == s.options.contextRole {
					return ""
				}
				return "the statement changes the role"
			})
		},
	}
}

func sessionAuthorization() Rule {
	return Rule{
		ID:       "G302",
		Title:    "change of session authorization",
		Attack:   "SET SESSION AUTHORIZATION admin, or the same through set_config, under a login role that is a superuser.",
		Surfaces: []string{onStatement, onStartup},
		Why:      "It replaces the login role itself, and with it what every later check is made against.",
		Blocked:  "SET SESSION AUTHORIZATION admin",
		Allowed:  "SET SESSION AUTHORIZATION DEFAULT",
		Remedy:   "Remove it; RESET SESSION AUTHORIZATION and DEFAULT are allowed.",
		check: func(s *subject) []Violation {
			return s.eachSet("session_authorization", func([]string, bool) string {
				return "the statement changes the session authorization"
			})
		},
	}
}
