package audit

import (
	"fmt"
	"strings"
)

// flaw is a known fault of the server that concerns row security.
type flaw struct {
	id    string
	what  string
	fixed map[int]int // major -> first minor without it
	// oldest is the oldest major that has it; majors from there on that are
	// not in fixed and older than the oldest of them get no fix.
	oldest int
	// single says that one source only reports it.
	single bool
}

// flaws are the faults that A808 knows.
var flaws = []flaw{
	{
		id: "CVE-2023-2455", what: "policies of the wrong role after function inlining", oldest: 13,
		fixed: map[int]int{13: 11, 14: 8, 15: 3},
	},
	{
		id: "CVE-2023-39418", what: "MERGE ignores UPDATE and SELECT policies", oldest: 15,
		fixed: map[int]int{15: 4},
	},
	{
		id: "CVE-2024-10976", what: "policies of the wrong role in subqueries, WITH, security invoker views and SQL functions", oldest: 13,
		fixed: map[int]int{13: 17, 14: 14, 15: 9, 16: 5, 17: 1},
	},
	{
		id: "CVE-2025-8713", what: "statistics show values of hidden rows to operators", oldest: 13,
		fixed: map[int]int{13: 22, 14: 19, 15: 14, 16: 10, 17: 6},
	},
	{
		id: "CVE-2026-120154", what: "INSERT ... ON CONFLICT DO UPDATE reads rows despite row security", oldest: 13, single: true,
		fixed: map[int]int{14: 25, 15: 20, 16: 16, 17: 12, 18: 7},
	},
	{
		id: "CVE-2026-16237", what: "the same for what such a statement writes", oldest: 13, single: true,
		fixed: map[int]int{14: 25, 15: 20, 16: 16, 17: 12, 18: 7},
	},
}

// perMajor is what a major version counts in server_version_num.
const perMajor = 10000

// vulnerable reports whether a version has a fault that newer minors have not.
func vulnerable(versionNum int, fixed map[int]int, oldest int) bool {
	major, minor := versionNum/perMajor, versionNum%perMajor
	first, ok := fixed[major]
	if ok {
		return minor < first
	}
	for m := range fixed {
		if m < major {
			return false // a major that came with the fix
		}
	}
	return major >= oldest
}

// serverVersion reports known faults of the server, those that are certain
// apart from those that are not.
func serverVersion(f *Facts) []Finding {
	var certain, single []string
	for _, w := range flaws {
		if !vulnerable(f.Snapshot.Server.VersionNum, w.fixed, w.oldest) {
			continue
		}
		line := w.id + ": " + w.what
		if w.single {
			single = append(single, line+" (reported by one source, not confirmed)")
		} else {
			certain = append(certain, line)
		}
	}
	if len(certain)+len(single) == 0 {
		return nil
	}
	finding := Finding{
		Object: "server", Detail: fmt.Sprintf("PostgreSQL %s: %s.", f.Snapshot.Server.Version, strings.Join(append(certain, single...), "; ")),
	}
	if len(certain) == 0 {
		finding.Severity = Info
	}
	return []Finding{finding}
}
