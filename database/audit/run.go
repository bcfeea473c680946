package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Options of a run.
type Options struct {
	Selection inventory.Selection
	Settings  []string          // see Facts.Settings
	Shipped   []ShippedFunction // see Facts.Shipped
	Now       time.Time
}

// Run audits the database behind conn, which must not be in a transaction.
func Run(ctx context.Context, conn *pgx.Conn, o Options) (*Report, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the audit: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written: a failure means a dead connection
	snapshot, err := inventory.Read(ctx, tx)
	if err != nil {
		return nil, err
	}
	model, err := inventory.Resolve(snapshot, o.Selection)
	if err != nil {
		return nil, err
	}
	f := &Facts{Model: model, Settings: o.Settings, Shipped: o.Shipped, Now: o.Now}
	return &Report{Model: model, Findings: Judge(f)}, nil
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

// Report is the outcome of a run.
type Report struct {
	Model    *inventory.Model
	Findings []Finding
}
