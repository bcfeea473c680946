package parser

import "strings"

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted // "..." and U&"..."
	tokenString // every form of string
	tokenNumber
	tokenParam
	tokenOperator
	tokenOpen
	tokenClose
	tokenComma
	tokenSemicolon
	tokenDot
	tokenOther
)

type token struct {
	kind       tokenKind
	start, end int
	count      int // tokenOperator: how many operators it may be
}

// lexer cuts a text into tokens as the server's scanner does (scan.l), with
// standard_conforming_strings = on. Where it would need to know more it fails.
type lexer struct {
	text   string
	pos    int
	failed *Error
	// See signs: the end of the run of operator bytes that pos is in, and how
	// much was read so far.
	signsEnd, signsRead int
}

const (
	operatorBytes = "~!@#^&|`?+-*/%<>="
	// an operator with one of these is one token, whatever it ends with
	specialOperatorBytes = "~!@#^&|`?%"
)

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWordStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

func isWordByte(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }

func isOperatorByte(c byte) bool { return strings.IndexByte(operatorBytes, c) >= 0 }

// at returns the byte i places ahead, 0 at the end of the text, which has no
// NUL itself.
func (l *lexer) at(i int) byte {
	if l.pos+i < len(l.text) {
		return l.text[l.pos+i]
	}
	return 0
}

// next returns the next token. White space and comments are skipped.
func (l *lexer) next() token {
	l.skip()
	if l.failed != nil || l.pos >= len(l.text) {
		return token{kind: tokenEnd, start: l.pos, end: l.pos}
	}
	t := token{start: l.pos, kind: tokenOther}
	switch c := l.at(0); {
	case isWordStart(c):
		t.kind = l.word()
	case c == '.' && l.at(1) == '.':
		l.pos += 2
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		t.kind = tokenNumber
		l.number()
	case c == '\'':
		t.kind = tokenString
		l.quoted('\'', quotePlain)
	case c == '"':
		t.kind = tokenQuoted
		l.quoted('"', quotePlain)
	case c == '$':
		t.kind = l.dollar()
	case isOperatorByte(c):
		t.kind = tokenOperator
		t.count = l.operator()
	case c == ':':
		t.kind, t.count = tokenOperator, 1
		l.pos++
		if l.at(0) == ':' || l.at(0) == '=' {
			l.pos++
		}
	default:
		t.kind = punctuation(c)
		l.pos++
	}
	t.end = l.pos
	return t
}

func punctuation(c byte) tokenKind {
	switch c {
	case '(', '[':
		return tokenOpen
	case ')', ']':
		return tokenClose
	case ',':
		return tokenComma
	case ';':
		return tokenSemicolon
	case '.':
		return tokenDot
	}
	return tokenOther
}

// skip passes over white space and comments.
func (l *lexer) skip() {
	for l.pos < len(l.text) && l.failed == nil {
		switch c := l.at(0); {
		case isSpace(c):
			l.pos++
		case c == '\v':
			l.verticalTab()
		case c == '-' && l.at(1) == '-':
			l.lineComment()
		case c == '/' && l.at(1) == '*':
			l.blockComment()
		default:
			return
		}
	}
}

// verticalTab refuses one outside of quotes: it is white space from PostgreSQL 16
// on and a syntax error before, and between the parts of a string it is neither.
func (l *lexer) verticalTab() {
	l.failed = newError(ErrorUnsafe, "a vertical tab outside of quotes", stateSyntaxError)
	l.failed.Position = characters(l.text, l.pos)
}

func (l *lexer) lineComment() {
	if n := strings.IndexAny(l.text[l.pos:], "\n\r"); n >= 0 {
		l.pos += n
		return
	}
	l.pos = len(l.text)
}

func (l *lexer) blockComment() {
	depth := 0
	for l.pos < len(l.text) {
		switch {
		case l.at(0) == '/' && l.at(1) == '*':
			if depth++; depth > maxCommentNesting {
				l.failed = newError(ErrorTooDeep, "comments are nested too deep", stateTooComplex)
				return
			}
			if l.signs(); l.failed != nil {
				return
			}
			l.pos += 2
		case l.at(0) == '*' && l.at(1) == '/':
			l.pos += 2
			if depth--; depth == 0 {
				return
			}
		default:
			l.pos++
		}
	}
}

// word reads a name or keyword, or a string with a prefix.
func (l *lexer) word() tokenKind {
	c := l.at(0) | 0x20
	switch {
	case l.at(1) == '\'' && (c == 'e' || c == 'b' || c == 'x' || c == 'n'):
		l.pos++
		switch c {
		case 'e':
			l.quoted('\'', quoteEscapes)
		case 'n':
			l.quoted('\'', quotePlain)
		default:
			l.quoted('\'', quoteBits)
		}
		return tokenString
	case c == 'u' && l.at(1) == '&' && (l.at(2) == '\'' || l.at(2) == '"'):
		l.pos += 2
		if l.at(0) == '"' {
			l.quoted('"', quotePlain)
			return tokenQuoted
		}
		l.quoted('\'', quotePlain)
		return tokenString
	}
	for l.pos < len(l.text) && isWordByte(l.at(0)) {
		l.pos++
	}
	return tokenWord
}

// quoteMode says what is special between quotes.
type quoteMode uint8

const (
	quotePlain   quoteMode = iota // a doubled quote is one
	quoteEscapes                  // and a backslash escapes
	quoteBits                     // nothing: B'' and X''
)

// quoted passes over a string or a quoted name; the lexer stands at the
// opening quote.
func (l *lexer) quoted(quote byte, mode quoteMode) {
	for l.pos++; l.pos < len(l.text); l.pos++ {
		switch c := l.at(0); {
		case c == '\\' && mode == quoteEscapes:
			l.pos++
		case c == quote:
			if l.at(1) == quote && mode != quoteBits {
				l.pos++
				continue
			}
			l.pos++
			if mode == quotePlain || !l.continued() {
				return
			}
		}
	}
	l.pos = len(l.text)
}

// continued reports whether a string goes on, as what it is, behind white space
// with a newline in it (PostgreSQL manual, 4.1.2.1), and then moves to the
// opening quote of what follows.
func (l *lexer) continued() bool {
	end := l.pos
	newline, block := false, false
	for l.pos < len(l.text) && l.failed == nil {
		c := l.at(0)
		switch {
		case isSpace(c):
			newline = newline || c == '\n' || c == '\r'
			l.pos++
		case c == '-' && l.at(1) == '-':
			l.lineComment()
		case c == '/' && l.at(1) == '*':
			block = true
			l.blockComment()
		case c == '\'' && newline && !block:
			return true
		case c == '\'':
			l.failed = newError(ErrorSyntax, "two strings side by side", stateSyntaxError)
			return false
		default:
			l.pos = end
			return false
		}
	}
	l.pos = end
	return false
}

// number reads a decimal number. What is glued to it is read differently by
// versions of the server: 1_000, 0x1F, 1a.
func (l *lexer) number() {
	for isDigit(l.at(0)) {
		l.pos++
	}
	if l.at(0) == '.' && l.at(1) != '.' {
		l.pos++
		for isDigit(l.at(0)) {
			l.pos++
		}
	}
	if c := l.at(0) | 0x20; c == 'e' {
		n := 1
		if l.at(n) == '+' || l.at(n) == '-' {
			n++
		}
		if isDigit(l.at(n)) {
			l.pos += n
			for isDigit(l.at(0)) {
				l.pos++
			}
		}
	}
	if isWordByte(l.at(0)) {
		l.junk()
	}
}

func (l *lexer) junk() {
	l.failed = newError(ErrorUnsafe, "trailing junk after numeric literal or parameter", stateSyntaxError)
	l.failed.Position = characters(l.text, l.pos)
}

// dollar reads a parameter, a dollar-quoted string, or a lonely dollar.
func (l *lexer) dollar() tokenKind {
	if isDigit(l.at(1)) {
		for l.pos++; isDigit(l.at(0)); l.pos++ {
		}
		if isWordByte(l.at(0)) {
			l.junk()
		}
		return tokenParam
	}
	n := 1
	if isWordStart(l.at(n)) {
		for n++; isWordStart(l.at(n)) || isDigit(l.at(n)); n++ {
		}
	}
	if l.at(n) != '$' {
		l.pos++
		return tokenOther
	}
	tag := l.text[l.pos : l.pos+n+1]
	l.pos += len(tag)
	if end := strings.Index(l.text[l.pos:], tag); end >= 0 {
		l.pos += end + len(tag)
	} else {
		l.pos = len(l.text)
	}
	return tokenString
}

// operator reads a run of operator bytes and returns how many operators it may
// be: the scanner cuts +- into two, but never @-.
func (l *lexer) operator() int {
	l.signs()
	start, special := l.pos, false
	for l.pos < len(l.text) && isOperatorByte(l.at(0)) {
		if c := l.at(0); c == '-' && l.at(1) == '-' || c == '/' && l.at(1) == '*' {
			break
		}
		special = special || strings.IndexByte(specialOperatorBytes, l.at(0)) >= 0
		l.pos++
	}
	run := l.text[start:l.pos]
	switch {
	case len(run) > maxOperatorRun:
		l.failed = newError(ErrorTooDeep, "an operator is too long", stateTooComplex)
	case special, run == "<=", run == ">=", run == "<>", run == "=>":
		return 1
	}
	return len(run)
}

// signs counts what the scanners of the server and of libpg_query do at the
// beginning of an operator or comment: they read on to the end of all operator
// bytes, and go back to where the operator ends, or behind the slash and star.
// So comments without a space between them cost the square of their number.
func (l *lexer) signs() {
	if l.pos >= l.signsEnd {
		l.signsEnd = l.pos
		for l.signsEnd < len(l.text) && isOperatorByte(l.text[l.signsEnd]) {
			l.signsEnd++
		}
	}
	if l.signsRead += l.signsEnd - l.pos; l.signsRead > freeSigns+signsFactor*len(l.text) {
		l.failed = newError(ErrorTooDeep, "too many comments or operators follow each other without a space", stateTooComplex)
	}
}

// characters returns the position of a byte in characters, from 1.
func characters(text string, bytes int) int {
	n := 1
	for range text[:bytes] {
		n++
	}
	return n
}
