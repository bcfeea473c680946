package harden

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Format is a migration tool.
type Format string

// The formats.
const (
	Psql          Format = "psql"
	GolangMigrate Format = "golang-migrate"
	Goose         Format = "goose"
	Flyway        Format = "flyway"
	Dbmate        Format = "dbmate"
	Supabase      Format = "supabase"
)

// Formats are all formats.
func Formats() []Format { return []Format{Psql, GolangMigrate, Goose, Flyway, Dbmate, Supabase} }

// RenderOptions say how files are written.
type RenderOptions struct {
	Format Format
	// Number is that of the first file, where the tool counts; Time is that of
	// the first, where it takes timestamps.
	Number   int
	Time     time.Time
	PerTable bool
	// LockTimeout and StatementTimeout are as in ApplyOptions.
	LockTimeout, StatementTimeout time.Duration
}

// File is a file to be written, its name relative to the folder of migrations.
type File struct{ Name, Content string }

// Render writes a plan as files, each with the way back beside it or in it. Only
// the first file can be guarded by the fingerprint of the database: the state
// after it is known when it has run.
func Render(plan *Plan, o RenderOptions) ([]File, error) {
	write, ok := writers[o.Format]
	if !ok {
		return nil, fmt.Errorf("format %q is unknown: want one of %v", o.Format, Formats())
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = defaultStatementTimeout
	}
	var files []File
	guarded := make(map[Phase]bool)
	for i, b := range batches(plan.Steps, o.PerTable) {
		m := migrationFile{plan: plan, o: &o, batch: b, number: o.Number + i, name: fileName(&b, o.PerTable), at: o.Time.Add(time.Duration(i) * time.Second)}
		if !guarded[b.phase] && b.phase != Integrity {
			guarded[b.phase] = true
			m.guard = guardOf(plan, b.phase)
		}
		files = append(files, write(&m)...)
	}
	return files, nil
}

// migrationFile is what becomes one migration of a tool.
type migrationFile struct {
	plan   *Plan
	o      *RenderOptions
	batch  batch
	number int
	name   string
	at     time.Time
	guard  string // a DO block, or ""
}

var writers = map[Format]func(m *migrationFile) []File{
	Psql: writePsql, GolangMigrate: writeGolangMigrate, Goose: writeGoose, Flyway: writeFlyway, Dbmate: writeDbmate, Supabase: writeSupabase,
}

func guardOf(plan *Plan, phase Phase) string {
	if phase == Roles {
		return guard(rolesStateOf(plan.AppRoles), plan.RolesFingerprint, "the roles have")
	}
	return guard(databaseState, plan.Fingerprint, "the database has")
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// fileName says in a file's name what it does.
func fileName(b *batch, perTable bool) string {
	name := "harden"
	switch {
	case b.phase == Roles:
		name += "_roles"
	case b.phase == Integrity:
		name += "_integrity_" + slug(b.steps[0].Object)
	case perTable && b.steps[0].group != "":
		name += "_" + slug(b.steps[0].group)
	}
	return name
}

func slug(object string) string {
	s := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(object), "_"), "_")
	const longest = 60
	return s[:min(len(s), longest)]
}

// comment makes one comment line of a text, whatever line breaks names in it
// hold.
func comment(text string) string {
	return "-- " + strings.NewReplacer("\n", " ", "\r", " ", "\u2028", " ", "\u2029", " ").Replace(text) + "\n"
}

// head says what a file is.
func (m *migrationFile) head(down bool) string {
	what := "What bulkhead harden plans"
	if down {
		what = "The exact way back of what bulkhead harden plans"
	}
	s := comment(fmt.Sprintf("%s for database %s: phase %s, tenant context %s, steps: %d.", what, m.plan.Database, m.batch.phase, m.plan.Context, len(m.batch.steps)))
	switch {
	case m.batch.alone && strings.HasPrefix(m.batch.steps[0].SQL, "do "):
		return s + comment("It commits by itself and cannot run in a transaction. If it fails, run it again.")
	case m.batch.alone:
		return s + comment("CONCURRENTLY cannot run in a transaction. If it fails, drop the index before the next try.")
	}
	return s + comment("Run it again, whole, if it cannot get a lock in time (SQLSTATE 55P03): nothing is done then.")
}

// settings are the timeouts, as the file's transaction needs them.
func (m *migrationFile) settings() string {
	statement := m.o.StatementTimeout
	if m.batch.phase == Integrity {
		statement = 0
	}
	return "set local lock_timeout = " + milliseconds(m.o.LockTimeout) + ";\n" +
		"set local statement_timeout = " + milliseconds(statement) + ";\n" +
		"set local search_path = pg_catalog, pg_temp;\n"
}

// statements are the SQL texts of the file in their order, each with its
// remarks.
func (m *migrationFile) statements(down bool) []string {
	var out []string
	if m.guard != "" && !down {
		out = append(out, comment("Nothing is done unless the database is in the state that the plan was made for.")+m.guard+";\n")
	}
	n := len(m.batch.steps)
	for i := range m.batch.steps {
		s := &m.batch.steps[i]
		if down {
			s = &m.batch.steps[n-1-i]
			out = append(out, downRemarks(s)+s.Inverse+";\n")
			continue
		}
		out = append(out, remarks(s)+s.SQL+";\n")
	}
	return out
}

// remarks are what a reader of the file, and a linter, must know of a step.
func remarks(s *Step) string { return about(s) + ignore(rulesOff(s)...) }

// about says what a step is for.
func about(s *Step) string {
	text := comment(s.Object+": "+s.Reason) + comment("lock: "+s.Lock)
	if s.Check != "" {
		text += comment("must be 0 before: " + s.Check)
	}
	return text
}

// rulesOff are the rules of the linter squawk that a step breaks by what it
// looks like: it sees one file, not the check that was validated before, nor
// that a tool opens no transaction round it, nor that only a partitioned table
// without rows is meant.
func rulesOff(s *Step) []string {
	switch {
	case strings.HasSuffix(s.SQL, " set not null"):
		return []string{"adding-not-nullable-field"}
	case s.Alone && strings.HasPrefix(s.SQL, "create "):
		return []string{"ban-concurrent-index-creation-in-transaction"}
	case s.Phase == Integrity && strings.Contains(s.SQL, " on only "):
		return []string{"require-concurrent-index-creation"}
	case s.Phase == Integrity && strings.Contains(s.SQL, " foreign key ") && !strings.HasSuffix(s.SQL, " not valid"):
		return []string{"adding-foreign-key-constraint", "constraint-missing-not-valid"} // its partitions have it, validated
	}
	return nil
}

// ignore is the comment that turns rules of the linter off for a statement.
func ignore(rules ...string) string {
	if len(rules) == 0 {
		return ""
	}
	return comment("squawk-ignore " + strings.Join(rules, ","))
}

// downRemarks is remarks for the way back, in files that hold both ways.
func downRemarks(s *Step) string {
	var off []string
	switch {
	case strings.Contains(s.Inverse, " drop column "):
		off = []string{"ban-drop-column"}
	case strings.Contains(s.Inverse, " drop not null"):
		off = []string{"ban-drop-not-null"}
	case strings.HasPrefix(s.Inverse, "drop index if exists "): // of a partitioned table there is no other way
		off = []string{"require-concurrent-index-deletion"}
	}
	return comment(s.Object) + ignore(off...)
}

// aloneSettings are the timeouts of a statement outside of a transaction, where
// the tool can send further ones on the same connection.
func (m *migrationFile) aloneSettings() string {
	return "set lock_timeout = " + milliseconds(m.o.LockTimeout) + ";\nset statement_timeout = 0;\n"
}

// single is a script of one statement, for tools that send a file as one
// query: a second statement would make it a transaction.
func (m *migrationFile) single(down bool) string {
	s := &m.batch.steps[0]
	text := about(s) + ignore(append(rulesOff(s), "require-lock-timeout", "require-statement-timeout")...) + s.SQL
	if down {
		text = downRemarks(s) + s.Inverse
	}
	return m.head(down) + "\n" + text + ";\n"
}

// body is a whole script, without BEGIN and COMMIT.
func (m *migrationFile) body(down bool) string {
	return m.settings() + "\n" + strings.Join(m.statements(down), "\n")
}

// transaction is a whole script with BEGIN and COMMIT, for tools that send the
// file as it is.
func (m *migrationFile) transaction(down bool) string {
	if m.batch.alone {
		return m.single(down)
	}
	return m.head(down) + "\nbegin;\n" + m.body(down) + "\ncommit;\n"
}
