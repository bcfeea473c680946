package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Options of a run. The zero value guesses everything and reads no rows.
type Options struct {
	Selection inventory.Selection
	Settings  []string // see Facts.Settings
	// Installed, if set, compares the schema bulkhead with what was shipped, in
	// the audit's transaction. It is called if there is such a schema.
	Installed func(context.Context, pgx.Tx) ([]InstallChange, error)
	// Data asks for the data checks, which count rows of every table.
	Data        bool
	DataTimeout time.Duration // of one count; 0 means DefaultDataTimeout
	// DataRows is the number of rows, as the server estimates it, above which
	// a table is left out; 0 means DefaultDataRows, less than that no limit.
	DataRows int64
	// Exceptions are findings that somebody has accepted.
	Exceptions Exceptions
	Now        time.Time // when the audit is made
	// Progress, if set, is told how many of the data checks' queries are done.
	Progress func(done, total int)
}

// Report is the outcome of a run.
type Report struct {
	Model    *inventory.Model
	Now      time.Time
	Findings []Finding // that nobody has accepted, the most severe first
	// Accepted are the findings that an exception covers.
	Accepted []Accepted
	// Expired are exceptions that no longer apply and would have covered a
	// finding.
	Expired []Allowance
	// Data says whether rows were counted; Unfinished which counts were not
	// finished.
	Data       bool
	Unfinished []Unfinished
}

// Run audits the database behind conn, which must not be in a transaction. The
// error wraps ErrDataRefused, or is an *inventory.SelectionError, if what was
// asked for cannot be had; other errors are those of the server.
func Run(ctx context.Context, conn *pgx.Conn, o Options) (*Report, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the audit: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written: a failure means a dead connection
	if _, err := tx.Exec(ctx, inventory.LockTimeout); err != nil {
		return nil, fmt.Errorf("begin the audit: %w", err)
	}
	snapshot, err := inventory.Read(ctx, tx)
	if err != nil {
		return nil, err
	}
	model, err := inventory.Resolve(snapshot, o.Selection)
	if err != nil {
		return nil, err
	}
	f := &Facts{Model: model, Settings: o.Settings, Now: o.Now}
	if o.Installed != nil && snapshot.Schema(inventory.OwnSchema) != nil {
		if f.Changed, err = o.Installed(ctx, tx); err != nil {
			return nil, err
		}
	}
	if f.Keys, err = readKeys(ctx, tx, f); err != nil {
		return nil, err
	}
	if o.Data {
		if f.Counts, err = countRows(ctx, tx, f, o.countLimits(), o.Progress); err != nil {
			return nil, err
		}
	}
	report := &Report{Model: model, Now: o.Now, Data: o.Data}
	if f.Counts != nil {
		report.Unfinished = f.Counts.Unfinished
	}
	report.sort(Judge(f), o.Exceptions)
	return report, nil
}

// Judge asks every check and returns the findings, the most severe first.
func Judge(f *Facts) []Finding {
	var all []Finding
	for _, c := range Checks() {
		for _, finding := range c.Run(f) {
			finding.complete(&c)
			all = append(all, finding)
		}
	}
	sortFindings(all)
	return all
}

// readKeys reads when the keys of the signed context were made, if this role
// may: it never reads the keys.
func readKeys(ctx context.Context, tx pgx.Tx, f *Facts) ([]SigningKey, error) {
	table := f.Snapshot.Relation(inventory.OwnSchema, keyTable)
	if table == nil || !f.mayRead(table) {
		return nil, nil
	}
	for _, name := range []string{"kid", "created_at", "not_after"} {
		if table.Column(name) == nil {
			return nil, nil // not ours
		}
	}
	rows, err := tx.Query(ctx, "SELECT kid::int4, created_at, not_after IS NOT NULL FROM "+table.SQL()+" ORDER BY kid")
	if err != nil {
		return nil, fmt.Errorf("read the age of the signing keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k SigningKey, err error) {
		return k, row.Scan(&k.ID, &k.CreatedAt, &k.Retired)
	})
	if err != nil {
		return nil, fmt.Errorf("read the age of the signing keys: %w", err)
	}
	return keys, nil
}

// mayRead reports whether the role that takes the audit may surely read a
// table.
func (f *Facts) mayRead(r *inventory.Relation) bool {
	return f.Snapshot.Login.Superuser || f.inherits()[r.Owner]
}
