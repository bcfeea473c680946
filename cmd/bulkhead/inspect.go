package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// inspectFlags are the flags of `bulkhead inspect`.
type inspectFlags struct {
	config  string
	json    bool
	offline bool
	org     string
}

// newInspectCommand returns `bulkhead inspect`.
func newInspectCommand() *cobra.Command {
	var flags inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect [--config FILE] [SQL or -]",
		Short: "Show what the guard decides about SQL",
		Long: `Reads SQL from the argument, or from standard input for "-" or none, and says
for each statement what the guard decides, by which rule and on which facts.
Exit code 1 if any statement is refused.

With --config the policy and tenant sections of that file count, and the
catalogue of its server unless --offline is given. Without a catalogue every
relation counts as protected, and functions of the schema as unknown.`,
		Example: `  bulkhead inspect "SELECT set_config('app.org_id', 'B', false)"
  bulkhead inspect --config bulkhead.yaml --json - < queries.sql`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return inspect(cmd, args, &flags) },
	}
	cmd.Flags().StringVar(&flags.config, "config", "", "configuration `FILE`")
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object per statement")
	cmd.Flags().BoolVar(&flags.offline, "offline", false, "do not ask the server of --config for its catalogue")
	cmd.Flags().StringVar(&flags.org, "org", "", "judge as a session of this `ORG`; without it literals are not compared")
	return cmd
}

func inspect(cmd *cobra.Command, args []string, flags *inspectFlags) error {
	text, err := inspectedText(cmd, args)
	if err != nil {
		return err
	}
	engine, err := inspectEngine(cmd.Context(), flags)
	if err != nil {
		return err
	}
	refused := false
	for _, part := range splitStatements(text) {
		report := inspectStatement(cmd.Context(), engine, part, flags.org)
		refused = refused || report.Decision == "blocked"
		if err := report.write(cmd.OutOrStdout(), flags.json); err != nil {
			return err
		}
	}
	if refused {
		return &exitError{code: exitFindings}
	}
	return nil
}

// inspectedText is the SQL to look at.
func inspectedText(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	text, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return string(text), nil
}

// splitStatements cuts a text into its statements. A text that cannot be
// parsed stays whole: the engine says why.
func splitStatements(text string) []string {
	batch, err := parser.Parse(text, parser.Options{})
	if err != nil {
		return []string{text}
	}
	parts := make([]string, 0, len(batch.Statements))
	for i := range batch.Statements {
		parts = append(parts, text[batch.Statements[i].Start:batch.Statements[i].End])
	}
	return parts
}

// inspectEngine makes the engine that judges: as `bulkhead serve` would with
// that configuration, or with defaults and without a catalogue.
func inspectEngine(ctx context.Context, flags *inspectFlags) (*policy.Engine, error) {
	c := config.Default()
	if flags.config != "" {
		var err error
		if c, err = config.Load(flags.config, os.Environ()); err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
	}
	settings := make([]string, 0, len(c.Tenant.Settings))
	for name := range c.Tenant.Settings {
		settings = append(settings, name)
	}
	o := policyOptions(c, settings)
	if flags.config == "" || flags.offline {
		o.AssumeRelations = true
	} else {
		server, err := serverOptions(c)
		if err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
		source := newCatalogs(c, server, slog.New(slog.DiscardHandler))
		if o.Catalog, err = source.read(ctx, server.Database); err != nil {
			return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("%w (--offline judges without the catalogue)", err)}
		}
		o.Lookup = func(ctx context.Context) (*policy.Catalog, error) { return source.read(ctx, server.Database) }
	}
	engine, err := policy.New(o)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("policy: %w", err)}
	}
	return engine, nil
}

// inspectReport is what is said about one statement.
type inspectReport struct {
	Statement   string   `json:"statement"` // without literals
	Decision    string   `json:"decision"`  // allowed, observed or blocked
	Rule        string   `json:"rule,omitempty"`
	Title       string   `json:"title,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Hint        string   `json:"hint,omitempty"`
	SQLState    string   `json:"sqlstate,omitempty"`
	Kind        string   `json:"kind,omitempty"`
	Relations   []string `json:"relations,omitempty"`
	Functions   []string `json:"functions,omitempty"`
	Settings    []string `json:"settings,omitempty"`
	OrgParams   []int    `json:"org_params,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
}

func inspectStatement(ctx context.Context, engine *policy.Engine, text, org string) inspectReport {
	i := engine.Inspect(ctx, text, policy.Simple)
	d := i.Decision
	if org != "" {
		d = i.ForOrg(engine, org)
	}
	return inspectReport{
		Statement: string(i.Text()), Decision: d.Action.String(),
		Rule: d.Rule, Title: d.Title, Reason: d.Reason, Hint: d.Hint, SQLState: d.SQLState,
		Kind: i.Kind, Relations: i.Relations, Functions: i.Functions, Settings: i.Settings,
		OrgParams: i.OrgParams, Fingerprint: i.Fingerprint,
	}
}

func (r *inspectReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	line := r.Decision
	if r.Rule != "" {
		line += "  " + r.Rule + " " + r.Title
	}
	_, err := fmt.Fprintf(w, "%s\n", line)
	for _, part := range []struct{ name, text string }{
		{"statement", r.Statement},
		{"reason", r.Reason},
		{"hint", r.Hint},
		{"relations", strings.Join(r.Relations, ", ")},
		{"functions", strings.Join(r.Functions, ", ")},
		{"settings", strings.Join(r.Settings, ", ")},
	} {
		if part.text != "" && err == nil {
			_, err = fmt.Fprintf(w, "  %-10s %s\n", part.name, part.text)
		}
	}
	return err
}
