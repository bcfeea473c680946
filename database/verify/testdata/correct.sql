-- A schema as it should be: every table forced under a restrictive floor that
-- reads bulkhead.org_id, composite foreign keys, a view that runs as its
-- caller, partitions that nobody reaches but through their parent.
REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- as it is since 15
CREATE SCHEMA bulkhead;
GRANT USAGE ON SCHEMA bulkhead TO %app%;
CREATE FUNCTION bulkhead.org_id() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('bulkhead.org_id', true), '')::uuid $$;

CREATE TYPE state AS ENUM ('open', 'done');
CREATE DOMAIN email AS text CHECK (VALUE ~ '@');

CREATE TABLE orgs (id uuid PRIMARY KEY, name text NOT NULL UNIQUE, plan text NOT NULL CHECK (plan IN ('free', 'pro')));
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs ON DELETE CASCADE,
    mail email NOT NULL, country text REFERENCES countries, UNIQUE (org_id, id), UNIQUE (org_id, mail)
);
CREATE TABLE "Mixed Case" (
    "Id" serial PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, owner bigint NOT NULL, "State" state NOT NULL,
    amount numeric(6, 2) NOT NULL CHECK (amount > 5), doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
    FOREIGN KEY (org_id, owner) REFERENCES users (org_id, id)
);
-- Belongs to an org through its parent.
CREATE TABLE comments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id bigint NOT NULL REFERENCES users, body text NOT NULL, parent uuid REFERENCES comments);
CREATE TABLE events (org_id uuid NOT NULL REFERENCES orgs, at date NOT NULL, note text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

DO $$
DECLARE t regclass; condition text;
BEGIN
    FOREACH t IN ARRAY ARRAY['orgs', 'users', '"Mixed Case"', 'comments', 'events', 'events_2025']::regclass[] LOOP
        condition := CASE t::text WHEN 'orgs' THEN 'id = (SELECT bulkhead.org_id())'
            WHEN 'comments' THEN 'EXISTS (SELECT 1 FROM users u WHERE u.id = comments.user_id)'
            ELSE 'org_id = (SELECT bulkhead.org_id())' END;
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
        -- A bare equation the planner may ask once, not of each row.
        EXECUTE format('CREATE POLICY floor ON %s AS RESTRICTIVE USING (%s AND CASE WHEN %s THEN true ELSE false END)', t, condition, condition);
        EXECUTE format('CREATE POLICY base ON %s USING (true)', t);
    END LOOP;
END $$;

GRANT SELECT ON orgs, countries TO %app%;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, "Mixed Case", comments, events TO %app%;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO %app%;
CREATE VIEW my_users AS SELECT id, mail FROM users;
%invoker%
GRANT SELECT ON my_users TO %app%;
