-- The sample of `bulkhead demo`: two orgs, row security that trusts a plain
-- setting, and an application role with more rights than is good.
CREATE ROLE app LOGIN PASSWORD 'app';
CREATE ROLE reporting BYPASSRLS;
GRANT reporting TO app;

CREATE TABLE invoices (
    id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id  uuid NOT NULL DEFAULT nullif(current_setting('app.org_id', true), '')::uuid,
    customer text NOT NULL,
    amount  numeric(10,2) NOT NULL
);
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invoices
    USING (org_id = (SELECT nullif(current_setting('app.org_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON invoices TO app, reporting;

-- Somebody forgot row security here, and the view runs with its owner's rights.
CREATE TABLE audit_events (org_id uuid NOT NULL, event text NOT NULL);
CREATE VIEW all_invoices AS SELECT * FROM invoices;
GRANT SELECT ON audit_events, all_invoices TO app;

INSERT INTO invoices (org_id, customer, amount) VALUES
    ('11111111-1111-4111-8111-111111111111', 'Ada Lovelace', 120.00),
    ('11111111-1111-4111-8111-111111111111', 'Alan Turing', 75.50),
    ('22222222-2222-4222-8222-222222222222', 'Grace Hopper', 9900.00),
    ('22222222-2222-4222-8222-222222222222', 'Edsger Dijkstra', 4200.00);
INSERT INTO audit_events VALUES
    ('11111111-1111-4111-8111-111111111111', 'login of Ada'),
    ('22222222-2222-4222-8222-222222222222', 'login of Grace');
