package main

import (
	"fmt"
	"html/template"
	"io"
	"strings"
)

// markdown writes the report as GitHub-flavoured Markdown.
func (r *blockedReport) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Blocked-query log %s\n\n", markdownText(r.File))
	fmt.Fprintf(&b, "Made %s UTC.\n\n", showTime(r.Made))
	for _, line := range r.head() {
		fmt.Fprintf(&b, "- %s\n", markdownText(line))
	}
	for _, g := range r.groups() {
		if len(g.rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", g.title)
		markdownRow(&b, g.head)
		b.WriteString(strings.Repeat("| --- ", len(g.head)) + "|\n")
		for _, row := range g.rows {
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
	const marks = "\\`*_{}[]<>()#|~&!$@:"
	var b strings.Builder
	for _, r := range printable(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		// A colon or an at-sign makes a link of what stands around it.
		case strings.ContainsRune(marks, r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// html writes the report as one page without scripts or outside resources.
func (r *blockedReport) html(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{"printable": printable, "time": showTime}).Parse(reportPage)
	if err != nil {
		return fmt.Errorf("read the page of the report: %w", err)
	}
	type table struct {
		Title string
		Head  []string
		Rows  [][]string
	}
	var tables []table
	for _, g := range r.groups() {
		if len(g.rows) > 0 {
			tables = append(tables, table{g.title, g.head, g.rows})
		}
	}
	return page.Execute(w, map[string]any{
		"File": r.File, "Made": r.Made, "Head": r.head(), "Tables": tables, "Broken": !r.Chain.OK,
	})
}

const reportPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Blocked-query log {{printable .File}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; vertical-align: top; overflow-wrap: anywhere; }
th { white-space: nowrap; }
td:last-child { font-family: ui-monospace, monospace; }
.broken { border-left: .3rem solid #b00020; padding-left: .8rem; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616; } th, td { border-color: #444; } }
</style>
</head>
<body>
<h1>Blocked-query log {{printable .File}}</h1>
<p>Made {{time .Made}} UTC.</p>
<ul{{if .Broken}} class="broken"{{end}}>
{{- range .Head}}
<li>{{printable .}}</li>
{{- end}}
</ul>
{{- range .Tables}}
<h2>{{.Title}}</h2>
<table>
<thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>
{{- range .Rows}}
<tr>{{range .}}<td>{{printable .}}</td>{{end}}</tr>
{{- end}}
</tbody>
</table>
{{- end}}
</body>
</html>
`
