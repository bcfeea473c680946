-- Bigint keys, partitions of two levels, inheritance; three schemas.
-- app-role: aud_app
CREATE ROLE aud_app LOGIN; CREATE ROLE aud_group; GRANT aud_group TO aud_app;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA core; CREATE SCHEMA logs; CREATE SCHEMA shut;
GRANT USAGE ON SCHEMA core, logs TO aud_group;
CREATE TABLE core.accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE TABLE core.users (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES core.accounts ON DELETE CASCADE);
CREATE INDEX ON core.users (account_id);
CREATE TABLE logs.events (account_id bigint NOT NULL REFERENCES core.accounts ON DELETE CASCADE, at date NOT NULL, n int) PARTITION BY RANGE (at);
CREATE TABLE logs.events_2025 PARTITION OF logs.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (n);
CREATE TABLE logs.events_2025_1 PARTITION OF logs.events_2025 FOR VALUES IN (1);
CREATE TABLE logs.events_2025_2 PARTITION OF logs.events_2025 FOR VALUES IN (2);
CREATE TABLE logs.events_2026 PARTITION OF logs.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shut.events_2027 PARTITION OF logs.events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
CREATE TABLE core.notes (account_id bigint NOT NULL REFERENCES core.accounts ON DELETE CASCADE, body text);
CREATE INDEX ON core.notes (account_id);
CREATE TABLE core.old_notes () INHERITS (core.notes);
CREATE TABLE core.older_notes () INHERITS (core.old_notes);
CREATE UNIQUE INDEX one_body ON core.notes (body, account_id) WHERE body IS NOT NULL;
DO $$ DECLARE t text; BEGIN
	FOREACH t IN ARRAY ARRAY['core.accounts', 'core.users', 'logs.events', 'core.notes'] LOOP
		EXECUTE 'ALTER TABLE ' || t || ' ENABLE ROW LEVEL SECURITY'; EXECUTE 'ALTER TABLE ' || t || ' FORCE ROW LEVEL SECURITY';
		EXECUTE format('CREATE POLICY tenant ON %s USING (%s = (SELECT nullif(current_setting(''app.account_id'', true), '''')::bigint))', t,
			CASE t WHEN 'core.accounts' THEN 'id' ELSE 'account_id' END);
	END LOOP; END $$;
GRANT SELECT ON core.accounts TO aud_group;
GRANT SELECT, INSERT ON core.users, logs.events, core.notes TO aud_group;
GRANT SELECT ON logs.events_2025_1 TO aud_app; -- a partition of a partition
GRANT SELECT ON core.older_notes TO aud_group; -- a child of a child
GRANT SELECT ON shut.events_2027 TO aud_app;   -- in a schema that it cannot use
GRANT TRUNCATE ON logs.events_2025_1 TO aud_app;
-- expect: A107 core.older_notes
-- expect: A107 logs.events_2025_1
-- expect: A307 logs.events_2025_1
-- expect: A318 role:aud_app
-- expect: A701 logs.events.account_id
