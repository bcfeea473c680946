package audit

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// codeSchema has views, functions, triggers and rules that are as they should
// be. aud_owner owns the tables, aud_view views; both are bound by policies.
const codeSchema = `
CREATE ROLE aud_app LOGIN; CREATE ROLE aud_owner; CREATE ROLE aud_view; CREATE ROLE aud_free BYPASSRLS;
CREATE SCHEMA app AUTHORIZATION aud_owner; CREATE SCHEMA internal AUTHORIZATION aud_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO aud_app, aud_view;
SET ROLE aud_owner;
CREATE FUNCTION app.org() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;
CREATE TABLE app.orgs (id uuid PRIMARY KEY, name text);
CREATE TABLE app.docs (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, title text, changed timestamptz);
CREATE TABLE app.loose (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE);
CREATE TABLE internal.log (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, what text);
CREATE TABLE app.countries (code text PRIMARY KEY);
CREATE TABLE app.members (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, user_name text NOT NULL, PRIMARY KEY (org_id, user_name));
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['orgs', 'docs', 'loose', 'members'] LOOP
	EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$;
ALTER TABLE app.orgs FORCE ROW LEVEL SECURITY; ALTER TABLE app.docs FORCE ROW LEVEL SECURITY; ALTER TABLE app.members FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON app.orgs USING (id = (SELECT app.org()));
CREATE POLICY own ON app.docs USING (org_id = (SELECT app.org()));
CREATE POLICY own ON app.loose USING (org_id = (SELECT app.org()));
CREATE POLICY own ON app.members USING (org_id = (SELECT app.org()));
GRANT SELECT ON app.orgs, app.countries TO aud_app; GRANT SELECT, INSERT, UPDATE, DELETE ON app.docs, app.loose TO aud_app;
GRANT SELECT ON app.orgs, app.docs, app.countries TO aud_view;

-- What is no fault.
CREATE VIEW app.forced_docs AS SELECT * FROM app.docs; -- of an owner that policies bind
CREATE VIEW app.own_loose AS SELECT * FROM app.loose WHERE org_id = (SELECT app.org()); -- the tenant's condition in the view
CREATE VIEW app.own_log AS SELECT l.what FROM internal.log l JOIN app.orgs o ON o.id = l.org_id WHERE o.id = (SELECT app.org());
CREATE VIEW app.all_countries AS SELECT * FROM app.countries;
CREATE VIEW internal.everything AS SELECT * FROM app.loose; -- out of reach
CREATE MATERIALIZED VIEW internal.stored AS SELECT * FROM app.loose;
CREATE VIEW app.own_stored AS SELECT * FROM internal.stored WHERE org_id = (SELECT app.org());
CREATE MATERIALIZED VIEW app.codes AS SELECT code FROM app.countries;
GRANT SELECT ON app.forced_docs, app.own_loose, app.own_log, app.all_countries, app.own_stored, app.codes TO aud_app;
CREATE FUNCTION internal.all_docs() RETURNS SETOF app.docs LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM app.docs $$;
CREATE FUNCTION app.own_log_count() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
	$$ SELECT count(*) FROM internal.log WHERE org_id = nullif(current_setting('app.org_id', true), '')::uuid $$;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON app.docs FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE FUNCTION app.search(words text) RETURNS SETOF app.docs LANGUAGE plpgsql STABLE AS
	$$ BEGIN RETURN QUERY EXECUTE 'SELECT * FROM app.docs WHERE title LIKE $1' USING words; END $$;
CREATE FUNCTION app.search_literal(words text) RETURNS SETOF app.docs LANGUAGE plpgsql STABLE AS
	$$ BEGIN RETURN QUERY EXECUTE format('SELECT * FROM app.docs WHERE title = %L', words); END $$;
CREATE FUNCTION app.maintain(days int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT ' || days; PERFORM set_config('statement_timeout', '1s', true); END $$;
CREATE FUNCTION app.update_set(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE app.docs SET title = t; END $$;
CREATE FUNCTION internal.enter(o uuid) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.org_id', o::text, true); END $$;
CREATE RULE no_delete AS ON DELETE TO app.orgs DO INSTEAD NOTHING;
RESET ROLE;
`

var codeSelection = inventory.Selection{AppRoles: []string{"aud_app"}, RootTable: "app.orgs", GlobalTables: []string{"app.countries"}}

const dropView = "DROP VIEW app.v CASCADE"

var codePlants = []plant{
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView}, // of a superuser
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.loose; ALTER VIEW app.v OWNER TO aud_owner; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView},
	{fault: "CREATE VIEW app.v AS SELECT l.id, d.title FROM app.loose l, app.docs d WHERE d.org_id = (SELECT app.org()); GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView},
	{fault: "CREATE VIEW app.v AS SELECT o.id, (SELECT count(*) FROM app.docs) AS n FROM app.orgs o WHERE o.id = (SELECT app.org()); GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView},
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.docs WHERE org_id = (SELECT app.org()) OR title = 'public'; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView},
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.docs WHERE org_id = (SELECT app.org()); GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView},
	{fault: "CREATE VIEW internal.hidden AS SELECT * FROM app.loose; CREATE VIEW app.v AS SELECT * FROM internal.hidden; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView + "; DROP VIEW internal.hidden"},
	{fault: `CREATE VIEW app.v AS SELECT * FROM app.docs; ALTER VIEW app.v RENAME TO "All Docs"; GRANT SELECT ON app."All Docs" TO aud_app`, want: []string{`A401 app."All Docs"`}, repair: `DROP VIEW app."All Docs"`},
	{fault: "CREATE VIEW app.v WITH (security_invoker = true) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_invoker) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_invoker = on) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_invoker = 1) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_invoker = yes) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_invoker = off) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView, since: 15},
	{fault: "CREATE VIEW app.v WITH (security_barrier) AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app", want: []string{"A401 app.v"}, repair: dropView},
	{fault: "CREATE MATERIALIZED VIEW app.m AS SELECT * FROM app.docs; GRANT SELECT ON app.m TO aud_app", want: []string{"A402 app.m"}, repair: "DROP MATERIALIZED VIEW app.m"},
	{fault: "CREATE MATERIALIZED VIEW app.m AS SELECT count(*) FROM app.forced_docs; GRANT SELECT ON app.m TO PUBLIC", want: []string{"A402 app.m"}, repair: "DROP MATERIALIZED VIEW app.m"},
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.docs; ALTER VIEW app.v OWNER TO aud_view; GRANT SELECT ON app.v TO aud_app; ALTER POLICY own ON app.docs TO aud_app", want: []string{"A415 app.v", "A415 app.forced_docs"}, repair: dropView + "; ALTER POLICY own ON app.docs TO PUBLIC"},
	{fault: "CREATE VIEW app.v AS SELECT * FROM app.docs; GRANT CREATE ON SCHEMA app TO aud_view; ALTER VIEW app.v OWNER TO aud_view; GRANT SELECT ON app.v TO aud_app", want: nil, repair: dropView + "; REVOKE CREATE ON SCHEMA app FROM aud_view"},

	{fault: "CREATE FUNCTION app.doc(n int) RETURNS SETOF app.docs LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM app.docs WHERE id = n'", want: []string{"A403 app.doc(n integer)"}, repair: "DROP FUNCTION app.doc"},
	{fault: "CREATE FUNCTION app.wipe() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN DELETE FROM app.docs; END $$", want: []string{"A403 app.wipe()"}, repair: "DROP FUNCTION app.wipe"},
	{fault: "CREATE PROCEDURE app.wipe() LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN DELETE FROM app.docs; END $$", want: []string{"A403 app.wipe()"}, repair: "DROP PROCEDURE app.wipe"},
	{fault: "CREATE FUNCTION app.doc(n int) RETURNS SETOF app.docs LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM app.docs WHERE id = n'; REVOKE EXECUTE ON FUNCTION app.doc FROM PUBLIC", want: nil, repair: "DROP FUNCTION app.doc"},
	{fault: "CREATE FUNCTION app.doc(n int) RETURNS SETOF app.docs LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM app.docs WHERE id = n AND org_id = (SELECT app.org())'", want: nil, repair: "DROP FUNCTION app.doc"},
	{
		fault: `CREATE FUNCTION app.my_orgs() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT m.org_id FROM app.members m WHERE m.user_name = current_setting('app.user', true) $$;
			CREATE POLICY more ON app.docs FOR SELECT USING (org_id IN (SELECT app.my_orgs()))`,
		want: nil, repair: "DROP POLICY more ON app.docs; DROP FUNCTION app.my_orgs",
	},
	{fault: "CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", want: []string{"A404 app.harmless()"}, repair: "DROP FUNCTION app.harmless"},
	{fault: "GRANT CREATE ON SCHEMA public TO aud_app; CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public AS 'SELECT 1'", want: []string{"A404 app.harmless()"}, repair: "DROP FUNCTION app.harmless; REVOKE CREATE ON SCHEMA public FROM aud_app"},
	{fault: "CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public AS 'SELECT 1'", want: nil, repair: "DROP FUNCTION app.harmless"},
	{fault: "CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1'", want: nil, repair: "DROP FUNCTION app.harmless"},
	{fault: "CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1", want: nil, repair: "DROP FUNCTION app.harmless", since: 14},
	{
		fault: `CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN INSERT INTO internal.log VALUES (NEW.org_id, 'x'); RETURN NEW; END $$;
			CREATE TRIGGER "Note it" AFTER INSERT ON app.docs FOR EACH ROW EXECUTE FUNCTION app.note()`,
		want: []string{"A405 app.docs:Note it"}, repair: "DROP FUNCTION app.note CASCADE",
	},
	{fault: "CREATE RULE copy AS ON INSERT TO app.docs DO ALSO INSERT INTO internal.log VALUES (NEW.org_id, NEW.title)", want: []string{"A406 app.docs:copy"}, repair: "DROP RULE copy ON app.docs"},
	{fault: "CREATE RULE copy AS ON INSERT TO app.countries DO ALSO INSERT INTO internal.log VALUES (NULL, NEW.code)", want: nil, repair: "DROP RULE copy ON app.countries"},
	{fault: "CREATE FUNCTION app.leaky(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$", want: []string{"A407 app.leaky(text)"}, repair: "DROP FUNCTION app.leaky"},
	{fault: "CREATE EXTENSION file_fdw", want: []string{"A409 extension:file_fdw"}, repair: "DROP EXTENSION file_fdw"},
	{fault: "CREATE EXTENSION tablefunc; CREATE EXTENSION pgcrypto", want: []string{"A409 extension:tablefunc"}, repair: "DROP EXTENSION tablefunc; DROP EXTENSION pgcrypto"},
	{fault: "CREATE EXTENSION file_fdw SCHEMA internal", want: nil, repair: "DROP EXTENSION file_fdw"}, // out of reach
	{fault: "CREATE FUNCTION app.become(o uuid) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.org_id', o::text, false); END $$", want: []string{"A411 app.become(o uuid)"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.become(o uuid) RETURNS text LANGUAGE sql AS $$ SELECT pg_catalog.set_config('app.org_id', o::text, false) $$", want: []string{"A411 app.become(o uuid)"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.become(n text, v text) RETURNS text LANGUAGE sql AS $$ SELECT set_config(n, v, false) $$", want: []string{"A411 app.become(n text, v text)"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.become() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL app.org_id = 'x'; END $$", want: []string{"A411 app.become()"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.become(o text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('SET app.org_id = %L', o); END $$", want: []string{"A411 app.become(o text)"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.become() RETURNS int LANGUAGE sql SET app.org_id = 'x' AS 'SELECT 1'", want: []string{"A411 app.become()"}, repair: "DROP FUNCTION app.become"},
	{fault: "CREATE FUNCTION app.off() RETURNS bigint LANGUAGE sql SET row_security = off AS 'SELECT 1::bigint'", want: []string{"A412 app.off()"}, repair: "DROP FUNCTION app.off"},
	{fault: "CREATE FUNCTION app.off() RETURNS bigint LANGUAGE sql SET role = aud_owner AS 'SELECT 1::bigint'", want: []string{"A412 app.off()"}, repair: "DROP FUNCTION app.off"},
	{fault: "CREATE FUNCTION app.off() RETURNS bigint LANGUAGE sql SET row_security = on AS 'SELECT 1::bigint'", want: nil, repair: "DROP FUNCTION app.off"},
	{fault: "CREATE FUNCTION app.run(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$", want: []string{"A413 app.run(q text)"}, repair: "DROP FUNCTION app.run"},
	{fault: "CREATE FUNCTION app.run(q text) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'SELECT * FROM docs WHERE ' || q; END $$", want: []string{"A413 app.run(q text)"}, repair: "DROP FUNCTION app.run"},
	{fault: "CREATE FUNCTION app.run(t text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; s text; BEGIN s := format('SELECT count(*) FROM %s', t); EXECUTE s INTO n; RETURN n; END $$", want: []string{"A413 app.run(t text)"}, repair: "DROP FUNCTION app.run"},
	{fault: "CREATE FUNCTION app.run(q text) RETURNS xml LANGUAGE sql AS $$ SELECT query_to_xml(q, true, false, '') $$", want: []string{"A413 app.run(q text)"}, repair: "DROP FUNCTION app.run"},
	{fault: "CREATE FUNCTION app.run(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$; REVOKE EXECUTE ON FUNCTION app.run FROM PUBLIC", want: nil, repair: "DROP FUNCTION app.run"},
}

func isCodeCheck(id string) bool { return strings.HasPrefix(id, "A4") }

func TestCode(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		testPlants(t, s, codeSchema, codeSelection, isCodeCheck, false, codePlants)
	})
}

// The fixes that are SQL end what they are for.
func TestCode_Fixes(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), codeSchema, Options{Selection: codeSelection})
	s.exec(`CREATE VIEW app.v AS SELECT * FROM app.docs; GRANT SELECT ON app.v TO aud_app;
		CREATE VIEW internal.hidden AS SELECT * FROM app.loose; CREATE VIEW app.nested AS SELECT * FROM internal.hidden; GRANT SELECT ON app.nested TO aud_app;
		CREATE MATERIALIZED VIEW app.m AS SELECT * FROM app.docs; GRANT SELECT ON app.m TO aud_app, PUBLIC;
		CREATE FUNCTION app.run(q text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET role = aud_owner AS $$ BEGIN EXECUTE q; PERFORM set_config('app.org_id', q, false); END $$;
		CREATE FUNCTION app.leaky(text) RETURNS boolean LANGUAGE sql LEAKPROOF AS 'SELECT true';
		CREATE RULE copy AS ON INSERT TO app.docs DO ALSO INSERT INTO internal.log VALUES (NEW.org_id, NEW.title);
		CREATE EXTENSION dblink;`)
	for range 2 { // a fix may uncover another finding
		for _, f := range s.audit() {
			if isCodeCheck(f.Check) && f.FixIsSQL {
				s.exec(f.Fix)
			}
		}
	}
	for _, f := range s.audit() {
		if isCodeCheck(f.Check) {
			t.Errorf("after the fixes: got %s %s", f.Check, f.Object)
		}
	}
}

func TestCode_ForTheRecord(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), codeSchema, Options{Selection: codeSelection})
	s.exec(`CREATE FUNCTION internal.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
		CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION internal.on_ddl()`)
	var got []string
	for _, f := range s.audit() {
		if isCodeCheck(f.Check) && f.Severity == Info {
			got = append(got, f.Check+" "+f.Object)
		}
	}
	if want := []string{"A408 event_trigger:watch", "A414 role:aud_app"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.exec("DROP EVENT TRIGGER watch")
}
