package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

func newBlockedVerifyCommand() *cobra.Command {
	var o blocklog.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check the hash chain",
		Long: `Checks that no record was changed, removed or moved. One FILE stands for the log
with all files rotated from it; several are checked as one chain in the given
order. The hash of the newest record is printed at the end: kept elsewhere and
given as --anchor next time, it also shows records removed from the end and a
chain that was computed anew, which cannot be found without it.

Exit code 1 if something is wrong.`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&o.Anchor, "anchor", "", "hash of a record that must still be there")
	cmd.Flags().BoolVar(&o.Partial, "partial", false, "older files were archived: the chain need not begin with record 1")
	format := addFormat(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkFormat(*format, "text", "json"); err != nil {
			return err
		}
		o.Files, o.Anchor = args, strings.ToLower(o.Anchor)
		if sum, err := hex.DecodeString(o.Anchor); o.Anchor != "" && (err != nil || len(sum) != sha256.Size) {
			return usageErrorf("--anchor is no hash: write the 64 hex digits that verify printed")
		}
		return verifyChain(cmd, o, *format)
	}
	return cmd
}

func verifyChain(cmd *cobra.Command, o blocklog.VerifyOptions, format string) error {
	report, err := blocklog.Verify(o)
	if err != nil {
		return readError(err)
	}
	if format == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		err = enc.Encode(struct {
			OK bool `json:"ok"`
			blocklog.Report
		}{report.OK(), report})
	} else {
		printChain(newDisplay(cmd.OutOrStdout()), &report, o.Anchor != "")
	}
	if err != nil {
		return err
	}
	if !report.OK() {
		return &exitError{code: exitFindings}
	}
	return nil
}

// printChain prints the outcome of a verification.
func printChain(d display, r *blocklog.Report, anchored bool) {
	for _, f := range r.Faults {
		where := ""
		if f.Line > 0 {
			where = printable(f.File) + ":" + itoa(f.Line) + ": "
		}
		d.printf("%s%s: %s\n", where, d.paint(colourRed, string(f.Kind)), printable(f.What))
	}
	if r.FaultsCut > 0 {
		d.printf("... and %d more\n", r.FaultsCut)
	}
	d.printf("%d records in %s", r.Records, plural(len(r.Files), "file"))
	if r.Records > 0 {
		d.printf(", %d to %d, %s to %s UTC", r.FirstSeq, r.LastSeq, showTime(r.FirstTime), showTime(r.LastTime))
	}
	d.printf("\n")
	if r.Lost > 0 {
		d.printf("%s lost, as the log itself tells\n", plural(int(r.Lost), "record"))
	}
	for _, name := range r.Torn {
		d.printf("end cut off by a crash, kept in %s\n", printable(name))
	}
	if r.OK() {
		d.printf("%s\n", d.paint(colourGreen, "The chain is intact."))
	} else {
		d.printf("%s\n", d.paint(colourRed, plural(len(r.Faults)+r.FaultsCut, "fault")+": the chain is broken."))
	}
	if r.LastHash != "" {
		d.printf("anchor %s\n", r.LastHash)
	}
	if r.OK() && !anchored {
		d.printf("Records removed from the end show only with --anchor, a hash that an earlier run printed.\n")
	}
}
