package harden

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Status is what was applied to a database, and what has changed since.
type Status struct {
	Migrations  []*Migration // oldest first
	Fingerprint string       // of the present state
	// Changes is the difference between what the latest migration left and the
	// present state.
	Changes []string
}

// ReadStatus reads the status of a database. It writes nothing.
func ReadStatus(ctx context.Context, conn *pgx.Conn) (*Status, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	if _, err := tx.Exec(ctx, statePath); err != nil {
		return nil, fmt.Errorf("set search_path: %w", err)
	}
	state, err := DatabaseState(ctx, tx)
	if err != nil {
		return nil, err
	}
	s := &Status{Fingerprint: state.Fingerprint()}
	if s.Migrations, err = Migrations(ctx, tx); err != nil || len(s.Migrations) == 0 {
		return s, err
	}
	last := s.Migrations[len(s.Migrations)-1]
	roles, err := RolesState(ctx, tx, last.AppRoles)
	if err != nil {
		return nil, err
	}
	s.Changes = append(Difference(last.End, state), Difference(last.EndRoles, roles)...)
	return s, nil
}
