package policy

import (
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
