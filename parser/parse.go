package parser

import (
	"errors"
	"runtime"
	"slices"
	"strings"

	cparser "github.com/pganalyze/pg_query_go/v5/parser"
)

// slots bounds the parses at one time: each occupies a thread.
var slots = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// inC runs work that calls C, with a slot.
func inC[T any](work func() (T, error)) (T, error) {
	slots <- struct{}{}
	defer func() { <-slots }()
	return work()
}

// Parse guards and parses a text and returns its facts. The error is an
// [*Error].
func Parse(text string, o Options) (*Batch, error) {
	if err := Guard(text, o); err != nil {
		return nil, err
	}
	var walked error
	b, err := inC(func() (b *Batch, err error) {
		return withTree(text, func(tree []byte) (*Batch, error) {
			b, walked = walk(text, tree, o)
			return b, nil
		})
	})
	if err != nil {
		return nil, syntaxError(text, err)
	}
	return b, walked
}

// syntaxError makes an Error of one of libpg_query.
func syntaxError(text string, err error) error {
	var failure *cparser.Error
	if !errors.As(err, &failure) {
		return newError(ErrorSyntax, "the statement cannot be parsed", stateSyntaxError)
	}
	e := newError(ErrorSyntax, "syntax error", stateSyntaxError)
	e.Message = failure.Message
	e.Position = failure.Cursorpos
	if before, _, found := strings.Cut(failure.Message, `at or near`); found {
		e.Reason = strings.TrimSpace(before)
	}
	if strings.Contains(failure.Message, "memory exhausted") || strings.Contains(failure.Message, "stack depth") {
		*e = *newError(ErrorTooDeep, "the statement is nested too deep", stateTooComplex)
	}
	if e.Position > len(text)+1 {
		e.Position = 0
	}
	return e
}

// walk turns a parse tree into facts.
func walk(text string, tree []byte, o Options) (*Batch, error) {
	root := node{loadSchema()["ParseResult"], tree}
	count, ok := root.statements()
	if !ok {
		return nil, newError(ErrorUnsafe, "the parse tree is not one that the guard knows", stateSyntaxError)
	}
	b := batches.Get().(*Batch)
	b.Text, b.options = text, o
	b.Statements = slices.Grow(b.Statements, count)[:count]
	i := 0
	root.each("stmts", func(raw node) {
		s := &b.Statements[i]
		s.Start, s.End = raw.int("stmt_location"), len(text)
		if n := raw.int("stmt_len"); n > 0 {
			s.End = s.Start + n
		}
		b.walker = walker{statement: s, options: &b.options, flow: b.walker.flow.reset()}
		b.walker.top(raw)
		i++
	})
	return b, nil
}

// statements returns how many statements a ParseResult has; ok is false if it
// holds what the schema does not know.
func (n node) statements() (count int, ok bool) {
	r := n.read()
	for r.next() {
		if r.field == nil {
			return 0, false
		}
		if r.field.name == "stmts" {
			count++
		}
	}
	return count, !r.bad
}

// finish makes lists of facts short and their order certain.
func (s *Statement) finish() {
	s.Unclassified = compact(s.Unclassified)
	s.Attributes = compact(s.Attributes)
	s.Selected = compact(s.Selected)
	s.Roles = compact(s.Roles)
	s.Options = compact(s.Options)
	slices.Sort(s.Nested)
	s.Nested = slices.Compact(s.Nested)
}

func compact(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
