package catalog

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// readBody reads the code of a function as far as its language allows.
func readBody(language, source string) *Body {
	switch language {
	case "sql":
		return readSQL(standardBody(source))
	case "plpgsql":
		words, calls := scanWords(source)
		return &Body{Words: words, Calls: calls}
	default:
		return &Body{Unreadable: "language " + language}
	}
}

// standardBody turns a body in standard SQL, as pg_get_function_sqlbody writes
// it, into statements: RETURN e becomes SELECT e, and BEGIN ATOMIC ... END
// loses its frame.
func standardBody(source string) string {
	s := strings.TrimSpace(source)
	upper := strings.ToUpper(s)
	switch {
	case strings.HasPrefix(upper, "BEGIN ATOMIC") && strings.HasSuffix(upper, "END"):
		return s[len("BEGIN ATOMIC") : len(s)-len("END")]
	case strings.HasPrefix(upper, "RETURN ") || strings.HasPrefix(upper, "RETURN("):
		return "SELECT " + s[len("RETURN"):]
	}
	return source
}

// scanWords reads code in a procedural language whose literals and comments
// are SQL's. Words are unquoted identifiers and keywords in lower case and
// quoted identifiers as they are; a qualified name is one word, with its dots.
// Calls are the words before an opening parenthesis.
func scanWords(source string) (words, calls []string) {
	s := scanner{text: source}
	for s.next() {
		if s.word == "" {
			continue
		}
		words = append(words, s.word)
		if s.peek() == '(' {
			calls = append(calls, s.word)
		}
	}
	return words, calls
}

// scanner walks over source text; word is the identifier just read, "" for
// anything else.
type scanner struct {
	text string
	at   int
	word string
}

func (s *scanner) next() bool {
	s.word = ""
	if s.at >= len(s.text) {
		return false
	}
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"):
		s.skipTo("\n", 2)
	case strings.HasPrefix(rest, "/*"):
		s.skipComment()
	case c == '\'':
		s.skipString()
	case c == '$':
		s.skipDollar()
	case isNameStart(c) || c == '"':
		s.readName()
	default:
		s.at++
	}
	return true
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	rest := strings.TrimLeft(s.text[s.at:], " \t\r\n\f\v")
	if rest == "" {
		return 0
	}
	return rest[0]
}

func (s *scanner) skipTo(end string, from int) {
	i := strings.Index(s.text[s.at+from:], end)
	if i < 0 {
		s.at = len(s.text)
		return
	}
	s.at += from + i + len(end)
}

func (s *scanner) skipComment() {
	depth := 0
	for s.at < len(s.text) {
		switch rest := s.text[s.at:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.at += 2
		case strings.HasPrefix(rest, "*/"):
			s.at += 2
			if depth--; depth == 0 {
				return
			}
		default:
			s.at++
		}
	}
}

// skipString skips a literal; only E'...' knows backslashes.
func (s *scanner) skipString() {
	escapes := s.at > 0 && (s.text[s.at-1] == 'e' || s.text[s.at-1] == 'E') &&
		(s.at == 1 || !isNamePart(s.text[s.at-2])) // E'...', not date'...'
	for s.at++; s.at < len(s.text); s.at++ {
		switch {
		case escapes && s.text[s.at] == '\\':
			s.at++
		case s.text[s.at] == '\'':
			s.at++
			return
		}
	}
	s.at = len(s.text)
}

// skipDollar skips a parameter ($1) or a dollar-quoted literal.
func (s *scanner) skipDollar() {
	end := strings.IndexByte(s.text[s.at+1:], '$')
	if end < 0 || !isTag(s.text[s.at+1:s.at+1+end]) {
		s.at++
		return
	}
	tag := s.text[s.at : s.at+end+2]
	s.skipTo(tag, len(tag))
}

func isTag(tag string) bool {
	for i := 0; i < len(tag); i++ {
		if !isNameStart(tag[i]) && (i == 0 || tag[i] < '0' || tag[i] > '9') {
			return false
		}
	}
	return true
}

func isNameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

func isNamePart(c byte) bool { return isNameStart(c) || '0' <= c && c <= '9' || c == '$' }

// readName reads a name with its dots.
func (s *scanner) readName() {
	var b strings.Builder
	for s.at < len(s.text) {
		if s.text[s.at] == '"' {
			s.readQuoted(&b)
		} else {
			start := s.at
			for s.at < len(s.text) && isNamePart(s.text[s.at]) {
				s.at++
			}
			b.WriteString(strings.ToLower(s.text[start:s.at]))
		}
		if s.at+1 >= len(s.text) || s.text[s.at] != '.' || (!isNameStart(s.text[s.at+1]) && s.text[s.at+1] != '"') {
			break
		}
		b.WriteByte('.')
		s.at++
	}
	s.word = b.String()
}

func (s *scanner) readQuoted(b *strings.Builder) {
	for s.at++; s.at < len(s.text); s.at++ {
		if s.text[s.at] == '"' {
			if s.at+1 == len(s.text) || s.text[s.at+1] != '"' {
				s.at++
				return
			}
			s.at++
		}
		b.WriteByte(s.text[s.at])
	}
}

// readSQL reads SQL code.
func readSQL(source string) *Body {
	batch, err := parser.Parse(source, parser.Options{})
	if err != nil {
		return &Body{Unreadable: "it cannot be parsed"}
	}
	return &Body{Batch: batch}
}
