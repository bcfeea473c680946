package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// defaultChecks ask what comes into being by itself: privileges on new
// tables, settings at log-in.
func defaultChecks() []Check {
	return []Check{
		{
			ID: "A313", Name: "default_privileges", Severity: Medium, CWE: "CWE-732", Controls: controlsPrivilege,
			Title: "new tables are granted to the application at once",
			Why:   "A table made tomorrow is within the application's reach before anybody has given it row security.",
			Fix:   "Revoke the default privileges; grant in the migration that also adds the policies.",
			Run:   defaultPrivileges,
		},
		{
			ID: "A317", Name: "parameter_grants", Severity: Medium, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application may change settings that are not its own",
			Why:   "GRANT SET ON PARAMETER (15 and later) opens settings of superusers: session_replication_role, for one, switches triggers and foreign keys off.",
			Fix:   "REVOKE SET ON PARAMETER.",
			Run:   parameterGrants,
		},
		{
			ID: "A319", Name: "default_context", Severity: High, CWE: "CWE-639", Controls: controlsAccess,
			Title: "a tenant is set by default",
			Why:   "A setting that carries the tenant has a value from the start: a session in which it was forgotten acts for that tenant instead of failing.",
			Fix:   "ALTER ROLE or ALTER DATABASE ... RESET.",
			Run:   defaultContext,
		},
	}
}

func defaultPrivileges(f *Facts) []Finding {
	const tables = 'r'
	var found []Finding
	for _, d := range f.Snapshot.DefaultPrivileges {
		grantees := f.GranteesOf(d.Owner, d.Grants, "")
		if d.Kind != tables || len(grantees) == 0 {
			continue
		}
		sql := "ALTER DEFAULT PRIVILEGES FOR ROLE " + inventory.Quote(d.Owner)
		if d.Schema != "" {
			sql += " IN SCHEMA " + inventory.Quote(d.Schema)
		}
		found = append(found, Finding{Object: d.Object(), Detail: fmt.Sprintf("Tables that %s creates are granted to %s at once, without row security.", d.Owner, roleList(grantees))}.
			withSQL(sql+" REVOKE ALL ON TABLES FROM "+roleList(grantees)+";"))
	}
	return found
}

func parameterGrants(f *Facts) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		var names, sql []string
		privileges := app.Privileges()
		for _, p := range f.Snapshot.ParameterGrants {
			for _, g := range p.Grants {
				path, has := privileges[f.Snapshot.Role(g.Grantee)]
				if !has && g.Grantee != inventory.Public || overBypass(path) {
					continue
				}
				names = append(names, g.Privilege+" "+p.Parameter)
				sql = append(sql, "REVOKE "+g.Privilege+" ON PARAMETER "+parameterName(p.Parameter)+" FROM "+inventory.QuoteRole(g.Grantee)+";")
			}
		}
		if len(names) == 0 {
			return nil
		}
		return []Finding{Finding{Object: app.Object(), Detail: fmt.Sprintf("Role %s may %s.", app.Name, strings.Join(names, ", "))}.withSQL(strings.Join(sql, "\n"))}
	})
}

// parameterName writes a.b as GRANT takes it.
func parameterName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = inventory.Quote(parts[i])
	}
	return strings.Join(parts, ".")
}

func defaultContext(f *Facts) []Finding {
	carriers := f.contextSettings()
	places := make(map[string]*Finding)
	var order []string
	for _, s := range f.Snapshot.RoleSettings {
		if s.Value == "" || !f.carries(carriers, s.Name) || s.Role != "" && !f.runsAs(s.Role) {
			continue
		}
		object := s.Object()
		if places[object] == nil {
			places[object] = &Finding{Object: object, FixIsSQL: true}
			order = append(order, object)
		}
		finding := places[object]
		finding.Detail += fmt.Sprintf("%s has a value for %s. ", s.Name, settingPlace(&s))
		finding.Fix += resetSQL(&s) + "\n"
	}
	var found []Finding
	for _, object := range order {
		finding := *places[object]
		finding.Detail, finding.Fix = strings.TrimSpace(finding.Detail), strings.TrimSpace(finding.Fix)
		found = append(found, finding)
	}
	return found
}

// runsAs reports whether sessions of the application can run as a role.
func (f *Facts) runsAs(name string) bool {
	_, ok := f.Identities()[f.Snapshot.Role(name)]
	return ok
}

func settingPlace(s *inventory.RoleSetting) string {
	switch {
	case s.Role != "" && s.Database != "":
		return "role " + s.Role + " in database " + s.Database
	case s.Role != "":
		return "role " + s.Role
	case s.Database != "":
		return "database " + s.Database
	}
	return "all roles"
}

func resetSQL(s *inventory.RoleSetting) string {
	sql := "ALTER ROLE "
	switch {
	case s.Role == "" && s.Database != "":
		sql = "ALTER DATABASE " + inventory.Quote(s.Database)
	case s.Role == "":
		sql += "ALL"
	default:
		sql += inventory.Quote(s.Role)
	}
	if s.Role != "" && s.Database != "" {
		sql += " IN DATABASE " + inventory.Quote(s.Database)
	}
	return sql + " RESET " + parameterName(s.Name) + ";"
}

var readsSetting = regexp.MustCompile(`(?i)current_setting\s*\(\s*'([^']+)'`)

// contextSettings are the settings that policies read, beside the configured
// ones.
func (f *Facts) contextSettings() map[string]bool {
	names := map[string]bool{"bulkhead.org_id": true, "request.jwt.claims": true}
	for _, s := range f.Settings {
		names[strings.ToLower(s)] = true
	}
	for _, s := range f.settingsRead() {
		names[s] = true
	}
	return names
}

// settingsRead are the settings that policies read, themselves or in the
// functions that they call, sorted and in lower case.
func (f *Facts) settingsRead() []string {
	var names []string
	note := func(text string) {
		for _, m := range readsSetting.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], ".") { // the server's own have no prefix
				names = append(names, strings.ToLower(m[1]))
			}
		}
	}
	for _, r := range f.Snapshot.Relations {
		for _, p := range r.Policies {
			note(p.Using)
			note(p.Check)
			for _, fn := range p.Uses.Functions {
				note(fn.Source)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// carries reports whether a setting carries the tenant: it is known, or its
// last part has a tenant column's name (app.tenant_id, app.current_org_id).
func (f *Facts) carries(known map[string]bool, name string) bool {
	parts := strings.Split(strings.ToLower(name), ".")
	if known[strings.ToLower(name)] {
		return true
	}
	last := strings.TrimPrefix(parts[len(parts)-1], "current_")
	return len(parts) > 1 && (f.IsTenantName(last) || slices.Contains([]string{"tenant", "org"}, last))
}
