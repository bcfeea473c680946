package parser

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	pgquery "github.com/pganalyze/pg_query_go/v5"
)

func seed(f *testing.F) {
	f.Helper()
	for text := range factCases() {
		f.Add(text)
	}
	for _, k := range killers() {
		f.Add(k.text(20))
	}
	for _, text := range []string{
		"SELECT $a$b$a$, $$$$, a$1, $1 /* /* */ */ -- x\n;", "SELECT 'a'\n--b\n'c' \n 'd'", "SELECT E'a'\n'b\\'c'", "SELECT e'\\\\' 'x'",
		"SELECT U&\"a\" UESCAPE '!', U&'\\0041'", "SELECT 1..2, 1.5.6, .5e-3, 1e+", "SELECT a+-b, a@-b, a<--b\n, a/*/**/*/b, a*/*c*/d",
		"SELECT \"a\"\"b\", 'a''b', N'x', B'0', X'f'", "SELECT 1 AS case, 2 end, a.end, a . and",
	} {
		f.Add(text)
	}
}

// stalled is far longer than a text of a fuzzer may take.
const stalled = 20 * time.Second

// FuzzGuard: the guard's lexer cuts a text where libpg_query's scanner does.
func FuzzGuard(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		defer time.AfterFunc(stalled, func() { panic("stalled by " + strconv.Quote(text)) }).Stop()
		if err := Guard(text, Options{}); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || len(e.SQLState) != 5 {
				t.Errorf("error %#v is not complete", err)
			}
			return
		}
		compareTokens(t, text)
	})
}

func compareTokens(t *testing.T, text string) {
	t.Helper()
	scan, err := pgquery.Scan(text)
	if err != nil {
		return
	}
	mine := make(map[int]token)
	l := lexer{text: text}
	for k := l.next(); k.kind != tokenEnd; k = l.next() {
		mine[k.start] = k
	}
	if stringsAroundComment(scan.Tokens) {
		return
	}
	for _, k := range scan.Tokens {
		if k.Token == pgquery.Token_NCHAR && mine[int(k.Start)].kind == tokenString {
			mine[int(k.Start)+1] = mine[int(k.Start)] // N'...' is two tokens there
			delete(mine, int(k.Start))
			continue
		}
		got, found := mine[int(k.Start)]
		delete(mine, int(k.Start))
		switch {
		case isCommentToken(k.Token):
			if found {
				t.Errorf("%q: %q is a comment, not token %d", text, text[k.Start:k.End], got.kind)
			}
		case isConstant(k.Token):
			if !found || got.kind != tokenString && got.kind != tokenNumber {
				t.Errorf("%q: %q is a constant, got token %d", text, text[k.Start:k.End], got.kind)
			}
			for i := k.Start; i < k.End; i++ { // a string that goes on behind a newline
				if inner, found := mine[int(i)]; found && inner.kind == tokenString {
					delete(mine, int(i))
				}
			}
		case k.Token == pgquery.Token_IDENT || k.Token == pgquery.Token_UIDENT || k.KeywordKind != pgquery.KeywordKind_NO_KEYWORD:
			if !found || got.kind != tokenWord && got.kind != tokenQuoted {
				t.Errorf("%q: %q is a word, got token %d", text, text[k.Start:k.End], got.kind)
			}
		case k.Token == pgquery.Token_PARAM:
			if !found || got.kind != tokenParam {
				t.Errorf("%q: %q is a parameter, got token %d", text, text[k.Start:k.End], got.kind)
			}
		}
	}
	for _, k := range mine { // operators may be cut otherwise, nothing else
		if k.kind == tokenWord || k.kind == tokenQuoted || k.kind == tokenString || k.kind == tokenNumber || k.kind == tokenParam {
			t.Errorf("%q: token %d, %q, is none for the scanner", text, k.kind, text[k.start:k.end])
		}
	}
}

// stringsAroundComment reports whether two strings have nothing but a comment
// between them. The server takes B” -- and ” on the next line for one string;
// libpg_query has made tokens of comments, so it sees two, and refuses them.
func stringsAroundComment(tokens []*pgquery.ScanToken) bool {
	constant, comment := false, false
	for _, k := range tokens {
		switch {
		case isCommentToken(k.Token):
			comment = true
			continue
		case constant && comment && isConstant(k.Token):
			return true
		}
		constant, comment = isConstant(k.Token), false
	}
	return false
}

// FuzzParse: what the grammar takes gives facts that hang together, and the
// walker knows all of it.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Parse(text, testOptions)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || len(e.SQLState) != 5 {
				t.Errorf("error %#v is not complete", err)
			}
			return
		}
		last := 0
		for i := range b.Statements {
			s := &b.Statements[i]
			if s.Start < last || s.End < s.Start || s.End > len(text) {
				t.Errorf("%q: statement from %d to %d behind %d", text, s.Start, s.End, last)
			}
			last = s.End
			if s.Kind == KindUnknown || len(s.Unclassified) > 0 {
				t.Errorf("%q: kind %v, not known: %v", text, s.Kind, s.Unclassified)
			}
		}
		b.Effects()
		if again := mustParse(t, text); strings.Join(spellFacts(again), " ") != strings.Join(spellFacts(b), " ") {
			t.Errorf("%q: other facts the second time", text)
		}
	})
}

// FuzzRedact: no constant and no comment survives.
func FuzzRedact(f *testing.F) {
	seed(f)
	f.Fuzz(checkRedacted)
}
