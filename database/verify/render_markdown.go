package verify

import (
	"fmt"
	"io"
	"strings"
)

// markdown writes the report as GitHub-flavoured Markdown.
func (r *Report) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Isolation of %s: %s\n\n%s\n", markdownText(r.Database.Name), markdownText(string(r.Result.Status)), markdownText(r.Result.Summary))
	for _, s := range r.sections() {
		if len(s.Rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		if s.Text != "" {
			fmt.Fprintf(&b, "%s\n\n", markdownText(s.Text))
		}
		markdownRow(&b, s.Head)
		b.WriteString(strings.Repeat("| --- ", len(s.Head)) + "|\n")
		for _, row := range s.Rows {
			markdownRow(&b, row)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownRow(b *strings.Builder, cells []string) {
	for _, cell := range cells {
		b.WriteString("| " + markdownText(cell) + " ")
	}
	b.WriteString("|\n")
}

// markdownText escapes everything that Markdown or HTML would read as markup.
func markdownText(s string) string {
	var b strings.Builder
	for _, r := range visible(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()>#|~!$@", r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
