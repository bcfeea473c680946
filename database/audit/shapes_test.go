package audit

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// TestShapes audits testdata/shapes/*.sql: databases of several kinds with
// faults of their own. Each says in comments as whom it is audited and exactly
// what must be found, but for what every database has (ofEvery).
func TestShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no shapes: %v", err)
	}
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) { testShape(t, server, file) })
		}
	})
}

// ofEvery are checks that every database fails that has no counter-measures:
// a context that is a plain setting, core functions that run text as SQL,
// and statements in pg_stat_activity.
var ofEvery = []string{"A208", "A414", "A805"}

func testShape(t *testing.T, server *pgtest.Server, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	remarks := func(name string) (values []string) {
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, "-- "+name+": "); ok {
				values = append(values, strings.TrimSpace(v))
			}
		}
		return values
	}
	o := Options{Selection: inventory.Selection{AppRoles: remarks("app-role"), GlobalTables: remarks("global-table")}}
	if root := remarks("root-table"); len(root) > 0 {
		o.Selection.RootTable = root[0]
	}
	want := []string{}
	for _, w := range remarks("expect") {
		line, since, versioned := strings.Cut(w, " since ")
		if major, _ := strconv.Atoi(since); !versioned || server.Bin.Version >= major {
			want = append(want, line)
		}
	}
	slices.Sort(want)
	s := newSubject(t, server, string(text), o)
	got := slices.DeleteFunc(s.lines(s.audit()), func(line string) bool { return slices.Contains(ofEvery, line[:4]) })
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("not planted, but found: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("planted, but not found: %s", line)
		}
	}
}
