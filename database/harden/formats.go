package harden

import (
	"fmt"
	"strings"
)

// writePsql: psql -f runs a file statement by statement.
func writePsql(m *migrationFile) []File {
	script := func(down bool) string {
		s := "\\set ON_ERROR_STOP on\n" + m.head(down)
		if m.batch.alone {
			return s + "\n" + m.aloneSettings() + "\n" + strings.Join(m.statements(down), "\n")
		}
		return s + "\nbegin;\n" + m.body(down) + "\ncommit;\n"
	}
	return pair(fmt.Sprintf("%04d_%s", m.number, m.name), script)
}

// pair is a file for each direction.
func pair(name string, script func(down bool) string) []File {
	return []File{{name + ".up.sql", script(false)}, {name + ".down.sql", script(true)}}
}

// writeGolangMigrate: a file is one simple query, so a statement that cannot
// run in a transaction must be alone in it.
func writeGolangMigrate(m *migrationFile) []File {
	return pair(fmt.Sprintf("%06d_%s", m.number, m.name), m.transaction)
}

// writeGoose: it opens the transaction itself, and splits a file at semicolons
// unless told otherwise.
func writeGoose(m *migrationFile) []File {
	var b strings.Builder
	b.WriteString(m.head(false))
	if m.batch.alone {
		b.WriteString("\n-- +goose NO TRANSACTION\n")
	}
	for _, down := range []bool{false, true} {
		b.WriteString("\n-- +goose " + map[bool]string{false: "Up", true: "Down"}[down] + "\n")
		if m.batch.alone {
			b.WriteString(m.aloneSettings() + "\n")
		} else {
			b.WriteString(m.settings() + "\n")
		}
		for _, s := range m.statements(down) {
			b.WriteString("-- +goose StatementBegin\n" + s + "-- +goose StatementEnd\n\n")
		}
	}
	return []File{{fmt.Sprintf("%05d_%s.sql", m.number, m.name), strings.TrimRight(b.String(), "\n") + "\n"}}
}

// writeFlyway: it opens the transaction itself, unless a file of settings beside
// the script says no. Undo scripts are for its paid editions; they are plain
// scripts as well.
func writeFlyway(m *migrationFile) []File {
	name := fmt.Sprintf("%d__%s.sql", m.number, m.name)
	script := func(down bool) string {
		if m.batch.alone {
			return m.head(down) + "\n" + m.aloneSettings() + "\n" + strings.Join(m.statements(down), "\n") + "\nreset lock_timeout;\nreset statement_timeout;\n"
		}
		return m.head(down) + "\n" + m.body(down)
	}
	files := []File{{"V" + name, script(false)}, {"U" + name, script(true)}}
	for _, f := range files {
		settings := ""
		if m.batch.alone {
			settings += "executeInTransaction=false\n"
		}
		if strings.Contains(f.Content, "${") {
			settings += "placeholderReplacement=false\n"
		}
		if settings != "" {
			files = append(files, File{f.Name + ".conf", settings})
		}
	}
	return files
}

// stamp is the form of timestamps in the names of files.
const stamp = "20060102150405"

// writeDbmate: it opens the transaction itself, unless the line says no.
func writeDbmate(m *migrationFile) []File {
	var b strings.Builder
	option := ""
	if m.batch.alone {
		option = " transaction:false"
	}
	for _, down := range []bool{false, true} {
		b.WriteString("-- migrate:" + map[bool]string{false: "up", true: "down"}[down] + option + "\n")
		if m.batch.alone {
			b.WriteString(m.single(down) + "\n")
		} else {
			b.WriteString(m.head(down) + "\n" + m.body(down) + "\n")
		}
	}
	return []File{{m.at.UTC().Format(stamp) + "_" + m.name + ".sql", strings.TrimRight(b.String(), "\n") + "\n"}}
}

// writeSupabase: it knows no way back, and would run a file of it in its folder
// as a migration.
func writeSupabase(m *migrationFile) []File {
	name := m.at.UTC().Format(stamp) + "_" + m.name + ".sql"
	return []File{
		{"supabase/migrations/" + name, m.transaction(false)},
		{"supabase/migrations_down/" + name, m.transaction(true)},
	}
}
