package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/database/catalog"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/policy"
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
	var proved []string
	for _, database := range source.databases() {
		snapshot, err := source.load(ctx, database)
		if err != nil {
			return &exitError{code: exitUnreachable, err: fmt.Errorf("database %s: %w", database, err)}
		}
		for _, f := range append(catalog.JudgeLogin(snapshot), catalog.JudgeTables(snapshot, cfg.Tenant.Columns)...) {
			found = append(found, newCheckFinding(database, &f))
		}
		proved = append(proved, provenOf(database, snapshot, found)...)
	}
	if key := cfg.Tenant.SigningKeyFile; key != "" {
		context, finding, err := checkContext(ctx, source, string(key))
		if err != nil {
			return err
		}
		found, proved = append(found, finding...), append(proved, context...)
	}
	return reportCheck(w, format, found, proved, len(source.databases()))
}

// provenOf says what was proven of a database, in which found are no findings of
// the kind.
func provenOf(database string, s *catalog.Snapshot, found []checkFinding) (proved []string) {
	login, tables := true, true
	for i := range found {
		if f := &found[i]; f.Database == database && f.Severity == "unsafe" {
			login, tables = login && f.Check == "rls", tables && f.Check != "rls"
		}
	}
	if login {
		proved = append(proved, fmt.Sprintf("%s: login role %s is no superuser, has no BYPASSRLS, owns no table of tenants, and can become no role that is or does", database, s.LoginRole))
	}
	if n := catalog.Protected(s); tables && n > 0 {
		proved = append(proved, fmt.Sprintf("%s: all tables of tenants that sessions can reach have row security (%d)", database, n))
	}
	return proved
}

// checkContext proves the signed tenant context, as serve does when it starts.
func checkContext(ctx context.Context, source *catalogs, file string) (proved []string, found []checkFinding, err error) {
	key, err := tenant.OpenKeyFile(file, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, &exitError{code: exitUsage, err: err}
	}
	err = source.judgeContext(ctx, key.Key())
	var exit *exitError
	switch {
	case err == nil:
		return []string{fmt.Sprintf("the database believes a tenant context that key %d signs, and none with a wrong signature", key.Key().ID())}, nil, nil
	case errors.As(err, &exit) && exit.code == exitFindings:
		return nil, []checkFinding{{
			Check: "context", Database: source.server.Database, Object: file, Severity: "unsafe",
			Detail: err.Error(), Fix: "Run bulkhead harden with the context of tenant.context.",
		}}, nil
	}
	return nil, nil, err
}

// checkConfig proves that serve could start with the configuration, as far as
// that needs no server.
func checkConfig(cfg *config.Config) error {
	if err := cfg.CheckFiles(); err != nil {
		return err
	}
	_, keys := auth.New(authOptions(cfg, slog.New(slog.DiscardHandler)))
	_, context := tenant.NewResolver(tenantOptions(cfg))
	s := &service{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	o := proxyOptions(cfg, s.log)
	return errors.Join(checkRules(cfg), keys, context, s.addTLS(&o))
}

// checkRules reports every rule of policy.rules that does not exist, with its
// place.
func checkRules(cfg *config.Config) error {
	var problems []config.Problem
	for _, id := range slices.Sorted(maps.Keys(cfg.Policy.Rules)) {
		if !slices.ContainsFunc(policy.Rules(), func(r policy.Rule) bool { return r.ID == id }) {
			key := "policy.rules." + id
			problems = append(problems, config.Problem{Where: cfg.Origin(key), Key: key, What: "there is no such rule", Todo: "bulkhead rules lists them"})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &config.Error{Problems: problems}
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

func reportCheck(w io.Writer, format string, found []checkFinding, proved []string, databases int) error {
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
		for _, text := range proved {
			d.printf("%s  %s\n", d.paint(colourGreen, pad("proven", 7)), printable(text))
		}
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
