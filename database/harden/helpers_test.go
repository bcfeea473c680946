package harden

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

// failed shows the statement or the difference behind an error.
func failed(err error) string {
	var step *StepError
	var changed *ChangedError
	switch {
	case errors.As(err, &step):
		return step.Step.SQL + "\n-- inverse:\n" + step.Step.Inverse
	case errors.As(err, &changed):
		return strings.Join(changed.Difference, "\n")
	}
	return ""
}

// restrict are the lines that newer pg_dumps put around a dump, with a random
// word.
var restrict = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`)

// dump is pg_dump --schema-only, or "" where no pg_dump is new enough for the
// server: an older one refuses.
func dump(t *testing.T, d *schematest.Database) string {
	t.Helper()
	program := ""
	for _, bin := range pgtest.All() {
		if p := filepath.Join(bin.Dir, "pg_dump"); bin.Version >= d.Server.Bin.Version && program == "" {
			if _, err := os.Stat(p); err == nil {
				program = p
			}
		}
	}
	if program == "" {
		return ""
	}
	out, err := exec.Command(program, "--schema-only", "--dbname="+d.Server.SocketDSN(d.Name)).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	return sortGrants(restrict.ReplaceAllString(string(out), ""))
}

// grants is what pg_dump writes for the privileges of one object.
var grants = regexp.MustCompile(`(?m)(^(SET SESSION AUTHORIZATION .*;\n)?(GRANT|REVOKE) .*;\n(RESET SESSION AUTHORIZATION;\n)?)+`)

var grant = regexp.MustCompile(`(SET SESSION AUTHORIZATION .*;\n)?(GRANT|REVOKE) .*;\n(RESET SESSION AUTHORIZATION;\n)?`)

// sortGrants puts the privileges of an object in one order. In the catalogue
// they are in the order in which they were granted, and some releases of
// pg_dump (15.20) write them in that one.
func sortGrants(dump string) string {
	return grants.ReplaceAllStringFunc(dump, func(block string) string {
		list := grant.FindAllString(block, -1)
		slices.Sort(list)
		return strings.Join(list, "")
	})
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "- " + strings.Join(x[max(0, i-2):min(len(x), i+5)], "\n- ") + "\n+ " + strings.Join(y[max(0, i-2):min(len(y), i+5)], "\n+ ")
		}
	}
	return "lengths differ"
}
