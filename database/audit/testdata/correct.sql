-- A schema with nothing to find above info, and with everything that looks
-- like a fault and is none. aud_owner owns it, aud_app is the application.
CREATE ROLE aud_owner;
CREATE ROLE aud_app LOGIN;
CREATE ROLE aud_rw;
CREATE ROLE aud_backup LOGIN BYPASSRLS; -- the application cannot become it
GRANT aud_rw TO aud_app;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- the default before 15
CREATE SCHEMA app AUTHORIZATION aud_owner;
CREATE SCHEMA ref AUTHORIZATION aud_owner;
CREATE SCHEMA internal AUTHORIZATION aud_owner;
GRANT USAGE ON SCHEMA app, ref TO aud_rw;

SET ROLE aud_owner;

-- The tenant's key, once per statement.
CREATE FUNCTION app.org() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
	AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;
-- A definer function that the application cannot call.
CREATE FUNCTION internal.all_users() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$ SELECT 1::bigint $$;

CREATE TABLE app.orgs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE);
CREATE TABLE app.users (
	org_id uuid NOT NULL DEFAULT app.org() REFERENCES app.orgs ON DELETE CASCADE, -- a default that is a call
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email text NOT NULL,
	UNIQUE (org_id, id), UNIQUE (email, org_id)); -- the tenant need not be first
CREATE TABLE app.projects (
	org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE,
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	owner_id bigint, parent_id bigint,
	token uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE, -- a single uuid
	name text, is_public boolean NOT NULL DEFAULT false,
	UNIQUE (org_id, id),
	FOREIGN KEY (org_id, owner_id) REFERENCES app.users (org_id, id), -- composite
	FOREIGN KEY (org_id, parent_id) REFERENCES app.projects (org_id, id));
CREATE INDEX ON app.projects (org_id, owner_id);
CREATE INDEX ON app.projects (org_id, parent_id);
CREATE TABLE app.tasks (id bigint PRIMARY KEY, project_id bigint NOT NULL REFERENCES app.projects ON DELETE CASCADE, title text, UNIQUE (project_id, title));
CREATE TABLE app.comments (id bigint PRIMARY KEY, task_id bigint NOT NULL REFERENCES app.tasks ON DELETE CASCADE, body text);
CREATE INDEX ON app.comments (task_id);
CREATE TABLE app.reactions (id bigint PRIMARY KEY, comment_id bigint NOT NULL REFERENCES app.comments ON DELETE CASCADE, kind text);
CREATE INDEX ON app.reactions (comment_id);

-- Partitions and children without a grant of their own.
CREATE TABLE app.events (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON app.events (org_id, at);
CREATE TABLE app.files (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, name text);
CREATE INDEX ON app.files (org_id);
CREATE TABLE app.old_files (gone date) INHERITS (app.files);

CREATE TABLE ref.countries (code text PRIMARY KEY, name text UNIQUE);
CREATE TABLE app.addresses (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, id bigint PRIMARY KEY, country text REFERENCES ref.countries);
CREATE INDEX ON app.addresses (org_id);
CREATE TABLE internal.everything (org_id uuid, data text); -- out of reach

CREATE TABLE app.members (org_id uuid NOT NULL REFERENCES app.orgs ON DELETE CASCADE, user_name text NOT NULL, PRIMARY KEY (org_id, user_name));

-- A membership function in a policy.
CREATE FUNCTION app.my_orgs() RETURNS SETOF uuid LANGUAGE sql STABLE AS $$ SELECT m.org_id FROM app.members m WHERE m.org_id = (SELECT app.org()) $$;

DO $$ DECLARE t text; BEGIN
	FOREACH t IN ARRAY ARRAY['orgs', 'users', 'projects', 'tasks', 'comments', 'reactions', 'events', 'files', 'addresses', 'members'] LOOP
		EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE app.%I FORCE ROW LEVEL SECURITY', t);
	END LOOP; END $$;
CREATE POLICY tenant ON app.orgs USING (id = (SELECT app.org()));
CREATE POLICY tenant ON app.users USING (org_id = (SELECT app.org())); -- USING is the check as well
CREATE POLICY floor ON app.projects AS RESTRICTIVE USING (org_id = (SELECT app.org())) WITH CHECK (org_id = (SELECT app.org()));
CREATE POLICY everybody ON app.projects USING (true); -- under a restrictive floor
CREATE POLICY tenant ON app.tasks USING (EXISTS (SELECT 1 FROM app.projects p WHERE p.id = tasks.project_id));
CREATE POLICY tenant ON app.comments USING (EXISTS (SELECT 1 FROM app.tasks t WHERE t.id = comments.task_id));
CREATE POLICY tenant ON app.reactions USING (EXISTS (SELECT 1 FROM app.comments c WHERE c.id = reactions.comment_id));
CREATE POLICY tenant ON app.events USING (org_id = (SELECT app.org()));
CREATE POLICY tenant ON app.files USING (org_id = (SELECT app.org()) AND (name <> 'secret' OR name IS NULL)); -- OR below the tenant
CREATE POLICY tenant ON app.addresses USING (org_id IN (SELECT app.my_orgs()));
CREATE POLICY tenant ON app.members USING (org_id = (SELECT app.org()));

GRANT SELECT ON app.orgs TO aud_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.users, app.projects, app.tasks, app.comments, app.reactions, app.events, app.files, app.addresses, app.members TO aud_rw;
GRANT SELECT ON ref.countries TO aud_rw;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA app TO aud_rw;
RESET ROLE;
