package main

import (
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/harden"
)

func newHardenPlanCommand() *cobra.Command {
	var f hardenFlags
	cmd := &cobra.Command{
		Use:   "plan --dsn DSN",
		Short: "Show what would be done, and why; changes nothing",
		Long: `Shows each statement with its reason, its lock and what undoes it, and before them
what changes for others: loaders that use COPY FROM, indexes that row security
makes useless, roles that the floor binds. Writes nothing. Where nothing is to do
there are no steps.`,
		Example: `  bulkhead harden plan --dsn postgres://admin@db/app --app-role app --root-table organizations
  bulkhead harden plan --config bulkhead.yaml --format json | jq '.steps | length'`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	format := addFormat(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		return f.withPlan(cmd, func(_ *pgx.Conn, plan *harden.Plan) error {
			if *format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(plan)
			}
			printPlan(newDisplay(cmd.OutOrStdout()), plan)
			return nil
		})
	}
	return cmd
}

// printPlan prints a plan for the person who has to answer for it.
func printPlan(d display, plan *harden.Plan) {
	d.printf("Database %s, tenant context %s, application %s.\n", printable(plan.Database), plan.Context, printable(strings.Join(plan.AppRoles, ", ")))
	printWarnings(d, plan)
	if len(plan.Steps) == 0 {
		d.printf("\n%s\n", d.paint(colourGreen, "Nothing to do."))
		return
	}
	phase := harden.Phase("")
	for i := range plan.Steps {
		s := &plan.Steps[i]
		if s.Phase != phase {
			phase = s.Phase
			d.printf("\n%s\n", d.paint(colourBold, phaseTitle(phase)))
		}
		d.printf("\n%s %s\n", d.paint(colourDim, pad(itoa(i+1), 4)), d.paint(colourBold, printable(s.Object)))
		printBlock(d, "", s.SQL)
		printBlock(d, "why   ", s.Reason)
		printBlock(d, "lock  ", s.Lock)
		printBlock(d, "undo  ", s.Inverse)
		if s.Check != "" {
			printBlock(d, "first ", "this must be 0: "+s.Check)
		}
		if s.Repair != "" {
			printBlock(d, "else  ", s.Repair)
		}
	}
	d.printf("\n%s to do.\n", plural(len(plan.Steps), "step"))
}

func phaseTitle(p harden.Phase) string {
	switch p {
	case harden.Roles:
		return "ROLES: belong to all databases of the cluster"
	case harden.Integrity:
		return "INTEGRITY: each in a transaction of its own, and can fail on data"
	default:
		return "MAIN: one transaction"
	}
}

// printBlock prints text under a label, its further lines below the first.
func printBlock(d display, label, text string) {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		d.printf("     %s%s\n", d.paint(colourDim, label), printable(line))
	}
}

func printWarnings(d display, plan *harden.Plan) {
	if len(plan.Warnings) == 0 {
		return
	}
	d.printf("\n%s\n", d.paint(colourYellow, "BEFORE ANYTHING IS DONE"))
	for _, w := range plan.Warnings {
		d.printf("  %s: %s\n", d.paint(colourBold, printable(w.Object)), printable(w.Title))
		d.printf("     %s\n", printable(w.Detail))
	}
}
