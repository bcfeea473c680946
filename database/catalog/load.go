package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Load takes a snapshot over a connection that is not in a transaction. It
// leaves the connection as it found it.
func Load(ctx context.Context, conn *pgx.Conn, o Options) (*Snapshot, error) {
	began := time.Now() // of our clock: it is compared with that
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin catalogue snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written: a failure means a dead connection
	l := &loader{tx: tx, options: o, byOID: make(map[uint32]int)}
	l.snapshot.TakenAt = began
	for _, step := range []func(context.Context) error{
		l.begin, l.roles, l.relations, l.uses, l.foreignKeys, l.functions, l.types,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &l.snapshot, nil
}

// loader fills in a snapshot, one query a step.
type loader struct {
	tx       pgx.Tx
	options  Options
	snapshot Snapshot
	byOID    map[uint32]int // index in snapshot.Relations
}

// begin makes names mean the catalogue's, pg_temp last, and reads who we are.
// Its own transaction ends the setting.
func (l *loader) begin(ctx context.Context) error {
	if _, err := l.tx.Exec(ctx, "SET LOCAL search_path = pg_catalog, pg_temp"); err != nil {
		return fmt.Errorf("set search_path: %w", err)
	}
	s := &l.snapshot
	const query = `SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
		pg_catalog.current_database()::pg_catalog.text, session_user::pg_catalog.text`
	if err := l.tx.QueryRow(ctx, query).Scan(&s.ServerVersion, &s.Database, &s.LoginRole); err != nil {
		return fmt.Errorf("read server version: %w", err)
	}

	l.sessionRoles()
	return nil
}

// sessionRoles are the roles that sessions run as: the configured ones, and
// the login role where no single role is configured.
func (l *loader) sessionRoles() {
	s := &l.snapshot
	if l.options.Role == "" {
		s.SessionRoles = append(s.SessionRoles, s.LoginRole)
	} else {
		s.SessionRoles = append(s.SessionRoles, l.options.Role)
	}
	for _, role := range l.options.Roles {
		if !contains(s.SessionRoles, role) {
			s.SessionRoles = append(s.SessionRoles, role)
		}
	}
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

// userSchemas is the condition on a pg_namespace n that leaves out the
// server's own schemas and those of temporary objects.
const userSchemas = `n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog', 'information_schema']::pg_catalog.name[])
	AND n.nspname::pg_catalog.text OPERATOR(pg_catalog.!~) '^pg_(toast|temp_)'`

const rolesQuery = `
WITH reach AS (
	SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication
	FROM pg_catalog.pg_roles r
	WHERE r.rolname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])
	   OR pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
	   OR r.oid IN (SELECT c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE ` + userSchemas + `)
	   OR r.oid IN (SELECT p.proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE ` + userSchemas + `)
)
SELECT a.rolname::pg_catalog.text, a.rolsuper, a.rolbypassrls, a.rolcreaterole, a.rolreplication,
	ARRAY(SELECT b.rolname::pg_catalog.text FROM reach b WHERE pg_catalog.pg_has_role(a.oid, b.oid, 'USAGE') ORDER BY 1),
	CASE WHEN a.rolname OPERATOR(pg_catalog.=) session_user THEN 'login'
	     WHEN pg_catalog.pg_has_role(session_user, a.oid, 'USAGE') THEN 'inherits'
	     WHEN pg_catalog.pg_has_role(session_user, a.oid, %s) THEN 'set role' ELSE '' END
FROM reach a ORDER BY 1`

// set16 is the first version in which membership may lack the right to SET ROLE.
const set16 = 160000

func (l *loader) roles(ctx context.Context) error {
	privilege := "'MEMBER'"
	if l.snapshot.ServerVersion >= set16 {
		privilege = "'SET'"
	}
	rows, err := l.tx.Query(ctx, fmt.Sprintf(rolesQuery, privilege), l.snapshot.SessionRoles)
	if err != nil {
		return fmt.Errorf("read roles: %w", err)
	}
	l.snapshot.Roles, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Role, error) {
		var r Role
		err := row.Scan(&r.Name, &r.Superuser, &r.BypassRLS, &r.CreateRole, &r.Replicate, &r.Inherits, &r.Reachable)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read roles: %w", err)
	}
	return nil
}

const relationsQuery = `
SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
	pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text, c.relrowsecurity, c.relforcerowsecurity,
	EXISTS (SELECT 1 FROM pg_catalog.pg_roles r
		WHERE r.rolname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])
		AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
		AND CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'S' THEN pg_catalog.has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE')
			ELSE pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
			OR pg_catalog.has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') END),
	COALESCE((SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
		WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
		AND pg_catalog.lower(pg_catalog.replace(a.attname::pg_catalog.text, '_', '')) OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[])
		ORDER BY a.attnum LIMIT 1), ''),
	ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
		WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped ORDER BY a.attnum),
	COALESCE((SELECT i.inhparent FROM pg_catalog.pg_inherits i
		WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid ORDER BY i.inhseqno LIMIT 1), 0),
	COALESCE(c.reloptions OPERATOR(pg_catalog.&&) ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false),
	CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['v', 'm']::pg_catalog."char"[]) THEN COALESCE(pg_catalog.pg_get_viewdef(c.oid), '') ELSE '' END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'm', 'f', 'S', 'c']::pg_catalog."char"[])
	AND c.relpersistence OPERATOR(pg_catalog.<>) 't' AND ` + userSchemas + `
ORDER BY 2, 3`

// normalised are column names as they are compared: lower case, no underscores.
func normalised(columns []string) []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, strings.ToLower(strings.ReplaceAll(c, "_", "")))
	}
	return names
}

func (l *loader) relations(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, relationsQuery, l.snapshot.SessionRoles, normalised(l.options.TenantColumns))
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	s := &l.snapshot
	s.Relations, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Relation, error) {
		var r Relation
		var kind, definition string
		err := row.Scan(&r.oid, &r.Schema, &r.Name, &kind, &r.Owner, &r.RowSecurity, &r.Force,
			&r.Reachable, &r.TenantColumn, &r.Columns, &r.parent, &r.Invoker, &definition)
		if err == nil {
			r.Kind = kind[0]
		}
		if definition != "" {
			r.Definition = readSQL(definition)
		}
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read relations: %w", err)
	}
	for i := range s.Relations {
		l.byOID[s.Relations[i].oid] = i
	}
	for i := range s.Relations {
		if p, ok := l.byOID[s.Relations[i].parent]; ok {
			s.Relations[i].Parent = s.Relations[p].Schema + "." + s.Relations[p].Name
		}
	}
	return nil
}

const usesQuery = `
SELECT DISTINCT w.ev_class, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
	AND d.objid OPERATOR(pg_catalog.=) w.oid AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
	AND d.refobjid OPERATOR(pg_catalog.<>) w.ev_class
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.refobjid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE ` + userSchemas + `
ORDER BY 1, 2, 3`

// uses reads what the rules of views and tables name. What they name in
// pg_catalog is in the facts of the definition.
func (l *loader) uses(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, usesQuery)
	if err != nil {
		return fmt.Errorf("read rewrite rules: %w", err)
	}
	var oid uint32
	var name parser.Name
	_, err = pgx.ForEachRow(rows, []any{&oid, &name.Schema, &name.Name}, func() error {
		if i, ok := l.byOID[oid]; ok {
			l.snapshot.Relations[i].Uses = append(l.snapshot.Relations[i].Uses, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read rewrite rules: %w", err)
	}
	return nil
}
