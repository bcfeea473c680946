package parser

import (
	"bufio"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLists with -update writes lists/*.txt anew from the dumps. Whoever does
// so looks at what became harmless.
var update = flag.Bool("update", false, "rewrite lists/*.txt")

// catalogs reads the dumps of testdata: what is there by kind and name, with
// what the dump says of it.
func catalogs(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/catalog-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dumps: %v", err)
	}
	all := make(map[string]map[string]string)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if all[fields[0]] == nil {
				all[fields[0]] = make(map[string]string)
			}
			all[fields[0]][fields[1]] += " " + strings.Join(fields[2:], " ")
		}
		f.Close()
	}
	return all
}

func TestEveryNameIsClassified(t *testing.T) {
	all := catalogs(t)
	for name := range all["function"] {
		if _, ok := ClassifyFunction(name); !ok {
			t.Errorf("function %s is not classified", name)
		}
	}
	for name := range all["type"] {
		if _, ok := ClassifyFunction(name); !ok {
			t.Errorf("type %s, which may be called, is not classified", name)
		}
	}
	for name := range all["setting"] {
		if _, ok := ClassifySetting(name); !ok {
			t.Errorf("setting %s is not classified", name)
		}
	}
	for name := range all["relation"] {
		schema, relation, _ := strings.Cut(name, ".")
		if _, ok := ClassifyRelation(Name{Schema: schema, Name: relation}); !ok {
			t.Errorf("relation %s is not classified", name)
		}
	}
}

func TestEveryClassifiedNameExists(t *testing.T) {
	all := catalogs(t)
	for name := range functionClasses() {
		_, function := all["function"][name]
		_, typ := all["type"][name]
		if !function && !typ {
			t.Errorf("function %s is in no dump", name)
		}
	}
	for name := range settingClasses() {
		if _, ok := all["setting"][name]; !ok && !isHiddenSetting(name) {
			t.Errorf("setting %s is in no dump", name)
		}
	}
	for name := range relationClasses() {
		if _, ok := all["relation"][name.Schema+"."+name.Name]; !ok {
			t.Errorf("relation %v is in no dump", name)
		}
	}
}

// isHiddenSetting names settings that pg_settings does not show
// (GUC_NO_SHOW_ALL), or only servers built for debugging.
func isHiddenSetting(name string) bool {
	switch name {
	case "role", "session_authorization", "seed", "is_superuser", "default_with_oids", "ssl_renegotiation_limit",
		"trace_locks", "trace_lwlocks", "trace_userlocks", "debug_print_raw_parse":
		return true
	}
	return false
}

// TestPrivilegedSettings: what the server lets anybody set in no version must
// not be harmless here.
func TestPrivilegedSettings(t *testing.T) {
	for name, contexts := range catalogs(t)["setting"] {
		class, _ := ClassifySetting(name)
		if class == SettingHarmless && !strings.Contains(contexts, "user") {
			t.Errorf("setting %s is harmless, its contexts are%s", name, contexts)
		}
	}
}

func TestSiblings(t *testing.T) {
	for name := range catalogs(t)["function"] {
		class, _ := ClassifyFunction(name)
		for prefix, want := range map[string]FunctionClass{
			"lo_": 0, "binary_upgrade_": FunctionAdmin, "pg_ls_": FunctionFiles, "pg_read_": FunctionFiles, "pg_replication_": FunctionReplication,
			"pg_logical_": FunctionReplication, "query_to_": FunctionRunsSQL, "table_to_": FunctionRunsSQL, "cursor_to_": FunctionRunsSQL,
			"database_to_": FunctionRunsSQL, "schema_to_": FunctionRunsSQL, "pg_stat_reset": 0, "pg_stat_get_backend_": FunctionOtherSessions,
		} {
			if strings.HasPrefix(name, prefix) && (class == FunctionHarmless || want != 0 && class != want) {
				t.Errorf("function %s: got class %d, want %d", name, class, want)
			}
		}
	}
}

func TestLists(t *testing.T) {
	all := catalogs(t)
	want := make(map[string][]string)
	add := func(file, name string) { want[file] = append(want[file], name) }
	named := make(map[string]bool)
	for _, names := range namedFunctions() {
		for _, n := range strings.Fields(names) {
			named[n] = true
		}
	}
	for name, is := range all["function"] {
		switch {
		case named[name]:
		case strings.Contains(is, "plain"):
			add("functions", name)
		default:
			add("internal", name)
		}
	}
	for name := range all["type"] {
		if _, function := all["function"][name]; !function {
			add("functions", name)
		}
	}
	settingLists(all, add)
	relations := make(map[string]bool)
	for _, names := range namedRelations() {
		for _, n := range strings.Fields(names) {
			relations[strings.TrimPrefix(n, "pg_catalog.")] = true
		}
	}
	for name := range all["relation"] {
		if !relations[strings.TrimPrefix(name, "pg_catalog.")] {
			add("relations", name)
		}
	}
	for file, names := range want {
		compareList(t, filepath.Join("lists", file+".txt"), names)
	}
}

func settingLists(all map[string]map[string]string, add func(file, name string)) {
	named := make(map[string]bool)
	for _, names := range namedSettings() {
		for _, n := range strings.Fields(names) {
			named[n] = true
		}
	}
	for name, contexts := range all["setting"] {
		switch {
		case named[name]:
		case strings.Contains(contexts, "superuser") || strings.Contains(contexts, "backend"):
			add("settings-privileged", name)
		case strings.Contains(contexts, "user"):
			add("settings-harmless", name)
		default:
			add("settings-server", name)
		}
	}
}

func compareList(t *testing.T, file string, names []string) {
	t.Helper()
	slices.Sort(names)
	want := strings.Join(names, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the dumps say; look at them and run the test with -update", file)
	}
}
