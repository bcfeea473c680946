package policy

import (
	"strconv"
	"testing"
)

// BenchmarkCached is what the event loop pays for a statement seen before.
func BenchmarkCached(b *testing.B) {
	e, err := New(Options{AssumeRelations: true})
	if err != nil {
		b.Fatal(err)
	}
	text := []byte("SELECT id, name FROM accounts WHERE id = $1 ORDER BY name LIMIT 10")
	e.Inspect(b.Context(), string(text), Simple)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := e.Cached(text, Simple); !ok {
			b.Fatal("not cached")
		}
	}
}

// BenchmarkInspect is what a statement costs that was not seen before.
func BenchmarkInspect(b *testing.B) {
	e, err := New(Options{AssumeRelations: true, TenantColumns: []string{"org_id"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Inspect(b.Context(), "SELECT id, lower(name) FROM accounts WHERE id = $1 ORDER BY name LIMIT 10", Simple)
	}
}

// BenchmarkInspect_Cold is a statement whose shape was never seen, as the
// harness's cold workload sends it.
func BenchmarkInspect_Cold(b *testing.B) {
	e, err := New(Options{AssumeRelations: true, TenantColumns: []string{"org_id"}})
	if err != nil {
		b.Fatal(err)
	}
	texts := make([]string, 200_000)
	for i := range texts {
		texts[i] = "SELECT abalance AS c" + strconv.Itoa(i*7919) + " FROM pgbench_accounts WHERE aid = " + strconv.Itoa(i) + ";"
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		text := []byte(texts[n%len(texts)])
		if _, ok := e.Cached(text, Simple); !ok {
			e.TryInspect(string(text), Simple)
		}
		n++
	}
}
