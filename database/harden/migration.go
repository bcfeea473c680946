package harden

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Migration is the record of one apply, as bulkhead.migration holds it.
type Migration struct {
	ID        int
	State     MigrationState
	StartedAt time.Time
	By        string // session_user
	Version   string // of Bulkhead
	Context   string
	AppRoles  []string
	// Start and End are the states of the database before and after what was
	// done of it so far, StartRoles and EndRoles those of the role graph.
	Start, End, StartRoles, EndRoles State

	steps []recordedStep
	done  int // how many steps are done
}

// MigrationState says how far a migration is.
type MigrationState string

// The states. A migration starts, and is applied when its last step is done;
// one that is rolled back leaves no record.
const (
	Started MigrationState = "started"
	Applied MigrationState = "applied"
)

// Steps returns how many steps the migration has, and how many are done.
func (m *Migration) Steps() (done, all int) { return m.done, len(m.steps) }

// recordedStep is a step with the transaction that it belongs to.
type recordedStep struct {
	Step
	Batch int `json:"batch"`
}

// createTable makes the table of migrations. Up and down are the texts that a
// person can read and run; steps is what rollback runs.
const createTable = `create table if not exists bulkhead.migration (
  id integer generated always as identity primary key,
  state text not null check (state in ('started', 'applied')),
  started_at timestamptz not null default clock_timestamp(),
  run_by text not null default session_user,
  version text not null,
  context text not null,
  app_roles text[] not null,
  start_state text[] not null,
  start_fingerprint text not null,
  end_state text[] not null,
  end_fingerprint text not null,
  start_roles text[] not null,
  end_roles text[] not null,
  steps jsonb not null,
  done integer not null,
  up text not null,
  up_sha256 text not null,
  down text not null,
  down_sha256 text not null
)`

// owner runs statements as the owner of the schema bulkhead. A superuser
// becomes it; anybody else must be a member for that long.
type owner struct {
	superuser bool
	name      string // current_user
	version   int    // major
}

func (o owner) do(ctx context.Context, tx pgx.Tx, work func() error) error {
	before, after := "", ""
	if !o.superuser {
		before, after = "grant "+dbcontext.Owner+" to current_user", "revoke "+dbcontext.Owner+" from current_user"
		if o.version >= version16 {
			before += " with inherit true, set true"
		}
	}
	for _, sql := range []string{before, "set local role " + dbcontext.Owner} {
		if err := execute(ctx, tx, sql); err != nil {
			return fmt.Errorf("act as %s: %w", dbcontext.Owner, err)
		}
	}
	if err := work(); err != nil {
		return err
	}
	for _, sql := range []string{"reset role", after} {
		if err := execute(ctx, tx, sql); err != nil {
			return fmt.Errorf("stop acting as %s: %w", dbcontext.Owner, err)
		}
	}
	return nil
}

func execute(ctx context.Context, tx pgx.Tx, sql string) error {
	if sql == "" {
		return nil
	}
	_, err := tx.Exec(ctx, sql)
	return err
}

// insert records a migration that starts. The table belongs to the owner of the
// schema; whoever runs this may read it.
func (m *Migration) insert(ctx context.Context, tx pgx.Tx, o owner) error {
	steps, err := json.Marshal(m.steps)
	if err != nil {
		return fmt.Errorf("record the migration: %w", err)
	}
	if err := execute(ctx, tx, createTable); err != nil {
		return fmt.Errorf("make bulkhead.migration: %w", err)
	}
	if !o.superuser {
		if err := execute(ctx, tx, "grant select on bulkhead.migration to "+inventory.Quote(o.name)); err != nil {
			return fmt.Errorf("make bulkhead.migration readable: %w", err)
		}
	}
	up, down := m.texts()
	const insert = `insert into bulkhead.migration (state, version, context, app_roles, start_state, start_fingerprint, end_state, end_fingerprint,
  start_roles, end_roles, steps, done, up, up_sha256, down, down_sha256)
values ('started', $1, $2, $3, $4, $5, '{}', '', $6, $6, $7, 0, $8, $9, $10, $11) returning id`
	err = tx.QueryRow(ctx, insert, m.Version, m.Context, m.AppRoles, m.Start, m.Start.Fingerprint(), m.StartRoles, steps,
		up, digest(up), down, digest(down)).Scan(&m.ID)
	if err != nil {
		return fmt.Errorf("record the migration: %w", err)
	}
	return nil
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// texts are the statements of the migration, and those that undo it.
func (m *Migration) texts() (up, down string) {
	var ups, downs []string
	for i := range m.steps {
		ups = append(ups, m.steps[i].SQL+";\n")
		downs = append(downs, m.steps[len(m.steps)-1-i].Inverse+";\n")
	}
	return strings.Join(ups, ""), strings.Join(downs, "")
}

// update records how far the migration is.
func (m *Migration) update(ctx context.Context, tx pgx.Tx) error {
	const update = `update bulkhead.migration set state = $2, done = $3, end_state = $4, end_fingerprint = $5, end_roles = $6 where id = $1`
	_, err := tx.Exec(ctx, update, m.ID, m.State, m.done, m.End, m.End.Fingerprint(), m.EndRoles)
	if err != nil {
		return fmt.Errorf("record the migration: %w", err)
	}
	return nil
}

// remove deletes the record, and the table with the last one.
func (m *Migration) remove(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "delete from bulkhead.migration where id = $1", m.ID); err != nil {
		return fmt.Errorf("remove the record of the migration: %w", err)
	}
	var left bool
	if err := tx.QueryRow(ctx, "select exists (select from bulkhead.migration)").Scan(&left); err != nil {
		return fmt.Errorf("look for other migrations: %w", err)
	}
	if left {
		return nil
	}
	if _, err := tx.Exec(ctx, "drop table bulkhead.migration"); err != nil {
		return fmt.Errorf("remove bulkhead.migration: %w", err)
	}
	return nil
}

// Migrations reads the records, oldest first. A database without any has
// none.
func Migrations(ctx context.Context, q querier) ([]*Migration, error) {
	rows, err := q.Query(ctx, "select pg_catalog.to_regclass('bulkhead.migration') is not null")
	if err != nil {
		return nil, fmt.Errorf("look for bulkhead.migration: %w", err)
	}
	if exists, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool]); err != nil || !exists {
		return nil, err
	}
	const query = `select id, state, started_at, run_by, version, context, app_roles, start_state, end_state, start_roles, end_roles, steps, done,
  start_fingerprint, end_fingerprint from bulkhead.migration order by id`
	if rows, err = q.Query(ctx, query); err != nil {
		return nil, fmt.Errorf("read bulkhead.migration: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanMigration)
	if err != nil {
		return nil, fmt.Errorf("read bulkhead.migration: %w", err)
	}
	return list, nil
}

func scanMigration(row pgx.CollectableRow) (*Migration, error) {
	m := &Migration{}
	var steps []byte
	var start, end string
	err := row.Scan(&m.ID, &m.State, &m.StartedAt, &m.By, &m.Version, &m.Context, &m.AppRoles, &m.Start, &m.End, &m.StartRoles, &m.EndRoles,
		&steps, &m.done, &start, &end)
	if err != nil {
		return nil, err
	}
	if m.Start.Fingerprint() != start || m.End.Fingerprint() != end {
		return nil, errors.New("a record does not have the fingerprint that it says: somebody changed it")
	}
	return m, json.Unmarshal(steps, &m.steps)
}
