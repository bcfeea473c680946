package verify

import "github.com/pgbulkhead/bulkhead/database/inventory"

// Attacks on definitions: what protects the rows, and what could run code in
// somebody else's name.
var definitionAttacks = []attack{
	{
		id: "definition.row-security", class: classDefinition, title: "turn row security off", cwe: 732, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("ALTER TABLE %t DISABLE ROW LEVEL SECURITY", "ALTER TABLE %t NO FORCE ROW LEVEL SECURITY"),
	},
	{
		id: "definition.policy", class: classDefinition, title: "make and drop policies", cwe: 732, held: byDatabase, refused: true, skip: noVictim,
		statements: policyChanges,
	},
	{
		id: "definition.owner", class: classDefinition, title: "take the table over", cwe: 732, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("ALTER TABLE %t OWNER TO CURRENT_USER"),
	},
	{
		// PostgreSQL grants nothing and only warns: it may run.
		id: "definition.grant", class: classDefinition, title: "grant what it was not given", cwe: 732, held: byDatabase, skip: noVictim,
		statements: onTable("GRANT ALL ON %t TO PUBLIC"),
	},
	{
		id: "definition.drop", class: classDefinition, title: "drop the table", cwe: 732, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("DROP TABLE %t CASCADE", "ALTER TABLE %t RENAME TO bulkhead_verify_gone"),
	},
	{
		id: "definition.trigger", class: classDefinition, title: "a trigger that runs as whoever writes", cwe: 732, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("CREATE TRIGGER bulkhead_verify BEFORE UPDATE ON %t FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
			"CREATE RULE bulkhead_verify AS ON INSERT TO %t DO ALSO NOTHING"),
	},
	{
		id: "definition.objects", class: classDefinition, title: "objects in a schema that others resolve names in", cwe: 426, held: byDatabase, refused: true,
		statements: always("CREATE TABLE public.bulkhead_verify_t (a int)", "CREATE VIEW public.bulkhead_verify_v AS SELECT 1 AS a",
			"CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)", "CREATE SCHEMA bulkhead_verify_s"),
	},
	{
		// Everybody may make temporary objects by default; they are found before
		// those of other schemas.
		id: "definition.temp", class: classDefinition, title: "a temporary table that hides a real one", cwe: 426, held: byProxy, refused: true,
		statements: shadows,
	},
	{
		id: "definition.owned", class: classDefinition, title: "DROP OWNED, which drops policies that name the role", cwe: 732, held: byProxy, refused: true,
		statements: always("DROP OWNED BY CURRENT_USER"),
	},
}

func policyChanges(w *world) []string {
	out := onTable("CREATE POLICY bulkhead_verify ON %t USING (true)")(w)
	for _, p := range w.victim().rel.Policies {
		out = append(out, "DROP POLICY "+inventory.Quote(p.Name)+" ON "+w.table(), "ALTER POLICY "+inventory.Quote(p.Name)+" ON "+w.table()+" RENAME TO bulkhead_verify")
	}
	return out
}

func shadows(w *world) []string {
	m := w.victim()
	if m == nil {
		return nil
	}
	name := inventory.Quote(m.rel.Name)
	return []string{"CREATE TEMP TABLE " + name + " (a int)", "CREATE TEMP VIEW " + name + " AS SELECT 1 AS a"}
}
