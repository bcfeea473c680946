package parser

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Options say how texts are parsed.
type Options struct {
	// TenantColumns are the columns that carry the org, as the server folds
	// them. Where one meets a value there is a TenantTerm.
	TenantColumns []string
	// Tables returns what is known of the tables that a name may stand for;
	// nil where nothing is.
	Tables func(Name) []Table
	// MaxBytes bounds a text; 0 means DefaultMaxBytes.
	MaxBytes int
}

// DefaultMaxBytes is the bound on a text when Options has none.
const DefaultMaxBytes = 1 << 20

// The bounds of Guard. libpg_query has no check of its own that works: chains
// of 21,000 operators overflow the stack of its output functions, comments and
// operator characters cost the square of their number. PostgreSQL refuses
// chains of 4,000 to 6,000 itself.
const (
	maxCommentNesting = 16
	maxOperatorRun    = 63       // bytes; NAMEDATALEN - 1
	freeSigns         = 64 << 10 // bytes that the scanner may read more than once
	signsFactor       = 8        // and how often each byte of the text, on average
	maxNesting        = 500
	maxChain          = 2000
	maxAtomic         = 16 // function bodies in functions
	maxWarnings       = 4  // GLOBAL TEMP: each warning costs a look at the whole text before it
)

// Guard checks in one linear pass that a text can be given to libpg_query: its
// size, encoding, nesting and chains. It is conservative: it may refuse what
// would be harmless, but a text that it passes neither overflows a stack nor
// takes more than the square of a small number. The error is an [*Error].
//
// It lexes as the server does with standard_conforming_strings = on, and
// refuses numbers that versions of the server read in different ways.
func Guard(text string, o Options) error {
	limit := o.MaxBytes
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if len(text) > limit {
		return newError(ErrorTooLarge, "the statement is longer than "+strconv.Itoa(limit)+" bytes", stateLimitExceeded)
	}
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		return newError(ErrorNotText, "the statement is not valid UTF-8 or contains a NUL", stateBadEncoding)
	}
	g := guards.Get().(*guard)
	*g = guard{lexer: lexer{text: text}, levels: append(g.levels[:0], level{})}
	err := g.run()
	g.text = ""
	guards.Put(g)
	return err
}

// guards are kept for their levels.
var guards = sync.Pool{New: func() any { return new(guard) }}

// level is what is known of the nesting level at which the guard stands: a
// pair of brackets, a CASE, or the text itself.
//
// The depth of a tree is bounded by the sum of the operators on one level and
// the deepest level inside it. Lists do not deepen a tree: so at a comma, AND
// or OR (which the parser flattens) the count of operators begins anew. Joins
// and set operations reach across those and are counted apart.
type level struct {
	opener  byte // '(' , '[', 'C' for CASE, 0 for the text
	between bool // BETWEEN was seen, the next AND belongs to it
	ops     int  // operators in the current item
	inner   int  // depth of the deepest level inside the current item
	deepest int  // depth of the deepest item before
	joins   int  // joins and set operations
}

func (l *level) depth() int { return l.joins + max(l.deepest, l.ops+l.inner) }

// next ends an item: what follows is beside it, not above it.
func (l *level) next() {
	l.deepest = max(l.deepest, l.ops+l.inner)
	l.ops, l.inner = 0, 0
}

type guard struct {
	lexer
	levels   []level
	afterDot bool // the last token was a dot: a word is a name, not a keyword
	atomic   int
	globals  int  // GLOBAL TEMP and GLOBAL TEMPORARY so far
	global   bool // the last token was GLOBAL
	failed   *Error
}

func (g *guard) run() error {
	for g.failed == nil {
		t := g.lexer.next()
		if t.kind == tokenEnd {
			break
		}
		g.token(t)
		g.afterDot = t.kind == tokenDot
		g.global = t.kind == tokenWord && strings.EqualFold(g.text[t.start:t.end], "global")
	}
	if g.failed == nil {
		g.failed = g.lexer.failed
	}
	if g.failed != nil { // a nil *Error must not become an error
		return g.failed
	}
	return nil
}

func (g *guard) top() *level { return &g.levels[len(g.levels)-1] }

func (g *guard) token(t token) {
	switch t.kind {
	case tokenOperator:
		g.operators(t.count)
	case tokenOpen:
		g.open(g.text[t.start])
	case tokenClose:
		g.close(g.text[t.start])
	case tokenComma:
		g.top().next()
	case tokenSemicolon:
		g.semicolon()
	case tokenWord:
		if !g.afterDot {
			g.word(g.text[t.start:t.end])
		}
	}
}

// operators counts n operators on the current level.
func (g *guard) operators(n int) {
	l := g.top()
	l.ops += n
	g.check(l)
}

func (g *guard) check(l *level) {
	if l.depth() > maxChain {
		g.fail("the statement chains or nests more than " + strconv.Itoa(maxChain) + " operators, joins or set operations")
	}
}

func (g *guard) fail(reason string) {
	g.failed = newError(ErrorTooDeep, reason, stateTooComplex)
}

func (g *guard) open(opener byte) {
	if len(g.levels) > maxNesting {
		g.fail("the statement nests more than " + strconv.Itoa(maxNesting) + " levels deep")
		return
	}
	g.levels = append(g.levels, level{opener: opener})
}

// close ends levels up to the one that the bracket closes. A CASE without END
// ends with the brackets around it: it was a name.
func (g *guard) close(closer byte) {
	opener := byte('(')
	if closer == ']' {
		opener = '['
	}
	for len(g.levels) > 1 {
		found := g.top().opener
		g.pop()
		if found == opener {
			return
		}
	}
}

func (g *guard) pop() {
	depth := g.top().depth() + 1
	g.levels = g.levels[:len(g.levels)-1]
	l := g.top()
	l.inner = max(l.inner, depth)
	g.check(l)
}

// semicolon begins a statement anew unless it stands in brackets.
func (g *guard) semicolon() {
	for i := range g.levels {
		if o := g.levels[i].opener; o == '(' || o == '[' {
			g.top().next()
			return
		}
	}
	g.levels = g.levels[:1]
	g.levels[0] = level{}
}

// longestWord is the longest keyword that word looks at.
const longestWord = 9

// word looks at a word that may be a keyword.
func (g *guard) word(w string) {
	if len(w) > longestWord {
		return
	}
	var buffer [longestWord]byte
	for i := range len(w) {
		c := w[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	l := g.top()
	switch string(buffer[:len(w)]) {
	case "and":
		if l.between {
			l.between = false
			return
		}
		l.next()
	case "or":
		l.next()
	case "between":
		l.between = true
		g.operators(1)
	case "not", "is", "isnull", "notnull", "collate", "at", "in", "like", "ilike", "similar", "operator", "overlaps", "escape", "uescape":
		g.operators(1)
	case "join", "union", "intersect", "except":
		l.joins++
		g.check(l)
	default:
		g.caseWord(string(buffer[:len(w)]))
	}
}

func (g *guard) caseWord(w string) {
	switch w {
	case "case":
		g.open('C')
	case "when", "then", "else":
		if g.top().opener == 'C' {
			g.top().next()
		}
	case "end":
		if g.top().opener == 'C' {
			g.pop()
		}
	case "temp", "temporary":
		if g.globals += boolToInt(g.global); g.globals > maxWarnings {
			g.fail("too many GLOBAL TEMPORARY in one statement")
		}
	case "atomic":
		if g.atomic++; g.atomic > maxAtomic {
			g.fail("too many function bodies in one statement")
		}
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
