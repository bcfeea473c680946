package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// extensionChecks ask what is installed that reaches further than SQL.
func extensionChecks() []Check {
	return []Check{
		{
			ID: "A408", Name: "event_trigger", Severity: Info, Source: Catalogue, CWE: "CWE-269", Controls: controlsChange,
			Title: "event trigger",
			Why:   "Its function runs as whoever runs DDL, migrations of a superuser included: know it.",
			Fix:   "Nothing, if it is known. Otherwise drop it.",
			Run:   eventTriggers,
		},
		{
			ID: "A409", Name: "dangerous_extension", Severity: High, Source: Catalogue, CWE: "CWE-668", Controls: controlsBoundary,
			Title: "extension that reaches files, the network or other sessions",
			Why: "The application can call functions of an extension that opens connections of its own (dblink to localhost is a session without a tenant), reads files, " +
				"sends requests, or runs text as SQL: none of that is bound by policies or seen by a parser.",
			Fix: "Revoke its functions from PUBLIC, or drop it.",
			Run: dangerousExtensions,
		},
	}
}

func eventTriggers(f *Facts) []Finding {
	var found []Finding
	for _, e := range f.Snapshot.EventTriggers {
		if e.Enabled == 'D' || e.Function != nil && e.Function.Extension != "" {
			continue
		}
		found = append(found, Finding{Object: e.Object(), Detail: fmt.Sprintf("Event trigger %s runs on %s.", e.Name, e.Event)})
	}
	return found
}

// dangerous are extensions by what they let their caller do.
var dangerous = map[string]string{
	"dblink":        "opens connections",
	"postgres_fdw":  "opens connections",
	"mysql_fdw":     "opens connections",
	"oracle_fdw":    "opens connections",
	"tds_fdw":       "opens connections",
	"redis_fdw":     "opens connections",
	"mongo_fdw":     "opens connections",
	"multicorn":     "opens connections",
	"wrappers":      "opens connections",
	"http":          "sends requests",
	"pg_net":        "sends requests",
	"pgsql_http":    "sends requests",
	"file_fdw":      "reads files",
	"adminpack":     "writes files",
	"orafce":        "reads and writes files",
	"xml2":          "runs text as SQL and reads URLs",
	"tablefunc":     "runs text as SQL",
	"pg_cron":       "runs statements later, as another session",
	"pg_background": "runs statements in another session",
}

func dangerousExtensions(f *Facts) []Finding {
	var found []Finding
	for i := range f.Snapshot.Extensions {
		e := &f.Snapshot.Extensions[i]
		does, callable := dangerous[e.Name], f.callableOf(e)
		if language := untrustedLanguage(e.Name); language != "" {
			does, callable = "runs code outside of SQL", f.callableIn(language)
		}
		if does == "" || len(callable) == 0 {
			continue
		}
		var lines, sql []string
		for _, fn := range callable {
			lines = append(lines, fn.Object())
			if revoke := f.revokeFunction(fn); revoke != "" {
				sql = append(sql, revoke)
			}
		}
		finding := Finding{Object: e.Object(), Detail: fmt.Sprintf("Extension %s %s, and the application can call %d of its functions.", e.Name, does, len(callable))}.
			withEvidence(lines...)
		if len(sql) > 0 {
			finding = finding.withSQL(strings.Join(sql, "\n"))
		}
		found = append(found, finding)
	}
	return found
}

// untrustedLanguage is the language that an extension brings if its functions
// can do what the server's user can.
func untrustedLanguage(extension string) string {
	if strings.HasPrefix(extension, "pl") && strings.HasSuffix(extension, "u") || slices.Contains([]string{"plsh", "pljava", "plr"}, extension) {
		return extension
	}
	return ""
}

// callableOf are the functions of an extension that the application can call.
func (f *Facts) callableOf(e *inventory.Extension) []*inventory.Function {
	return f.callable(func(fn *inventory.Function) bool { return fn.Extension == e.Name })
}

// callableIn are the functions in a language that the application can call.
func (f *Facts) callableIn(language string) []*inventory.Function {
	return f.callable(func(fn *inventory.Function) bool { return fn.Language == language })
}

func (f *Facts) callable(is func(*inventory.Function) bool) []*inventory.Function {
	var list []*inventory.Function
	for _, fn := range f.Snapshot.Functions {
		if is(fn) && f.calls(fn) != nil {
			list = append(list, fn)
		}
	}
	return list
}
