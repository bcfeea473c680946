package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/verify"
)

// shownProblems is how many findings the text form lists.
const shownProblems = 50

// printVerifyReport prints the result for the person who started the run.
func printVerifyReport(d display, r *verify.Report) {
	colour := map[verify.Status]string{verify.Isolated: colourGreen, verify.Leak: colourRed, verify.NotProven: colourYellow}[r.Result.Status]
	d.printf("%s\n\n", d.paint(colour, printable(r.Result.Summary)))
	rows := [][]string{{"RELATION", "CLASS", "STATUS", "CONTROL", "NOTE"}}
	for _, rel := range r.Relations {
		rows = append(rows, []string{printable(rel.Name), rel.Class, string(rel.Status), printable(rel.Control), printable(rel.Note)})
	}
	d.table(rows)
	findings := r.Findings()
	if len(findings) > 0 {
		d.printf("\n%s\n", d.paint(colourBold, plural(len(findings), "finding")))
	}
	for i := range findings {
		if i == shownProblems {
			d.printf("... and %d more: --format json has all\n", len(findings)-shownProblems)
			break
		}
		f := &findings[i]
		d.printf("%s  %s\n", d.paint(map[verify.Status]string{verify.Leak: colourRed, verify.NotProven: colourYellow}[f.Status], pad(string(f.Status), 10)), printable(f.ID)+more(f.Count))
		if f.Statement != "" {
			d.printf("            %s\n", printable(f.Statement))
		}
		d.printf("            got: %s; %s\n", printable(f.Got), printable(f.Note))
	}
	printList(d, "Not tested", r.NotTested)
	printList(d, "To be kept in mind", r.Caveats)
}

// more says how many probes beside the first had the same outcome.
func more(count int) string {
	if count < 2 {
		return ""
	}
	return fmt.Sprintf(" and %d more", count-1)
}

func printList(d display, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	d.printf("\n%s\n", d.paint(colourBold, title))
	for _, l := range lines {
		d.printf("- %s\n", printable(l))
	}
}

// newVerifyProgress says on a terminal what is being tried, for runs that take
// longer than a second.
func newVerifyProgress(w io.Writer) func(string) {
	if !isTerminal(w) {
		return nil
	}
	next := time.Now().Add(progressAfter)
	return func(what string) {
		if time.Now().Before(next) {
			return
		}
		next = time.Now().Add(progressAfter / 10)
		fmt.Fprintf(w, "\r\x1b[K%s\r", shorten(printable(what), 70))
	}
}

func newVerifyCheckCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check REPORT",
		Short: "Check that a JSON report is as it was made",
		Long: `Checks the hash chain of a report in JSON, and its signature: with --public-key that
this key made it, else only that the report is whole.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := readReport(args[0])
			if err != nil {
				return err
			}
			key, err := readPublicKey(file)
			if err != nil {
				return err
			}
			if err := r.CheckSeal(key); err != nil {
				return &exitError{code: exitFindings, err: err}
			}
			signed := "not signed"
			if r.Chain.Signature != "" {
				signed = "signed by " + r.Chain.PublicKey
			}
			d := newDisplay(cmd.OutOrStdout())
			d.printf("unchanged, %s, %d records, %s\nhash   %s\nbefore %s\n%s\n", signed, r.Chain.Records, showTime(r.Run.Started), r.Chain.Hash, r.Chain.PrevHash,
				printable(r.Result.Summary))
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "public-key", "", "Ed25519 public key (PEM) that must have signed the report")
	return cmd
}

func readPublicKey(file string) (ed25519.PublicKey, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usageErrorf("--public-key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, usageErrorf("--public-key %s: not a PEM file", file)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, usageErrorf("--public-key %s: not an Ed25519 public key", file)
	}
	return key, nil
}
