package main

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

// blockedReport is what `bulkhead blocked report` prints.
type blockedReport struct {
	File    string           `json:"file"`
	Filters []string         `json:"filters"` // as given, "--org acme"
	Made    time.Time        `json:"made"`
	Summary blocklog.Summary `json:"summary"`
	Chain   chainStatus      `json:"chain"`
}

// chainStatus is the outcome of the verification in a report.
type chainStatus struct {
	OK       bool   `json:"ok"`
	Faults   int    `json:"faults"`
	Records  int    `json:"records"`
	FirstSeq uint64 `json:"first_seq"` // more than 1: older files are not here
	LastHash string `json:"last_hash"`
}

func newBlockedReportCommand() *cobra.Command {
	return readCommand{
		use: "report FILE", short: "Summarise the log for a reviewer",
		limit: 20, limitUsage: "the most frequent so many orgs, subjects and statements; 0 for all",
		formats: []string{"text", "json", "markdown", "html"},
		run: func(cmd *cobra.Command, r *reading) error {
			report, err := makeReport(r.path, r.filter, r.limit)
			if err != nil {
				return readError(err)
			}
			report.Made, report.Filters = r.now.UTC().Truncate(time.Second), r.filters
			return report.print(cmd, r.format)
		},
	}.command()
}

// given returns the flags that were set, for the head of a report.
func (f *filterFlags) given() []string {
	given := []string{}
	for _, flag := range []struct{ name, value string }{
		{"--org", f.org}, {"--rule", f.rule}, {"--subject", f.subject}, {"--decision", f.decision}, {"--since", f.since}, {"--until", f.until},
	} {
		if flag.value != "" {
			given = append(given, flag.name+" "+flag.value)
		}
	}
	return given
}

func makeReport(path string, filter blocklog.Filter, limit int) (*blockedReport, error) {
	summary, err := blocklog.Summarize(path, filter, limit)
	if err != nil {
		return nil, err
	}
	chain, err := blocklog.Verify(blocklog.VerifyOptions{Files: []string{path}, Partial: true})
	if err != nil {
		return nil, err
	}
	return &blockedReport{
		File:    path,
		Summary: summary,
		Chain: chainStatus{
			OK: chain.OK(), Faults: len(chain.Faults) + chain.FaultsCut, Records: chain.Records,
			FirstSeq: chain.FirstSeq, LastHash: chain.LastHash,
		},
	}, nil
}

func (r *blockedReport) print(cmd *cobra.Command, format string) error {
	out := cmd.OutOrStdout()
	switch format {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	case "markdown":
		return r.markdown(out)
	case "html":
		return r.html(out)
	}
	r.text(newDisplay(out))
	return nil
}

func (r *blockedReport) text(d display) {
	s := &r.Summary
	d.printf("%s\n", d.paint(colourBold, "Blocked-query log "+printable(r.File)))
	for _, line := range r.head() {
		d.printf("%s\n", printable(line))
	}
	for _, group := range r.groups() {
		if len(group.rows) == 0 {
			continue
		}
		d.printf("\n%s\n", d.paint(colourBold, group.title))
		rows := [][]string{group.head}
		for _, row := range group.rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = printable(cell)
			}
			rows = append(rows, cells)
		}
		d.table(rows)
	}
	if s.Records == 0 {
		d.printf("\nNo records.\n")
	}
}

// head is the summary in sentences, for all human formats.
func (r *blockedReport) head() []string {
	s := &r.Summary
	lines := []string{}
	for _, f := range r.Filters {
		lines = append(lines, "Only "+f)
	}
	if s.Records > 0 {
		lines = append(lines, plural(s.Records, "record")+" from "+showTime(s.FirstTime)+" to "+showTime(s.LastTime)+" UTC: "+
			itoa(s.Blocked)+" blocked, "+itoa(s.Observed)+" observed.")
	}
	if s.Lost > 0 {
		lines = append(lines, plural(int(s.Lost), "record")+" lost: they could not be written.")
	}
	if s.Unreadable > 0 {
		lines = append(lines, plural(s.Unreadable, "line")+" cannot be read.")
	}
	if r.Chain.FirstSeq > 1 {
		lines = append(lines, "The log begins with record "+strconv.FormatUint(r.Chain.FirstSeq, 10)+": older files are not here.")
	}
	if r.Chain.OK {
		return append(lines, "The hash chain of "+plural(r.Chain.Records, "record")+" is intact; its newest hash is "+r.Chain.LastHash+".")
	}
	return append(lines, "THE HASH CHAIN IS BROKEN: "+plural(r.Chain.Faults, "fault")+"; `bulkhead blocked verify` tells which.")
}

// group is one table of a report; its cells are not escaped yet.
type group struct {
	title string
	head  []string
	rows  [][]string
}

func (r *blockedReport) groups() []group {
	s := &r.Summary
	rules := group{title: "By rule", head: []string{"RULE", "COUNT", "FIRST", "LAST", "TITLE"}}
	for _, c := range s.Rules {
		rules.rows = append(rules.rows, []string{c.Name, itoa(c.Count), showTime(c.First), showTime(c.Last), c.Title})
	}
	statements := group{title: "Statements", head: []string{"COUNT", "RULE", "ORGS", "FIRST", "LAST", "STATEMENT"}}
	for _, c := range s.Statements {
		text := string(c.Statement)
		if text == "" {
			text = "(not a statement that could be read)"
		}
		statements.rows = append(statements.rows, []string{
			itoa(c.Count), c.Rule, itoa(c.Orgs), showTime(c.First), showTime(c.Last), text,
		})
	}
	return []group{
		rules,
		countGroup("By org", "ORG", s.Orgs),
		countGroup("By subject", "SUBJECT", s.Subjects),
		countGroup("By day", "DAY", s.Days),
		statements,
	}
}

func countGroup(title, name string, counts []blocklog.Count) group {
	g := group{title: title, head: []string{name, "COUNT", "FIRST", "LAST"}}
	for _, c := range counts {
		label := c.Name
		if label == "" {
			label = "(none)"
		}
		g.rows = append(g.rows, []string{label, itoa(c.Count), showTime(c.First), showTime(c.Last)})
	}
	return g
}

func itoa(n int) string { return strconv.Itoa(n) }

// plural returns "1 record", "2 records".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return itoa(n) + " " + noun + "s"
}
