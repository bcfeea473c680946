package verify

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// value is the text form of a column's value.
type value struct {
	text string
	null bool
}

// marks make texts by which a row is recognised wherever it appears.
type marks struct{ run string }

func newMarks() marks {
	var b [4]byte
	rand.Read(b[:])
	return marks{run: hex.EncodeToString(b[:])}
}

// long is the beginning of every full mark of a side; short is the one where a
// column is too narrow for it.
func (m marks) long(s Side) string { return "bh-canary-" + m.run + "-" + strings.ToLower(s.String()) }

func (m marks) short(s Side) string { return "b" + m.run[:6] + strings.ToLower(s.String()) }

// mark is the text for a column of a table. A width of 0 is no limit.
func (m marks) mark(s Side, table string, width int) string {
	full := m.long(s) + "-" + strings.ToLower(strings.Map(plain, table)) + "-" + shortRandom()
	if width == 0 || len(full) <= width {
		return full
	}
	short := m.short(s) + shortRandom()
	return short[:min(width, len(short))]
}

// plain keeps what an identifier, a slug or an e-mail address may hold.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// in reports whether a statement names a mark itself, so that its answer may
// do so as well.
func (m marks) in(sql string, s Side) bool {
	return strings.Contains(sql, m.long(s)) || strings.Contains(sql, m.short(s))
}

// shows reports whether an outcome holds a mark of a side.
func (m marks) shows(o *outcome, s Side) bool {
	return o.holds(m.long(s)) || o.holds(m.short(s))
}

func shortRandom() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// randomIn returns a number from low up to, not including, high.
func randomIn(low, high int64) int64 {
	var b [8]byte
	rand.Read(b[:])
	return low + int64(binary.BigEndian.Uint64(b[:])%uint64(high-low))
}

func randomUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

var typeModifier = regexp.MustCompile(`\((\d+)(?:,(\d+))?\)`)

// maker makes values of types.
type maker struct {
	types map[string]declaredType // domains and enums by their name
}

// declaredType is a domain or an enum.
type declaredType struct {
	base   string // of a domain
	check  string // its check constraints
	labels []string
}

// make returns a value of a type. unique asks for one that no other row has;
// mark is what texts hold. It fails for a type that it does not know.
func (g *maker) make(typ string, unique bool, mark func(width int) string) (value, bool) {
	if d, ok := g.types[typ]; ok {
		if d.base != "" {
			return g.make(d.base, unique, mark)
		}
		if len(d.labels) > 0 {
			return value{text: d.labels[0]}, true
		}
	}
	if strings.HasSuffix(typ, "[]") {
		return value{text: "{}"}, true
	}
	base, width, scale := splitType(typ)
	if text, ok := textual(base, width, mark); ok {
		return value{text: text}, true
	}
	if text, ok := numeric(base, width, scale, unique); ok {
		return value{text: text}, true
	}
	if text, ok := temporal(base, unique); ok {
		return value{text: text}, true
	}
	if text, ok := fixedValues[base]; ok {
		return value{text: text}, true
	}
	return value{null: true}, false
}

// splitType cuts numeric(10,2) into its parts, and a time zone off.
func splitType(typ string) (base string, width, scale int) {
	if m := typeModifier.FindStringSubmatchIndex(typ); m != nil {
		width, _ = strconv.Atoi(typ[m[2]:m[3]])
		if m[4] >= 0 {
			scale, _ = strconv.Atoi(typ[m[4]:m[5]])
		}
		typ = typ[:m[0]] + typ[m[1]:]
	}
	if i := strings.LastIndexByte(typ, '.'); i >= 0 {
		typ = typ[i+1:] // of an extension: public.citext
	}
	return typ, width, scale
}

func textual(base string, width int, mark func(int) string) (string, bool) {
	switch base {
	case "text", "citext", "character varying", "character", "bpchar", "ltree":
		if base == "character" && width == 0 {
			width = 1
		}
		if base == "ltree" {
			return strings.ReplaceAll(mark(width), "-", "_"), true
		}
		return mark(width), true
	case "name":
		return mark(63), true
	case "uuid":
		return randomUUID(), true
	case "json", "jsonb":
		return `{"canary": "` + mark(0) + `"}`, true
	case "bytea":
		return `\x` + hex.EncodeToString([]byte(mark(0))), true
	case "xml":
		return "<canary>" + mark(0) + "</canary>", true
	case "tsvector":
		return "'" + mark(0) + "'", true
	case "hstore":
		return `"canary"=>"` + mark(0) + `"`, true
	}
	return "", false
}

func numeric(base string, width, scale int, unique bool) (string, bool) {
	limits := map[string][2]int64{
		"smallint": {10_000, 32_000}, "integer": {1_000_000_000, 2_000_000_000}, "bigint": {1e15, 9e15},
		"oid": {1_000_000_000, 2_000_000_000}, "real": {1_000, 9_000_000}, "double precision": {1e12, 9e12}, "numeric": {1e15, 9e15},
	}
	l, ok := limits[base]
	if !ok {
		return "", false
	}
	if !unique {
		return "1", true
	}
	if base == "numeric" && width > 0 && width-scale < 16 {
		top := int64(1)
		for range max(0, width-scale) {
			top *= 10
		}
		l = [2]int64{top / 10, top}
		if top == 1 {
			return "0", true
		}
	}
	return strconv.FormatInt(randomIn(l[0], l[1]), 10), true
}

func temporal(base string, unique bool) (string, bool) {
	at := time.Now().UTC()
	if unique {
		at = at.Add(-time.Duration(randomIn(1, 20_000)) * time.Hour).Add(-time.Duration(randomIn(0, 1e9)) * time.Microsecond)
	}
	switch base {
	case "date":
		return at.Format(time.DateOnly), true
	case "timestamp without time zone", "timestamp":
		return at.Format("2006-01-02 15:04:05.000000"), true
	case "timestamp with time zone":
		return at.Format("2006-01-02 15:04:05.000000-07"), true
	case "time without time zone", "time", "time with time zone":
		return at.Format("15:04:05.000000"), true
	}
	return "", false
}

// fixedValues are values of types that hold no text and are seldom unique.
var fixedValues = map[string]string{
	"boolean": "true", "interval": "1 hour", "money": "1", `"char"`: "b", "bit": "1", "bit varying": "1",
	"inet": "192.0.2.1", "cidr": "192.0.2.0/24", "macaddr": "02:00:00:00:00:01", "macaddr8": "02:00:00:00:00:00:00:01",
	"point": "(1,1)", "line": "{1,-1,0}", "lseg": "[(0,0),(1,1)]", "box": "(1,1),(0,0)", "path": "((0,0),(1,1))",
	"polygon": "((0,0),(1,1),(1,0))", "circle": "<(0,0),1>", "tsquery": "'canary'", "pg_lsn": "0/1", "lquery": "bulkhead",
	"int4range": "[1,2)", "int8range": "[1,2)", "numrange": "[1,2)", "daterange": "[2026-01-01,2026-01-02)",
	"tsrange": "[2026-01-01,2026-01-02)", "tstzrange": "[2026-01-01,2026-01-02)",
	"int4multirange": "{}", "int8multirange": "{}", "nummultirange": "{}", "datemultirange": "{}", "tsmultirange": "{}", "tstzmultirange": "{}",
	"regclass": "pg_class", "regtype": "integer",
}

// guesses are values that often satisfy a check constraint: what its
// definition names, and common forms of marked texts.
func guesses(definition, mark string) []string {
	out := []string{
		mark + "@example.invalid", "https://example.invalid/" + mark, "+" + digits(mark),
		strings.ReplaceAll(mark, "-", "_"), strings.ReplaceAll(mark, "-", ""), strings.ToUpper(mark),
	}
	for _, m := range quoted.FindAllStringSubmatch(definition, -1) {
		out = append(out, strings.ReplaceAll(m[1], "''", "'"))
	}
	for _, m := range numbers.FindAllString(definition, -1) {
		n, err := strconv.ParseInt(m, 10, 64)
		if err == nil {
			out = append(out, m, strconv.FormatInt(n+1, 10), strconv.FormatInt(n-1, 10))
		}
	}
	return append(out, "EUR", "DE", "en", "0", "100", "true", "false")
}

var (
	quoted  = regexp.MustCompile(`'((?:[^']|'')*)'`)
	numbers = regexp.MustCompile(`\b\d{1,15}\b`)
)

// digits makes a number of ten digits out of a text.
func digits(s string) string {
	n := uint64(0)
	for _, r := range s {
		n = n*31 + uint64(r)
	}
	return fmt.Sprintf("%010d", n%10_000_000_000)
}

// literal quotes a text for SQL.
func literal(s string) string {
	if strings.ContainsRune(s, '\\') {
		return " E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func (v value) sql() string {
	if v.null {
		return "NULL"
	}
	return literal(v.text)
}

// copyText is the value in the text form of COPY.
func (v value) copyText() string {
	if v.null {
		return `\N`
	}
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(v.text)
}
