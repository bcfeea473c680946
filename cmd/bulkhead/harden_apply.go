package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgbulkhead/bulkhead/database/harden"
)

func newHardenApplyCommand() *cobra.Command {
	var f hardenFlags
	var a applyFlags
	cmd := &cobra.Command{
		Use:   "apply --dsn DSN",
		Short: "Do it, and record it, so that it can be taken back",
		Long: `Plans and applies in one go. Nothing is done unless the database is still in the
state that the plan was made for. A transaction that gets no lock in time is
rolled back and tried again after a pause. What was done is recorded in
bulkhead.migration, with the way back.`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	a.add(cmd)
	cmd.Flags().BoolVar(&a.perTable, "per-table", false, "a transaction for each table, for busy databases")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.check(); err != nil {
			return err
		}
		return f.withPlan(cmd, func(conn *pgx.Conn, plan *harden.Plan) error { return applyPlan(cmd, conn, plan, &a) })
	}
	return cmd
}

func applyPlan(cmd *cobra.Command, conn *pgx.Conn, plan *harden.Plan, a *applyFlags) error {
	d := newDisplay(cmd.OutOrStdout())
	if len(plan.Steps) == 0 {
		d.printf("%s\n", d.paint(colourGreen, "Nothing to do."))
		return nil
	}
	printWarnings(newDisplay(cmd.ErrOrStderr()), plan)
	question := fmt.Sprintf("Apply %s to database %s? `bulkhead harden plan` shows them.", plural(len(plan.Steps), "step"), printable(plan.Database))
	if err := confirm(cmd, a.yes, question); err != nil {
		return err
	}
	began := time.Now()
	m, err := harden.Apply(cmd.Context(), conn, plan, a.options(cmd))
	if err != nil {
		if m != nil && m.ID > 0 {
			done, all := m.Steps()
			d.printf("%s done of %d, as migration %d: apply again for the rest, or roll it back.\n", plural(done, "step"), all, m.ID)
		}
		return hardenError(err)
	}
	d.printf("%s applied in %s, as migration %d.\n", plural(len(plan.Steps), "step"), time.Since(began).Round(time.Millisecond), m.ID)
	return nil
}

// progressAfter is for how long nobody needs to be told that something goes on.
const progressAfter = time.Second

// newHardenProgress shows how far it is: on a terminal in one line, elsewhere a
// line now and then. Why it waits is always said.
func newHardenProgress(w io.Writer) func(harden.Progress) {
	next := time.Now().Add(progressAfter)
	terminal := isTerminal(w)
	open := false
	return func(p harden.Progress) {
		switch {
		case p.Waiting != nil:
			fmt.Fprintf(w, "waiting for a lock, then trying again: %s\n", printable(p.Waiting.Error()))
		case p.Done == p.All:
			if open {
				fmt.Fprint(w, "\r\x1b[K")
			}
		case time.Now().Before(next):
		case terminal:
			open = true
			fmt.Fprintf(w, "\r\x1b[K%d of %d  %s", p.Done, p.All, shorten(printable(p.Object), 60))
		default:
			next = time.Now().Add(progressAfter)
			fmt.Fprintf(w, "%d of %d: %s\n", p.Done, p.All, printable(p.Object))
		}
	}
}

// isTerminal reports whether a reader or writer of a command is a terminal.
func isTerminal(x any) bool {
	f, ok := x.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
