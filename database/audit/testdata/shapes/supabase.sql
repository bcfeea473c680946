-- Roles as Supabase has them: a gate that inherits nothing and becomes the
-- others, one of which bypasses row security; default privileges to all.
-- app-role: aud_authenticator
-- root-table: public.organizations
CREATE ROLE aud_anon; CREATE ROLE aud_authenticated; CREATE ROLE aud_service_role BYPASSRLS;
CREATE ROLE aud_authenticator LOGIN NOINHERIT;
GRANT aud_anon, aud_authenticated, aud_service_role TO aud_authenticator;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA auth; CREATE SCHEMA private;
GRANT USAGE ON SCHEMA auth TO aud_authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO aud_anon, aud_authenticated, aud_service_role;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text); -- without a grant
CREATE TABLE public.organizations (id uuid PRIMARY KEY);
CREATE TABLE public.members (organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE, user_id uuid NOT NULL REFERENCES auth.users, PRIMARY KEY (organization_id, user_id));
CREATE TABLE public.documents (id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE, title text);
CREATE INDEX ON public.documents (organization_id);
CREATE TABLE public.invites (id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE);
CREATE INDEX ON public.invites (organization_id);
CREATE TABLE private.keys (organization_id uuid, key text); -- in a schema that nobody of them may use
GRANT ALL ON private.keys TO aud_authenticated;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM aud_anon, aud_authenticated, aud_service_role;
GRANT SELECT ON public.organizations, public.members TO aud_authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.documents TO aud_authenticated;
GRANT SELECT ON public.documents TO aud_anon;
GRANT ALL ON public.invites TO aud_anon, aud_authenticated, aud_service_role;
DO $$ DECLARE t text; BEGIN
	FOREACH t IN ARRAY ARRAY['organizations', 'members', 'documents', 'invites'] LOOP
		EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t); EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY tenant ON public.%I TO aud_authenticated USING (%I = (SELECT (auth.jwt() ->> ''org_id'')::uuid))', t, CASE t WHEN 'organizations' THEN 'id' ELSE 'organization_id' END);
	END LOOP; END $$;
-- expect: A303 role:aud_authenticator
-- expect: A307 public.invites
-- expect: A308 public.invites
-- expect: A309 public.invites
-- expect: A310 public.invites since 17
-- expect: A313 default:postgres@public
-- expect: A318 role:aud_authenticator
