package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the table of docs/configuration.md, keeping its remarks")

const (
	docFile    = "../../docs/configuration.md"
	tableBegin = "<!-- keys: begin (go test ./internal/config -update) -->\n"
	tableEnd   = "<!-- keys: end -->\n"
)

// TestDocs_TableOfKeys compares the table in docs/configuration.md with the
// code, its last column aside, which is written by hand.
func TestDocs_TableOfKeys(t *testing.T) {
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), tableBegin)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table of keys", docFile)
	}
	want := renderTable(remarks(table))
	if *update {
		if err := os.WriteFile(docFile, []byte(before+tableBegin+want+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table of keys differs from the code, run with -update; got\n%s\nwant\n%s", table, want)
	}
	for key, remark := range remarks(want) {
		if remark == "" {
			t.Errorf("%s has no remark", key)
		}
	}
}

// remarks returns the last column by key.
func remarks(table string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); len(cells) == 5 && strings.HasPrefix(line, "| `") {
			m[strings.Trim(cells[0], "|` ")] = strings.TrimSuffix(strings.TrimSpace(cells[4]), " |")
		}
	}
	return m
}

func renderTable(remarks map[string]string) string {
	var b strings.Builder
	b.WriteString("| Key | Type | Default | SIGHUP | Meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, k := range Keys() {
		reload := ""
		if Changeable(k.Path) {
			reload = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, k.Type, showDefault(k.Default), reload, remarks[k.Path])
	}
	return b.String()
}

func showDefault(v any) string {
	var s string
	switch v := v.(type) {
	case Secret:
		if v == (Secret{}) {
			return "required"
		}
		return ""
	case time.Duration:
		s = shortDuration(v)
	case map[string]string:
		parts := []string{}
		for _, k := range sortedKeys(v) {
			parts = append(parts, fmt.Sprintf("%s: %q", k, v[k]))
		}
		s = "{" + strings.Join(parts, ", ") + "}"
	case map[string]RuleMode:
		s = "{}"
	case []string:
		s = "[" + strings.Join(v, ", ") + "]"
	case []AuthMethod:
		s = fmt.Sprint(v)
	case []Algorithm:
		s = "[RS256, ES256, EdDSA]"
	default:
		if s = fmt.Sprint(v); s == "" {
			return ""
		}
	}
	return "`" + s + "`"
}

// shortDuration writes 5m for 5m0s.
func shortDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
