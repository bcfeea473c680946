package policy

import (
	"fmt"
	"sync"
	"testing"
)

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache(cacheShards * 2 * 8) // eight entries a generation and shard
	used := &Inspection{Kind: "SELECT"}
	c.store([]byte("SELECT used"), used)
	for n := range 10_000 { // one tenant floods the cache, each text twice
		text := fmt.Sprintf("SELECT %d", n)
		c.store([]byte(text), &Inspection{})
		c.store([]byte(text), &Inspection{})
		if got, ok := c.load([]byte("SELECT used")); !ok || got != used {
			t.Fatalf("after %d other texts: the entry that is used all the time was dropped", n)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	const entries = 1000
	c := newCache(entries)
	for n := range 50_000 {
		text := fmt.Sprintf("SELECT %d", n)
		c.store([]byte(text), &Inspection{})
		c.store([]byte(text), &Inspection{})
	}
	got := 0
	for i := range c.shards {
		got += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if got > entries {
		t.Errorf("entries: got %d, want at most %d", got, entries)
	}
}

func TestCacheIsBoundedInBytes(t *testing.T) {
	const entries = 1000
	c := newCache(entries)
	filler := make([]byte, maxCachedText-16)
	for n := range 5_000 {
		text := fmt.Appendf(nil, "%s%d", filler, n)
		c.store(text, &Inspection{})
		c.store(text, &Inspection{})
	}
	got := 0
	for i := range c.shards {
		for text := range c.shards[i].young {
			got += len(text)
		}
		for text := range c.shards[i].old {
			got += len(text)
		}
	}
	if limit := entries * cachedBytesPerEntry; got > limit {
		t.Errorf("bytes of texts: got %d, want at most %d", got, limit)
	}
	if got == 0 {
		t.Error("nothing was cached")
	}
}

// A text that nobody sends twice does not push out others.
func TestCacheIgnoresSinglesUnderPressure(t *testing.T) {
	c := newCache(cacheShards * 2 * 8)
	for n := range 2_000 {
		c.store(fmt.Appendf(nil, "SELECT %d", n), &Inspection{})
	}
	kept := &Inspection{}
	c.store([]byte("SELECT kept"), kept)
	c.store([]byte("SELECT kept"), kept)
	for n := range 10_000 {
		c.store(fmt.Appendf(nil, "SELECT x%d", n), &Inspection{})
	}
	if _, ok := c.load([]byte("SELECT kept")); !ok {
		t.Error("texts seen once pushed out one that was seen twice")
	}
}

func TestCacheRefusesLongTexts(t *testing.T) {
	c := newCache(100)
	long := make([]byte, maxCachedText+1)
	c.store(long, &Inspection{})
	if _, ok := c.load(long); ok {
		t.Error("a text over the limit was kept")
	}
}

func TestCacheParallel(t *testing.T) {
	c := newCache(64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 2_000 {
				text := fmt.Sprintf("SELECT %d", n%100)
				if i, ok := c.load([]byte(text)); ok && i.source != text {
					t.Errorf("got the entry of %q for %q", i.source, text)
				}
				c.store([]byte(text), &Inspection{source: text})
				if n%500 == 0 {
					c.clear()
				}
			}
		})
	}
	wg.Wait()
}

// A decision that reads no constant is found for every text of its shape; one
// that does, for its own text only.
func TestEngine_CachedByShape(t *testing.T) {
	e, err := New(Options{TenantColumns: []string{"org_id"}, TenantSettings: []string{"app.org_id"}, AssumeRelations: true})
	if err != nil {
		t.Fatal(err)
	}
	for first, then := range map[string]map[string]bool{
		"SELECT * FROM t WHERE id = 1 AND a = 'x'":        {"SELECT * FROM t WHERE id = 22 AND a = ''": true, "SELECT * FROM t WHERE id = 1 AND b = 'x'": false},
		"SELECT 1 /*traceparent='00-a'*/":                 {"SELECT 2 /*traceparent='00-b'*/": true, "SELECT 2": false},
		"SELECT * FROM t WHERE org_id = '" + orgA + "'":   {"SELECT * FROM t WHERE org_id = '" + orgB + "'": false},
		"SELECT set_config('my.own', 'x', true)":          {"SELECT set_config('app.org_id', 'x', true)": false},
		"SET my.own = 'x'":                                {"SET my.own = 'y'": false},
		"COPY (SELECT 1) TO STDOUT WITH (DELIMITER 'x')":  {"COPY (SELECT 1) TO STDOUT WITH (DELIMITER 'y')": false},
		"EXPLAIN (ANALYZE 0) SELECT 1":                    {"EXPLAIN (ANALYZE 1) SELECT 1": false},
		"SELECT * FROM pg_authid WHERE oid = 1":           {"SELECT * FROM pg_authid WHERE oid = 2": true},
		"WITH a AS (DELETE FROM t WHERE id = 1) SELECT 2": {"WITH a AS (DELETE FROM t WHERE id = 2) SELECT 3": true},
	} {
		i := e.Inspect(t.Context(), first, Simple)
		for text, want := range then {
			got, ok := e.Cached([]byte(text), Simple)
			if ok != want {
				t.Errorf("after %q, %q is cached: %v, want %v", first, text, ok, want)
			}
			if ok && (got.Decision != i.Decision || got.Text() != i.Text()) {
				t.Errorf("%q: got %+v, want that of %q, %+v", text, got, first, i)
			}
		}
	}
}
