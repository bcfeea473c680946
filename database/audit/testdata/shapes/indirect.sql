-- Tables up to four foreign keys away from their tenant.
-- app-role: aud_app
-- root-table: public.organizations
-- global-table: public.currencies
CREATE ROLE aud_app LOGIN;
REVOKE TEMPORARY ON DATABASE "DATABASE_NAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE TABLE organizations (id uuid PRIMARY KEY);
CREATE TABLE currencies (code text PRIMARY KEY);
CREATE TABLE calls (id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE);
CREATE INDEX ON calls (organization_id);
CREATE TABLE recordings (id uuid PRIMARY KEY, call_id uuid NOT NULL REFERENCES calls ON DELETE CASCADE);
CREATE INDEX ON recordings (call_id);
CREATE TABLE transcripts (id uuid PRIMARY KEY, recording_id uuid NOT NULL REFERENCES recordings ON DELETE CASCADE);
CREATE TABLE segments (id uuid PRIMARY KEY, transcript_id uuid NOT NULL REFERENCES transcripts ON DELETE CASCADE, text text);
CREATE INDEX ON segments (transcript_id);
CREATE TABLE words (id uuid PRIMARY KEY, segment_id uuid NOT NULL REFERENCES segments ON DELETE CASCADE, word text, hash text UNIQUE);
CREATE INDEX ON words (segment_id);
CREATE TABLE prices (currency text REFERENCES currencies); -- global tables lead nowhere
DO $$ DECLARE t text[]; BEGIN
	FOREACH t SLICE 1 IN ARRAY ARRAY[['recordings', 'calls', 'call_id'], ['transcripts', 'recordings', 'recording_id'], ['segments', 'transcripts', 'transcript_id']] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t[1]); EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t[1]);
		EXECUTE format('CREATE POLICY tenant ON %I USING (EXISTS (SELECT 1 FROM %I AS p WHERE p.id = %1$I.%3$I))', t[1], t[2], t[3]);
	END LOOP; END $$;
ALTER TABLE calls ENABLE ROW LEVEL SECURITY; ALTER TABLE calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON calls USING (organization_id = (SELECT nullif(current_setting('app.org_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON calls, recordings, transcripts, segments, words TO aud_app;
GRANT SELECT ON currencies, prices TO aud_app;
GRANT INSERT ON currencies TO aud_app;
-- expect: A101 public.words
-- expect: A110 public.prices
-- expect: A111 public.currencies
-- expect: A318 role:aud_app
-- expect: A505 public.words:words_hash_key
-- expect: A509 public.recordings
-- expect: A509 public.segments
-- expect: A509 public.transcripts
-- expect: A509 public.words
-- expect: A704 public.transcripts:transcripts_recording_id_fkey
