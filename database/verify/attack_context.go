package verify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Attacks on the tenant context: whoever changes it is another org.
var contextAttacks = []attack{
	{id: "context.set", class: classContext, title: "SET the context", cwe: 639, held: bySignature, statements: forEachSetting("SET %n = %v")},
	{id: "context.set-local", class: classContext, title: "SET LOCAL in a batch", cwe: 639, held: bySignature, statements: forEachSetting("SET LOCAL %n = %v; SELECT 1")},
	{id: "context.set-config", class: classContext, title: "set_config()", cwe: 639, held: bySignature, statements: forEachSetting("SELECT set_config(%q, %v, false)")},
	{
		id: "context.set-config-inside", class: classContext, title: "set_config() inside an expression", cwe: 639, held: bySignature,
		statements: forEachSetting("SELECT count(*) FROM pg_catalog.pg_class ORDER BY set_config(%q, %v, false)"),
	},
	{id: "context.do", class: classContext, title: "DO block", cwe: 639, held: bySignature, statements: forEachSetting("DO $$ BEGIN PERFORM set_config(%q, %v, false); END $$")},
	{
		id: "context.query-to-xml", class: classContext, title: "SQL text in query_to_xml()", cwe: 639, held: bySignature,
		statements: forEachSetting("SELECT query_to_xml('SELECT set_config(%Q, %V, false)', true, false, '')"),
	},
	{
		id: "context.ts-stat", class: classContext, title: "SQL text in ts_stat()", cwe: 639, held: bySignature,
		statements: forEachSetting("SELECT * FROM ts_stat('SELECT to_tsvector(set_config(%Q, %V, false))')"),
	},
	{
		id: "context.function", class: classContext, title: "a function of the client's own", cwe: 639, held: byDatabase, refused: true,
		statements: forEachSetting("CREATE FUNCTION public.bulkhead_verify_f() RETURNS text LANGUAGE sql AS $$ SELECT set_config(%q, %v, false) $$"),
	},
	{
		id: "context.temp-function", class: classContext, title: "a function in the temporary schema", cwe: 639, held: byProxy, refused: true,
		statements: forEachSetting("CREATE FUNCTION pg_temp.bulkhead_verify_f() RETURNS text LANGUAGE sql AS $$ SELECT set_config(%q, %v, false) $$"),
	},
	{id: "context.schema-function", class: classContext, title: "a function of the schema that sets the context or runs SQL text", cwe: 639, held: bySignature, statements: settingFunctions},
	{id: "context.pg-settings", class: classContext, title: "UPDATE pg_settings", cwe: 639, held: bySignature, statements: forEachSetting("UPDATE pg_catalog.pg_settings SET setting = %v WHERE name = %q")},
	{id: "context.reset-all", class: classContext, title: "RESET ALL", cwe: 284, held: byDatabase, outside: true, statements: always("RESET ALL")},
	{id: "context.discard-all", class: classContext, title: "DISCARD ALL", cwe: 284, held: byDatabase, outside: true, statements: always("DISCARD ALL")},
	{id: "context.alter-role", class: classContext, title: "ALTER ROLE ... SET the context", cwe: 284, held: byDatabase, refused: true, statements: forEachSetting("ALTER ROLE CURRENT_USER SET %n = %v")},
	{id: "context.row-security", class: classContext, title: "row_security off", cwe: 284, held: byDatabase, statements: always("SET row_security = off")},
	{id: "context.startup", class: classContext, title: "the context in the startup packet", cwe: 639, held: bySignature, perform: startupContext},
}

// forEachSetting writes the settings of the context into a statement: %n the
// name as an identifier, %q as a literal, %v the value of the other org; %Q
// and %V the same inside of a literal.
func forEachSetting(template string) func(*world) []string {
	return func(w *world) []string {
		var out []string
		for _, s := range w.r.o.contextSettings(w.aim, Other, "") {
			double := func(text string) string { return strings.ReplaceAll(literal(text), "'", "''") }
			out = append(out, strings.NewReplacer("%n", settingName(s.name), "%q", literal(s.name), "%v", literal(s.value),
				"%Q", double(s.name), "%V", double(s.value)).Replace(template))
		}
		return out
	}
}

// settingFunctions calls functions of the schema that take one text and whose
// body sets a setting or runs SQL.
func settingFunctions(w *world) []string {
	var out []string
	for _, f := range w.r.snap.Functions {
		body := strings.ToLower(f.Source)
		if f.Extension != "" || f.Trigger || f.Kind != 'f' || f.Schema == inventory.OwnSchema || f.Arguments == "" || strings.Contains(f.Arguments, ",") ||
			w.r.model.Calls(f) == nil {
			continue
		}
		call := "SELECT " + inventory.Quote(f.Schema) + "." + inventory.Quote(f.Name) + "("
		switch {
		case strings.Contains(body, "set_config"):
			out = append(out, call+literal(w.x.pop.orgs[w.aim])+")")
		case strings.Contains(body, "execute"):
			for _, s := range w.r.o.contextSettings(w.aim, Other, "") {
				out = append(out, call+literal("SELECT set_config("+literal(s.name)+", "+literal(s.value)+", false)")+")")
			}
		}
	}
	return out
}

// startupContext logs in with the other org's settings as startup parameters
// and in options.
func startupContext(ctx context.Context, w *world) (string, outcome, string) {
	const what = "startup packet with the settings of the other org"
	cfg, err := w.startup(ctx)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	theirs := w.r.o.contextSettings(w.aim, Other, "")
	var options []string
	for _, name := range slices.Sorted(maps.Keys(w.r.o.Settings)) {
		delete(cfg.RuntimeParams, name)
	}
	for _, s := range theirs {
		cfg.RuntimeParams[s.name] = s.value
		options = append(options, "-c "+s.name+"="+strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(s.value))
	}
	cfg.RuntimeParams["options"] = strings.Join(options, " ")
	conn, err := openSession(ctx, cfg, w.s.wall)
	if err != nil {
		return what, loginOutcome(err), ""
	}
	defer conn.close(ctx)
	return what, outcome{}, w.harvest(ctx, conn)
}

// startup is the configuration of a login of the actor, to be changed.
func (w *world) startup(_ context.Context) (*pgconn.Config, error) {
	o := &w.r.o
	cfg, err := o.appConfig()
	if w.s.wall == Proxy {
		if cfg, err = pgconn.ParseConfig(o.ProxyDSN); err != nil {
			err = errors.New("the proxy's DSN is not a connection string that libpq takes")
		}
	}
	if err != nil {
		return nil, err
	}
	o.limitSession(cfg, w.label)
	if o.database != "" {
		cfg.Database = o.database
	}
	if w.s.wall == Proxy {
		cfg.Password, err = o.token(w.actor, Other)
		return cfg, err
	}
	for _, s := range o.contextSettings(w.actor, Other, "") {
		cfg.RuntimeParams[s.name] = s.value
	}
	return cfg, nil
}
