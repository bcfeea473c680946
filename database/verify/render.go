package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Formats are the forms in which a report is written by [Report.Write].
var Formats = []string{"json", "markdown", "html", "junit", "sarif"}

// Write writes the report in a format of Formats.
func (r *Report) Write(w io.Writer, format string) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	case "markdown":
		return r.markdown(w)
	case "html":
		return r.html(w)
	case "junit":
		return r.junit(w)
	case "sarif":
		return r.sarif(w)
	}
	return fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats, ", "))
}

// Read reads a report in JSON.
func Read(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if r.Version != ReportVersion {
		return nil, fmt.Errorf("the report has version %d: want %d", r.Version, ReportVersion)
	}
	return &r, nil
}

// section is one table of a report for people. Its cells are not escaped yet.
type section struct {
	Title string
	Text  string
	Head  []string
	Rows  [][]string
}

// sections are the report in the order in which a reviewer reads it.
func (r *Report) sections() []section {
	out := []section{r.scope(), r.findingsSection()}
	relations := section{Title: "Relations", Text: "The whole population, not a sample.", Head: []string{"RELATION", "KIND", "CLASS", "STATUS", "CANARY", "CONTROL", "NOTE"}}
	for _, rel := range r.Relations {
		relations.Rows = append(relations.Rows, []string{rel.Name, rel.Kind, rel.Class, string(rel.Status), rel.Canary, rel.Control, rel.Note})
	}
	out = append(out, relations, r.matrixSection(), r.attackSection())
	accepted := section{Title: "Exceptions", Head: []string{"MATCH", "OWNER", "REASON", "EXPIRES", "USED"}}
	for _, e := range r.Accepted {
		accepted.Rows = append(accepted.Rows, []string{e.Match, e.Owner, e.Reason, e.Expires, strconv.Itoa(e.Used)})
	}
	notTested := section{Title: "Not tested", Head: []string{"WHAT"}}
	for _, n := range r.NotTested {
		notTested.Rows = append(notTested.Rows, []string{n})
	}
	caveats := section{Title: "To be kept in mind", Head: []string{"WHAT"}}
	for _, c := range r.Caveats {
		caveats.Rows = append(caveats.Rows, []string{c})
	}
	controls := section{Title: "Controls", Text: "What this report supports an auditor with. It is no verdict on anybody's compliance.", Head: []string{"CONTROL", "EVIDENCE"}}
	for _, c := range r.Controls {
		controls.Rows = append(controls.Rows, []string{c.Control, c.Supports})
	}
	return append(out, accepted, notTested, caveats, controls)
}

// scope says who ran what on what.
func (r *Report) scope() section {
	walls := make([]string, len(r.Run.Walls))
	for i, w := range r.Run.Walls {
		walls[i] = string(w)
	}
	rows := [][]string{
		{"Run", r.Run.ID},
		{"Result", r.Result.Summary},
		{"Started", stamp(r.Run.Started)},
		{"Ended", stamp(r.Run.Ended)},
		{"Operator", r.Run.Operator},
		{"Command", strings.Join(r.Run.Command, " ")},
		{"Bulkhead", r.Run.ToolVersion},
		{"Mode", string(r.Run.Mode)},
		{"Ways in", strings.Join(walls, ", ")},
		{"Database", r.Database.Name + ", PostgreSQL " + r.Database.ServerVersion},
		{"Fingerprint before", r.Database.Fingerprint},
		{"Fingerprint after", r.Database.FingerprintAfter},
	}
	if r.Database.ScratchFingerprint != "" {
		rows = append(rows, []string{"Fingerprint of the copy", r.Database.ScratchFingerprint})
	}
	if r.Database.ExpectedFingerprint != "" {
		rows = append(rows, []string{"Fingerprint expected", r.Database.ExpectedFingerprint})
	}
	rows = append(rows, []string{"Selection and options", r.Run.ConfigHash}, []string{"Hash of this report", r.Chain.Hash}, []string{"Hash of the report before", r.Chain.PrevHash})
	return section{Title: "Scope", Head: []string{"", ""}, Rows: rows}
}

// shownFindings is how many findings a report for people lists; JSON has all.
const shownFindings = 200

func (r *Report) findingsSection() section {
	s := section{Title: "Findings", Head: []string{"STATUS", "FIRST OF", "PROBES", "CWE", "GOT", "NOTE", "STATEMENT"}}
	all := r.Findings()
	for i, f := range all {
		if i == shownFindings {
			s.Text = fmt.Sprintf("The first %d of %d; the JSON form has all.", shownFindings, len(all))
			break
		}
		cwe := ""
		if f.CWE > 0 {
			cwe = "CWE-" + strconv.Itoa(f.CWE)
		}
		s.Rows = append(s.Rows, []string{string(f.Status), f.ID, strconv.Itoa(f.Count), cwe, f.Got, f.Note, f.Statement})
	}
	return s
}

// matrixSection counts the cells of each relation and command by outcome.
func (r *Report) matrixSection() section {
	type key struct{ relation, command string }
	counts := make(map[key]map[Status]int)
	var keys []key
	for i := range r.Matrix {
		c := &r.Matrix[i]
		k := key{c.Relation, c.Command}
		if counts[k] == nil {
			counts[k] = make(map[Status]int)
			keys = append(keys, k)
		}
		counts[k][c.Status]++
	}
	sort.SliceStable(keys, func(a, b int) bool { return keys[a].relation < keys[b].relation })
	s := section{
		Title: "Matrix", Text: "Probes by relation and command, over all contexts, paths, ways in and both directions.",
		Head: []string{"RELATION", "COMMAND", "PASS", "LEAK", "NOT PROVEN", "PROXY ONLY", "SKIPPED"},
	}
	for _, k := range keys {
		n := counts[k]
		row := []string{k.relation, k.command}
		for _, status := range []Status{Pass, Leak, NotProven, Exposed, Skipped} {
			row = append(row, strconv.Itoa(n[status]))
		}
		s.Rows = append(s.Rows, row)
	}
	return s
}

func (r *Report) attackSection() section {
	s := section{Title: "Attacks", Head: []string{"CLASS", "ATTACK", "WAY IN", "PATH", "STATUS", "EXPECTED", "GOT", "RECORD", "STATEMENT", "NOTE"}}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		seq := ""
		if a.Seq > 0 {
			seq = strconv.FormatUint(a.Seq, 10)
		}
		s.Rows = append(s.Rows, []string{a.Class, a.Title, string(a.Wall), a.Path, string(a.Status), a.Expected, a.Got, seq, a.Statement, a.Note})
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// visible escapes what a terminal, an editor or a browser would act upon or
// hide: names in a database are somebody's choice.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '\uFFFD'
	}, s)
}
