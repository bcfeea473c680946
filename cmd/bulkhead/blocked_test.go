package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/blocklog"
)

// output is what a command that still runs has printed.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// await waits until cond holds.
func await(ctx context.Context, t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came true: %s", what)
		case <-tick.C:
		}
	}
}

func TestBlockedTail_FollowsUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	path := filepath.Join(t.TempDir(), "log.jsonl")
	w, err := blocklog.Open(blocklog.Options{File: path})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	add := func(subject string) {
		w.Append(blocklog.Record{Decision: blocklog.Blocked, Rule: "G201", Org: "acme", Subject: subject})
		w.Append(blocklog.Record{Decision: blocklog.Blocked, Rule: "G201", Org: "globex", Subject: "hidden"})
		if err := w.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	add("before")

	var out output
	root := newRootCommand()
	root.SetArgs([]string{"blocked", "tail", "--org", "acme", path})
	root.SetOut(&out)
	root.SetErr(&out)
	running, interrupt := context.WithCancel(ctx)
	defer interrupt()
	code := make(chan int, 1)
	go func() { code <- execute(running, root) }()

	await(ctx, t, "the newest records are printed", func() bool { return strings.Contains(out.String(), "before") })
	// When it begins to follow cannot be seen; some record must reach it.
	n := 0
	await(ctx, t, "a new record is printed", func() bool {
		n++
		add(fmt.Sprintf("during-%d", n))
		return strings.Contains(out.String(), "during-")
	})
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("exit code: got %d, want %d", got, exitOK)
	}
	if strings.Contains(out.String(), "hidden") || strings.Count(out.String(), "before") != 1 {
		t.Errorf("got %s", out.String())
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ä日本":        "plain text, ä日本",
		"\x1b]0;title\x07":       `\x1b]0;title\a`,
		"a\nb\rc\td\x00":         `a\nb\rc\td\x00`,
		"\u009b31m\u007f":        `\u009b31m\x7f`,
		"\u202eevil\u200b\u2028": `\u202eevil\u200b\u2028`,
		"\xff\xfe":               `\xff\xfe`,
		"\U000e0041":             `\U000e0041`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q): got %s, want %s", in, got, want)
		}
	}
}

func FuzzMarkdownText(f *testing.F) {
	f.Add("a|b\n# c <img src=x> [l](http://x) `d`\x1b[2J")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{markdownText(s), printable(s)} {
			if strings.ContainsFunc(out, needsEscape) {
				t.Errorf("%q: %q holds a control character", s, out)
			}
		}
		if got := markdownText(s); strings.Contains(got, "<") || strings.Contains(strings.ReplaceAll(got, `\|`, ""), "|") {
			t.Errorf("%q: %q holds markup", s, got)
		}
	})
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"":                          {},
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-01T10:00:00+02:00": time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
	} {
		got, err := parseWhen("--since", in, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v (%v), want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-1h", "-3d", "5", "d"} {
		if got, err := parseWhen("--since", in, now); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}
