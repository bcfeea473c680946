package blocklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fullDisk is a file whose writes fail while full is set, after some bytes
// have been written.
type fullDisk struct {
	file
	full *atomic.Bool
}

func (f fullDisk) Write(b []byte) (int, error) {
	if !f.full.Load() {
		return f.file.Write(b)
	}
	n, _ := f.file.Write(b[:len(b)/2])
	return n, syscall.ENOSPC
}

func TestWriter_DiskFull(t *testing.T) {
	o := testOptions(t)
	o.Buffer = 4
	var full atomic.Bool
	o.openFile = func(path string) (file, error) {
		f, err := openLog(path)
		return fullDisk{f, &full}, err
	}
	w := open(t, o)
	w.Append(sample(0))
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	w.Append(sample(1))
	eventually(t, "the failure shows", func() bool { return errors.Is(w.Err(), syscall.ENOSPC) })
	for n := 2; w.Dropped() < 3; n++ {
		w.Append(sample(n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Flush(ctx); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, context.Canceled) {
		t.Errorf("Flush on a full disk: got %v", err)
	}
	full.Store(false)
	if err := w.Flush(within(t)); err != nil || w.Err() != nil || w.Pending() != 0 {
		t.Errorf("after recovery: got %v, %v, %d pending", err, w.Err(), w.Pending())
	}
	closeWriter(t, w)
	r, err := Verify(VerifyOptions{Files: []string{o.File}})
	if err != nil || !r.OK() || r.Lost != 3 {
		t.Errorf("got %+v (%v), want no fault and 3 lost", r, err)
	}
}

func TestWriter_CloseGivesUp(t *testing.T) {
	o := testOptions(t)
	var full atomic.Bool
	o.openFile = func(path string) (file, error) {
		f, err := openLog(path)
		return fullDisk{f, &full}, err
	}
	w := open(t, o)
	full.Store(true)
	for n := range 3 {
		w.Append(sample(n))
	}
	eventually(t, "the failure shows", func() bool { return w.Err() != nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Close(ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close: got %v, want ENOSPC", err)
	}
	<-w.done
	if got := w.Dropped(); got != 3 {
		t.Errorf("Dropped: got %d, want 3", got)
	}
	w.Append(sample(4))
	if got := w.Dropped(); got != 4 {
		t.Errorf("Dropped after Close: got %d, want 4", got)
	}
	if err := w.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush after Close: got %v", err)
	}
	wantOK(t, o.File, 0)
}

func TestWriter_FileTakenAway(t *testing.T) {
	o := testOptions(t)
	w := open(t, o)
	append1 := func(n int) {
		t.Helper()
		w.Append(sample(n))
		if err := w.Flush(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	append1(0)
	moved := o.File + ".moved"
	if err := os.Rename(o.File, moved); err != nil {
		t.Fatal(err)
	}
	append1(1)
	both, err := Verify(VerifyOptions{Files: []string{moved, o.File}})
	if err != nil || !both.OK() || both.Records != 2 {
		t.Errorf("moved away: got %+v (%v)", both, err)
	}
	// The folder goes, and comes back.
	dir := filepath.Dir(o.File)
	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	w.Append(sample(2))
	eventually(t, "the failure shows", func() bool { return w.Err() != nil })
	if err := os.Rename(dir+"-gone", dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	// Cut inside a line by someone else: the next record has a line of its own.
	info, _ := os.Stat(o.File)
	if err := os.Truncate(o.File, info.Size()-10); err != nil {
		t.Fatal(err)
	}
	append1(3)
	closeWriter(t, w)
	r, err := Verify(VerifyOptions{Files: []string{moved, o.File}})
	if err != nil || kinds(r) != "unreadable missing" || r.LastSeq != 4 {
		t.Errorf("cut: got %+v (%v), want unreadable and missing", r, err)
	}
}

func TestWriter_ManyAtOnce(t *testing.T) {
	o := testOptions(t)
	o.Buffer, o.maxSize = 16, 20_000
	w := open(t, o)
	var all sync.WaitGroup
	const each, writers = 200, 8
	for range writers {
		all.Go(func() {
			for n := range each {
				w.Append(sample(n))
			}
		})
	}
	all.Wait()
	closeWriter(t, w)
	r, err := Verify(VerifyOptions{Files: []string{o.File}})
	if err != nil || !r.OK() {
		t.Fatalf("got %+v (%v)", r.Faults, err)
	}
	written := 0
	for _, rec := range readAll(t, o.File) {
		if rec.Decision == Blocked {
			written++
		}
	}
	if got := uint64(written) + w.Dropped(); got != each*writers {
		t.Errorf("got %d written and %d dropped, want %d in all", written, w.Dropped(), each*writers)
	}
	if w.Dropped() != r.Lost {
		t.Errorf("got %d lost in the chain, want %d", r.Lost, w.Dropped())
	}
}

func kinds(r Report) string {
	var s []string
	for _, f := range r.Faults {
		s = append(s, string(f.Kind))
	}
	return strings.Join(s, " ")
}

func TestVerify_FindsTampering(t *testing.T) {
	o := testOptions(t)
	fill(t, o, 0, 6)
	data, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(data)))
	last := wantOK(t, o.File, 6).LastHash
	rewritten := func(n int) string { // record n with another text and a right hash
		r := readAll(t, o.File)[n-1]
		r.Subject = "mallory"
		line, err := appendLine(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	with := func(n int, line string) []string {
		out := slices.Clone(lines)
		out[n-1] = line
		return out
	}
	tests := []struct {
		name   string
		lines  []string
		anchor string
		want   string
	}{
		{"nothing", lines, last, ""},
		{"changed", with(3, strings.Replace(lines[2], "alice", "bob", 1)), "", "changed"},
		{"changed blank", with(3, strings.Replace(lines[2], `,"rule"`, `, "rule"`, 1)), "", "changed"},
		{"second field", with(3, strings.Replace(lines[2], `}`, `,"rule":"G999"}`, 1)), "", "changed"},
		{"rewritten with its hash", with(3, rewritten(3)), "", "link"},
		{"last rewritten with its hash", with(6, rewritten(6)), "", ""},
		{"last rewritten, anchor", with(6, rewritten(6)), last, "anchor"},
		{"removed", slices.Delete(slices.Clone(lines), 2, 4), "", "missing"},
		{"swapped", []string{lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]}, "", "missing order missing"},
		{"repeated", slices.Insert(slices.Clone(lines), 3, lines[2]), "", "order"},
		{"first removed", lines[1:], "", "start"},
		{"end removed", lines[:4], "", ""},
		{"end removed, anchor", lines[:4], last, "anchor"},
		{"cut", with(6, lines[5][:100]), "", "torn"},
		{"garbage", with(2, "hello\n"), "", "unreadable missing"},
		{"long line", with(2, strings.Repeat("x", 3*maxLine)+"\n"), "", "unreadable missing"},
		{"emptied, anchor", nil, last, "anchor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "copy.jsonl")
			if err := os.WriteFile(path, []byte(strings.Join(tt.lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(VerifyOptions{Files: []string{path}, Anchor: tt.anchor})
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(r); got != tt.want {
				t.Errorf("got %q, want %q: %+v", got, tt.want, r.Faults)
			}
		})
	}
	if _, err := Verify(VerifyOptions{Files: []string{o.File + "x"}}); err == nil {
		t.Error("a missing file: got no error")
	}
}

func TestFollow_AcrossRotations(t *testing.T) {
	o := testOptions(t)
	o.maxSize = 1 // each record in a file of its own
	fill(t, o, 0, 2)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	got := make(chan string, 100)
	ended := make(chan error, 1)
	opened := make(chan struct{})
	go func() {
		tl := &tail{path: o.File, emit: func(r *Record) error { got <- r.SessionID; return nil }}
		defer tl.close()
		err := tl.openAtEnd()
		close(opened)
		for err == nil && ctx.Err() == nil {
			err = tl.step()
		}
		ended <- err
	}()
	<-opened
	const records = 30
	fill(t, o, 2, records)
	for n := 2; n < records; n++ {
		select {
		case id := <-got:
			if id != fmt.Sprint(n) {
				t.Fatalf("got record %s, want %d", id, n)
			}
		case <-ctx.Done():
			t.Fatalf("record %d never came", n)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
}

func TestFollow_FileNotThereYet(t *testing.T) {
	o := testOptions(t)
	var got []string
	tl := &tail{path: o.File, emit: func(r *Record) error { got = append(got, r.SessionID); return nil }}
	defer tl.close()
	step := func() {
		t.Helper()
		if err := tl.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tl.openAtEnd(); err != nil {
		t.Fatal(err)
	}
	step()
	fill(t, o, 0, 2)
	step()
	// The log is removed and begun anew, as a new chain.
	if err := os.Remove(o.File); err != nil {
		t.Fatal(err)
	}
	fill(t, o, 2, 3)
	step()
	if want := "[0 1 2]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestFollow_EndsWithItsContext(t *testing.T) {
	o := testOptions(t)
	fill(t, o, 0, 1)
	w := open(t, o)
	defer closeWriter(t, w)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	found := errors.New("found")
	ended := make(chan error, 1)
	go func() {
		ended <- Follow(ctx, o.File, Filter{Rule: "G202"}, func(r *Record) error {
			if r.Rule == "G202" {
				return found
			}
			return errors.New("a record that the filter does not choose")
		})
	}()
	// Follow begins at some time; one of many records must reach it.
	for n := 0; ; n++ {
		w.Append(sample(n))
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, found) {
				t.Errorf("got %v, want the callback's error", err)
			}
			cancel()
			if err := Follow(ctx, o.File, Filter{}, func(*Record) error { return nil }); err != nil {
				t.Errorf("with an ended context: got %v, want nil", err)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestScanAndSummarize_Filter(t *testing.T) {
	o := testOptions(t)
	fill(t, o, 0, 10)
	count := func(f Filter) int {
		t.Helper()
		records, _, err := Last(o.File, f, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	for _, tt := range []struct {
		filter Filter
		want   int
	}{
		{Filter{}, 10},
		{Filter{Org: "org-1"}, 5},
		{Filter{Rule: "G201"}, 4},
		{Filter{Subject: "bob"}, 0},
		{Filter{Decision: Observed}, 0},
		{Filter{Since: start.Add(3 * time.Second), Until: start.Add(5 * time.Second)}, 2},
	} {
		if got := count(tt.filter); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.filter, got, tt.want)
		}
	}
	newest, _, err := Last(o.File, Filter{Org: "org-0"}, 2)
	if err != nil || len(newest) != 2 || newest[0].SessionID != "6" || newest[1].SessionID != "8" {
		t.Errorf("Last: got %+v (%v)", newest, err)
	}
	s, err := Summarize(o.File, Filter{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if s.Records != 10 || s.Blocked != 10 || len(s.Rules) != 3 || s.Rules[0].Name != "G201" || s.Rules[0].Count != 4 || len(s.Orgs) != 1 {
		t.Errorf("got %+v", s)
	}
	if len(s.Statements) != 1 || s.Statements[0].Count != 10 || s.Statements[0].Orgs != 2 || s.Days[0].Name != "2026-01-02" {
		t.Errorf("got %+v", s)
	}
}
