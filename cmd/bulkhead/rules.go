package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/policy"
)

// newRulesCommand returns `bulkhead rules [ID]`.
func newRulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [ID]",
		Short: "List the rules of the guard, or explain one",
		Long: `Without an argument: every rule with its title. With a rule's id, as the
client's error and the blocked-query log give it: the attack that it stops, why a
looser rule is unsound, what is refused and allowed, and what to do instead.`,
		Example: "  bulkhead rules\n  bulkhead rules G201",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listRules(cmd.OutOrStdout())
			}
			for _, r := range policy.Rules() {
				if strings.EqualFold(r.ID, args[0]) {
					explainRule(cmd.OutOrStdout(), &r)
					return nil
				}
			}
			return usageErrorf("there is no rule %q; `bulkhead rules` lists all", args[0])
		},
	}
}

func listRules(w io.Writer) error {
	const padding = 2
	t := tabwriter.NewWriter(w, 0, 0, padding, ' ', 0)
	for _, r := range policy.Rules() {
		fmt.Fprintf(t, "%s\t%s\n", r.ID, r.Title)
	}
	return t.Flush()
}

func explainRule(w io.Writer, r *policy.Rule) {
	fmt.Fprintf(w, "%s  %s\n\n", r.ID, r.Title)
	for _, part := range []struct{ name, text string }{
		{"Attack", r.Attack},
		{"Where", strings.Join(r.Surfaces, ", ")},
		{"Why", r.Why},
		{"Gap", r.Gap},
		{"Refused", r.Blocked},
		{"Allowed", r.Allowed},
		{"Instead", r.Remedy},
	} {
		if part.text != "" {
			fmt.Fprintf(w, "%-9s%s\n", part.name+":", part.text)
		}
	}
}
