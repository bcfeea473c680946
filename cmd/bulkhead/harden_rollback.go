package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/harden"
)

func newHardenRollbackCommand() *cobra.Command {
	var f selectionFlags
	var a applyFlags
	var merge bool
	cmd := &cobra.Command{
		Use:   "rollback --dsn DSN",
		Short: "Take the latest apply back, exactly",
		Long: `Takes the latest migration of bulkhead.migration back. It refuses when the database
has changed since, unless --merge is given, and it proves at its end, inside the
transaction, that the database is as it was before.`,
		Args: cobra.NoArgs,
	}
	f.register(cmd)
	a.add(cmd)
	cmd.Flags().BoolVar(&merge, "merge", false, "take it back although the database has changed since; the changes stay")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.check(); err != nil {
			return err
		}
		cfg, err := f.load()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		conn, err := connectSchema(ctx, &f, cfg)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		m, err := harden.Latest(ctx, conn)
		if err != nil {
			return err
		}
		done, _ := m.Steps()
		question := fmt.Sprintf("Take back the %s of migration %d, of %s?", plural(done, "step"), m.ID, showTime(m.StartedAt))
		if err := confirm(cmd, a.yes, question); err != nil {
			return err
		}
		began := time.Now()
		if err := harden.Rollback(ctx, conn, m, harden.RollbackOptions{ApplyOptions: a.options(cmd), Merge: merge}); err != nil {
			return hardenError(err)
		}
		d := newDisplay(cmd.OutOrStdout())
		d.printf("%s taken back in %s.\n", plural(done, "step"), time.Since(began).Round(time.Millisecond))
		if !merge {
			d.printf("%s\n", d.paint(colourGreen, "The database is as it was before: the fingerprints are equal."))
		}
		return nil
	}
	return cmd
}

func newHardenStatusCommand() *cobra.Command {
	var f selectionFlags
	cmd := &cobra.Command{
		Use:   "status --dsn DSN",
		Short: "Show what was applied, and what has changed since",
		Long: `Shows the migrations of bulkhead.migration, and how the database differs from what
the latest one left. Exit code 1 if it differs, or if a migration is not
complete.`,
		Args: cobra.NoArgs,
	}
	f.register(cmd)
	format := addFormat(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		cfg, err := f.load()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		conn, err := connectSchema(ctx, &f, cfg)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		status, err := harden.ReadStatus(ctx, conn)
		if err != nil {
			return err
		}
		return showStatus(cmd, status, *format)
	}
	return cmd
}
