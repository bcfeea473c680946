package audit

import (
	"fmt"
	"html/template"
	"io"
)

// renderHTML writes a report as one page without scripts or outside
// resources.
func renderHTML(w io.Writer, r *Report, tool Tool) error {
	page, err := template.New("audit").Parse(auditPage)
	if err != nil {
		return fmt.Errorf("read the page of the report: %w", err)
	}
	type accepted struct{ Check, Object, Reason, Until string }
	var list []accepted
	for i := range r.Accepted {
		a := &r.Accepted[i]
		list = append(list, accepted{a.Check, a.Object, a.Reason, a.until()})
	}
	return page.Execute(w, map[string]any{
		"Database": r.Model.Snapshot.Database, "Made": r.Now.UTC().Format("2006-01-02 15:04:05"), "Version": tool.Version,
		"Head": r.Head(), "Counts": r.Counts(), "Notes": r.Notes(), "Groups": r.Groups(), "Accepted": list,
	})
}

const auditPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Audit of database {{.Database}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h2 { border-left: .3rem solid #888; padding-left: .8rem; margin-top: 2rem; }
h2.critical, h2.high { border-color: #b00020; }
h2.medium { border-color: #b06000; }
h3 { font-family: ui-monospace, monospace; font-size: 1em; margin-bottom: .2rem; overflow-wrap: anywhere; }
pre { background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
p, ul { margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; vertical-align: top; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #161616; } pre { background: #262626; } th, td { border-color: #444; } }
</style>
</head>
<body>
<h1>Audit of database {{.Database}}</h1>
<p>{{.Made}} UTC, bulkhead {{.Version}}.</p>
<ul>
{{- range .Head}}
<li>{{.}}</li>
{{- end}}
</ul>
<p><strong>{{.Counts}}</strong></p>
{{- range .Notes}}
<p>{{.}}</p>
{{- end}}
{{- range .Groups}}
<h2 class="{{.Severity}}">{{.Severity}}: {{.Check}} {{.Title}}</h2>
{{- range .Findings}}
<section>
<h3>{{.Object}}</h3>
<p>{{.Detail}}</p>
{{- if .Evidence}}
<ul>
{{- range .Evidence}}
<li>{{.}}</li>
{{- end}}
</ul>
{{- end}}
{{if .FixIsSQL}}<pre>{{.Fix}}</pre>{{else}}<p>Fix: {{.Fix}}</p>{{end}}
</section>
{{- end}}
{{- end}}
{{- if .Accepted}}
<h2>Accepted</h2>
<table>
<thead><tr><th scope="col">Check</th><th scope="col">Object</th><th scope="col">Reason</th><th scope="col">Until</th></tr></thead>
<tbody>
{{- range .Accepted}}
<tr><td>{{.Check}}</td><td>{{.Object}}</td><td>{{.Reason}}</td><td>{{.Until}}</td></tr>
{{- end}}
</tbody>
</table>
{{- end}}
</body>
</html>
`
