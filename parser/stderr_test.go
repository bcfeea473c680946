package parser

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// TestStandardErrorStays: no parse redirects standard error, not even for its
// own time.
func TestStandardErrorStays(t *testing.T) {
	link := func() string {
		l, err := os.Readlink("/proc/self/fd/2")
		if err != nil {
			t.Skip("no /proc")
		}
		return l
	}
	want := link()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = Parse("SELECT 1", Options{})
				}
			}
		})
	}
	for range 20_000 {
		if got := link(); got != want {
			t.Errorf("standard error: got %s, want %s", got, want)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// TestWarningsAreFew: each GLOBAL TEMP makes libpg_query write a warning.
func TestWarningsAreFew(t *testing.T) {
	if _, err := Parse("CREATE GLOBAL TEMP TABLE a (x int)", Options{}); err != nil {
		t.Errorf("one of them: %v", err)
	}
	if _, err := Parse(strings.Repeat("CREATE GLOBAL TEMP TABLE a();", 30_000), Options{}); err == nil {
		t.Error("30,000 of them were parsed")
	}
}
