package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/audit"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

// auditFlags are the flags of `bulkhead audit`.
type auditFlags struct {
	selectionFlags
	data          bool
	dataTimeout   time.Duration
	dataRows      int64
	failOn        string
	format        string
	output        string
	baseline      string
	writeBaseline string
	allow         string
	propose       bool
}

// newAuditCommand returns `bulkhead audit`.
func newAuditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit [--dsn DSN | --config FILE]",
		Short: "Find what lets one tenant reach another's rows",
		Long: `Takes one consistent, read-only snapshot of the database's catalogue and judges
row security, policies, roles, privileges, keys and functions. docs/checks.md
explains each check. It needs no superuser; --data counts rows and needs a role
that sees them all.

What is not said is guessed: application roles are the LOGIN roles that can read
or write tables, the table of tenants is the one that most foreign keys of one
name point at. --propose prints a configuration to start from.

Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 usage or configuration
error, or a count that was refused, 3 the server cannot be reached.`,
		Example: `  bulkhead audit --dsn postgres://admin@db.example.com/app --app-role app
  bulkhead audit --config bulkhead.yaml --format sarif --output audit.sarif
  bulkhead audit --config bulkhead.yaml --write-baseline audit.baseline.json
  bulkhead audit --config bulkhead.yaml --baseline audit.baseline.json --fail-on high`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAudit(cmd, &f) },
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.data, "data", false, "count rows without tenant, orphans and rows of mixed tenants (reads every table)")
	flags.DurationVar(&f.dataTimeout, "data-timeout", audit.DefaultDataTimeout, "longest time for one count of --data")
	flags.Int64Var(&f.dataRows, "data-max-rows", audit.DefaultDataRows, "leave out tables that the server estimates to have more `ROWS`; 0 counts all")
	flags.StringVar(&f.failOn, "fail-on", "low", "least `SEVERITY` that ends with exit code 1: critical, high, medium, low, info, or none")
	flags.StringVar(&f.format, "format", "text", "text, "+strings.Join(audit.Formats(), ", "))
	flags.StringVar(&f.output, "output", "", "write to `FILE` instead of standard output")
	flags.StringVar(&f.baseline, "baseline", "", "leave out the findings of this `FILE`, which --write-baseline wrote")
	flags.StringVar(&f.writeBaseline, "write-baseline", "", "write the findings to `FILE`, so that later runs count new ones only, and end with 0")
	flags.StringVar(&f.allow, "allow", "", "YAML `FILE` of accepted findings, beside audit.allow of --config")
	flags.BoolVar(&f.propose, "propose", false, "print a configuration for this database instead of findings")
	return cmd
}

func runAudit(cmd *cobra.Command, f *auditFlags) error {
	failing, err := f.check()
	if err != nil {
		return err
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	o := audit.Options{
		Selection: f.selection(c), Settings: contextSettings(c), Data: f.data, DataTimeout: f.dataTimeout, DataRows: f.dataRows, Now: time.Now(),
		Installed: installChanges, Progress: progressOn(cmd.ErrOrStderr(), "counting rows"),
	}
	if o.DataRows == 0 {
		o.DataRows = -1 // Options read 0 as the default
	}
	if o.Exceptions, err = f.exceptions(c); err != nil {
		return err
	}
	report, err := f.run(cmd.Context(), c, o)
	if err != nil {
		return err
	}
	if len(report.Model.AppRoles) == 0 && !f.propose {
		return usageErrorf("no role was found that the application could use, so nothing can be judged; name it with --app-role")
	}
	if f.writeBaseline != "" {
		return writeFile(f.writeBaseline, func(w io.Writer) error { return audit.WriteBaseline(w, report) })
	}
	if err := f.write(cmd, report, failing); err != nil {
		return err
	}
	if !f.propose && report.Worst(failing) {
		return &exitError{code: exitFindings}
	}
	return nil
}

// never is above every severity.
const never = audit.Critical + 1

// check reads the flags that have a closed list of values.
func (f *auditFlags) check() (failing audit.Severity, err error) {
	if f.format != "text" && !slices.Contains(audit.Formats(), f.format) {
		return 0, usageErrorf("--format: unknown format %q: one of text, %s", f.format, strings.Join(audit.Formats(), ", "))
	}
	if f.dataTimeout <= 0 {
		return 0, usageErrorf("--data-timeout: %s is not a time to wait", f.dataTimeout)
	}
	if f.dataRows < 0 {
		return 0, usageErrorf("--data-max-rows: %d is no number of rows", f.dataRows)
	}
	if f.failOn == "none" {
		return never, nil
	}
	if failing, err = audit.ParseSeverity(f.failOn); err != nil {
		return 0, usageErrorf("--fail-on: %w, or none", err)
	}
	return failing, nil
}

// contextSettings are the settings of tenant.settings that carry the org.
func contextSettings(c *config.Config) []string {
	var names []string
	for name, template := range c.Tenant.Settings {
		if strings.Contains(template, "${org}") || strings.Contains(template, "${claims}") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// run connects and audits.
func (f *auditFlags) run(ctx context.Context, c *config.Config, o audit.Options) (*audit.Report, error) {
	cfg, err := f.connection(c)
	if err != nil {
		return nil, err
	}
	const connectTimeout = 30 * time.Second
	dialing, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	conn, err := pgx.ConnectConfig(dialing, cfg)
	if err != nil {
		return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("connect to the database: %w", err)}
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	report, err := audit.Run(ctx, conn, o)
	var selection *inventory.SelectionError
	switch {
	case err == nil:
		return report, nil
	case errors.As(err, &selection), errors.Is(err, audit.ErrDataRefused), errors.Is(err, inventory.ErrTooOld):
		return nil, &exitError{code: exitUsage, err: err}
	}
	return nil, &exitError{code: exitUnreachable, err: err}
}

// write prints the report, or the proposal, where --output says.
func (f *auditFlags) write(cmd *cobra.Command, report *audit.Report, failing audit.Severity) error {
	render := func(w io.Writer) error {
		switch {
		case f.propose:
			proposal := audit.Propose(report.Model)
			_, err := io.WriteString(w, proposal.YAML(report.Model.Snapshot.Database))
			return err
		case f.format == "text":
			auditText(newDisplay(w), report)
			return nil
		}
		return audit.Render(w, f.format, report, audit.Tool{Version: currentVersion().Version, Failing: failing})
	}
	if f.output == "" {
		return render(cmd.OutOrStdout())
	}
	if err := writeFile(f.output, render); err != nil {
		return err
	}
	if !f.propose {
		cmd.PrintErrf("%s\n", report.Counts())
	}
	return nil
}

// writeFile writes a whole file, or leaves none.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return usageErrorf("write %s: %w", name, err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		_ = os.Remove(name) // it is incomplete
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// exceptions reads what has been accepted: audit.allow, --allow, --baseline.
func (f *auditFlags) exceptions(c *config.Config) (audit.Exceptions, error) {
	var e audit.Exceptions
	list := c.Audit.Allow
	if f.allow != "" {
		more, err := config.LoadAllowances(f.allow)
		if err != nil {
			return e, &exitError{code: exitUsage, err: err}
		}
		list = slices.Concat(list, more)
	}
	for _, a := range list {
		until, err := a.Until()
		if err != nil {
			return e, err // config has refused it
		}
		allowance := audit.Allowance{Check: a.Check, Object: a.Object, Reason: a.Reason, Expires: until}
		if err := allowance.Validate(); err != nil {
			return e, usageErrorf("the allowance of %s on %s: %w", a.Check, a.Object, err)
		}
		e.Allow = append(e.Allow, allowance)
	}
	if f.baseline == "" {
		return e, nil
	}
	file, err := os.Open(f.baseline)
	if err != nil {
		return e, usageErrorf("--baseline: %w", err)
	}
	defer func() { _ = file.Close() }() // it was read only
	if e.Baseline, err = audit.ReadBaseline(file); err != nil {
		return e, usageErrorf("--baseline %s: %w", f.baseline, err)
	}
	return e, nil
}

// progressOn shows on a terminal how far something is that takes longer than
// a second; elsewhere it is silent.
func progressOn(w io.Writer, what string) func(done, total int) {
	d := newDisplay(w)
	if d.width == 0 {
		return nil
	}
	began := time.Now()
	return func(done, total int) {
		if time.Since(began) < time.Second {
			return
		}
		d.printf("\r%s: %d of %d\x1b[K", what, done+1, total)
		if done+1 == total {
			d.printf("\r\x1b[K")
		}
	}
}
