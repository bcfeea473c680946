package blocklog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a record. They keep a client that is refused on purpose from
// filling memory and disk with long names.
const (
	maxStatement = 8 << 10
	maxField     = 1 << 10
	maxItems     = 64
	maxItem      = 256
	// maxLine is the longest line that a reader takes: every byte of a bounded
	// record may be escaped as six.
	maxLine = 1 << 20
)

// cut marks text that was shortened.
const cut = "…"

// hashLen is the length of a hash in hex.
const hashLen = 2 * sha256.Size

// genesis is the prev_hash of the first record.
var genesis = strings.Repeat("0", hashLen)

// bounded returns r with every text cut to its bound and nothing shared with
// the caller's memory, which may be a buffer of the network.
func (r Record) bounded() Record {
	for _, s := range []*string{
		&r.Rule, &r.Title, &r.Reason, &r.Org, &r.Subject, &r.Role, &r.TokenID, &r.Issuer, &r.ClientAddr,
		&r.ApplicationName, &r.User, &r.Database, &r.Fingerprint, &r.StatementKind, &r.Protocol, &r.TxStatus,
		&r.SessionID, &r.TraceID, &r.SpanID, &r.SQLState,
	} {
		*s = shorten(*s, maxField)
	}
	r.Decision = Decision(shorten(string(r.Decision), maxField))
	r.Statement = Redacted(shorten(string(r.Statement), maxStatement))
	for _, list := range []*[]string{&r.Relations, &r.Functions, &r.Settings} {
		*list = shortenList(*list)
	}
	return r
}

// shorten returns a copy of s of at most limit bytes and the mark.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return strings.Clone(s)
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + cut
}

// shortenList returns a copy of list, [] for nil.
func shortenList(list []string) []string {
	out := make([]string, 0, min(len(list), maxItems+1))
	for i, s := range list {
		if i == maxItems {
			return append(out, cut)
		}
		out = append(out, shorten(s, maxItem))
	}
	return out
}

// appendLine appends the line of r to b, with its newline, and returns it
// with r's hash. It sets r.Hash and nothing else: V, Seq, Time and PrevHash
// are the caller's.
func appendLine(b []byte, r *Record) ([]byte, error) {
	r.Hash = ""
	line, err := marshal(r)
	if err != nil {
		return b, err
	}
	const empty = `"hash":"",`
	at := bytes.Index(line, []byte(empty)) // the first: what stands before it is the writer's own
	if at < 0 {
		return b, fmt.Errorf("encode a record: no place for its hash")
	}
	canonical := append(line[:at:at], line[at+len(empty):]...)
	sum := sha256.Sum256(canonical)
	r.Hash = hex.EncodeToString(sum[:])
	b = append(b, line[:at]...)
	b = append(b, `"hash":"`...)
	b = append(b, r.Hash...)
	b = append(b, `",`...)
	b = append(b, line[at+len(empty):]...)
	return append(b, '\n'), nil
}

// marshal returns r as one line of JSON. Bytes that are not UTF-8 become
// U+FFFD; every control character is escaped, C1 and DEL included, so that
// the file itself can be shown on a terminal.
func marshal(r *Record) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // the hash is over these bytes: no more escapes than JSON asks for
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	return escapeControls(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// escapeControls escapes DEL and the C1 controls, which JSON leaves as they
// are and terminals act upon.
func escapeControls(line []byte) []byte {
	isControl := func(r rune) bool { return r >= 0x7f && r <= 0x9f }
	if bytes.IndexFunc(line, isControl) < 0 {
		return line
	}
	var out []byte
	for _, r := range string(line) {
		if isControl(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// linePattern matches the start of every line, up to the hash. Nothing that a
// client sends stands in it, so the hash is found without trusting the rest.
var linePattern = regexp.MustCompile(
	`^\{"v":[0-9]+,"time":"[0-9TZ:.+-]+","seq":[0-9]+,"prev_hash":"[0-9a-f]{64}",("hash":"([0-9a-f]{64})",)`)

// decodeLine reads one line, without its newline. hashed tells whether the
// record's hash is that of its text.
func decodeLine(line []byte) (r Record, hashed bool, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, false, fmt.Errorf("not a record: %w", withoutValues(err))
	}
	m := linePattern.FindSubmatchIndex(line)
	if m == nil {
		return Record{}, false, fmt.Errorf("not a record: the fields do not begin with v, time, seq, prev_hash, hash")
	}
	sum := sha256.New()
	sum.Write(line[:m[2]])
	sum.Write(line[m[3]:])
	written := string(line[m[4]:m[5]])
	hashed = hex.EncodeToString(sum.Sum(nil)) == written
	// A second "hash" or "seq" further on would make readers disagree.
	if r.Hash != written {
		return r, false, nil
	}
	return r, hashed, nil
}

// withoutValues keeps pieces of the file out of an error's text.
func withoutValues(err error) error {
	switch err := err.(type) { //nolint:errorlint // json.Unmarshal returns these as they are
	case *json.UnmarshalTypeError:
		return fmt.Errorf("field %s is not a %s", err.Field, err.Type)
	case *json.SyntaxError:
		return fmt.Errorf("not JSON at byte %d", err.Offset)
	}
	return err
}

// stamp is the form of times: UTC, so that lines sort as text.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
