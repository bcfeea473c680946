package parser

import (
	"strconv"
	"strings"

	cparser "github.com/pganalyze/pg_query_go/v5/parser"
)

// Redact returns the text without constants and comments: the only form in
// which SQL may be logged. Constants become parameters that follow the text's
// own. It returns "" for a text that cannot be parsed: what is a constant in it
// cannot be told. Its size is not bounded here. [Batch.Redact] saves the parse.
func Redact(text string) string {
	b, err := Parse(text, Options{MaxBytes: max(len(text), 1)})
	if err != nil {
		return ""
	}
	return b.Redact()
}

// Redact returns the batch's text without constants and comments. The words
// that SET gives to a setting are constants too.
func (b *Batch) Redact() string {
	r := redactor{lexer: lexer{text: b.Text}, next: highestParam(b.Text) + 1}
	for {
		before := r.pos
		t := r.lexer.next()
		if r.lexer.failed != nil {
			return ""
		}
		if t.kind == tokenEnd {
			return r.out.String()
		}
		r.between(b.Text[before:t.start])
		r.token(t, b.statementAt(t.start))
	}
}

type redactor struct {
	lexer
	out   strings.Builder
	next  int  // number of the next parameter
	value bool // behind = or TO of a SET
}

// between writes what stands between two tokens: white space as it is, one
// blank for comments.
func (r *redactor) between(s string) {
	switch {
	case r.out.Len() == 0:
	case strings.TrimLeft(s, " \t\n\r\f\v") == "":
		r.out.WriteString(s)
	default:
		r.out.WriteByte(' ')
	}
}

func (r *redactor) token(t token, s *Statement) {
	text := r.text[t.start:t.end]
	setting := s != nil && s.Kind == KindSet
	constant := t.kind == tokenString || t.kind == tokenNumber
	switch {
	case !setting:
		r.value = false
	case r.value && (t.kind == tokenWord || t.kind == tokenQuoted):
		constant = true
	case text == "=" || t.kind == tokenWord && strings.EqualFold(text, "to"):
		r.value = true
	}
	if !constant {
		r.out.WriteString(text)
		return
	}
	r.out.WriteString("$" + strconv.Itoa(r.next))
	r.next++
}

// statementAt returns the statement that a byte of the text belongs to, nil
// between statements.
func (b *Batch) statementAt(position int) *Statement {
	low, high := 0, len(b.Statements)
	for low < high {
		middle := (low + high) / 2
		switch s := &b.Statements[middle]; {
		case position < s.Start:
			high = middle
		case position >= s.End:
			low = middle + 1
		default:
			return s
		}
	}
	return nil
}

// highestParam returns the highest number of a parameter in a text.
func highestParam(text string) int {
	highest := 0
	l := lexer{text: text}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind != tokenParam {
			continue
		}
		if n, err := strconv.Atoi(text[t.start+1 : t.end]); err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}

// Fingerprint returns libpg_query's fingerprint of a text, 16 hexadecimal
// digits: the same for texts that differ in constants only. It returns "" for
// a text that cannot be guarded or parsed. Its size is not bounded here.
func Fingerprint(text string) string {
	if Guard(text, Options{MaxBytes: max(len(text), 1)}) != nil {
		return ""
	}
	print, err := inC(func() (string, error) { return cparser.FingerprintToHexStr(text) })
	if err != nil {
		return ""
	}
	return print
}
