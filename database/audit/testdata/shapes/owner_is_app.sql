-- The application made everything itself and connects as the owner.
-- app-role: aud_app
CREATE ROLE aud_app LOGIN;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA shop AUTHORIZATION aud_app;
SET ROLE aud_app;
CREATE TABLE shop.orgs (id bigserial PRIMARY KEY, slug text UNIQUE);
CREATE TABLE shop.items (id bigserial PRIMARY KEY, org_id bigint NOT NULL REFERENCES shop.orgs ON DELETE CASCADE);
CREATE INDEX ON shop.items (org_id);
CREATE TABLE shop.notes (id bigserial PRIMARY KEY, org_id bigint NOT NULL REFERENCES shop.orgs ON DELETE CASCADE);
CREATE INDEX ON shop.notes (org_id);
CREATE TABLE shop.parts (org_id bigint NOT NULL REFERENCES shop.orgs ON DELETE CASCADE, n int) PARTITION BY LIST (n);
CREATE TABLE shop.parts_1 PARTITION OF shop.parts FOR VALUES IN (1);
CREATE INDEX ON shop.parts (org_id);
ALTER TABLE shop.orgs ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.orgs FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.parts ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.parts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON shop.orgs USING (id = (SELECT nullif(current_setting('app.org_id', true), '')::bigint));
CREATE POLICY tenant ON shop.items USING (org_id = (SELECT nullif(current_setting('app.org_id', true), '')::bigint));
CREATE POLICY tenant ON shop.parts USING (org_id = (SELECT nullif(current_setting('app.org_id', true), '')::bigint));
RESET ROLE;
-- expect: A101 shop.notes
-- expect: A103 shop.items
-- expect: A104 shop.items
-- expect: A104 shop.notes
-- expect: A104 shop.orgs
-- expect: A104 shop.parts
-- expect: A104 shop.parts_1
-- expect: A316 schema:shop
-- expect: A318 role:aud_app
