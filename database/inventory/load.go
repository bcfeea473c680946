package inventory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Load takes a snapshot over a connection that is not in a transaction, in a
// read-only one of its own.
func Load(ctx context.Context, conn *pgx.Conn) (*Snapshot, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the inventory: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written: a failure means a dead connection
	// Definitions of a table that is being altered cannot be read: rather fail
	// than wait for long.
	if _, err := tx.Exec(ctx, LockTimeout); err != nil {
		return nil, fmt.Errorf("prepare the inventory: %w", err)
	}
	return Read(ctx, tx)
}

// LockTimeout bounds the wait for tables that somebody else has locked, in
// transactions that only read.
const LockTimeout = "SET LOCAL lock_timeout = '10s'"

// Read takes a snapshot inside a transaction of the caller, which should be
// REPEATABLE READ or stricter to be consistent. It sets search_path for the
// rest of that transaction, so that names mean the catalogue's and definitions
// come out qualified.
func Read(ctx context.Context, tx pgx.Tx) (*Snapshot, error) {
	l := &loader{
		tx: tx, s: &Snapshot{
			TakenAt: time.Now(), roles: make(map[string]*Role), schemas: make(map[string]*Schema), relations: make(map[Name]*Relation),
		},
		relations: make(map[uint32]*Relation), functions: make(map[uint32]*Function),
		constraints: make(map[uint32]*Constraint), policies: make(map[uint32]*Policy),
		rules: make(map[uint32]*Uses), viewRules: make(map[uint32]*Relation), defaults: make(map[uint32]*Column), indexes: make(map[uint32]*Index),
	}
	for _, step := range []func(context.Context) error{
		l.begin, l.roles, l.memberships, l.roleSettings, l.schemas,
		l.functionsOf, l.coreFunctions, l.relationsOf, l.columns, l.grants, l.inheritance,
		l.constraintsOf, l.indexesOf, l.policiesOf, l.triggers, l.rulesOf, l.dependencies,
		l.defaultPrivileges, l.extensions, l.publications, l.foreign, l.eventTriggers, l.cluster, l.parameters, l.statistics,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l.s, nil
}

// loader fills in a snapshot, one query or two a step. Its maps are by OID.
type loader struct {
	tx          pgx.Tx
	s           *Snapshot
	relations   map[uint32]*Relation
	functions   map[uint32]*Function
	constraints map[uint32]*Constraint
	policies    map[uint32]*Policy
	rules       map[uint32]*Uses     // pg_rewrite, of views as well
	viewRules   map[uint32]*Relation // of these, the rule that is a view
	defaults    map[uint32]*Column   // pg_attrdef
	indexes     map[uint32]*Index
}

// serverSettings are the settings that checks look at. Some are visible to
// members of pg_read_all_settings only.
var serverSettings = []string{
	"lo_compat_privileges", "max_prepared_transactions", "row_security", "session_preload_libraries",
	"shared_preload_libraries", "track_activities", "wal_level", "default_transaction_read_only", "password_encryption",
}

// begin makes unqualified names mean the catalogue's, in this transaction
// only. pg_temp is named so that it comes last: left out, it would be first.
func (l *loader) begin(ctx context.Context) error {
	if _, err := l.tx.Exec(ctx, "SET LOCAL search_path = pg_catalog, pg_temp"); err != nil {
		return fmt.Errorf("prepare the inventory: %w", err)
	}
	const query = `
SELECT current_setting('server_version_num')::int4, current_setting('server_version'), pg_is_in_recovery(),
	d.datname::text, pg_get_userbyid(d.datdba)::text, session_user::text, current_user::text, r.rolsuper, r.rolbypassrls
FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`
	s := l.s
	err := l.tx.QueryRow(ctx, query).Scan(&s.Server.VersionNum, &s.Server.Version, &s.Server.InRecovery,
		&s.Database, &s.DatabaseOwner, &s.Login.Role, &s.Login.Current, &s.Login.Superuser, &s.Login.BypassRLS)
	if err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	if major := s.Server.Major(); major < oldestMajor {
		return fmt.Errorf("the server is PostgreSQL %d: %w", major, ErrTooOld)
	}
	s.Server.Settings = make(map[string]string)
	var name, value string
	return l.each(ctx, "settings", `SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[]) ORDER BY name`,
		[]any{serverSettings}, []any{&name, &value}, func() error {
			s.Server.Settings[name] = value
			return nil
		})
}

const oldestMajor = 13

// ErrTooOld is returned for servers before PostgreSQL 13.
var ErrTooOld = errors.New("versions before 13 are not supported")

// each runs a query and calls f after each row was scanned into dest.
func (l *loader) each(ctx context.Context, what, query string, args, dest []any, f func() error) error {
	rows, err := l.tx.Query(ctx, query, args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, dest, f)
	}
	var pgErr *pgconn.PgError
	const lockNotAvailable = "55P03"
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable:
		return fmt.Errorf("read %s: another session holds a table locked (ACCESS EXCLUSIVE); try again when it has ended: %w", what, err)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// userSchemas is the condition on a pg_namespace n that leaves out the
// server's own schemas and those of temporary objects.
const userSchemas = `n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(toast|temp_)'`

// extensionOf is a subquery for the extension that an object belongs to.
func extensionOf(class, oid string) string {
	return `COALESCE((SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
		WHERE d.classid = '` + class + `'::regclass AND d.objid = ` + oid + `
		AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' LIMIT 1), '')`
}

// exploded are the columns that explode adds to a query, for scanGrant.
const exploded = `CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END, x.privilege_type, x.is_grantable, pg_get_userbyid(x.grantor)::text`

// scanGrant gives what to scan the exploded columns into.
func scanGrant(g *Grant) []any { return []any{&g.Grantee, &g.Privilege, &g.Grantable, &g.Grantor} }
