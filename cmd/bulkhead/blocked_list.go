package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

func newBlockedListCommand() *cobra.Command {
	var flags filterFlags
	cmd := &cobra.Command{
		Use:   "list FILE",
		Short: "Print records, oldest first",
		Args:  cobra.ExactArgs(1),
	}
	flags.add(cmd)
	limit := cmd.Flags().Int("limit", 100, "the newest so many records; 0 for all")
	format := addFormat(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, err := flags.filter(time.Now())
		if err != nil {
			return err
		}
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		if *limit < 0 {
			return usageErrorf("--limit %d: write 0 or more", *limit)
		}
		records, unreadable, err := blocklog.Last(args[0], filter, *limit)
		if err != nil {
			return readError(err)
		}
		warnUnreadable(cmd, unreadable)
		if *format == "json" {
			return printJSONLines(cmd.OutOrStdout(), records)
		}
		printRecords(newDisplay(cmd.OutOrStdout()), records)
		if *limit > 0 && len(records) == *limit {
			cmd.PrintErrf("These are the newest %d; --limit 0 prints all.\n", *limit)
		}
		return nil
	}
	return cmd
}

func newBlockedTailCommand() *cobra.Command {
	var flags filterFlags
	cmd := &cobra.Command{
		Use:   "tail FILE",
		Short: "Print records as they are written, until interrupted",
		Args:  cobra.ExactArgs(1),
	}
	flags.add(cmd)
	limit := cmd.Flags().Int("limit", 10, "begin with the newest so many records")
	format := addFormat(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, err := flags.filter(time.Now())
		if err != nil {
			return err
		}
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		return tail(cmd, args[0], filter, *limit, *format)
	}
	return cmd
}

// tail prints the newest records and then follows the log. A record that
// comes between the two steps is printed once: its number tells.
func tail(cmd *cobra.Command, path string, filter blocklog.Filter, limit int, format string) error {
	d := newDisplay(cmd.OutOrStdout())
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	show := func(r *blocklog.Record) error {
		if format == "json" {
			return enc.Encode(r)
		}
		d.printf("%s\n", d.row(recordCells(r), tailWidths[:]))
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return readError(err)
	}
	if limit > 0 {
		records, _, err := blocklog.Last(path, filter, limit)
		if err != nil {
			return readError(err)
		}
		for i := range records {
			if err := show(&records[i]); err != nil {
				return err
			}
		}
	}
	return blocklog.Follow(cmd.Context(), path, filter, show)
}

func warnUnreadable(cmd *cobra.Command, lines int) {
	if lines > 0 {
		cmd.PrintErrf("warning: %d lines are no records; `bulkhead blocked verify` tells which\n", lines)
	}
}

func printJSONLines(w io.Writer, records []blocklog.Record) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range records {
		if err := enc.Encode(&records[i]); err != nil {
			return err
		}
	}
	return nil
}

// tailWidths are the widths of recordCells where the records to come are not
// known: time, decision, rule, org, subject.
var tailWidths = [...]int{19, 8, 4, 36, 16, 0}

// recordCells is a record as one row.
func recordCells(r *blocklog.Record) []string {
	what := string(r.Statement)
	if what == "" || r.Decision == blocklog.Lost {
		what = r.Reason
	}
	return []string{
		showTime(r.Time), string(r.Decision), printable(r.Rule), printable(r.Org), printable(r.Subject), printable(what),
	}
}

func printRecords(d display, records []blocklog.Record) {
	if len(records) == 0 {
		d.printf("No records.\n")
		return
	}
	rows := [][]string{{"TIME (UTC)", "DECISION", "RULE", "ORG", "SUBJECT", "STATEMENT"}}
	for i := range records {
		rows = append(rows, recordCells(&records[i]))
	}
	d.table(rows)
}
