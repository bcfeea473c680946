package parser

import "strings"

// Identity is a statement by which a client changes its own identity. It is for
// the proxy, not for the server.
type Identity struct {
	Name   string // IdentityToken or IdentityOrg
	Reset  bool   // RESET
	Select bool   // SELECT set_config(...), which returns a row; else SET
	Local  bool   // for the present transaction
	Param  bool   // the value is the parameter $1
	Value  string // else
}

// The settings that such statements name.
const (
	IdentityToken = "bulkhead.token"
	IdentityOrg   = "bulkhead.org_id"
)

// MayHoldToken reports whether a text that cannot be parsed may be meant for
// the proxy, with a token in it.
func MayHoldToken(text string) bool {
	b := []byte(text)
	return mentions(b, "bulkhead") && mentions(b, "token")
}

// ParseIdentity recognises a text that is exactly one of
//
//	SET [SESSION | LOCAL] bulkhead.token { = | TO } '...'
//	SELECT [pg_catalog.]set_config('bulkhead.token', { '...' | $1 }, { true | false })
//	RESET bulkhead.token
//
// or the same for bulkhead.org_id; letter case, white space, comments and one
// semicolon at the end do not matter. Anything else is an ordinary statement,
// and rules refuse those that name these settings.
func ParseIdentity(text []byte) (Identity, bool) {
	if !mentions(text, "bulkhead") {
		return Identity{}, false
	}
	// A comment that is not closed would swallow the mark at the end.
	r := &identityReader{lexer: lexer{text: string(text) + endMark}}
	var id Identity
	first := r.next()
	switch {
	case r.is(first, "set"):
		id, r.ok = r.set()
	case r.is(first, "reset"):
		id.Reset = true
		id.Name, r.ok = r.setting(r.next())
	case r.is(first, "select"):
		id, r.ok = r.call()
	}
	if !r.ok {
		return Identity{}, false
	}
	end := r.next()
	if end.kind == tokenSemicolon {
		end = r.next()
	}
	return id, end.start == len(text)+1 && r.expect(tokenEnd) && r.failed == nil
}

// endMark is a token that ends nothing that ParseIdentity takes.
const endMark = "\n)"

// mentions reports whether text holds word, in any letter case of ASCII.
func mentions(text []byte, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && equalFold(string(text[i:i+len(word)]), word) {
			return true
		}
	}
	return false
}

// equalFold compares as the server folds identifiers: ASCII alone. want is in
// lower case.
func equalFold(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

type identityReader struct {
	lexer
	ok bool
}

// is reports whether t is that word, not quoted.
func (r *identityReader) is(t token, word string) bool {
	return t.kind == tokenWord && equalFold(r.text[t.start:t.end], word)
}

func (r *identityReader) expect(kind tokenKind) bool { return r.next().kind == kind }

// setting reads the name of a setting that begins with t.
func (r *identityReader) setting(t token) (name string, ok bool) {
	if !r.is(t, "bulkhead") || !r.expect(tokenDot) {
		return "", false
	}
	switch t = r.next(); {
	case r.is(t, "token"):
		return IdentityToken, true
	case r.is(t, "org_id"):
		return IdentityOrg, true
	}
	return "", false
}

// set reads what follows SET.
func (r *identityReader) set() (id Identity, ok bool) {
	t := r.next()
	switch {
	case r.is(t, "local"):
		id.Local = true
		t = r.next()
	case r.is(t, "session"):
		t = r.next()
	}
	if id.Name, ok = r.setting(t); !ok {
		return id, false
	}
	if t = r.next(); !r.is(t, "to") && (t.kind != tokenOperator || r.text[t.start:t.end] != "=") {
		return id, false
	}
	id.Value, ok = r.literal(r.next())
	return id, ok
}

// call reads what follows SELECT.
func (r *identityReader) call() (id Identity, ok bool) {
	id.Select = true
	t := r.next()
	if r.is(t, "pg_catalog") {
		if !r.expect(tokenDot) {
			return id, false
		}
		t = r.next()
	}
	if !r.is(t, "set_config") || !r.open() {
		return id, false
	}
	name, ok := r.literal(r.next())
	switch {
	case !ok || !r.expect(tokenComma):
		return id, false
	case equalFold(name, IdentityToken):
		id.Name = IdentityToken
	case equalFold(name, IdentityOrg):
		id.Name = IdentityOrg
	default:
		return id, false
	}
	if t = r.next(); t.kind == tokenParam && r.text[t.start:t.end] == "$1" {
		id.Param = true
	} else if id.Value, ok = r.literal(t); !ok {
		return id, false
	}
	if !r.expect(tokenComma) {
		return id, false
	}
	t = r.next()
	id.Local = r.is(t, "true")
	if !id.Local && !r.is(t, "false") {
		return id, false
	}
	t = r.next()
	return id, t.kind == tokenClose && r.text[t.start] == ')'
}

func (r *identityReader) open() bool {
	t := r.next()
	return t.kind == tokenOpen && r.text[t.start] == '('
}

// literal returns the value of a string constant in plain quotes, in one
// piece.
func (r *identityReader) literal(t token) (value string, ok bool) {
	if t.kind != tokenString || r.text[t.start] != '\'' || t.end-t.start < 2 || r.text[t.end-1] != '\'' || r.failed != nil {
		return "", false
	}
	inner := r.text[t.start+1 : t.end-1]
	value = strings.ReplaceAll(inner, "''", "\x00")
	if strings.ContainsAny(value, "'") || strings.ContainsRune(inner, 0) {
		return "", false
	}
	return strings.ReplaceAll(value, "\x00", "'"), true
}
