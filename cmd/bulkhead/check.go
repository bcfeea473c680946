package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/database/catalog"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// newCheckCommand returns `bulkhead check`.
func newCheckCommand() *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Prove that a configuration, its login role and its schema are fit",
		Long: `Reads the configuration as serve does, logs in to the server, and looks at each
database that is named: the login role must not be a superuser, have BYPASSRLS,
own tables of tenants, or be able to become a role that is or does; and every
table of tenants that sessions can reach must have row security. It changes
nothing. What server.allow_unsafe_login would let pass is a finding here.

"bulkhead audit" judges the schema in depth.

Exit codes: 0 fit (perhaps with warnings), 1 findings, 2 usage or configuration
error, 3 the server cannot be reached.`,
		Example: `  bulkhead check --config bulkhead.yaml
  bulkhead check --config bulkhead.yaml --format json | jq -r .fix`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return usageErrorf("--format: unknown format %q: one of text, json", format)
			}
			return check(cmd.Context(), file, format, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; without it everything comes from BULKHEAD_ variables")
	cmd.Flags().StringVar(&format, "format", "text", "text, or json: one object for each finding")
	return cmd
}

// check judges what the configuration of file leads to.
func check(ctx context.Context, file, format string, w io.Writer) error {
	cfg, err := config.Load(file, os.Environ())
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if err := checkConfig(cfg); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	server, err := serverOptions(cfg)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	source := newCatalogs(cfg, server, slog.New(slog.DiscardHandler))
	var found []checkFinding
	for _, database := range source.databases() {
		snapshot, err := source.load(ctx, database)
		if err != nil {
			return &exitError{code: exitUnreachable, err: fmt.Errorf("database %s: %w", database, err)}
		}
		for _, f := range append(catalog.JudgeLogin(snapshot), catalog.JudgeTables(snapshot, cfg.Tenant.Columns)...) {
			found = append(found, newCheckFinding(database, &f))
		}
	}
	return reportCheck(w, format, found, len(source.databases()))
}

// checkConfig proves that serve could start with the configuration, as far as
// that needs no server.
func checkConfig(cfg *config.Config) error {
	if err := cfg.CheckFiles(); err != nil {
		return err
	}
	if _, err := auth.New(authOptions(cfg, slog.New(slog.DiscardHandler))); err != nil {
		return err
	}
	if _, err := tenant.NewResolver(tenantOptions(cfg)); err != nil {
		return err
	}
	s := &service{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	o := proxyOptions(cfg, s.log)
	return s.addTLS(&o)
}

// checkFinding is a finding as --format json prints it.
type checkFinding struct {
	Check    string `json:"check"`
	Database string `json:"database"`
	Object   string `json:"object"`
	Severity string `json:"severity"` // unsafe or warning
	Detail   string `json:"detail"`
	Fix      string `json:"fix"`
}

func newCheckFinding(database string, f *catalog.Finding) checkFinding {
	severity := "warning"
	if f.Severity == catalog.Unsafe {
		severity = "unsafe"
	}
	return checkFinding{Check: f.Key, Database: database, Object: f.Subject, Severity: severity, Detail: f.Text, Fix: f.Remedy}
}

func reportCheck(w io.Writer, format string, found []checkFinding, databases int) error {
	d := newDisplay(w)
	unsafe := 0
	for i := range found {
		f := &found[i]
		colour := colourYellow
		if f.Severity == "unsafe" {
			unsafe++
			colour = colourRed
		}
		if format == "json" {
			if err := json.NewEncoder(w).Encode(f); err != nil {
				return fmt.Errorf("write the findings: %w", err)
			}
			continue
		}
		d.printf("%s  %s: %s\n         fix: %s\n", d.paint(colour, pad(f.Severity, 7)), printable(f.Database), printable(f.Detail), printable(f.Fix))
	}
	if format == "text" {
		verdict := d.paint(colourGreen, "fit")
		if unsafe > 0 {
			verdict = d.paint(colourRed, "not fit")
		}
		d.printf("%s: %d databases looked at, %d findings, %d warnings\n", verdict, databases, unsafe, len(found)-unsafe)
	}
	if unsafe > 0 {
		return &exitError{code: exitFindings}
	}
	return nil
}
