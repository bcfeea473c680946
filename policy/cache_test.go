package policy

import (
	"fmt"
	"sync"
	"testing"
)

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache(cacheShards * 2 * 8) // eight entries a generation and shard
	used := &Inspection{source: "SELECT used"}
	c.store(used)
	for n := range 10_000 { // one tenant floods the cache, each text twice
		text := fmt.Sprintf("SELECT %d", n)
		c.store(&Inspection{source: text})
		c.store(&Inspection{source: text})
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
		c.store(&Inspection{source: text})
		c.store(&Inspection{source: text})
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
		i := &Inspection{source: fmt.Sprintf("%s%d", filler, n)}
		c.store(i)
		c.store(i)
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
		c.store(&Inspection{source: fmt.Sprintf("SELECT %d", n)})
	}
	kept := &Inspection{source: "SELECT kept"}
	c.store(kept)
	c.store(kept)
	for n := range 10_000 {
		c.store(&Inspection{source: fmt.Sprintf("SELECT x%d", n)})
	}
	if _, ok := c.load([]byte("SELECT kept")); !ok {
		t.Error("texts seen once pushed out one that was seen twice")
	}
}

func TestCacheRefusesLongTexts(t *testing.T) {
	c := newCache(100)
	long := string(make([]byte, maxCachedText+1))
	c.store(&Inspection{source: long})
	if _, ok := c.load([]byte(long)); ok {
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
				c.store(&Inspection{source: text})
				if n%500 == 0 {
					c.clear()
				}
			}
		})
	}
	wg.Wait()
}
