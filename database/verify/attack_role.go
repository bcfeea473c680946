package verify

import (
	"context"
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Attacks on the role: another one may own tables or bypass row security.
var roleAttacks = []attack{
	{id: "role.set", class: classRole, title: "SET ROLE to every role that it is a member of", cwe: 269, held: byDatabase, statements: memberships("SET ROLE %r")},
	{id: "role.set-config", class: classRole, title: "the role as a setting", cwe: 269, held: byDatabase, statements: memberships("SELECT set_config('role', %q, false)")},
	{id: "role.none", class: classRole, title: "SET ROLE NONE", cwe: 269, held: byDatabase, statements: always("SET ROLE NONE")},
	{id: "role.reset", class: classRole, title: "RESET ROLE", cwe: 269, held: byDatabase, statements: always("RESET ROLE")},
	{id: "role.superuser", class: classRole, title: "SET ROLE and SESSION AUTHORIZATION to a superuser", cwe: 269, held: byDatabase, refused: true, statements: superusers("SET ROLE %r", "SET SESSION AUTHORIZATION %r")},
	{id: "role.create", class: classRole, title: "CREATE ROLE", cwe: 269, held: byDatabase, refused: true, statements: always("CREATE ROLE bulkhead_verify_role BYPASSRLS")},
	{id: "role.bypass", class: classRole, title: "ALTER ROLE itself BYPASSRLS", cwe: 269, held: byDatabase, refused: true, statements: always("ALTER ROLE CURRENT_USER BYPASSRLS")},
	{id: "role.grant", class: classRole, title: "GRANT a superuser's role to itself", cwe: 269, held: byDatabase, refused: true, statements: superusers("GRANT %r TO CURRENT_USER")},
	// Persist for every later session of every org: tried in a transaction that
	// is rolled back.
	{id: "role.settings", class: classRole, title: "ALTER ROLE itself SET search_path", cwe: 284, held: byProxy, refused: true, statements: always("ALTER ROLE CURRENT_USER SET search_path = pg_temp")},
	{id: "role.password", class: classRole, title: "ALTER ROLE itself PASSWORD", cwe: 284, held: byProxy, refused: true, statements: always("ALTER ROLE CURRENT_USER PASSWORD 'bulkhead-verify'")},
	{id: "role.startup", class: classRole, title: "the role in the startup packet", cwe: 269, held: byDatabase, perform: startupRole},
}

// memberships writes the roles that the application can become into a
// statement: %r as an identifier, %q as a literal.
func memberships(template string) func(*world) []string {
	return func(w *world) []string {
		var out []string
		for _, name := range w.reachable() {
			out = append(out, replaceRole(template, name))
		}
		return out
	}
}

// reachable are the roles beside its own that the application's role can
// become.
func (w *world) reachable() []string {
	app := w.r.snap.Role(w.r.o.AppRole)
	var out []string
	for role := range app.Becomes() {
		if role != app {
			out = append(out, role.Name)
		}
	}
	slices.Sort(out)
	return out
}

func superusers(templates ...string) func(*world) []string {
	return func(w *world) []string {
		var out []string
		for _, role := range w.r.snap.Roles {
			if role.Superuser && len(out) == 0 {
				for _, t := range templates {
					out = append(out, replaceRole(t, role.Name))
				}
			}
		}
		return out
	}
}

func startupRole(ctx context.Context, w *world) (string, outcome, string) {
	const what = "startup packet with another role"
	names := w.reachable()
	for _, role := range w.r.snap.Roles {
		if role.Superuser {
			names = append(names, role.Name)
		}
	}
	var last outcome
	for _, name := range names {
		cfg, err := w.startup(ctx)
		if err != nil {
			return what, outcome{broken: err}, ""
		}
		cfg.RuntimeParams["role"] = name
		conn, err := openSession(ctx, cfg, w.s.wall)
		if err != nil {
			last = loginOutcome(err)
			continue
		}
		reached := w.harvest(ctx, conn)
		conn.close(ctx)
		if reached != "" {
			return what, outcome{}, reached
		}
	}
	return what, last, ""
}

func replaceRole(template, name string) string {
	out := ""
	for i := 0; i < len(template); i++ {
		if template[i] == '%' && i+1 < len(template) {
			switch template[i+1] {
			case 'r':
				out, i = out+inventory.Quote(name), i+1
				continue
			case 'q':
				out, i = out+literal(name), i+1
				continue
			}
		}
		out += template[i : i+1]
	}
	return out
}
