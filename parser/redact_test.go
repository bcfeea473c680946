package parser

import (
	"slices"
	"strings"
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v5"
)

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 'abc', 123 /* x */ FROM t WHERE a = $1 -- y":                    "SELECT $2, $3 FROM t WHERE a = $1",
		"/*traceparent='x'*/ SELECT 1":                                          "SELECT $1",
		"SET app.org_id = Geheim; SELECT a":                                     "SET app.org_id = $1; SELECT a",
		`SET search_path TO "geheim", b`:                                        "SET search_path TO $1, $2",
		"CREATE ROLE r PASSWORD 'geheim'":                                       "CREATE ROLE r PASSWORD $1",
		"SELECT U&'\\0061' UESCAPE '!', E'\\'', $x$a$x$, B'1', 1.5e1, 'a'\n'b'": "SELECT $1 UESCAPE $2, $3, $4, $5, $6, $7\n$8",
		"DO $$ geheim $$":                                                       "DO $1",
		"NOTIFY c, 'geheim'":                                                    "NOTIFY c, $1",
		"SELECT/*a*/1/*b*/+2":                                                   "SELECT $1 +$2",
		"SELECT 'geheim":                                                        "",
		"SELECT":                                                                "SELECT",
		"":                                                                      "",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	a, b := Fingerprint("SELECT a FROM t WHERE b = 'x'"), Fingerprint("select a from t where b = 'yy' -- c")
	if a != b || len(a) != 16 {
		t.Errorf("got %q and %q, want 16 equal digits", a, b)
	}
	if c := Fingerprint("SELECT b FROM t"); c == a {
		t.Errorf("another statement has the same fingerprint, %s", c)
	}
	if got := Fingerprint("SELEC"); got != "" {
		t.Errorf("got %q for a syntax error", got)
	}
}

func TestFactCasesAreRedacted(t *testing.T) {
	for text := range factCases() {
		checkRedacted(t, text)
	}
}

// checkRedacted: the redacted text has no constant, no comment, and nothing of
// a constant of three characters or more that stands nowhere else in the text.
func checkRedacted(t *testing.T, text string) {
	t.Helper()
	got := Redact(text)
	if got == "" {
		return
	}
	if Guard(got, Options{MaxBytes: 1 << 24}) != nil {
		return // parameters with long numbers
	}
	scan, err := pgquery.Scan(got)
	if err != nil {
		t.Fatalf("%q became %q, which cannot be scanned: %v", text, got, err)
	}
	for _, k := range scan.Tokens {
		if isConstant(k.Token) || isCommentToken(k.Token) {
			t.Errorf("%q became %q, with the constant or comment %q", text, got, got[k.Start:k.End])
		}
	}
	for _, secret := range secrets(text) {
		if strings.Contains(got, secret) {
			t.Errorf("%q became %q, with %q of a constant", text, got, secret)
		}
	}
}

// secrets are the contents of constants and comments that do not occur in
// what remains of the text without them.
func secrets(text string) []string {
	scan, err := pgquery.Scan(text)
	if err != nil {
		return nil
	}
	rest := []byte(text)
	var list []string
	for _, k := range scan.Tokens {
		if !isConstant(k.Token) && !isCommentToken(k.Token) || k.Token == pgquery.Token_USCONST {
			continue
		}
		inside := strings.Trim(text[k.Start:k.End], "'$-/* \t\n\r")
		for i := k.Start; i < k.End; i++ {
			rest[i] = ' '
		}
		if len(inside) >= 3 {
			list = append(list, inside)
		}
	}
	return slices.DeleteFunc(list, func(s string) bool { return strings.Contains(string(rest), s) || isNumber(s) })
}

// isNumber: digits may reappear as the number of a parameter.
func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isConstant(t pgquery.Token) bool {
	switch t {
	case pgquery.Token_SCONST, pgquery.Token_USCONST, pgquery.Token_ICONST, pgquery.Token_FCONST, pgquery.Token_BCONST, pgquery.Token_XCONST:
		return true
	}
	return false
}

func isCommentToken(t pgquery.Token) bool {
	return t == pgquery.Token_SQL_COMMENT || t == pgquery.Token_C_COMMENT
}
