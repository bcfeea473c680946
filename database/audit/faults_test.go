package audit

// unprotect takes row security and policies from app.users; protect gives
// them back.
const (
	unprotect = `DROP POLICY tenant ON app.users; ALTER TABLE app.users DISABLE ROW LEVEL SECURITY;`
	protect   = `DROP POLICY bulkhead_tenant ON app.users; CREATE POLICY tenant ON app.users USING (org_id = (SELECT app.org()));`
)

// faults is the list of what can be wrong, in the order of the catalogue. They
// are planted into testdata/correct.sql.
var faults = []fault{
	{check: "A101", plant: unprotect, want: []string{"app.users"}, cleanUp: protect},
	{
		check: "A101", plant: `DROP POLICY tenant ON app.comments; ALTER TABLE app.comments DISABLE ROW LEVEL SECURITY; ALTER TABLE app.comments NO FORCE ROW LEVEL SECURITY;`,
		want: []string{"app.comments"},
		cleanUp: `DROP POLICY bulkhead_tenant ON app.comments;
			CREATE POLICY tenant ON app.comments USING (EXISTS (SELECT 1 FROM app.tasks t WHERE t.id = comments.task_id));`,
	},
	{check: "A102", plant: `ALTER TABLE app.users DISABLE ROW LEVEL SECURITY`, want: []string{"app.users"}},
	{check: "A103", plant: `ALTER TABLE app.users NO FORCE ROW LEVEL SECURITY`, want: []string{"app.users"}},
	{
		check: "A103", plant: `ALTER TABLE app.users NO FORCE ROW LEVEL SECURITY; REVOKE ALL ON app.users FROM aud_rw;`,
		want: nil, repair: `ALTER TABLE app.users FORCE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON app.users TO aud_rw;`,
	},
	{check: "A104", plant: `GRANT aud_owner TO aud_rw`, want: append([]string{
		"A316 schema:app", "A316 schema:ref", "A316 schema:internal", "A111 ref.countries",
		"A101 internal.everything", "A501 internal.everything.org_id", "A502 internal.everything.org_id", "A701 internal.everything.org_id", // now within reach
	}, ownedTables()...), repair: `REVOKE aud_owner FROM aud_rw`},
	{check: "A104", plant: `ALTER TABLE app.users OWNER TO aud_app`, want: []string{"app.users"}, repair: `ALTER TABLE app.users OWNER TO aud_owner`},
	{check: "A105", plant: `DROP POLICY tenant ON app.users`, want: []string{"app.users"}, cleanUp: protect},
	{check: "A106", plant: `DROP POLICY everybody ON app.projects`, want: []string{"app.projects"}, cleanUp: `DROP POLICY bulkhead_tenant ON app.projects; CREATE POLICY everybody ON app.projects USING (true);`},
	{check: "A107", plant: `GRANT SELECT ON app.events_2025 TO aud_rw`, want: []string{"app.events_2025"}},
	{check: "A107", plant: `GRANT UPDATE ON app.old_files TO aud_app`, want: []string{"app.old_files"}},
	{
		check: "A109", plant: `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w;
			CREATE FOREIGN TABLE app.away (org_id uuid NOT NULL, data text) SERVER srv; GRANT SELECT ON app.away TO aud_rw;`,
		want: []string{"app.away"}, cleanUp: `DROP FOREIGN DATA WRAPPER w CASCADE`,
	},
	{check: "A110", plant: `CREATE TABLE app.stray (a int); GRANT SELECT ON app.stray TO aud_rw`, want: []string{"app.stray"}, repair: `DROP TABLE app.stray`},
	{check: "A111", plant: `GRANT INSERT, UPDATE ON ref.countries TO aud_rw`, want: []string{"ref.countries"}},
	{
		check: "A205", plant: `ALTER TABLE app.users OWNER TO aud_owner; CREATE POLICY put ON app.users FOR INSERT`,
		want: []string{"app.users:put"}, cleanUp: `DROP POLICY put ON app.users`,
	},
	{
		check: "A206", plant: `DROP POLICY tenant ON app.users; CREATE POLICY tenant ON app.users FOR SELECT USING (org_id = (SELECT app.org()))`,
		want: []string{"app.users"}, cleanUp: `DROP POLICY tenant ON app.users; CREATE POLICY tenant ON app.users USING (org_id = (SELECT app.org()));
			GRANT INSERT, UPDATE, DELETE ON app.users TO aud_rw`,
	},
	{check: "A207", plant: `ALTER POLICY tenant ON app.users TO aud_backup`, want: []string{"app.users"}, repair: `ALTER POLICY tenant ON app.users TO PUBLIC`},
	{check: "A301", plant: `ALTER ROLE aud_app SUPERUSER`, want: []string{"role:aud_app"}},
	{check: "A302", plant: `ALTER ROLE aud_app BYPASSRLS`, want: []string{"role:aud_app"}},
	{check: "A303", plant: `GRANT aud_backup TO aud_rw`, want: []string{"role:aud_app"}},
	{check: "A303", plant: `GRANT aud_backup TO aud_rw WITH INHERIT TRUE, SET FALSE`, want: nil, repair: `REVOKE aud_backup FROM aud_rw`, since: 16},
	{check: "A303", plant: `GRANT aud_backup TO aud_rw WITH ADMIN TRUE, SET FALSE`, want: []string{"role:aud_app"}, since: 16},
	{
		// What the role reaches besides is a consequence.
		check: "A303", plant: `GRANT USAGE ON SCHEMA internal TO aud_backup; GRANT SELECT ON ALL TABLES IN SCHEMA app, internal TO aud_backup; GRANT aud_backup TO aud_app`,
		want: []string{"role:aud_app"}, cleanUp: `REVOKE ALL ON ALL TABLES IN SCHEMA app, internal FROM aud_backup; REVOKE USAGE ON SCHEMA internal FROM aud_backup`,
	},
	{
		check: "A303", plant: `ALTER ROLE aud_backup CREATEROLE; GRANT pg_read_all_stats TO aud_backup; GRANT aud_backup TO aud_app`, want: []string{"role:aud_app"},
		cleanUp: `ALTER ROLE aud_backup NOCREATEROLE; REVOKE pg_read_all_stats FROM aud_backup`,
	},
	{check: "A303", plant: `GRANT postgres TO aud_app`, want: []string{"role:aud_app"}},
	{check: "A305", plant: `GRANT pg_read_all_stats TO aud_rw; GRANT pg_signal_backend TO aud_app`, want: []string{"role:aud_app"}},
	{check: "A305", plant: `CREATE ROLE rds_superuser; GRANT rds_superuser TO aud_rw`, want: []string{"role:aud_app"}, cleanUp: `DROP ROLE rds_superuser`},
	{check: "A305", plant: `GRANT pg_monitor TO aud_app`, want: []string{"role:aud_app"}},
	{check: "A306", plant: `ALTER ROLE aud_app CREATEDB; ALTER ROLE aud_rw CREATEROLE REPLICATION`, want: []string{"role:aud_app"}},
	{check: "A307", plant: `GRANT TRUNCATE ON app.users TO aud_rw`, want: []string{"app.users"}},
	{check: "A308", plant: `GRANT REFERENCES ON app.users TO aud_app`, want: []string{"app.users"}},
	{check: "A309", plant: `GRANT TRIGGER ON app.tasks TO aud_app`, want: []string{"app.tasks"}},
	{check: "A310", plant: `GRANT MAINTAIN ON app.tasks TO aud_app`, want: []string{"app.tasks"}, since: 17},
	{check: "A311", plant: `GRANT CREATE ON SCHEMA app TO aud_rw`, want: []string{"schema:app"}},
	{check: "A311", plant: `GRANT CREATE ON SCHEMA ref TO PUBLIC`, want: []string{"schema:ref"}},
	{check: "A312", plant: `GRANT TEMPORARY ON DATABASE "DATABASE_NAME" TO PUBLIC`, want: []string{"database:DATABASE_NAME"}},
	{check: "A313", plant: `ALTER DEFAULT PRIVILEGES FOR ROLE aud_owner IN SCHEMA app GRANT SELECT ON TABLES TO aud_rw`, want: []string{"default:aud_owner@app"}},
	{check: "A313", plant: `ALTER DEFAULT PRIVILEGES FOR ROLE aud_owner GRANT SELECT ON TABLES TO PUBLIC`, want: []string{"default:aud_owner@*"}},
	{check: "A314", plant: `GRANT SELECT, TRUNCATE ON app.users TO PUBLIC`, want: []string{"app.users"}},
	{check: "A314", plant: `GRANT SELECT ON internal.everything TO PUBLIC; GRANT INSERT ON internal.everything TO aud_app`, want: nil, repair: `REVOKE ALL ON internal.everything FROM PUBLIC, aud_app`},
	{check: "A315", plant: `GRANT UPDATE (email) ON app.users TO aud_rw`, want: []string{"app.users.email"}},
	{check: "A316", plant: `ALTER SCHEMA ref OWNER TO aud_app`, want: []string{"schema:ref"}, repair: `ALTER SCHEMA ref OWNER TO aud_owner`},
	{check: "A316", plant: `ALTER DATABASE "DATABASE_NAME" OWNER TO aud_rw`, want: []string{"database:DATABASE_NAME"}, repair: `ALTER DATABASE "DATABASE_NAME" OWNER TO postgres`, cleanUp: `REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC`},
	{check: "A317", plant: `GRANT SET ON PARAMETER session_replication_role TO aud_rw`, want: []string{"role:aud_app"}, since: 15},
	{check: "A319", plant: `ALTER ROLE aud_app SET app.org_id = 'x'`, want: []string{"setting:aud_app@*"}},
	{check: "A319", plant: `ALTER DATABASE "DATABASE_NAME" SET app.current_tenant = 'x'`, want: []string{"setting:*@DATABASE_NAME"}},
	{check: "A319", plant: `ALTER ROLE aud_app IN DATABASE "DATABASE_NAME" SET request.jwt.claims = '{}'`, want: []string{"setting:aud_app@DATABASE_NAME"}},
	{check: "A319", plant: `ALTER ROLE aud_backup SET app.org_id = 'x'; ALTER ROLE aud_app SET statement_timeout = '5s'`, want: nil, repair: `ALTER ROLE aud_backup RESET ALL; ALTER ROLE aud_app RESET ALL`},
	{check: "A501", plant: `ALTER TABLE app.files ALTER org_id DROP NOT NULL`, want: []string{"app.files.org_id"}},
	{check: "A502", plant: `ALTER TABLE app.files DROP CONSTRAINT files_org_id_fkey`, want: []string{"app.files.org_id"}},
	{
		check: "A503", plant: `ALTER TABLE app.files DROP CONSTRAINT files_org_id_fkey, ADD CONSTRAINT files_org_id_fkey FOREIGN KEY (org_id) REFERENCES app.orgs ON DELETE RESTRICT`,
		want: []string{"app.files:files_org_id_fkey"},
	},
	{
		check: "A504", plant: `ALTER TABLE app.addresses ADD user_id bigint CONSTRAINT of_user REFERENCES app.users; CREATE INDEX ON app.addresses (user_id)`,
		want: []string{"app.addresses:of_user"}, repair: `ALTER TABLE app.addresses DROP user_id`,
	},
	{
		check: "A504", plant: `ALTER TABLE app.addresses ADD task_id bigint CONSTRAINT of_task REFERENCES app.tasks; CREATE INDEX ON app.addresses (task_id)`,
		want: []string{"app.addresses:of_task"}, repair: `ALTER TABLE app.addresses DROP task_id`,
	},
	{
		// A restrictive policy that looks the reference up, as harden writes it.
		check: "A504", plant: `ALTER TABLE app.addresses ADD user_id bigint CONSTRAINT of_user REFERENCES app.users; CREATE INDEX ON app.addresses (user_id);
			CREATE POLICY refs ON app.addresses AS RESTRICTIVE USING (org_id = (SELECT app.org()))
			WITH CHECK (org_id = (SELECT app.org()) AND (user_id IS NULL OR EXISTS (SELECT 1 FROM app.users u WHERE u.id = addresses.user_id)))`,
		want: nil, repair: `DROP POLICY refs ON app.addresses; ALTER TABLE app.addresses DROP user_id`,
	},
	{
		// The same in the only permissive policy.
		check: "A504", plant: `ALTER TABLE app.members ADD project_id bigint CONSTRAINT of_project REFERENCES app.projects; CREATE INDEX ON app.members (project_id);
			DROP POLICY tenant ON app.members; CREATE POLICY tenant ON app.members USING (org_id = (SELECT app.org()))
			WITH CHECK (org_id = (SELECT app.org()) AND (project_id IS NULL OR EXISTS (SELECT 1 FROM app.projects p WHERE p.id = members.project_id)))`,
		want: nil, repair: `DROP POLICY tenant ON app.members; ALTER TABLE app.members DROP project_id; CREATE POLICY tenant ON app.members USING (org_id = (SELECT app.org()))`,
	},
	{check: "A504", plant: `ALTER TABLE app.users ADD boss bigint CONSTRAINT of_boss REFERENCES app.users; CREATE INDEX ON app.users (boss)`, want: []string{"app.users:of_boss"}, repair: `ALTER TABLE app.users DROP boss`},
	{
		// A function looks into the policy's own table.
		check: "A504", plant: `ALTER TABLE app.users ADD boss bigint CONSTRAINT of_boss REFERENCES app.users; CREATE INDEX ON app.users (boss);
			CREATE FUNCTION app.sees(bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT 1 FROM app.users u WHERE u.id = $1 AND u.org_id = (SELECT app.org()))';
			DROP POLICY tenant ON app.users; CREATE POLICY tenant ON app.users USING (org_id = (SELECT app.org()))
			WITH CHECK (org_id = (SELECT app.org()) AND (boss IS NULL OR app.sees(boss)))`,
		want: nil, repair: `DROP POLICY tenant ON app.users; ALTER TABLE app.users DROP boss; CREATE POLICY tenant ON app.users USING (org_id = (SELECT app.org())); DROP FUNCTION app.sees`,
	},
	{check: "A505", plant: `CREATE UNIQUE INDEX one_name ON app.files (name)`, want: []string{"app.files:one_name"}, repair: `DROP INDEX app.one_name`},
	{check: "A505", plant: `CREATE UNIQUE INDEX one_mail ON app.users (lower(email))`, want: []string{"app.users:one_mail"}, repair: `DROP INDEX app.one_mail`},
	{check: "A505", plant: `ALTER TABLE app.files ADD CONSTRAINT ex EXCLUDE USING hash (name WITH =)`, want: []string{"app.files:ex"}, repair: `ALTER TABLE app.files DROP CONSTRAINT ex`},
	{check: "A505", plant: `ALTER TABLE app.comments ADD UNIQUE (body)`, want: []string{"app.comments:comments_body_key"}, repair: `ALTER TABLE app.comments DROP CONSTRAINT comments_body_key`},
	{
		check: "A506", plant: `CREATE TABLE app.typed (tenant_id text NOT NULL, n int); CREATE INDEX ON app.typed (tenant_id); GRANT SELECT ON app.typed TO aud_rw;
			ALTER TABLE app.typed ENABLE ROW LEVEL SECURITY; ALTER TABLE app.typed FORCE ROW LEVEL SECURITY; CREATE POLICY p ON app.typed USING (tenant_id = (SELECT app.org()::text))`,
		want: []string{"app.typed.tenant_id"}, repair: `DROP TABLE app.typed`,
	},
	{check: "A507", plant: `ALTER TABLE app.files ADD customer text`, want: []string{"app.files.customer"}, repair: `ALTER TABLE app.files DROP customer`},
	{check: "A508", plant: `ALTER TABLE app.files ADD tenant_id uuid`, want: []string{"app.files"}, repair: `ALTER TABLE app.files DROP tenant_id`},
	{check: "A512", plant: `ALTER TABLE app.files ALTER org_id SET DEFAULT '00000000-0000-0000-0000-000000000001'`, want: []string{"app.files.org_id"}},
	{check: "A512", plant: `ALTER TABLE app.files ALTER org_id SET DEFAULT (current_setting('app.org_id'))::uuid`, want: nil, repair: `ALTER TABLE app.files ALTER org_id DROP DEFAULT`},
	{check: "A512", plant: `ALTER TABLE app.files ALTER org_id SET DEFAULT NULL`, want: nil, repair: `ALTER TABLE app.files ALTER org_id DROP DEFAULT`},
	{
		check: "A514", plant: `ALTER TABLE app.files DROP CONSTRAINT files_org_id_fkey, ADD CONSTRAINT files_org_id_fkey FOREIGN KEY (org_id) REFERENCES app.orgs ON DELETE CASCADE NOT VALID`,
		want: []string{"app.files:files_org_id_fkey"},
	},
	{
		check: "A517", plant: `ALTER TABLE app.projects DROP CONSTRAINT projects_org_id_owner_id_fkey,
			ADD CONSTRAINT projects_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES app.users (org_id, id) ON DELETE SET NULL`,
		want: []string{"app.projects:projects_org_id_owner_id_fkey"},
	},
	{
		check: "A517", plant: `ALTER TABLE app.files DROP CONSTRAINT files_org_id_fkey, ADD CONSTRAINT files_org_id_fkey FOREIGN KEY (org_id) REFERENCES app.orgs ON DELETE SET NULL`,
		want: []string{"app.files:files_org_id_fkey"},
	},
	{
		check: "A517", since: 15, plant: `ALTER TABLE app.projects DROP CONSTRAINT projects_org_id_owner_id_fkey,
			ADD CONSTRAINT projects_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES app.users (org_id, id) ON DELETE SET NULL (owner_id)`,
		want: nil,
	},
	{check: "A701", plant: `DROP INDEX app.files_org_id_idx`, want: []string{"app.files.org_id"}},
	{check: "A701", plant: `DROP INDEX app.files_org_id_idx; CREATE INDEX part ON app.files (org_id) WHERE name = 'x'; CREATE INDEX second ON app.files (name, org_id)`, want: []string{"app.files.org_id"}, cleanUp: `DROP INDEX app.part, app.second`},
	{check: "A704", plant: `DROP INDEX app.comments_task_id_idx`, want: []string{"app.comments:comments_task_id_fkey"}},
	{check: "A704", plant: `DROP INDEX app.projects_org_id_owner_id_idx; CREATE INDEX by_owner ON app.projects (owner_id)`, want: nil, repair: `DROP INDEX app.by_owner; CREATE INDEX ON app.projects (org_id, owner_id)`},
	{check: "A705", plant: `CREATE INDEX words ON app.comments USING gin (to_tsvector('english', body))`, want: []string{"app.comments:words"}, repair: `DROP INDEX app.words`},
	{check: "A705", plant: `CREATE INDEX likes ON app.comments (body text_pattern_ops)`, want: []string{"app.comments:likes"}, repair: `DROP INDEX app.likes`},
	{check: "A705", plant: `CREATE INDEX days ON app.events (at); CREATE INDEX names ON app.files (name)`, want: nil, repair: `DROP INDEX app.days, app.names`},
	{check: "A706", plant: `CREATE POLICY again ON app.users FOR SELECT USING (org_id = (SELECT app.org()))`, want: []string{"app.users"}, repair: `DROP POLICY again ON app.users`},
	{check: "A801", plant: `SELECT lo_create(4711)`, want: []string{"large_objects"}, repair: `SELECT lo_unlink(4711)`},
	{check: "A802", plant: `CREATE PUBLICATION pub FOR ALL TABLES`, want: []string{"publication:pub"}, repair: `DROP PUBLICATION pub`},
	{check: "A802", plant: `CREATE PUBLICATION pub FOR TABLE app.users, ref.countries`, want: []string{"publication:pub"}, repair: `DROP PUBLICATION pub`},
	{check: "A802", plant: `CREATE PUBLICATION pub FOR TABLE ref.countries`, want: nil, repair: `DROP PUBLICATION pub`},
	{check: "A802", plant: `CREATE PUBLICATION pub FOR TABLES IN SCHEMA app`, want: []string{"publication:pub"}, repair: `DROP PUBLICATION pub`, since: 15},
	{check: "A803", plant: `SELECT pg_create_physical_replication_slot('aud_slot')`, want: []string{"replication_slot:aud_slot"}, repair: `SELECT pg_drop_replication_slot('aud_slot')`},
	{
		check: "A810", plant: `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER "Far Away" FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR aud_rw SERVER "Far Away"; CREATE USER MAPPING FOR aud_backup SERVER "Far Away"`,
		want: []string{"server:Far Away"}, cleanUp: `DROP FOREIGN DATA WRAPPER w CASCADE`,
	},
	{check: "A811", plant: `GRANT UPDATE ON SEQUENCE app.users_id_seq TO aud_rw`, want: []string{"app.users_id_seq"}},
	{check: "A902", plant: `CREATE SCHEMA bulkhead; CREATE TABLE bulkhead.signing_key (kid int, created_at timestamptz); GRANT SELECT (kid) ON bulkhead.signing_key TO aud_backup`, want: []string{"bulkhead.signing_key"}, cleanUp: `DROP SCHEMA bulkhead CASCADE`},
	{
		check: "A903", plant: `CREATE POLICY bulkhead_floor ON app.users AS RESTRICTIVE USING (org_id = (SELECT app.org()))`,
		want: []string{
			"app.orgs", "app.projects", "app.tasks", "app.comments", "app.reactions", "app.events", "app.events_2025", "app.events_2026", "app.files", "app.old_files",
			"app.addresses", "app.members", "internal.everything",
		},
		repair: `DROP POLICY bulkhead_floor ON app.users`,
	},
}

// ownedTables are the tenant tables of the correct schema, which aud_owner
// owns.
func ownedTables() []string {
	return []string{
		"app.orgs", "app.users", "app.projects", "app.tasks", "app.comments", "app.reactions", "app.events", "app.events_2025", "app.events_2026",
		"app.files", "app.old_files", "app.addresses", "app.members", "internal.everything",
	}
}
