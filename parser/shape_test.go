package parser

import (
	"strings"
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v5"
)

func TestAppendShape(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"SELECT 1":                          "SELECT \x01",
		"SELECT 2147483647, 2147483648":     "SELECT \x01, \x02",
		"SELECT a FROM t WHERE b='it''s'":   "SELECT a FROM t WHERE b=\x03",
		"SELECT -1.5+2":                     "SELECT -\x02+\x01",
		"SELECT $1, 'é', \"ü\" /* c 1 */":   "SELECT $1, \x03, \"ü\" \x04",
		"SELECT a1, t.b_2, 7::int8, 'x'\n'": "-",
		"SELECT 'a'\n'b'":                   "SELECT \x03\n\x03",
		"SELECT 01":                         "-",
		"SELECT 0":                          "SELECT \x01",
		"SELECT 1e5":                        "-",
		"SELECT 0x1F":                       "-",
		"SELECT 1_000":                      "-",
		"SELECT 12345678901234567890":       "-",
		"SELECT 1.":                         "-",
		"SELECT .5":                         "-",
		"SELECT 1..2":                       "-",
		"SELECT E'a'":                       "-",
		"SELECT U&'a'":                      "-",
		"SELECT U&\"a\"":                    "-",
		"SELECT X'1F', 1":                   "-",
		"SELECT 'a\\b'":                     "-",
		"SELECT $a$b$a$":                    "-",
		"SELECT a$b":                        "-",
		"SELECT 1 -- x":                     "-",
		"SELECT /* /* */ */ 1":              "-",
		"SELECT /* 1":                       "-",
		"SELECT é":                          "-",
		"SELECT 'a'b":                       "-",
		"SELECT \x01":                       "-",
		"SELECT '\x01'":                     "-",
		"SELECT '\xff'":                     "-",
		"SELECT '\x00'":                     "-",
		"SELECT $1a":                        "-",
		"SELECT 5a":                         "-",
	} {
		got, ok := AppendShape([]byte("before"), []byte(text))
		if !strings.HasPrefix(string(got), "before") {
			t.Fatalf("%q: what was in dst is lost: %q", text, got)
		}
		got = got[len("before"):]
		if ok != (want != "-") || ok && string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, ok, want)
		}
	}
}

// A shape hides constants only: what libpg_query's scanner finds in the text is
// in it, token by token.
func FuzzAppendShape(f *testing.F) {
	seed(f)
	f.Add("SELECT 02147483647, 1.5, 'a''b', \"c\"\"d\", $1 /* e */ FROM t -- x\nWHERE a=-1 AND b/-2")
	f.Fuzz(func(t *testing.T, text string) {
		shape, ok := AppendShape(nil, []byte(text))
		if !ok || Guard(text, Options{}) != nil {
			return
		}
		scan, err := pgquery.Scan(text)
		if err != nil {
			t.Skip() // the server will say so
		}
		var want []byte
		end := 0
		for _, k := range scan.Tokens {
			want = append(want, text[end:k.Start]...)
			end = int(k.End)
			switch k.Token {
			case pgquery.Token_ICONST:
				want = append(want, markInteger)
			case pgquery.Token_FCONST:
				want = append(want, markNumber)
			case pgquery.Token_SCONST:
				want = append(want, markString)
			case pgquery.Token_C_COMMENT:
				want = append(want, markComment)
			default:
				want = append(want, text[k.Start:k.End]...)
			}
		}
		want = append(want, text[end:]...)
		// The scanner takes strings that a line break separates for one.
		if got := strings.Join(strings.Fields(string(shape)), ""); joined(got) != joined(strings.Join(strings.Fields(string(want)), "")) {
			t.Errorf("%q: got shape %q, the scanner says %q", text, shape, want)
		}
	})
}

func joined(shape string) string {
	for strings.Contains(shape, "\x03\x03") {
		shape = strings.ReplaceAll(shape, "\x03\x03", "\x03")
	}
	return shape
}

func BenchmarkAppendShape(b *testing.B) {
	dst := make([]byte, 0, 4096)
	for name, text := range map[string]string{
		"begin": "BEGIN",
		"short": "SELECT id, name FROM accounts WHERE org_id = 'b0eebc99' AND id = 42",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AppendShape(dst, []byte(text))
			}
		})
	}
}
