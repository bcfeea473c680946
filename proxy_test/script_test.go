package proxytest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// A script is what one client does: turns, in order. The scripts of
// testdata/parity are written like this:
//
//	== name             a script begins; "== name ~" if the OIDs of its tables vary
//	> SQL               a Query, and its reply is awaited
//	Q SQL               a Query
//	P name|types|SQL    Parse; types are OIDs
//	B portal|statement|formats|result formats|value|...   Bind; a value may be
//	                    NULL or hex:0a0b
//	D S name            Describe; also D P, C S, C P
//	E portal|rows       Execute
//	S, H                Sync, Flush
//	d data, c, f text   CopyData, CopyDone, CopyFail
//	.                   what is collected is sent, and one ReadyForQuery awaited
//	                    for each Query and Sync
//	. 2                 two of them are; or two messages, if it has neither
//	. T                 a message of this type is
//
// Text has the escapes of Go. MARK stands for a text of the client's own, so
// that a reply that comes to another client shows.
type script struct {
	name  string
	vary  bool // OIDs of tables differ from run to run
	turns []turn
}

const (
	markWord = "MARK"
	markSize = len("M000000")
)

// mark returns the text of client n.
func mark(n int) string { return fmt.Sprintf("M%06d", n) }

// corpus reads all scripts.
func corpus(t testing.TB) []*script {
	t.Helper()
	files, err := filepath.Glob("testdata/parity/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var all []*script
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, readScripts(t, file, string(b))...)
	}
	return all
}

func readScripts(t testing.TB, file, text string) []*script {
	t.Helper()
	var all []*script
	var next turn
	for n, line := range strings.Split(text, "\n") {
		switch name, ok := strings.CutPrefix(line, "== "); {
		case line == "" || line[0] == '#':
		case ok:
			name, vary := strings.CutSuffix(name, " ~")
			all = append(all, &script{name: filepath.Base(file) + ": " + name, vary: vary})
		case len(all) == 0:
			t.Fatalf("%s:%d: no script begins here", file, n+1)
		default:
			done, err := next.line(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
			if done {
				s := all[len(all)-1]
				s.turns = append(s.turns, next)
				next = turn{}
			}
		}
	}
	if len(next.send) > 0 {
		t.Fatalf("%s: the last messages are not sent", file)
	}
	return all
}

// line adds a line of a script to the turn; done tells that it is complete.
func (x *turn) line(line string) (done bool, err error) {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "." {
		if len(x.send) == 0 {
			return false, errors.New("nothing to send")
		}
		return true, x.end(rest)
	}
	if rest, err = strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`); err != nil {
		return false, fmt.Errorf("%q: %w", line, err)
	}
	part := strings.Split(rest, "|")
	for len(part) < 4 {
		part = append(part, "")
	}
	var msg []byte
	switch verb {
	case ">", "Q":
		msg = wiretest.Query(rest)
		x.ready++
	case "P":
		msg = parseTyped(part[0], part[1], strings.SplitN(rest, "|", 3)[2])
	case "B":
		msg = bindFormats(part[0], part[1], part[2], part[3], part[4:])
	case "D", "C":
		msg = wiretest.Frame(verb[0], rest[:1]+strings.TrimPrefix(rest[1:], " ")+"\x00")
	case "E":
		rows, _ := strconv.Atoi(part[1])
		msg = wiretest.Execute(part[0], uint32(rows))
	case "S":
		msg = wiretest.Sync
		x.ready++
	case "H":
		msg = wiretest.Flush
	case "d":
		msg = wiretest.Frame('d', rest)
	case "c":
		msg = wiretest.Frame('c', "")
	case "f":
		msg = wiretest.Frame('f', rest+"\x00")
	default:
		return false, fmt.Errorf("%q begins with no message", line)
	}
	x.send = append(x.send, msg)
	return verb == ">", nil
}

// end reads what is awaited.
func (x *turn) end(what string) error {
	n, err := strconv.Atoi(what)
	switch {
	case what == "":
	case err == nil:
		x.ready = n
	case len(what) == 1:
		x.ready, x.until = 0, what[0]
	default:
		return err
	}
	return nil
}

func parseTyped(name, types, sql string) []byte {
	body := name + "\x00" + sql + "\x00"
	oids := strings.FieldsFunc(types, func(r rune) bool { return r == ',' })
	body += string([]byte{0, byte(len(oids))})
	for _, o := range oids {
		n, _ := strconv.Atoi(o)
		body += string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return wiretest.Frame('P', body)
}

func bindFormats(portal, statement, formats, results string, values []string) []byte {
	b := []byte(portal + "\x00" + statement + "\x00")
	list := func(text string) {
		codes := strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		b = append(b, 0, byte(len(codes)))
		for _, c := range codes {
			b = append(b, 0, c[0]-'0')
		}
	}
	list(formats)
	b = append(b, 0, byte(len(values)))
	for _, v := range values {
		if v == "NULL" {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		value := []byte(v)
		if h, ok := strings.CutPrefix(v, "hex:"); ok {
			value, _ = hex.DecodeString(h)
		}
		n := len(value)
		b = append(append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), value...)
	}
	list(results)
	return wiretest.Frame('B', string(b))
}

// marked returns the turns with the client's mark in them.
func (s *script) marked(m string) []turn {
	out := slices.Clone(s.turns)
	for i := range out {
		out[i].send = slices.Clone(out[i].send)
		for j, msg := range out[i].send {
			if body := string(msg[5:]); strings.Contains(body, markWord) {
				out[i].send[j] = wiretest.Frame(msg[0], remark(msg[0], body, m))
			}
		}
	}
	return out
}

// remark puts the mark into a message's body. A Bind has the lengths of its
// values, so there MARK must stand in a value alone.
func remark(typ byte, body, m string) string {
	if typ == 'B' {
		return strings.ReplaceAll(body, "\x00\x00\x00\x04"+markWord, "\x00\x00\x00"+string(rune(markSize))+m)
	}
	return strings.ReplaceAll(body, markWord, m)
}
