package policy

import (
	"bytes"
	"regexp"
	"strings"
	"unsafe"

	"github.com/pgbulkhead/bulkhead/parser"
)

// names reports whether a constant at the place t names another org than the
// session's, which is org: "" means that it has none, and then every id is
// another's.
func (f orgForm) names(t *orgTerm, value, org string) bool {
	if org == "" {
		return true
	}
	switch {
	case t.flags&parser.FlagComputed != 0: // an id in disguise
		return t.match != parser.MatchUnequal && t.flags&parser.FlagColumnInRow == 0
	case t.flags&parser.FlagColumnInRow != 0:
		return f.namesInRow(t, value, org)
	case t.flags&(parser.FlagDocument|parser.FlagValueChanged) == parser.FlagDocument:
		return f.namesInDocument(t, value, org)
	case t.flags&parser.FlagAlternative != 0 && isNoOrg(value):
		return false
	}
	switch t.match {
	case parser.MatchUnequal:
		return f.namesOther(t, value, org)
	case parser.MatchLike:
		changed := t.flags&(parser.FlagColumnChanged|parser.FlagValueChanged) != 0
		return !f.holds(value, org) && !matchesLike(value, org) && !matchesLike(value, compactID(org)) && !(changed && f.partOf(value, org))
	case parser.MatchRegex:
		return !f.matchesRegex(value, org)
	case parser.MatchPart:
		part := inClass.ReplaceAllString(value, "")
		return len(part) >= leastPart[f] && !f.partOf(part, org)
	}
	switch {
	case t.flags&parser.FlagColumnChanged != 0:
		return !f.partOf(value, org)
	case t.flags&parser.FlagValueChanged != 0:
		return !f.holds(value, org) && !isNoOrg(value)
	}
	return !f.same(value, org) && !f.sameText(bytesOf(value), org) // the own org, or an array of it
}

// leastPart is from how many characters on what a function looks for in an id
// may be another: a function that puts ids into another form looks for less.
var leastPart = [...]int{orgText: 3, orgUUID: minFragment, orgInteger: 2}

// namesBound is names for a value of a Bind message.
func (f orgForm) namesBound(t *orgTerm, format int16, value []byte, org string) bool {
	if org != "" && format <= 1 && f.sameBound(format, value, org) {
		return false
	}
	if format == 1 {
		if text, raw := f.rawText(value); raw {
			return f.names(t, text, org)
		}
		value = bytes.TrimPrefix(value, []byte{1}) // the version of a jsonb
	}
	return f.names(t, string(value), org)
}

// bytesOf is the text as bytes that are only read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// isNoOrg reports whether a value stands for no org where there may be none:
// coalesce(org_id, 0).
func isNoOrg(value string) bool {
	return strings.Trim(value, "0-{} ") == "" || value == "-1"
}

// isID reports whether a text has the form of an id.
func (f orgForm) isID(value string) (ok bool) {
	switch f {
	case orgUUID:
		_, ok = parseUUID(value)
	case orgInteger:
		_, ok = parseInteger(value)
	default:
		ok = value != ""
	}
	return ok
}

// namesOther reports whether a value that the org is not, by the text, is
// another org's id, or a list with one in it.
func (f orgForm) namesOther(t *orgTerm, value, org string) bool {
	if t.flags&parser.FlagColumnChanged != 0 || f == orgUUID {
		return f == orgUUID && f.otherUUID(value, org) && !isNoOrg(value)
	}
	if isNoOrg(value) || f.same(value, org) || f.sameText(bytesOf(value), org) {
		return false
	}
	return (f.isID(value) || strings.HasPrefix(value, "{")) && !strings.Contains(value, "%") // NOT LIKE 'test%' names none
}

// otherUUID reports whether a text has a uuid in it that is not the org's.
func (f orgForm) otherUUID(text, org string) bool {
	if f != orgUUID {
		return false
	}
	own, _ := parseUUID(org)
	for i := 0; i < len(text); i++ {
		if _, hexadecimal := hexDigit(text[i]); !hexadecimal {
			continue
		}
		end := i
		for end < len(text) && isUUIDByte(text[end]) {
			end++
		}
		if id, ok := parseUUID(strings.Trim(text[i:end], "-")); ok && id != own {
			return true
		}
		i = end
	}
	return false
}

func isUUIDByte(c byte) bool {
	_, hexadecimal := hexDigit(c)
	return hexadecimal || c == '-'
}

// compactID is an id without what people put in for reading.
func compactID(s string) string { return strings.ReplaceAll(s, "-", "") }

// holds reports whether a text has the own org in it, as a word of its own
// where that is to be told.
func (f orgForm) holds(text, org string) bool {
	text, org = strings.ToLower(text), strings.ToLower(org)
	if f == orgUUID {
		return strings.Contains(compactID(text), compactID(org))
	}
	for rest := text; ; {
		i := strings.Index(rest, org)
		if i < 0 {
			return false
		}
		before, after := rest[:i], rest[i+len(org):]
		if f != orgInteger || !endsInDigit(before) && !(after != "" && isDigit(after[0])) {
			return true
		}
		rest = rest[i+1:]
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func endsInDigit(s string) bool { return s != "" && isDigit(s[len(s)-1]) }

// minFragment is from how many digits on a text is taken for a part of a uuid.
const minFragment = 4

// partOf reports whether a value that meets something made of the column may
// be made of the own org: it has that in it, is a part of it, or is nothing
// that looks like an id.
func (f orgForm) partOf(value, org string) bool {
	if f.same(value, org) || f.holds(value, org) {
		return true
	}
	plain := strings.ToLower(strings.Trim(value, "%_ "))
	within := strings.Contains(strings.ToLower(org), plain)
	switch f {
	case orgUUID:
		if f.otherUUID(value, org) {
			return false
		}
		digits, other := 0, false
		for i := range len(plain) {
			if _, hexadecimal := hexDigit(plain[i]); hexadecimal {
				digits++
			} else {
				other = other || plain[i] != '-'
			}
		}
		return other || digits < minFragment || within || strings.Contains(compactID(strings.ToLower(org)), compactID(plain))
	case orgInteger:
		return within || !strings.ContainsAny(plain, "0123456789") || strings.TrimLeft(plain, "-+0") == org
	}
	return within
}

// matchesLike reports whether the own org is like a pattern (PostgreSQL manual,
// 9.7.1), without regard to case.
func matchesLike(pattern, org string) bool {
	pattern, org = strings.ToLower(pattern), strings.ToLower(org)
	// back is where to go on when the part behind the last % does not fit.
	p, o, back, from := 0, 0, -1, 0
	for o < len(org) {
		switch {
		case p < len(pattern) && pattern[p] == '%':
			back, from = p, o
			p++
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == org[o]:
			p, o = p+2, o+1
			continue
		case p < len(pattern) && pattern[p] != '\\' && (pattern[p] == '_' || pattern[p] == org[o]):
			p, o = p+1, o+1
			continue
		case back < 0:
			return false
		}
		from++
		p, o = back+1, from
	}
	return strings.Trim(pattern[p:], "%") == ""
}

// inClass are the parts of a regular expression that name no text: classes and
// counts.
var inClass = regexp.MustCompile(`\[[^\]]*\]|\{[0-9, ]*\}|\\[a-zA-Z]|\(\?[:a-z]*`)

// maxPattern bounds the patterns that are looked into.
const maxPattern = 4 << 10

// matchesRegex reports whether a pattern finds the own org and has no text in
// it that is not of the own org.
func (f orgForm) matchesRegex(pattern, org string) bool {
	if len(pattern) > maxPattern {
		return false
	}
	for _, piece := range strings.FieldsFunc(inClass.ReplaceAllString(pattern, "|"), func(r rune) bool { return strings.ContainsRune(`^$.*+?()|\%_"#,;/ `, r) }) {
		if !f.partOf(piece, org) || f != orgUUID && !strings.Contains(strings.ToLower(org), strings.ToLower(piece)) {
			return false
		}
	}
	expression, err := regexp.Compile("(?i)" + strings.NewReplacer("%", ".*", "_", ".").Replace(pattern))
	return err != nil || expression.MatchString(org) || expression.MatchString(compactID(org))
}
