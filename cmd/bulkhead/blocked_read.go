package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

// readCommand is a command that reads records of one log: what list, tail and
// report have in common.
type readCommand struct {
	use, short string
	limit      int // the default of --limit
	limitUsage string
	formats    []string // the choices of --format, the first is the default
	run        func(cmd *cobra.Command, r *reading) error
}

// reading is what the command line of a readCommand asks for, checked.
type reading struct {
	path    string
	now     time.Time
	filter  blocklog.Filter
	filters []string // as given, "--org acme"
	limit   int
	format  string
}

func (c readCommand) command() *cobra.Command {
	cmd := &cobra.Command{Use: c.use, Short: c.short, Args: cobra.ExactArgs(1)}
	var flags filterFlags
	flags.add(cmd)
	limit := cmd.Flags().Int("limit", c.limit, c.limitUsage)
	format := addFormat(cmd, c.formats...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := &reading{path: args[0], now: time.Now(), filters: flags.given(), limit: *limit, format: *format}
		var err error
		if r.filter, err = flags.filter(r.now); err != nil {
			return err
		}
		if err := checkFormat(r.format, c.formats...); err != nil {
			return err
		}
		if r.limit < 0 {
			return usageErrorf("--limit %d: write 0 or more", r.limit)
		}
		return c.run(cmd, r)
	}
	return cmd
}
