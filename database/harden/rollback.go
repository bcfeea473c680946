package harden

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// ErrNothingApplied is returned by Rollback where there is no migration.
var ErrNothingApplied = errors.New("nothing was applied here: there is no record in bulkhead.migration")

// RollbackOptions say how a migration is rolled back.
type RollbackOptions struct {
	ApplyOptions
	// Merge undoes the migration although the database has changed since, and
	// without the proof that it is then as before.
	Merge bool
}

// Latest returns the last migration that was applied, or begun.
func Latest(ctx context.Context, conn *pgx.Conn) (*Migration, error) {
	list, err := Migrations(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNothingApplied
	}
	return list[len(list)-1], nil
}

// Rollback undoes a migration, which must be the latest. It fails, and in its
// last transaction undoes nothing, unless the database is then exactly as it
// was before the migration.
func Rollback(ctx context.Context, conn *pgx.Conn, m *Migration, o RollbackOptions) error {
	r, err := newRunner(ctx, conn, o.ApplyOptions, m.AppRoles)
	if err != nil {
		return err
	}
	r.all = m.done
	if m.done == 0 {
		return ErrNothingApplied
	}
	for m.done > 0 {
		if err := r.retry(ctx, func() error { return r.rollbackBatch(ctx, m, o.Merge) }); err != nil {
			return err
		}
		r.done = r.all - m.done
	}
	r.o.Progress(Progress{Done: r.all, All: r.all})
	return nil
}

// last are the done steps of the batch that was done last.
func (m *Migration) last() []recordedStep {
	done := m.steps[:m.done]
	i := len(done) - 1
	for i > 0 && done[i-1].Batch == done[m.done-1].Batch {
		i--
	}
	return done[i:]
}

func (r *runner) rollbackBatch(ctx context.Context, m *Migration, merge bool) error {
	next := *m
	steps := m.last()
	alone := steps[0].Alone
	if alone {
		if err := r.alone(ctx, &Step{Object: steps[0].Object}, steps[0].Inverse, nothingToUndo); err != nil {
			return err
		}
	}
	err := r.transaction(ctx, steps[0].Phase, func(tx pgx.Tx) error {
		if err := r.unchanged(ctx, tx, m, merge || alone); err != nil {
			return err
		}
		next.done -= len(steps)
		next.State = Started
		// The record goes first: the schema that it is in may go with the steps.
		if next.done == 0 {
			if err := r.owner.do(ctx, tx, func() error { return m.remove(ctx, tx) }); err != nil {
				return err
			}
		}
		if !alone {
			if err := r.inverses(ctx, tx, steps); err != nil {
				return err
			}
		}
		if next.done > 0 {
			return r.record(ctx, tx, &next, false)
		}
		return r.asBefore(ctx, tx, m, merge)
	})
	if err == nil {
		*m = next
	}
	return err
}

func (r *runner) inverses(ctx context.Context, tx pgx.Tx, steps []recordedStep) error {
	n := 0
	for _, s := range slices.Backward(steps) {
		r.o.Progress(Progress{Done: r.done + n, All: r.all, Object: s.Object})
		if _, err := tx.Exec(ctx, s.Inverse); err != nil {
			return &StepError{&s.Step, err}
		}
		n++
	}
	return nil
}

// unchanged fails if the database is not as the migration left it.
func (r *runner) unchanged(ctx context.Context, tx pgx.Tx, m *Migration, merge bool) error {
	var latest int
	if err := tx.QueryRow(ctx, "select coalesce(max(id), 0) from bulkhead.migration").Scan(&latest); err != nil {
		return fmt.Errorf("read bulkhead.migration: %w", err)
	}
	if latest != m.ID {
		return fmt.Errorf("migration %d is not the latest, which is %d: roll that back first", m.ID, latest)
	}
	if merge {
		return nil
	}
	state, roles, err := r.states(ctx, tx)
	if err != nil {
		return err
	}
	if d := append(Difference(m.End, state), Difference(m.EndRoles, roles)...); len(d) > 0 {
		return &ChangedError{
			What:       "the database has changed since the migration was applied; nothing was undone. --merge undoes it all the same, and leaves the changes",
			Difference: d,
		}
	}
	return nil
}

// asBefore is the proof that the rollback is exact.
func (r *runner) asBefore(ctx context.Context, tx pgx.Tx, m *Migration, merge bool) error {
	if merge {
		return nil
	}
	state, roles, err := r.states(ctx, tx)
	if err != nil {
		return err
	}
	if d := append(Difference(m.Start, state), Difference(m.StartRoles, roles)...); len(d) > 0 {
		return &ChangedError{What: "the database would not be as before; the last transaction was not undone. This is a fault of Bulkhead: please report it", Difference: d}
	}
	return nil
}
