package main

import "github.com/spf13/cobra"

func newBlockedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blocked",
		Short: "Read, follow, summarise and check the blocked-query log",
		Args:  groupArgs,
		RunE:  showHelp,
	}
	return cmd
}
