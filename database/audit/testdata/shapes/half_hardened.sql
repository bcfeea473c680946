-- Somebody has begun: row security here and there, policies for the wrong
-- roles and commands, a floor on some tables only.
-- app-role: aud_app
-- root-table: public.tenants
CREATE ROLE aud_app LOGIN; CREATE ROLE aud_old_app; CREATE ROLE aud_support LOGIN BYPASSRLS;
CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT CREATE ON SCHEMA app TO PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE TABLE public.tenants (id uuid PRIMARY KEY);
CREATE TABLE app.a (id int PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE); CREATE INDEX ON app.a (tenant_id);
CREATE TABLE app.b (id int PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE); CREATE INDEX ON app.b (tenant_id);
CREATE TABLE app.c (id int PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE); CREATE INDEX ON app.c (tenant_id);
CREATE TABLE app.d (id int PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE); CREATE INDEX ON app.d (tenant_id);
CREATE TABLE app.e (id int PRIMARY KEY, tenant_id uuid NOT NULL, org_id uuid); CREATE INDEX ON app.e (tenant_id);
CREATE TABLE app.f (id int PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE); CREATE INDEX ON app.f (tenant_id);
ALTER TABLE app.b ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.c ENABLE ROW LEVEL SECURITY; ALTER TABLE app.c FORCE ROW LEVEL SECURITY;
ALTER TABLE app.d ENABLE ROW LEVEL SECURITY; ALTER TABLE app.d FORCE ROW LEVEL SECURITY;
ALTER TABLE app.e ENABLE ROW LEVEL SECURITY; ALTER TABLE app.e FORCE ROW LEVEL SECURITY;
ALTER TABLE app.f ENABLE ROW LEVEL SECURITY; ALTER TABLE app.f FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON app.a USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)); -- never enabled
CREATE POLICY tenant ON app.b USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY tenant ON app.c TO aud_old_app USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY tenant ON app.d FOR SELECT USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY bulkhead_floor ON app.e AS RESTRICTIVE USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON app.a, app.b, app.c, app.d, app.e, app.f TO aud_app;
GRANT DELETE ON app.b TO PUBLIC;
ALTER ROLE aud_app CREATEROLE;
-- expect: A102 app.a
-- expect: A103 app.b
-- expect: A105 app.f
-- expect: A106 app.e
-- expect: A206 app.d
-- expect: A207 app.c
-- expect: A306 role:aud_app
-- expect: A311 schema:app
-- expect: A312 database:DATABASE_NAME
-- expect: A314 app.b
-- expect: A318 role:aud_app
-- expect: A502 app.e.tenant_id
-- expect: A508 app.e
-- expect: A903 app.a
-- expect: A903 app.b
-- expect: A903 app.c
-- expect: A903 app.d
-- expect: A903 app.f
-- expect: A903 public.tenants
