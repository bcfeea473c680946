package blocklog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// start is the time of the first record in tests; each call of the clock is a
// second later.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{File: filepath.Join(t.TempDir(), "blocked.jsonl"), retry: time.Millisecond}
}

func open(t *testing.T, o Options) *Writer {
	t.Helper()
	w, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return w
}

func closeWriter(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// sample is the n-th record of a test.
func sample(n int) Record {
	return Record{
		Time: start.Add(time.Duration(n) * time.Second), Decision: Blocked, Rule: fmt.Sprintf("G%d", 201+n%3), Title: "a title",
		Org: fmt.Sprintf("org-%d", n%2), Subject: "alice", Statement: "SET app.org_id = $1", Fingerprint: "f00",
		Relations: []string{"public.orders"}, SessionID: fmt.Sprint(n),
	}
}

// fill appends the records from..to-1 to the log and closes it.
func fill(t *testing.T, o Options, from, to int) {
	t.Helper()
	w := open(t, o)
	for n := from; n < to; n++ {
		w.Append(sample(n))
		if err := w.Flush(t.Context()); err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
	closeWriter(t, w)
}

func readAll(t *testing.T, path string) []Record {
	t.Helper()
	records, unreadable, err := Last(path, Filter{}, 0)
	if err != nil || unreadable != 0 {
		t.Fatalf("Last: %d unreadable, error %v", unreadable, err)
	}
	return records
}

// wantOK fails if the chain has faults or another number of records.
func wantOK(t *testing.T, path string, records int) Report {
	t.Helper()
	r, err := Verify(VerifyOptions{Files: []string{path}})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if !r.OK() || r.Records != records {
		t.Fatalf("Verify: got %d records and faults %+v, want %d and none", r.Records, r.Faults, records)
	}
	return r
}

// within returns a context for waiting on a condition.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came true: %s", what)
		case <-tick.C:
		}
	}
}

// TestWriter_CanonicalForm computes the hashes as docs/blocked-log.md tells
// others to.
func TestWriter_CanonicalForm(t *testing.T) {
	o := testOptions(t)
	fill(t, o, 0, 3)
	data, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	prev := strings.Repeat("0", 64)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.Contains(line, `"prev_hash":"`+prev+`"`) {
			t.Errorf("the record does not name its predecessor %s: %s", prev, line)
		}
		before, rest, _ := strings.Cut(line, `"hash":"`)
		hash, after, _ := strings.Cut(rest, `",`)
		sum := sha256.Sum256([]byte(before + after))
		if got := hex.EncodeToString(sum[:]); got != hash {
			t.Errorf("hash: got %s, want %s", hash, got)
		}
		prev = hash
	}
	first, _, _ := strings.Cut(string(data), "\n")
	const want = `"decision":"blocked","rule":"G201","title":"a title","reason":"","org":"org-0","subject":"alice","role":"",` +
		`"token_id":"","issuer":"","client_addr":"","application_name":"","user":"","database":"","statement":"SET app.org_id = $1",` +
		`"fingerprint":"f00","statement_kind":"","relations":["public.orders"],"functions":[],"settings":[],"protocol":"","tx_status":"",` +
		`"session_id":"0","trace_id":"","span_id":"","sqlstate":""}`
	if !strings.HasPrefix(first, `{"v":1,"time":"2026-01-02T03:04:05Z","seq":1,"prev_hash":"`) || !strings.HasSuffix(first, want) {
		t.Errorf("got %s\nwant fields in the order of %s", first, want)
	}
	info, err := os.Stat(o.File)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v (%v), want 0600", info.Mode(), err)
	}
}

func TestWriter_ChainGoesOnOverRotationAndRestart(t *testing.T) {
	o := testOptions(t)
	o.maxSize = 2000
	for n := 0; n < 12; n += 4 {
		fill(t, o, n, n+4)
	}
	r := wantOK(t, o.File, 12)
	if len(r.Files) < 3 {
		t.Errorf("got files %q, want several", r.Files)
	}
	if got, want := r.Files[0], o.File+".000000000001"; got != want {
		t.Errorf("oldest file: got %s, want %s", got, want)
	}
	for i, rec := range readAll(t, o.File) {
		if rec.SessionID != fmt.Sprint(i) || rec.Seq != uint64(i+1) {
			t.Errorf("record %d: got session %s, seq %d", i, rec.SessionID, rec.Seq)
		}
	}
	// The current file may be gone; the rotated ones still tell the end.
	if err := os.Remove(o.File); err != nil {
		t.Fatal(err)
	}
	fill(t, o, 12, 13)
	v, err := Verify(VerifyOptions{Files: []string{o.File}})
	if err != nil || len(v.Faults) > 1 {
		t.Errorf("got faults %+v (%v), want at most the removed records", v.Faults, err)
	}
}

func TestWriter_KeepsSoManyFiles(t *testing.T) {
	o := testOptions(t)
	o.maxSize, o.Keep = 1, 2
	fill(t, o, 0, 6)
	files, err := Files(o.File)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{o.File + ".000000000004", o.File + ".000000000005", o.File}
	if fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", files, want)
	}
	if r, _ := Verify(VerifyOptions{Files: []string{o.File}}); len(r.Faults) != 1 || r.Faults[0].Kind != FaultStart {
		t.Errorf("got faults %+v, want start", r.Faults)
	}
	if r, _ := Verify(VerifyOptions{Files: []string{o.File}, Partial: true}); !r.OK() {
		t.Errorf("partial: got faults %+v", r.Faults)
	}
}

func TestOpen_TornEnd(t *testing.T) {
	for name, tail := range map[string]string{
		"cut line": `{"v":1,"time":"2026-01-02T03:0`,
		"zeros":    strings.Repeat("\x00", 4096),
		"cut hash": "",
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t)
			fill(t, o, 0, 2)
			data, _ := os.ReadFile(o.File)
			kept := 2
			if tail == "" { // the last line itself, without its end
				lines := bytes.SplitAfter(data, []byte("\n"))
				data, tail, kept = lines[0], string(lines[1][:300]), 1
			}
			if err := os.WriteFile(o.File, append(data, tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			fill(t, o, 2, 3)
			r := wantOK(t, o.File, kept+2)
			if r.Lost != 1 || len(r.Torn) != 1 {
				t.Fatalf("got lost %d and torn %q, want 1 and one file", r.Lost, r.Torn)
			}
			if got, err := os.ReadFile(r.Torn[0]); err != nil || string(got) != tail {
				t.Errorf("kept aside: got %q (%v), want %q", got, err, tail)
			}
		})
	}
	t.Run("first line", func(t *testing.T) {
		o := testOptions(t)
		if err := os.WriteFile(o.File, []byte(`{"v":1,"ti`), 0o600); err != nil {
			t.Fatal(err)
		}
		fill(t, o, 0, 1)
		wantOK(t, o.File, 2)
	})
}

func TestOpen_Refuses(t *testing.T) {
	o := testOptions(t)
	w := open(t, o)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process writes this log") {
		t.Errorf("second writer: got %v", err)
	}
	closeWriter(t, w)
	closeWriter(t, open(t, o)) // the lock is free again

	for _, content := range []string{"root:x:0:0\n", "no newline", "{\"v\":1}\n{\"v\":1}\n"} {
		if err := os.WriteFile(o.File, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "is no blocked-query log") {
			t.Errorf("%q: got %v", content, err)
		}
		if got, _ := os.ReadFile(o.File); string(got) != content {
			t.Errorf("%q was changed to %q", content, got)
		}
	}
	o.File = filepath.Dir(o.File)
	if _, err := Open(o); err == nil {
		t.Error("a folder: got no error")
	}
	o.File = filepath.Join(o.File, "missing", "blocked.jsonl")
	if _, err := Open(o); err == nil {
		t.Error("a missing folder: got no error")
	}
}

func TestRecord_HostileText(t *testing.T) {
	o := testOptions(t)
	w := open(t, o)
	w.Append(Record{
		Decision: Blocked, ApplicationName: "\x1b]0;x\x07\x9b31m\u009b\u007f\n{\"hash\":\"x\"}", User: "\xff\xfe", Database: "a\x00b",
		Org:       `","hash":"` + strings.Repeat("0", 64) + `",`,
		Statement: Redacted(strings.Repeat("ä", maxStatement)), Reason: strings.Repeat("r", 2*maxField),
		Relations: strings.Split(strings.Repeat("x,", 200), ","),
	})
	closeWriter(t, w)
	wantOK(t, o.File, 1)
	data, _ := os.ReadFile(o.File)
	for _, r := range strings.TrimSuffix(string(data), "\n") {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			t.Fatalf("the file holds the control character %U", r)
		}
	}
	r := readAll(t, o.File)[0]
	if got, want := r.User, "\ufffd\ufffd"; got != want {
		t.Errorf("user: got %q, want %q", got, want)
	}
	if got := len(r.Statement); got > maxStatement+len(cut) || !strings.HasSuffix(string(r.Statement), cut) {
		t.Errorf("statement: got %d bytes, want at most %d", got, maxStatement+len(cut))
	}
	if len(r.Reason) != maxField+len(cut) || len(r.Relations) != maxItems+1 {
		t.Errorf("got reason of %d bytes and %d relations", len(r.Reason), len(r.Relations))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("app", "SELECT $1", []byte("{}"))
	f.Add("\x9b\u2028</script>", "\"hash\":\"\",", []byte(`{"v":1,"time":"","seq":1,"prev_hash":"`))
	f.Fuzz(func(t *testing.T, app, statement string, foreign []byte) {
		r := Record{V: 1, Seq: 7, Time: start, PrevHash: genesis, ApplicationName: app, Statement: Redacted(statement)}.bounded()
		line, err := appendLine(nil, &r)
		if err != nil || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("appendLine: %q, %v", line, err)
		}
		got, hashed, err := decodeLine(line[:len(line)-1])
		if err != nil || !hashed || got.Seq != 7 || got.Hash != r.Hash {
			t.Fatalf("decodeLine: %+v, %v, %v", got, hashed, err)
		}
		_, _, _ = decodeLine(foreign)
		e, err := readEnd(bytes.NewReader(append(line, foreign...)), int64(len(line)+len(foreign)))
		if err != nil || e.last == nil {
			t.Fatalf("readEnd: %+v, %v", e, err)
		}
	})
}

// TestDocs_NameEveryField keeps docs/blocked-log.md complete.
func TestDocs_NameEveryField(t *testing.T) {
	doc, err := os.ReadFile("../docs/blocked-log.md")
	if err != nil {
		t.Fatal(err)
	}
	record := reflect.TypeFor[Record]()
	for i := range record.NumField() {
		name, _, _ := strings.Cut(record.Field(i).Tag.Get("json"), ",")
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/blocked-log.md does not name the field %s", name)
		}
	}
}
