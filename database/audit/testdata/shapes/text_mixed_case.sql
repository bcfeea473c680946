-- Text keys, mixed case, quoted names, names that need quoting in two places.
-- app-role: aud_App Role
CREATE ROLE "aud_App Role" LOGIN;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA "My Schema";
GRANT USAGE ON SCHEMA "My Schema" TO "aud_App Role";
CREATE FUNCTION "My Schema"."Tenant"() RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('app.tenant_id', true), '') $$;
CREATE TABLE "My Schema"."Tenants" ("Key" text PRIMARY KEY, "Name" text);
CREATE TABLE "My Schema"."User" ("TenantId" text NOT NULL REFERENCES "My Schema"."Tenants" ON DELETE CASCADE, "Id" int PRIMARY KEY, UNIQUE ("TenantId", "Id"));
CREATE TABLE "My Schema"."Order" (
	"TenantId" varchar(40) NOT NULL REFERENCES "My Schema"."Tenants" ON DELETE CASCADE, "Id" int PRIMARY KEY, "User" int,
	CONSTRAINT "of user" FOREIGN KEY ("TenantId", "User") REFERENCES "My Schema"."User" ("TenantId", "Id"),
	CONSTRAINT "Just One" UNIQUE ("User"));
CREATE INDEX ON "My Schema"."Order" ("TenantId", "User");
CREATE TABLE "My Schema"."a.b""c" ("TenantId" text REFERENCES "My Schema"."Tenants" ON DELETE SET NULL, select_ int);
CREATE INDEX ON "My Schema"."a.b""c" ("TenantId");
CREATE TABLE "My Schema".lines ("Tenant_ID" text NOT NULL REFERENCES "My Schema"."Tenants" ON DELETE CASCADE, "order" int CONSTRAINT "to Order" REFERENCES "My Schema"."Order");
CREATE INDEX ON "My Schema".lines ("Tenant_ID"); CREATE INDEX ON "My Schema".lines ("order");
ALTER TABLE "My Schema"."Tenants" ENABLE ROW LEVEL SECURITY; ALTER TABLE "My Schema"."Tenants" FORCE ROW LEVEL SECURITY;
ALTER TABLE "My Schema"."User" ENABLE ROW LEVEL SECURITY; ALTER TABLE "My Schema"."User" FORCE ROW LEVEL SECURITY;
ALTER TABLE "My Schema"."Order" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "My Schema".lines ENABLE ROW LEVEL SECURITY; ALTER TABLE "My Schema".lines FORCE ROW LEVEL SECURITY;
CREATE POLICY "My Policy" ON "My Schema"."Tenants" USING ("Key" = (SELECT "My Schema"."Tenant"()));
CREATE POLICY "My Policy" ON "My Schema"."User" USING ("TenantId" = (SELECT "My Schema"."Tenant"()));
CREATE POLICY "My Policy" ON "My Schema"."Order" USING ("TenantId" = (SELECT "My Schema"."Tenant"()::varchar));
CREATE POLICY "My Policy" ON "My Schema".lines USING ("Tenant_ID" = (SELECT "My Schema"."Tenant"()));
CREATE POLICY "Put: it" ON "My Schema".lines FOR INSERT;
GRANT SELECT ON "My Schema"."Tenants" TO "aud_App Role";
GRANT SELECT, INSERT, UPDATE, DELETE ON "My Schema"."User", "My Schema"."Order", "My Schema"."a.b""c", "My Schema".lines TO "aud_App Role";
GRANT UPDATE ("Id") ON "My Schema"."User" TO "aud_App Role";
ALTER ROLE "aud_App Role" SET app.tenant_id = 'x';
-- expect: A101 "My Schema"."a.b""c"
-- expect: A103 "My Schema"."Order"
-- expect: A205 "My Schema".lines:Put: it
-- expect: A315 "My Schema"."User"."Id"
-- expect: A318 role:aud_App Role
-- expect: A319 setting:aud_App Role@*
-- expect: A501 "My Schema"."a.b""c"."TenantId"
-- expect: A504 "My Schema".lines:to Order
-- expect: A517 "My Schema"."a.b""c":a.b"c_TenantId_fkey
