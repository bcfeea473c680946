package catalog

import (
	"fmt"
	"sort"
)

// Severity says what a finding on the login role means for the proxy.
type Severity uint8

// The severities.
const (
	Warning Severity = iota // say it at start
	Unsafe                  // refuse to start, unless server.allow_unsafe_login
)

// Finding is one reason why the login role, or the server, is not fit.
type Finding struct {
	Severity Severity
	Key      string // stable: "superuser", "bypassrls", "owner", "predefined", "attribute", "grammar"
	Subject  string // the role or relation
	Text     string // what is wrong, for people
	Remedy   string
}

// GrammarVersion is the major version of the grammar that the guard parses
// with; a newer server may read a statement otherwise.
const GrammarVersion = 16

// JudgeLogin says whether the login role is fit to serve tenants: what it is,
// what it owns, and what it can become. Findings are sorted by severity, key
// and subject. No finding of severity Unsafe means that it is.
func JudgeLogin(s *Snapshot) []Finding {
	var found []Finding
	for i := range s.Roles {
		if r := &s.Roles[i]; r.Reachable != "" {
			found = append(found, judgeRole(s, r)...)
		}
	}
	found = append(found, judgeSessionRoles(s)...)
	found = append(found, judgeOwnership(s)...)
	if major := s.ServerVersion / 10000; major > GrammarVersion {
		found = append(found, Finding{
			Severity: Warning, Key: "grammar", Subject: s.Database,
			Text:   fmt.Sprintf("the server is PostgreSQL %d, the guard parses with the grammar of %d", major, GrammarVersion),
			Remedy: "Statements that only the newer grammar knows are refused. Use a version of Bulkhead with that grammar when there is one.",
		})
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		switch {
		case a.Severity != b.Severity:
			return a.Severity > b.Severity
		case a.Key != b.Key:
			return a.Key < b.Key
		}
		return a.Subject < b.Subject
	})
	return found
}

// how says in words how the login role gets at a role.
func how(s *Snapshot, r *Role) string {
	switch r.Reachable {
	case "login":
		return "login role " + s.LoginRole
	case "inherits":
		return "login role " + s.LoginRole + " is a member of " + r.Name + ", which"
	default:
		return "login role " + s.LoginRole + " may SET ROLE " + r.Name + ", which"
	}
}

func judgeRole(s *Snapshot, r *Role) []Finding {
	var found []Finding
	add := func(severity Severity, key, text, remedy string) {
		found = append(found, Finding{Severity: severity, Key: key, Subject: r.Name, Text: how(s, r) + " " + text, Remedy: remedy})
	}
	const revoke = "Use a login role of its own for the proxy, with no attribute and no membership but the tenant roles."
	if r.Superuser {
		add(Unsafe, "superuser", "is a superuser: row security does not bind it", revoke)
	} else if r.BypassRLS {
		add(Unsafe, "bypassrls", "has BYPASSRLS", revoke)
	}
	if r.CreateRole {
		add(Unsafe, "attribute", "has CREATEROLE: it can make itself a member of others", revoke)
	}
	if r.Replicate {
		add(Unsafe, "attribute", "has REPLICATION: it can stream the changes of all tenants", revoke)
	}
	if severity, why := predefined(r.Name); why != "" && r.Reachable != "login" {
		add(severity, "predefined", why, "REVOKE "+r.Name+" FROM the login role.")
	}
	return found
}

// predefined judges membership in the server's own roles (PostgreSQL manual,
// 22.5); why is "" for the rest.
func predefined(role string) (severity Severity, why string) {
	switch role {
	case "pg_read_all_data", "pg_write_all_data":
		return Unsafe, "reads or writes every table (row security still applies, other schemas' grants do not)"
	case "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program":
		return Unsafe, "reaches files or programs of the server's host"
	case "pg_create_subscription":
		return Unsafe, "can make the server connect elsewhere"
	case "pg_monitor", "pg_read_all_stats", "pg_stat_scan_tables":
		return Unsafe, "sees statements and statistics of all sessions"
	case "pg_signal_backend", "pg_signal_autovacuum_worker", "pg_maintain", "pg_checkpoint":
		return Unsafe, "can disturb other sessions"
	case "pg_read_all_settings", "pg_use_reserved_connections", "pg_database_owner":
		return Warning, "has privileges that tenants do not need"
	}
	return Warning, ""
}

// judgeSessionRoles looks for roles that sessions are to run as, but cannot.
func judgeSessionRoles(s *Snapshot) []Finding {
	var found []Finding
	for _, name := range s.SessionRoles {
		r := s.role(name)
		if r != nil && r.Reachable != "" {
			continue
		}
		found = append(found, Finding{
			Severity: Unsafe, Key: "role", Subject: name,
			Text:   "sessions are to run as role " + name + ", which does not exist or which login role " + s.LoginRole + " may not become",
			Remedy: "GRANT " + name + " TO the login role, or correct tenant.role and tenant.roles.",
		})
	}
	return found
}

// judgeOwnership looks for tenant tables whose owner the login role is or can
// become: an owner switches row security off.
func judgeOwnership(s *Snapshot) []Finding {
	var found []Finding
	for i := range s.Relations {
		r := &s.Relations[i]
		owner := s.role(r.Owner)
		if !isTenant(r) || r.Kind == 'v' || owner == nil || owner.Reachable == "" || owner.Superuser {
			continue
		}
		name := r.Schema + "." + r.Name
		found = append(found, Finding{
			Severity: Unsafe, Key: "owner", Subject: name,
			Text:   how(s, owner) + " owns tenant table " + name + " and can switch its row security off",
			Remedy: "ALTER TABLE " + name + " OWNER TO a role that the login role is no member of, and grant it what it needs.",
		})
	}
	return found
}

func (s *Snapshot) role(name string) *Role {
	for i := range s.Roles {
		if s.Roles[i].Name == name {
			return &s.Roles[i]
		}
	}
	return nil
}
