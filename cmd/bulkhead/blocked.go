package main

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

func newBlockedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blocked",
		Short: "Read, follow, summarise and check the blocked-query log",
		Long: `Reads the blocked-query log (blocked_log.file of the configuration). FILE stands
for the log with all files rotated from it. Nothing is ever written to it.`,
		Args: groupArgs,
		RunE: showHelp,
	}
	cmd.AddCommand(newBlockedListCommand(), newBlockedTailCommand(), newBlockedReportCommand(), newBlockedVerifyCommand())
	return cmd
}

// filterFlags are the flags that choose records.
type filterFlags struct {
	org, rule, subject, decision, since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.org, "org", "", "only records of this org")
	flags.StringVar(&f.rule, "rule", "", "only records of this rule, such as G203")
	flags.StringVar(&f.subject, "subject", "", "only records of this subject")
	flags.StringVar(&f.decision, "decision", "", "only blocked, observed or lost")
	flags.StringVar(&f.since, "since", "", "from then on: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 24h, 7d ago")
	flags.StringVar(&f.until, "until", "", "up to then, the same forms")
}

// filter returns the Filter that the flags mean at the time now.
func (f *filterFlags) filter(now time.Time) (blocklog.Filter, error) {
	out := blocklog.Filter{Org: f.org, Rule: f.rule, Subject: f.subject, Decision: blocklog.Decision(f.decision)}
	known := []blocklog.Decision{"", blocklog.Blocked, blocklog.Observed, blocklog.Lost}
	if !slices.Contains(known, out.Decision) {
		return out, usageErrorf("--decision %q: write blocked, observed or lost", f.decision)
	}
	var err error
	if out.Since, err = parseWhen("--since", f.since, now); err != nil {
		return out, err
	}
	if out.Until, err = parseWhen("--until", f.until, now); err != nil {
		return out, err
	}
	if !out.Since.IsZero() && !out.Until.IsZero() && !out.Since.Before(out.Until) {
		return out, usageErrorf("--since is not before --until: no record can match")
	}
	return out, nil
}

// parseWhen reads a point in time, or how long ago it was. Dates are UTC, as
// in the log.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, usageErrorf("%s %q is no time: write 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 24h, 7d for that long ago", flag, s)
}

// addFormat adds --format with the given choices, the first of which is the
// default, and returns where the choice is found after [checkFormat].
func addFormat(cmd *cobra.Command, choices ...string) *string {
	return cmd.Flags().String("format", choices[0], "form of the output: "+strings.Join(choices, ", "))
}

func checkFormat(format string, choices ...string) error {
	if !slices.Contains(choices, format) {
		return usageErrorf("--format %q: write %s", format, strings.Join(choices, ", "))
	}
	return nil
}

// readError gives errors of reading the log their exit code: a file that is
// not there is a wrong command line.
func readError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return &exitError{code: exitUsage, err: err}
	}
	return err
}
