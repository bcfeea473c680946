package harden

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ApplyOptions say how a plan is applied, or a migration rolled back.
type ApplyOptions struct {
	// PerTable makes one transaction for each table, for busy databases.
	PerTable bool
	// LockTimeout is how long a statement waits for a lock; then the
	// transaction is given up and tried again.
	LockTimeout time.Duration
	// StatementTimeout bounds a statement of a transaction. What scans tables
	// (integrity phase) is not bound.
	StatementTimeout time.Duration
	Tries            int           // of each transaction
	Pause            time.Duration // before the second try; it doubles, up to maxPause
	Version          string        // of Bulkhead, for the record
	// Progress is told what is done and what comes next; nil for nobody.
	Progress func(Progress)
}

// Progress is how far an apply or rollback is.
type Progress struct {
	Done, All int
	// Object is that of the step that begins, "" at the end.
	Object string
	// Waiting is why a transaction is tried again, after a pause.
	Waiting error
}

// The defaults of ApplyOptions.
const (
	defaultLockTimeout      = 3 * time.Second
	defaultStatementTimeout = time.Minute
	defaultTries            = 10
	defaultPause            = time.Second
	maxPause                = 30 * time.Second
)

func (o *ApplyOptions) defaults() {
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = defaultStatementTimeout
	}
	if o.Tries == 0 {
		o.Tries = defaultTries
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
}

// ChangedError says that the database is not in the state that it should be
// in, with the difference where it is known.
type ChangedError struct {
	What       string
	Difference []string // lines that begin with - or +
}

// Error implements error.
func (e *ChangedError) Error() string { return e.What }

// StepError is a step that failed. The transaction around it was rolled back.
type StepError struct {
	Step *Step
	Err  error
}

// Error implements error.
func (e *StepError) Error() string { return e.Step.Object + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// runner applies or rolls back over one connection.
type runner struct {
	conn  *pgx.Conn
	o     ApplyOptions
	owner owner
	roles []string // of the application
	done  int      // steps, for progress
	all   int
}

func newRunner(ctx context.Context, conn *pgx.Conn, o ApplyOptions, roles []string) (*runner, error) {
	o.defaults()
	r := &runner{conn: conn, o: o, roles: roles}
	const query = `select r.rolsuper, r.rolname::text, pg_catalog.current_setting('server_version_num')::int / 10000 from pg_catalog.pg_roles r where r.rolname = current_user`
	if err := conn.QueryRow(ctx, query).Scan(&r.owner.superuser, &r.owner.name, &r.owner.version); err != nil {
		return nil, fmt.Errorf("read who we are: %w", err)
	}
	return r, nil
}

// Apply does what the plan says, if the database is still in the state that
// the plan was made for, and records it in bulkhead.migration.
func Apply(ctx context.Context, conn *pgx.Conn, plan *Plan, o ApplyOptions) (*Migration, error) {
	if len(plan.Steps) == 0 {
		return nil, errors.New("the plan has no steps")
	}
	r, err := newRunner(ctx, conn, o, plan.AppRoles)
	if err != nil {
		return nil, err
	}
	if err := r.home(ctx, plan); err != nil {
		return nil, err
	}
	m := &Migration{State: Started, Version: o.Version, Context: plan.Context, AppRoles: plan.AppRoles}
	list := batches(plan.Steps, o.PerTable)
	for i, b := range list {
		for _, s := range b.steps {
			m.steps = append(m.steps, recordedStep{s, i})
		}
	}
	r.all = len(m.steps)
	for i := range list {
		if err := r.retry(ctx, func() error { return r.applyBatch(ctx, m, &list[i], plan) }); err != nil {
			return m, err
		}
		r.done = m.done
	}
	r.o.Progress(Progress{Done: r.done, All: r.all})
	return m, nil
}

// home fails if there is no schema for the record, and the plan makes none.
func (r *runner) home(ctx context.Context, plan *Plan) error {
	if plan.Steps[0].Phase == Main {
		return nil
	}
	var exists bool
	if err := r.conn.QueryRow(ctx, "select pg_catalog.to_regnamespace('bulkhead') is not null").Scan(&exists); err != nil {
		return fmt.Errorf("look for the schema bulkhead: %w", err)
	}
	if !exists {
		return fmt.Errorf("phase %s needs phase main, whose schema holds the record of what was done: apply that first, or both", plan.Steps[0].Phase)
	}
	return nil
}

// applyBatch runs one batch. The migration changes only if it succeeds.
func (r *runner) applyBatch(ctx context.Context, m *Migration, b *batch, plan *Plan) error {
	if b.alone {
		if err := r.begin(ctx, m, b.phase, plan); err != nil {
			return err
		}
		if err := r.alone(ctx, &b.steps[0], b.steps[0].SQL, b.steps[0].Inverse); err != nil {
			return err
		}
	}
	next := *m
	err := r.transaction(ctx, b.phase, func(tx pgx.Tx) error {
		if err := r.expect(ctx, tx, &next, plan); err != nil {
			return err
		}
		if !b.alone {
			if err := r.steps(ctx, tx, b.steps); err != nil {
				return err
			}
		}
		if next.done += len(b.steps); next.done == len(next.steps) {
			next.State = Applied
		}
		return r.record(ctx, tx, &next, next.ID == 0)
	})
	if err == nil {
		*m = next
	}
	return err
}

// begin records the migration before a first step that no transaction guards.
func (r *runner) begin(ctx context.Context, m *Migration, phase Phase, plan *Plan) error {
	if m.ID != 0 {
		return nil
	}
	next := *m
	err := r.transaction(ctx, phase, func(tx pgx.Tx) error {
		if err := r.expect(ctx, tx, &next, plan); err != nil {
			return err
		}
		return r.record(ctx, tx, &next, true)
	})
	if err == nil {
		*m = next
	}
	return err
}

// expect fails unless the database is in the state that the plan was made for,
// or in which the last batch left it.
func (r *runner) expect(ctx context.Context, tx pgx.Tx, m *Migration, plan *Plan) error {
	state, roles, err := r.states(ctx, tx)
	if err != nil {
		return err
	}
	if m.ID == 0 {
		if state.Fingerprint() != plan.Fingerprint || roles.Fingerprint() != plan.RolesFingerprint {
			return &ChangedError{What: "the database has changed since the plan was made; nothing was done: plan again"}
		}
		m.Start, m.StartRoles = state, roles
		return nil
	}
	// CONCURRENTLY has run outside of the transaction: what it made is new.
	if m.End.Fingerprint() != state.Fingerprint() && !m.steps[m.done].Alone || m.EndRoles.Fingerprint() != roles.Fingerprint() {
		return &ChangedError{What: "the database was changed by somebody else while the plan was applied; the rest was not done: plan again", Difference: Difference(m.End, state)}
	}
	return nil
}

// states reads both states and leaves the search_path as it needs it.
func (r *runner) states(ctx context.Context, tx pgx.Tx) (database, roles State, err error) {
	if database, err = DatabaseState(ctx, tx); err != nil {
		return nil, nil, err
	}
	roles, err = RolesState(ctx, tx, r.roles)
	return database, roles, err
}

// record writes the migration's row. That the table is made is part of the
// state which is recorded.
func (r *runner) record(ctx context.Context, tx pgx.Tx, m *Migration, first bool) error {
	if first {
		if err := r.owner.do(ctx, tx, func() error { return m.insert(ctx, tx, r.owner) }); err != nil {
			return err
		}
	}
	var err error
	if m.End, m.EndRoles, err = r.states(ctx, tx); err != nil {
		return err
	}
	return r.owner.do(ctx, tx, func() error { return m.update(ctx, tx) })
}

// steps runs steps in a transaction.
func (r *runner) steps(ctx context.Context, tx pgx.Tx, steps []Step) error {
	for i := range steps {
		s := &steps[i]
		r.o.Progress(Progress{Done: r.done + i, All: r.all, Object: s.Object})
		if err := r.check(ctx, tx, s); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.SQL); err != nil {
			return &StepError{s, err}
		}
	}
	return nil
}

// check asks for rows that would make a step fail.
func (r *runner) check(ctx context.Context, q querier, s *Step) error {
	if s.Check == "" {
		return nil
	}
	rows, err := q.Query(ctx, s.Check)
	if err != nil {
		return &StepError{s, err}
	}
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err != nil {
		return &StepError{s, err}
	}
	if n > 0 {
		return &StepError{s, fmt.Errorf("%d rows stand against it; look at them with what `harden plan` prints for this step, repair them, and apply again", n)}
	}
	return nil
}

// alone runs a statement outside of any transaction. An index that could not
// be built stays behind, of no use; undo removes it.
func (r *runner) alone(ctx context.Context, s *Step, sql, undo string) (err error) {
	r.o.Progress(Progress{Done: r.done, All: r.all, Object: s.Object})
	for _, set := range []string{"set lock_timeout = " + milliseconds(r.o.LockTimeout), "set statement_timeout = 0", rowSecurityOff} {
		if _, err := r.conn.Exec(ctx, set); err != nil {
			return &StepError{s, err}
		}
	}
	defer func() {
		for _, reset := range []string{"reset lock_timeout", "reset statement_timeout", "reset row_security"} {
			_, failed := r.conn.Exec(context.WithoutCancel(ctx), reset)
			err = errors.Join(err, failed)
		}
	}()
	if err := r.check(ctx, r.conn, s); err != nil {
		return err
	}
	if _, err := r.conn.Exec(ctx, sql); err != nil {
		if _, left := r.conn.Exec(context.WithoutCancel(ctx), undo); left != nil {
			return errors.Join(&StepError{s, err}, fmt.Errorf("and clean up after it: %w", left))
		}
		return &StepError{s, err}
	}
	return nil
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("'%dms'", d.Milliseconds()) }

const rowSecurityOff = "set row_security = off"

// ownLock keeps two runs of harden apart: the key of a transaction-level
// advisory lock, arbitrary but ours.
const ownLock = 0x62756c6b68656164

// transaction runs work in a transaction with the timeouts set.
func (r *runner) transaction(ctx context.Context, phase Phase, work func(tx pgx.Tx) error) error {
	tx, err := r.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	timeout := r.o.StatementTimeout
	if phase == Integrity {
		timeout = 0
	}
	for _, sql := range []string{
		"set local lock_timeout = " + milliseconds(r.o.LockTimeout), "set local statement_timeout = " + milliseconds(timeout), statePath,
		// A text in a setting could be read otherwise.
		"set local standard_conforming_strings = on",
		fmt.Sprintf("select pg_catalog.pg_advisory_xact_lock(%d)", int64(ownLock)),
		// A check that counted only the rows which a policy shows would find
		// nothing; like this it is an error.
		"set local " + strings.TrimPrefix(rowSecurityOff, "set "),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("prepare the transaction: %w", err)
		}
	}
	if err := work(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// retry tries work again when it did not get a lock in time.
func (r *runner) retry(ctx context.Context, work func() error) error {
	pause := r.o.Pause
	for try := 1; ; try++ {
		err := work()
		if err == nil || try >= r.o.Tries || !lockNotAvailable(err) {
			return err
		}
		r.o.Progress(Progress{Done: r.done, All: r.all, Waiting: err})
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return err
		case <-wait.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// lockNotAvailable is true for lock_timeout (55P03) and deadlocks (40P01).
func lockNotAvailable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01")
}
