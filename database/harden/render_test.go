package harden

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

var update = flag.Bool("update", false, "rewrite testdata/render.txtar")

// samplePlan has a step of each kind, and names that a careless renderer would
// trip over.
func samplePlan() *Plan {
	return &Plan{
		Database: "app\nselect 1", Context: "plain", AppRoles: []string{"app", `o'"x`}, Fingerprint: "f00d", RolesFingerprint: "beef",
		Steps: []Step{
			{Phase: Main, SQL: "do $bulkhead$\nbegin\n  perform 1;\nend\n$bulkhead$", Inverse: "drop role r", Reason: "a block", Lock: noLock, Object: "role:r"},
			{Phase: Main, SQL: "create policy p on t using (true);\ncomment on policy p on t is ';'", Inverse: "drop policy p on t", Reason: "two statements", Lock: "ACCESS EXCLUSIVE on t", Object: "public.\"a\n; drop table t; --\":p", group: "t"},
			{Phase: Main, SQL: `alter view "${x}" owner to r`, Inverse: `alter view "${x}" owner to s`, Reason: "what looks like a placeholder", Lock: noLock, Object: `public."${x}"`, group: "u"},
			{Phase: Roles, SQL: "revoke r from app", Inverse: "grant r to app", Reason: "roles", Lock: noLock, Object: "role:app"},
			{Phase: Integrity, SQL: "create index concurrently if not exists i on t (a)", Inverse: "drop index concurrently if exists i", Reason: "an index", Lock: "SHARE UPDATE EXCLUSIVE on t", Object: "public.t:i", Alone: true},
			{Phase: Integrity, SQL: "alter table t alter column a set not null", Inverse: "alter table t alter column a drop not null", Reason: "not null", Lock: "ACCESS EXCLUSIVE on t", Object: "public.t.a", Check: "select 0"},
		},
	}
}

// guardBody is the long part of a guard, which TestRender_GuardIsTheFingerprint looks at.
var guardBody = regexp.MustCompile(`(?s)(from \(\n).*?(\n  \) s\) <> )`)

// TestRender compares the files of every format with testdata/render.txtar.
func TestRender(t *testing.T) {
	var got txtar.Archive
	for _, f := range Formats() {
		files, err := Render(samplePlan(), RenderOptions{Format: f, Number: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), PerTable: f == Psql})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			got.Files = append(got.Files, txtar.File{Name: string(f) + "/" + file.Name, Data: []byte(guardBody.ReplaceAllString(file.Content, "$1    ...$2"))})
		}
	}
	golden := filepath.Join("testdata", "render.txtar")
	if *update {
		if err := os.WriteFile(golden, txtar.Format(&got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(txtar.Format(&got)) != string(want) {
		t.Errorf("the files differ from %s: run with -update and read the difference", golden)
	}
}

// scripts are the texts that a tool would send for one file, in order.
func scripts(f Format, content string, down bool) []string {
	switch f {
	case Goose:
		up, back, _ := strings.Cut(content, "-- +goose Down\n")
		if down {
			up = back
		}
		return gooseStatements(up)
	case Dbmate:
		up, back, _ := strings.Cut(content, "-- migrate:down")
		if down {
			_, up, _ = strings.Cut(back, "\n")
		}
		return []string{up}
	case Flyway:
		return strings.SplitAfter(content, ";\n\n")
	}
	return []string{content}
}

// gooseStatements are what stands between the markers, and outside of them what
// semicolons at ends of lines cut off.
func gooseStatements(text string) []string {
	var out []string
	for text != "" {
		outside, rest, _ := strings.Cut(text, "-- +goose StatementBegin\n")
		out = append(out, strings.SplitAfter(outside, ";\n")...)
		inside, after, _ := strings.Cut(rest, "-- +goose StatementEnd\n")
		out, text = append(out, inside), after
	}
	return out
}

// TestRender_RunsAsTheToolsDo runs the files of each tool, up and down, in the
// way in which the tool does: what it wraps in a transaction, what it sends as
// one query.
func TestRender_RunsAsTheToolsDo(t *testing.T) {
	for _, f := range []Format{GolangMigrate, Goose, Flyway, Dbmate, Supabase} {
		t.Run(string(f), func(t *testing.T) {
			d := schematest.Get(t, "uuid").Install(t, newest(t))
			before, roles := state(t, d)
			plan := build(t, d, Phases()...)
			files, err := Render(plan, RenderOptions{Format: f, Number: 1, Time: time.Now(), PerTable: f == Dbmate})
			if err != nil {
				t.Fatal(err)
			}
			// Tools make their own table first.
			run(t, d.Admin, "create table schema_migrations (version bigint primary key)")
			runFiles(t, d, f, files, false)
			for _, problem := range d.Isolation(t) {
				t.Error(problem)
			}
			if again := build(t, d, Phases()...); len(again.Steps) != 0 {
				t.Errorf("second plan: %s", again.Steps[0].SQL)
			}
			slices.Reverse(files)
			runFiles(t, d, f, files, true)
			run(t, d.Admin, "drop table schema_migrations")
			same(t, d, "the files down left", before, roles)
		})
	}
}

func runFiles(t *testing.T, d *schematest.Database, f Format, files []File, down bool) {
	t.Helper()
	ran := 0
	for _, file := range files {
		isDown := strings.Contains(file.Name, ".down.") || strings.HasPrefix(file.Name, "U") || strings.Contains(file.Name, "migrations_down/")
		both := f == Goose || f == Dbmate
		if strings.HasSuffix(file.Name, ".conf") || !both && isDown != down {
			continue
		}
		alone := strings.Contains(file.Content, " concurrently ")
		wraps := both || f == Flyway
		if wraps && !alone {
			run(t, d.Admin, "begin")
		}
		for _, s := range scripts(f, file.Content, down) {
			if _, err := d.Admin.PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
				t.Fatalf("%s: %v\n%s", file.Name, err, s)
			}
		}
		if wraps && !alone {
			run(t, d.Admin, "commit")
		}
		ran++
	}
	if ran < 3 {
		t.Fatalf("only %d files ran", ran)
	}
	run(t, d.Admin, "reset all")
}

// TestRender_Linter runs squawk over the files, where it is installed. The
// rules that matter to us are looked at without it as well.
func TestRender_Linter(t *testing.T) {
	d := schematest.Get(t, "uuid").Install(t, newest(t))
	files, err := Render(build(t, d, Phases()...), RenderOptions{Format: GolangMigrate, Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	arguments := []string{"--reporter", "gcc"}
	for _, file := range files {
		if !strings.HasSuffix(file.Name, ".up.sql") {
			continue
		}
		lint(t, file)
		path := filepath.Join(dir, file.Name)
		if err := os.WriteFile(path, []byte(file.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, path)
	}
	squawk, err := exec.LookPath("squawk")
	if err != nil {
		t.Log("squawk is not installed")
		return
	}
	if out, err := exec.Command(squawk, arguments...).CombinedOutput(); err != nil {
		t.Errorf("squawk: %v\n%s", err, out)
	}
}

func lint(t *testing.T, file File) {
	t.Helper()
	sql := regexp.MustCompile(`(?m)^--.*\n`).ReplaceAllString(file.Content, "")
	begin := strings.Index(sql, "begin;\n")
	switch {
	case strings.Contains(sql, " concurrently "):
		if strings.Count(strings.TrimSpace(sql), ";") != 1 || !strings.Contains(sql, "if not exists") {
			t.Errorf("%s: CONCURRENTLY must be alone in its file, with IF NOT EXISTS", file.Name)
		}
	case begin < 0 || !strings.HasSuffix(sql, "commit;\n"):
		t.Errorf("%s: no transaction", file.Name)
	case !strings.HasPrefix(sql[begin:], "begin;\nset local lock_timeout = '3000ms';\nset local statement_timeout = "):
		t.Errorf("%s: no timeouts before the first statement", file.Name)
	}
	for _, line := range strings.Split(sql, "\n") {
		if strings.Contains(line, " add constraint ") && !strings.HasSuffix(line, " not valid;") && !strings.Contains(line, " unique using index ") {
			t.Errorf("%s: a constraint that reads the table under lock: %s", file.Name, line)
		}
	}
}
