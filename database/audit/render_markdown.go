package audit

import (
	"fmt"
	"io"
	"strings"
)

// renderMarkdown writes a report as GitHub-flavoured Markdown.
func renderMarkdown(w io.Writer, r *Report, tool Tool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Audit of database %s\n\n", escapeMarkdown(r.Model.Snapshot.Database))
	fmt.Fprintf(&b, "%s UTC, bulkhead %s.\n\n", r.Now.UTC().Format("2006-01-02 15:04:05"), escapeMarkdown(tool.Version))
	for _, line := range r.Head() {
		fmt.Fprintf(&b, "- %s\n", escapeMarkdown(line))
	}
	fmt.Fprintf(&b, "\n**%s**\n", r.Counts())
	for _, line := range r.Notes() {
		fmt.Fprintf(&b, "\n%s\n", escapeMarkdown(line))
	}
	for _, g := range r.Groups() {
		fmt.Fprintf(&b, "\n## %s: %s %s\n", g.Severity, g.Check, escapeMarkdown(g.Title))
		for i := range g.Findings {
			markdownFinding(&b, &g.Findings[i])
		}
	}
	if len(r.Accepted) > 0 {
		b.WriteString("\n## Accepted\n\n| Check | Object | Reason | Until |\n| --- | --- | --- | --- |\n")
		for i := range r.Accepted {
			a := &r.Accepted[i]
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.Check, escapeMarkdown(a.Object), escapeMarkdown(a.Reason), a.until())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// until shows when an accepted finding counts again.
func (a *Accepted) until() string {
	if a.Expires.IsZero() {
		return "-"
	}
	return a.Expires.Format("2006-01-02")
}

func markdownFinding(b *strings.Builder, f *Finding) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", escapeMarkdown(f.Object), escapeMarkdown(f.Detail))
	for _, line := range f.Evidence {
		fmt.Fprintf(b, "\n- %s", escapeMarkdown(line))
	}
	if len(f.Evidence) > 0 {
		b.WriteString("\n")
	}
	if f.FixIsSQL {
		fmt.Fprintf(b, "\n%s\n", fenced(f.Fix))
	} else {
		fmt.Fprintf(b, "\nFix: %s\n", escapeMarkdown(f.Fix))
	}
}

// fenced writes a code block whose fence is longer than any in the text: a
// name in the database may hold one.
func fenced(sql string) string {
	fence := "```"
	for strings.Contains(sql, fence) {
		fence += "`"
	}
	return fence + "sql\n" + sql + "\n" + fence
}

// escapeMarkdown escapes everything that Markdown or HTML would read as
// markup: names come from the database.
func escapeMarkdown(s string) string {
	const marks = "\\`*_{}[]<>#|~&!$@"
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '\n' || r == '\r':
			b.WriteByte(' ')
		case strings.ContainsRune(marks, r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
