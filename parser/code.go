package parser

import "strings"

// CodeKind is the kind of a CodeToken.
type CodeKind uint8

// The kinds.
const (
	CodeWord   CodeKind = iota // a name or keyword, in lower case; a quoted name as it is
	CodeString                 // a literal; Text is what stands between the quotes
	CodeOther                  // a number, parameter, operator or punctuation
)

// CodeToken is one token of code.
type CodeToken struct {
	Kind       CodeKind
	Text       string
	Quoted     bool // a name in double quotes: certainly no keyword
	Start, End int  // in the text
}

// Code cuts the code of a procedural language whose literals, names and
// comments are SQL's, as PL/pgSQL's are. ok is false where that fails.
func Code(text string) (tokens []CodeToken, ok bool) {
	if Guard(text, Options{}) != nil {
		return nil, false
	}
	l := lexer{text: text}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		c := CodeToken{Kind: CodeOther, Text: text[t.start:t.end], Start: t.start, End: t.end}
		switch t.kind {
		case tokenWord:
			c.Kind, c.Text = CodeWord, strings.ToLower(c.Text)
		case tokenQuoted:
			c.Kind, c.Quoted = CodeWord, true
			c.Text = strings.ReplaceAll(strings.Trim(c.Text, `"`), `""`, `"`)
		case tokenString:
			c.Kind, c.Text = CodeString, insideQuotes(c.Text)
		}
		tokens = append(tokens, c)
	}
	return tokens, l.failed == nil
}

// insideQuotes returns what stands between the quotes of a literal. Escapes
// stay as they are written.
func insideQuotes(literal string) string {
	if strings.HasPrefix(literal, "$") {
		tag := literal[:strings.IndexByte(literal[1:], '$')+2]
		return strings.TrimSuffix(literal[len(tag):], tag)
	}
	first, last := strings.IndexByte(literal, '\''), strings.LastIndexByte(literal, '\'')
	if first < 0 || last <= first {
		return ""
	}
	return strings.ReplaceAll(literal[first+1:last], "''", "'")
}
