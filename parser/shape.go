package parser

import "unicode/utf8"

// Marks that take the place of a constant or comment in a shape. A text that
// has a byte like them has no shape.
const (
	markInteger = 1 + iota // fits an int4: the grammar's ICONST
	markNumber             // a larger integer, or decimal: FCONST
	markString             // SCONST
	markComment
)

// shapeClass says what a byte of a text may begin, for AppendShape.
type shapeClass uint8

const (
	shapeNone    shapeClass = iota // nothing: the text has no shape
	shapePlain                     // itself: operators, brackets, white space
	shapeWord                      // a key word or identifier
	shapeDigit                     // a number
	shapeString                    // '
	shapeQuoted                    // "
	shapeDollar                    // a parameter
	shapeDot                       // a dot, not that of a number
	shapeMinus                     // an operator, not a comment
	shapeSlash                     // an operator or a comment
	shapeAnd                       // an operator, not that of U&
	shapeUnicode                   // inside quotes only
)

var shapeClasses = func() (table [256]shapeClass) {
	for c := range 256 {
		switch b := byte(c); {
		case isWordStart(b) && b < 0x80:
			table[c] = shapeWord
		case isDigit(b):
			table[c] = shapeDigit
		case b >= 0x80:
			table[c] = shapeUnicode
		}
	}
	for _, c := range " \t\n\r()[],;:=<>+*%^|?~!@#`" {
		table[c] = shapePlain
	}
	table['\''], table['"'], table['$'], table['.'] = shapeString, shapeQuoted, shapeDollar, shapeDot
	table['-'], table['/'], table['&'] = shapeMinus, shapeSlash, shapeAnd
	return table
}()

// AppendShape appends the shape of a text to dst: the text with each constant
// replaced by a mark of its kind, and each comment by another. Two texts of
// one shape have the same tokens apart from the values of their constants, so
// all facts that read no constant are the same (see [Batch.ConstantRead]). ok
// is false if the text has no shape: it is not plain enough to be sure (escape
// and dollar-quoted strings, line comments, anything that the scanners of
// versions might read in different ways). It does not allocate if dst has room
// for len(text) bytes.
//
// It reads what the server's scanner does with standard_conforming_strings =
// on (scan.l), but only the part that needs no second thought. That both agree
// is fuzzed against libpg_query's scanner.
func AppendShape(dst, text []byte) (shape []byte, ok bool) {
	s := shaper{text: text}
	begin := len(dst)
	for s.pos < len(text) {
		start := s.pos
		var mark byte
		switch c := text[start]; shapeClasses[c] {
		case shapePlain:
			s.pos++
		case shapeWord:
			s.word()
		case shapeDigit:
			mark = s.number()
		case shapeString:
			mark = s.quoted('\'', markString)
		case shapeQuoted:
			s.quoted('"', 0)
		case shapeDollar:
			s.parameter()
		case shapeDot:
			s.pos++
			s.not(isDigit(s.at(0)) || s.at(0) == '.')
		case shapeMinus:
			s.pos++
			s.not(s.at(0) == '-')
		case shapeSlash:
			mark = s.slash()
		case shapeAnd:
			s.pos++
			s.not(s.at(0) == '\'' || s.at(0) == '"')
		default:
			return dst[:begin], false
		}
		if s.failed {
			return dst[:begin], false
		}
		if mark != 0 {
			dst = append(dst, mark)
		} else {
			dst = append(dst, text[start:s.pos]...)
		}
	}
	if s.unicode && !utf8.Valid(text) {
		return dst[:begin], false
	}
	return dst, true
}

type shaper struct {
	text    []byte
	pos     int
	failed  bool
	unicode bool // there are bytes beyond ASCII
}

// at returns the byte i places ahead, 0 at the end.
func (s *shaper) at(i int) byte {
	if s.pos+i < len(s.text) {
		return s.text[s.pos+i]
	}
	return 0
}

// not fails if what is given is true.
func (s *shaper) not(bad bool) { s.failed = s.failed || bad }

// apart fails if a word or string stands right behind: it would be one token
// with what is before, or is read differently by some version.
func (s *shaper) apart() {
	switch shapeClasses[s.at(0)] {
	case shapeWord, shapeDigit, shapeUnicode, shapeString, shapeQuoted, shapeDollar:
		s.failed = true
	}
}

func (s *shaper) word() {
	for {
		s.pos++
		c := s.at(0)
		switch shapeClasses[c] {
		case shapeWord, shapeDigit:
		default:
			// E'...' and the like, "a$b" and words beyond ASCII.
			s.not(c == '\'' || c == '"' || c == '$' || c >= 0x80)
			return
		}
	}
}

// number reads 17 and 1.5. Leading zeros are left to the parser: 0x1F, 0b1.
func (s *shaper) number() byte {
	start := s.pos
	value := uint64(0)
	for isDigit(s.at(0)) {
		value = value*10 + uint64(s.at(0)-'0')
		s.pos++
	}
	digits := s.pos - start
	s.not(digits > 1 && s.text[start] == '0' || digits > 18)
	mark := byte(markInteger)
	if value > 1<<31-1 {
		mark = markNumber
	}
	if s.at(0) == '.' {
		s.pos++
		s.not(!isDigit(s.at(0)))
		for isDigit(s.at(0)) {
			s.pos++
		}
		mark = markNumber
		s.not(s.at(0) == '.')
	}
	s.apart()
	return mark
}

// quoted reads '...' or "...", with doubled quotes in it.
func (s *shaper) quoted(quote, mark byte) byte {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == quote:
			if s.at(1) != quote {
				s.pos++
				s.apart()
				return mark
			}
			s.pos++
		case c >= 0x80:
			s.unicode = true
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == '\\':
			s.failed = true
			return 0
		}
	}
	s.failed = true
	return 0
}

// parameter reads $1.
func (s *shaper) parameter() {
	s.pos++
	s.not(!isDigit(s.at(0)))
	for isDigit(s.at(0)) {
		s.pos++
	}
	s.apart()
}

// slash reads an operator, or a comment without another one in it.
func (s *shaper) slash() byte {
	s.pos++
	if s.at(0) != '*' {
		return 0
	}
	for s.pos++; s.pos+1 < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '*' && s.text[s.pos+1] == '/':
			s.pos += 2
			return markComment
		case c == '/' && s.text[s.pos+1] == '*', c == 0:
			s.failed = true
			return 0
		case c >= 0x80:
			s.unicode = true
		}
	}
	s.failed = true
	return 0
}
