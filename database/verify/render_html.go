package verify

import (
	"fmt"
	"html/template"
	"io"
)

// html writes the report as one page without scripts or outside resources.
func (r *Report) html(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{"visible": visible}).Parse(reportPage)
	if err != nil {
		return fmt.Errorf("read the page of the report: %w", err)
	}
	var sections []section
	for _, s := range r.sections() {
		if len(s.Rows) > 0 {
			sections = append(sections, s)
		}
	}
	return page.Execute(w, map[string]any{
		"Database": r.Database.Name, "Status": string(r.Result.Status), "Summary": r.Result.Summary, "Coverage": r.Result.Coverage, "Sections": sections,
	})
}

const reportPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Isolation of {{visible .Database}}: {{.Status}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; vertical-align: top; overflow-wrap: anywhere; }
th { white-space: nowrap; }
.result { border-left: .4rem solid #6b6b6b; padding: .2rem .8rem; font-size: 1.1rem; }
.isolated { border-color: #1b7f3b; }
.leak { border-color: #b00020; }
.not_proven { border-color: #a15c00; }
td.leak { color: #b00020; font-weight: 600; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616; } th, td { border-color: #444; } td.leak { color: #ff8a8a; } }
@media print { body { font-size: 10px; } }
</style>
</head>
<body>
<h1>Isolation of {{visible .Database}}</h1>
<p class="result {{.Status}}"><strong>{{visible .Summary}}</strong></p>
<p>Coverage: {{.Coverage.Proven}} of {{.Coverage.Population}} relations, {{.Coverage.Percent}} %.</p>
{{- range .Sections}}
<h2>{{.Title}}</h2>
{{- if .Text}}
<p>{{visible .Text}}</p>
{{- end}}
<table>
<thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>
{{- range .Rows}}
<tr>{{range .}}<td{{if eq . "leak"}} class="leak"{{end}}>{{visible .}}</td>{{end}}</tr>
{{- end}}
</tbody>
</table>
{{- end}}
</body>
</html>
`
