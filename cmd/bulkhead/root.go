package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newRootCommand returns the command tree. Commands use RunE (never Run),
// write to cmd.OutOrStdout and cmd.ErrOrStderr, and return an exitError where
// the exit code is not exitFindings.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bulkhead",
		Short: "PostgreSQL proxy that keeps tenants apart",
		Long: `Bulkhead stands between clients and PostgreSQL: it authenticates a token, ties
the session to that token's org, inspects every statement, and records what it
refuses.

Exit codes: 0 fine, 1 findings or refusal, 2 usage or configuration error,
3 something cannot be reached.`,
		Args:          groupArgs,
		RunE:          showHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServeCommand(),
		newDemoCommand(),
		newCheckCommand(),
		newInspectCommand(),
		newRulesCommand(),
		newBlockedCommand(),
		newAuditCommand(),
		newTokenCommand(),
		newKeyCommand(),
		newContextCommand(),
		newHardenCommand(),
		newVerifyCommand(),
		newVersionCommand(),
	)
	return root
}

// groupArgs is the Args of a command that only groups others: what stands
// where a command is expected is an error, with the nearest commands named.
func groupArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2 // typing errors, as cobra's own default
	}
	msg := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		msg += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s", msg)
}

// showHelp is the RunE of a command that only groups others.
func showHelp(cmd *cobra.Command, _ []string) error {
	return cmd.Help()
}
