package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

func newBlockedListCommand() *cobra.Command {
	return readCommand{
		use: "list FILE", short: "Print records, oldest first",
		limit: 100, limitUsage: "the newest so many records; 0 for all",
		formats: []string{"text", "json"}, run: list,
	}.command()
}

func list(cmd *cobra.Command, r *reading) error {
	records, unreadable, err := blocklog.Last(r.path, r.filter, r.limit)
	if err != nil {
		return readError(err)
	}
	warnUnreadable(cmd, unreadable)
	if r.format == "json" {
		return printJSONLines(cmd.OutOrStdout(), records)
	}
	printRecords(newDisplay(cmd.OutOrStdout()), records)
	if r.limit > 0 && len(records) == r.limit {
		cmd.PrintErrf("These are the newest %d; --limit 0 prints all.\n", r.limit)
	}
	return nil
}

func newBlockedTailCommand() *cobra.Command {
	return readCommand{
		use: "tail FILE", short: "Print records as they are written, until interrupted",
		limit: 10, limitUsage: "begin with the newest so many records",
		formats: []string{"text", "json"}, run: tail,
	}.command()
}

// tail prints the newest records and then follows the log. A record that
// comes between the two steps is printed once: its number tells.
func tail(cmd *cobra.Command, r *reading) error {
	d := newDisplay(cmd.OutOrStdout())
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	show := func(record *blocklog.Record) error {
		if r.format == "json" {
			return enc.Encode(record)
		}
		d.printf("%s\n", d.row(recordCells(record), tailWidths[:]))
		return nil
	}
	if _, err := os.Stat(r.path); err != nil {
		return readError(err)
	}
	if r.limit > 0 {
		records, _, err := blocklog.Last(r.path, r.filter, r.limit)
		if err != nil {
			return readError(err)
		}
		for i := range records {
			if err := show(&records[i]); err != nil {
				return err
			}
		}
	}
	return blocklog.Follow(cmd.Context(), r.path, r.filter, show)
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
