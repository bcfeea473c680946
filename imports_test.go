package bulkhead

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pgbulkhead/bulkhead/"

// allowed is the picture of ARCHITECTURE.md: which of our packages each may
// import. Dependencies point one way.
var allowed = map[string][]string{
	"cmd/bulkhead": {
		"auth", "tenant", "policy", "parser", "proxy", "blocklog", "console",
		"database/catalog", "database/context", "database/inventory", "database/audit", "database/harden", "database/verify",
		"internal/config", "internal/telemetry", "internal/pgtest",
	},
	"proxy":               {"auth", "tenant", "policy", "parser", "blocklog", "proxy/loop"},
	"proxy/loop":          {},
	"auth":                {},
	"tenant":              {},
	"parser":              {"parser/ast"},
	"parser/ast":          {},
	"policy":              {"parser"},
	"blocklog":            {},
	"console":             {"blocklog"},
	"database/catalog":    {"parser"},
	"database/context":    {"tenant"},
	"database/inventory":  {},
	"database/audit":      {"database/report", "database/inventory", "database/condition", "parser", "parser/ast"},
	"database/report":     {},
	"database/condition":  {"database/inventory", "parser", "parser/ast"},
	"database/harden":     {"database/context", "database/inventory"},
	"internal/schematest": {"internal/pgtest"},
	"database/verify":     {"database/report", "database/inventory", "database/harden", "database/context", "tenant", "parser", "blocklog"},
	"internal/config":     {},
	"internal/telemetry":  {},
	"internal/pgtest":     {},
	"internal/wiretest":   {},
}

// owners are the only packages that may import a given dependency.
var owners = map[string][]string{
	"github.com/pganalyze/pg_query_go":               {"parser"},
	"github.com/golang-jwt/jwt":                      {"auth"},
	"github.com/jackc/pgx/v5/pgproto3":               {"proxy", "database/verify", "internal/wiretest", "proxy_test"},
	"go.opentelemetry.io/otel":                       {"proxy", "internal/telemetry", "proxy_test"},
	"github.com/prometheus/client_golang":            {"proxy", "internal/telemetry", "console", "cmd/bulkhead"},
	"github.com/pgbulkhead/bulkhead/internal/config": {"cmd/bulkhead"},
}

// testHelpers may be imported by the tests of any package.
var testHelpers = []string{"internal/pgtest", "internal/schematest", "internal/wiretest"}

func TestImports(t *testing.T) {
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || path == "tools" || path == "bench") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, path, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImport(t *testing.T, path, name string) {
	t.Helper()
	from := filepath.ToSlash(filepath.Dir(path))
	test := strings.HasSuffix(path, "_test.go") || from == "proxy_test"
	for dependency, by := range owners {
		if (name == dependency || strings.HasPrefix(name, dependency+"/")) && !slices.Contains(by, from) {
			t.Errorf("%s imports %s, which only %v may", path, name, by)
		}
	}
	ours, ok := strings.CutPrefix(name, module)
	if !ok || from == "proxy_test" || from == "." {
		return
	}
	if test && (slices.Contains(testHelpers, ours) || ours == from) {
		return
	}
	edges, known := allowed[from]
	if !known {
		t.Errorf("package %s is not in the table of imports_test.go", from)
		return
	}
	if !slices.Contains(edges, ours) {
		t.Errorf("%s imports %s: not in the table of imports_test.go", path, ours)
	}
}
