package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/verify"
)

// A leak is closed by a run that tried the same again, or whose relation is
// gone or proven; not by one that got no answer.
func TestStillOpen(t *testing.T) {
	const id = "public.a/SELECT/other/simple/proxy/A->B"
	before := map[string]string{id: "public.a"}
	cell := func(s verify.Status) []verify.Cell {
		return []verify.Cell{{ID: id, Relation: "public.a", Status: s}}
	}
	relation := func(s verify.Status) []verify.Relation { return []verify.Relation{{Name: "public.a", Status: s}} }
	for name, tt := range map[string]struct {
		before map[string]string
		report verify.Report
		want   bool
	}{
		"first leak":                  {nil, verify.Report{Matrix: cell(verify.Leak), Relations: relation(verify.Leak)}, true},
		"again":                       {before, verify.Report{Matrix: cell(verify.Leak), Relations: relation(verify.Leak)}, true},
		"tried and held":              {before, verify.Report{Matrix: cell(verify.Pass), Relations: relation(verify.Pass)}, false},
		"no answer":                   {before, verify.Report{Matrix: cell(verify.NotProven), Relations: relation(verify.NotProven)}, true},
		"not tried, no row to aim at": {before, verify.Report{Relations: relation(verify.NotProven)}, true},
		"the relation is gone":        {before, verify.Report{}, false},
		"no leak, no answer":          {nil, verify.Report{Matrix: cell(verify.NotProven), Relations: relation(verify.NotProven)}, false},
	} {
		got := stillOpen(tt.before, &tt.report)
		if ids := slices.Collect(maps.Keys(got)); (len(ids) > 0) != tt.want {
			t.Errorf("%s: still open: %v, want %v", name, ids, tt.want)
		}
	}
}
