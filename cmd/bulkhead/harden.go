package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/harden"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

func newHardenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "harden",
		Short: "Make the database itself keep tenants apart, and take it back",
		Long: `Plans, writes, applies and takes back the change after which a session reaches the
rows of one tenant only, whatever SQL it sends: a restrictive policy on every
tenant table, and around it what no policy binds. The application's own
policies stay as they are.`,
		Args: groupArgs,
		RunE: showHelp,
	}
	cmd.AddCommand(newHardenPlanCommand(), newHardenWriteCommand(), newHardenApplyCommand(), newHardenRollbackCommand(), newHardenStatusCommand())
	return cmd
}

// hardenFlags are the flags that a plan depends on.
type hardenFlags struct {
	selectionFlags
	context string
	phases  []string
	keep    []string
	columns []string
}

func (f *hardenFlags) add(cmd *cobra.Command) {
	f.register(cmd)
	cmd.Flags().StringVar(&f.context, "context", "", "how the database knows the tenant: plain, signed, sealed; without it tenant.context of --config, else what is installed, else plain")
	cmd.Flags().StringSliceVar(&f.phases, "phase", []string{"main", "roles"}, "parts to plan: main, roles, integrity")
	cmd.Flags().StringArrayVar(&f.columns, "denormalise", nil, "`TABLE` that belongs to tenants by foreign keys and gets a column of its own for it; may be repeated")
	cmd.Flags().StringArrayVar(&f.keep, "keep-function", nil, "SECURITY DEFINER function that the application may go on calling: schema.name, several times")
}

func (f *hardenFlags) check() error {
	switch dbcontext.Mode(f.context) {
	case "", dbcontext.Plain, dbcontext.Signed, dbcontext.Sealed:
	default:
		return usageErrorf("--context %q: write plain, signed or sealed", f.context)
	}
	for _, p := range f.phases {
		switch harden.Phase(p) {
		case harden.Main, harden.Roles, harden.Integrity:
		default:
			return usageErrorf("--phase %q: write main, roles, integrity", p)
		}
	}
	return nil
}

// mode is the mode of the context: what the flag says, or what the proxy of the
// configuration needs for its signatures.
func (f *hardenFlags) mode(c *config.Config) dbcontext.Mode {
	if f.context == "" && (c.Tenant.SigningKeyFile != "" || c.Tenant.Context != config.ContextAuto) {
		return dbcontext.Mode(c.Tenant.ContextMode())
	}
	return dbcontext.Mode(f.context)
}

// withPlan makes a plan and runs f with it, over the same connection.
func (f *hardenFlags) withPlan(cmd *cobra.Command, do func(conn *pgx.Conn, plan *harden.Plan) error) error {
	if err := f.check(); err != nil {
		return err
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	conn, err := connectSchema(ctx, &f.selectionFlags, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	o := harden.Options{Selection: f.selection(cfg), Context: f.mode(cfg), KeepFunctions: f.keep, Denormalise: splitNames(f.columns)}
	for _, p := range f.phases {
		o.Phases = append(o.Phases, harden.Phase(p))
	}
	plan, err := harden.Build(ctx, conn, o)
	if err != nil {
		var selection *inventory.SelectionError
		if errors.As(err, &selection) || errors.Is(err, inventory.ErrTooOld) {
			return &exitError{code: exitUsage, err: err}
		}
		return err
	}
	return do(conn, plan)
}

// connectTimeout bounds the wait for a server that does not answer.
const connectTimeout = 30 * time.Second

// connectSchema connects to the database that the flags name.
func connectSchema(ctx context.Context, f *selectionFlags, c *config.Config) (*pgx.Conn, error) {
	cfg, err := f.connection(c)
	if err != nil {
		return nil, err
	}
	dialing, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	conn, err := pgx.ConnectConfig(dialing, cfg)
	if err != nil {
		return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("connect to the database: %w", err)}
	}
	return conn, nil
}

// applyFlags are the flags of what changes the database.
type applyFlags struct {
	yes, perTable               bool
	lockTimeout, statementLimit time.Duration
	tries                       int
}

func (f *applyFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	f.addTimes(cmd)
	cmd.Flags().IntVar(&f.tries, "tries", 10, "how often a transaction that gets no lock is tried")
}

func (f *applyFlags) addTimes(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 3*time.Second, "how long a statement waits for a lock")
	cmd.Flags().DurationVar(&f.statementLimit, "statement-timeout", time.Minute, "how long a statement may take; what reads whole tables is not bound")
}

func (f *applyFlags) check() error {
	if f.lockTimeout < time.Millisecond || f.statementLimit < time.Millisecond || f.tries < 0 {
		return usageErrorf("--lock-timeout and --statement-timeout must be at least 1ms, and --tries positive")
	}
	return nil
}

func (f *applyFlags) options(cmd *cobra.Command) harden.ApplyOptions {
	return harden.ApplyOptions{
		PerTable: f.perTable, LockTimeout: f.lockTimeout, StatementTimeout: f.statementLimit, Tries: f.tries,
		Version: currentVersion().Version, Progress: newHardenProgress(cmd.ErrOrStderr()),
	}
}

// confirm asks before anything is changed. Where nobody can answer, it is an
// error not to have said --yes.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usageErrorf("nobody can answer here: say --yes to go on without a question")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer) // no answer is a no
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return &exitError{code: exitFindings, err: errors.New("nothing was changed")}
	}
	return nil
}

// hardenError adds to an error what is known about it: the statement that
// failed, or what has changed in the database.
func hardenError(err error) error {
	var step *harden.StepError
	var changed *harden.ChangedError
	switch {
	case errors.As(err, &step):
		return fmt.Errorf("%w\nThe transaction was rolled back. The statement was:\n%s", err, printableLines(step.Step.SQL))
	case errors.As(err, &changed) && len(changed.Difference) > 0:
		const shown = 20
		lines := changed.Difference
		more := ""
		if len(lines) > shown {
			more = fmt.Sprintf("\n... and %d more", len(lines)-shown)
			lines = lines[:shown]
		}
		return fmt.Errorf("%w\n%s%s", err, printableLines(strings.Join(lines, "\n")), more)
	}
	return err
}

// printableLines is printable for text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
