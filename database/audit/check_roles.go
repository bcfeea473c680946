package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// roleChecks ask what the application's roles are and can become.
func roleChecks() []Check {
	return []Check{
		{
			ID: "A301", Name: "app_is_superuser", Severity: Critical, CWE: "CWE-250", Controls: controlsPrivilege,
			Title: "the application is a superuser",
			Why:   "Row security does not bind superusers, and there is nothing that they cannot read or change.",
			Fix:   "Give the application a role of its own, without attributes.",
			Run: func(f *Facts) []Finding {
				return f.attribute("SUPERUSER", func(app *inventory.Role) bool { return app.Superuser })
			},
		},
		{
			ID: "A302", Name: "app_bypasses_rls", Severity: Critical, CWE: "CWE-250", Controls: controlsPrivilege,
			Title: "the application bypasses row security",
			Why:   "No policy is applied to a role with BYPASSRLS.",
			Fix:   "ALTER ROLE ... NOBYPASSRLS.",
			Run: func(f *Facts) []Finding {
				return f.attribute("BYPASSRLS", func(app *inventory.Role) bool { return app.BypassRLS && !app.Superuser })
			},
		},
		{
			ID: "A303", Name: "app_can_become_bypass", Severity: Critical, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application can become a role that row security does not bind",
			Why:   "SET ROLE to a superuser or a role with BYPASSRLS ends row security for the session. Memberships count along their whole chain; from 16 on those WITH SET FALSE do not, unless the admin option lets the member change that.",
			Fix:   "Revoke the membership.",
			Run:   canBecomeBypass,
		},
		{
			ID: "A305", Name: "dangerous_predefined_role", Severity: Critical, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application has a predefined role that reaches beyond its tables",
			Why:   "The server's own roles read or write every table, reach files and programs of the host, see or end other sessions.",
			Fix:   "Revoke the membership.",
			Run:   predefinedRoles,
		},
		{
			ID: "A306", Name: "dangerous_attribute", Severity: High, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "the application has CREATEROLE, CREATEDB or REPLICATION",
			Why: "CREATEROLE makes roles and memberships (before 16, in nearly every role); CREATEDB makes databases of which it is the owner; " +
				"REPLICATION streams the changes of all tenants.",
			Fix: "ALTER ROLE ... NOCREATEROLE NOCREATEDB NOREPLICATION.",
			Run: dangerousAttributes,
		},
		{
			ID: "A318", Name: "self_alter_role", Severity: Info, Source: Always, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "every role may change its own settings and password",
			Why: "ALTER ROLE on oneself sets search_path, statement_timeout, role and PASSWORD for every later session: one tenant can lock out or " +
				"mislead all others that share the role. PostgreSQL offers no way to forbid it.",
			Fix: "Let the role connect only through Bulkhead (pg_hba.conf), which refuses ALTER ROLE.",
			Run: selfAlterRole,
		},
	}
}

// attribute finds application roles that have an attribute themselves.
func (f *Facts) attribute(name string, has func(*inventory.Role) bool) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		if !has(app) {
			return nil
		}
		return []Finding{Finding{Object: app.Object(), Detail: "Role " + app.Name + " has " + name + "."}.
			withSQL("ALTER ROLE " + inventory.Quote(app.Name) + " NO" + name + ";")}
	})
}

func selfAlterRole(f *Facts) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		return []Finding{{Object: app.Object(), Detail: "Role " + app.Name + " may ALTER ROLE itself, with effect for every tenant."}}
	})
}

// eachApp asks about each application role.
func (f *Facts) eachApp(ask func(*inventory.Role) []Finding) []Finding {
	var found []Finding
	for _, app := range f.AppRoles {
		found = append(found, ask(app)...)
	}
	return found
}

// withPaths is the finding about roles that app should not get at, with the
// memberships that lead there.
func (f *Facts) withPaths(app *inventory.Role, detail string, paths []inventory.Path) Finding {
	finding := Finding{Object: app.Object(), Detail: detail}
	var sql []string
	for _, path := range paths {
		finding = finding.withEvidence(path.String())
		if leave := f.leaveSQL(path); !slices.Contains(sql, leave) {
			sql = append(sql, leave)
		}
	}
	return finding.withSQL(strings.Join(sql, "\n"))
}

func canBecomeBypass(f *Facts) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		if app.Superuser {
			return nil
		}
		var names []string
		var paths []inventory.Path
		becomes := app.Becomes()
		for _, role := range f.Snapshot.Roles {
			path, ok := becomes[role]
			if !ok || role == app || !role.Superuser && !role.BypassRLS || passesBypass(path) {
				continue
			}
			names = append(names, role.Name)
			paths = append(paths, path)
		}
		if len(paths) == 0 {
			return nil
		}
		return []Finding{f.withPaths(app, fmt.Sprintf("Role %s can become %s, which row security does not bind.", app.Name, strings.Join(names, ", ")), paths)}
	})
}

// passesBypass reports whether a path goes through a role that is A303's
// finding: what lies behind it adds nothing.
func passesBypass(path inventory.Path) bool {
	return len(path) > 0 && overBypass(path[:len(path)-1])
}

// overBypass reports whether a path leads to or over a role that row security
// does not bind.
func overBypass(path inventory.Path) bool {
	return slices.ContainsFunc(path, func(s inventory.Step) bool { return s.Membership.Role.Superuser || s.Membership.Role.BypassRLS })
}

// predefined reports whether a role is one of the server's own that gives more
// than its tables, or what managed services have in place of a superuser.
func predefined(name string) bool {
	switch name {
	case "pg_database_owner": // of this database alone: A316
		return false
	case "rds_superuser", "cloudsqlsuperuser", "alloydbsuperuser", "azure_pg_admin", "neon_superuser":
		return true
	}
	return strings.HasPrefix(name, "pg_")
}

func predefinedRoles(f *Facts) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		var names []string
		var paths []inventory.Path
		privileges := app.Privileges()
		for _, role := range f.Snapshot.Roles {
			path := privileges[role]
			if len(path) == 0 || !predefined(role.Name) || passesPredefined(path) || passesBypass(path) {
				continue
			}
			names = append(names, role.Name)
			paths = append(paths, path)
		}
		if len(paths) == 0 {
			return nil
		}
		return []Finding{f.withPaths(app, fmt.Sprintf("Role %s has the privileges of %s.", app.Name, strings.Join(names, ", ")), paths)}
	})
}

// passesPredefined leaves out what a predefined role consists of.
func passesPredefined(path inventory.Path) bool {
	return slices.ContainsFunc(path[:len(path)-1], func(s inventory.Step) bool { return predefined(s.Membership.Role.Name) })
}

func dangerousAttributes(f *Facts) []Finding {
	return f.eachApp(func(app *inventory.Role) []Finding {
		var has, sql, evidence []string
		becomes := app.Becomes()
		for _, role := range f.Snapshot.Roles {
			path, ok := becomes[role]
			if !ok || role.Superuser || overBypass(path) {
				continue
			}
			attributes := attributesOf(role)
			if len(attributes) == 0 {
				continue
			}
			has = append(has, attributes...)
			sql = append(sql, "ALTER ROLE "+inventory.Quote(role.Name)+" NO"+strings.Join(attributes, " NO")+";")
			evidence = append(evidence, path.String())
		}
		if len(has) == 0 {
			return nil
		}
		slices.Sort(has)
		detail := fmt.Sprintf("Role %s has %s, itself or as a role that it can become.", app.Name, strings.Join(slices.Compact(has), ", "))
		return []Finding{Finding{Object: app.Object(), Detail: detail}.withSQL(strings.Join(sql, "\n")).withEvidence(evidence...)}
	})
}

func attributesOf(role *inventory.Role) []string {
	var list []string
	for _, a := range []struct {
		name string
		has  bool
	}{{"CREATEROLE", role.CreateRole}, {"CREATEDB", role.CreateDB}, {"REPLICATION", role.Replication}} {
		if a.has {
			list = append(list, a.name)
		}
	}
	return list
}
