-- The application of `bulkhead demo --tour`: 59 tables of a project tool. Row
-- security is on, and trusts a setting that the application takes from the
-- frontend. Three tables were forgotten, one of them the queue of the worker.
CREATE ROLE app LOGIN PASSWORD 'app';
GRANT USAGE ON SCHEMA public TO app;

CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);

DO $$
DECLARE
    t text;
    forgotten text[] := ARRAY['jobs', 'webhook_deliveries', 'audit_log'];
    names text[] := ARRAY[
        'users', 'teams', 'team_members', 'roles', 'permissions', 'invitations', 'sessions', 'api_keys', 'projects', 'project_members',
        'milestones', 'boards', 'board_columns', 'tasks', 'task_assignees', 'task_labels', 'labels', 'checklists', 'checklist_items', 'comments',
        'mentions', 'attachments', 'files', 'file_versions', 'folders', 'documents', 'document_versions', 'wiki_pages', 'wiki_links', 'time_entries',
        'timesheets', 'calendars', 'calendar_events', 'reminders', 'notifications', 'subscriptions', 'plans_chosen', 'invoices', 'invoice_lines', 'payments',
        'refunds', 'customers', 'contacts', 'deals', 'deal_stages', 'emails', 'email_threads', 'templates', 'webhooks', 'webhook_deliveries',
        'integrations', 'imports', 'exports', 'jobs', 'reports', 'dashboards', 'audit_log'];
BEGIN
    FOREACH t IN ARRAY names LOOP
        EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            org_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())', t);
        EXECUTE format('CREATE INDEX ON %I (org_id)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO app', t);
        CONTINUE WHEN t = ANY (forgotten);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY org ON %I USING (org_id = nullif(current_setting(''app.org_id'', true), '''')::uuid)', t);
    END LOOP;
END $$;

INSERT INTO organizations VALUES
    ('11111111-1111-4111-8111-111111111111', 'Analytical Engines'), ('22222222-2222-4222-8222-222222222222', 'Compilers & Sons');
INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France');
GRANT SELECT ON organizations, countries TO app;

DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attname = 'org_id' AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1 LOOP
        EXECUTE format('INSERT INTO %s (org_id, name) SELECT o.id, %L || '' of '' || o.name FROM organizations o, generate_series(1, 2)', t, t::text);
    END LOOP;
END $$;
