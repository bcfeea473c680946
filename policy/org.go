package policy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// orgForm is how ids of orgs are compared: Options.OrgType.
type orgForm uint8

const (
	orgText orgForm = iota
	orgUUID
	orgInteger
)

const (
	uuidBytes  = 16
	uuidDigits = 32
)

// parseUUID reads a uuid; it does not allocate. Where the server would refuse
// a hyphen or brace it may take it: the server then fails the statement.
func parseUUID(s string) (raw [uuidBytes]byte, ok bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] == '-' {
			continue
		}
		digit, hexadecimal := hexDigit(s[i])
		if !hexadecimal || n == uuidDigits {
			return raw, false
		}
		raw[n/2] = raw[n/2]<<4 | digit
		n++
	}
	return raw, n == uuidDigits
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func parseInteger(s string) (int64, bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	if strings.Contains(s, "_") { // the server's version decides what 1_0 is
		return 0, false
	}
	if i := strings.IndexByte(s, '.'); i > 0 && strings.Trim(s[i+1:], "0") == "" {
		s = s[:i] // 7.0 equals 7
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// rawText is the text of an id in binary form; ok is false if value has not
// the size of one.
func (f orgForm) rawText(value []byte) (text string, ok bool) {
	switch {
	case f == orgUUID && len(value) == uuidBytes:
		return hex.EncodeToString(value), true
	case f == orgInteger && isIntegerSize(len(value)):
		return strconv.FormatInt(decodeInteger(value), 10), true
	}
	return "", false
}

// same reports whether value names org. It does not allocate for a valid id.
func (f orgForm) same(value, org string) bool {
	if value == org {
		return true
	}
	switch f {
	case orgUUID:
		a, ok := parseUUID(value)
		b, okToo := parseUUID(org)
		return ok && okToo && a == b
	case orgInteger:
		a, ok := parseInteger(value)
		b, okToo := parseInteger(org)
		return ok && okToo && a == b
	default:
		return false
	}
}

// sameRaw compares an id in binary form; known is false if value has not the
// size of one.
func (f orgForm) sameRaw(value []byte, org string) (same, known bool) {
	switch {
	case f == orgUUID && len(value) == uuidBytes:
		want, ok := parseUUID(org)
		return ok && bytes.Equal(value, want[:]), true
	case f == orgInteger && isIntegerSize(len(value)):
		want, ok := parseInteger(org)
		return ok && decodeInteger(value) == want, true
	}
	return false, false
}

// sameBound reports whether a bound value names org and nothing else: as a
// scalar, or as an array with that org only. format is 0 for text and 1 for
// binary (PostgreSQL manual, Bind). The parameter's type is not known here, so
// a binary value of 2, 4 or 8 bytes is read as an integer when orgs are
// integers.
func (f orgForm) sameBound(format int16, value []byte, org string) bool {
	switch format {
	case 0:
		return f.sameText(value, org)
	case 1:
		return f.sameBinary(value, org)
	default:
		return false
	}
}

func (f orgForm) sameText(value []byte, org string) bool {
	if string(value) == org || f.same(string(value), org) {
		return true
	}
	return eachOfTextArray(value, func(item string) bool { return f.same(item, org) })
}

func (f orgForm) sameBinary(value []byte, org string) bool {
	return f.sameItem(value, org) || f.eachOfBinaryArray(value, org)
}

// sameItem compares one value in binary form. Those that have not the size of
// an id may be of a text type, whose binary form is its text.
func (f orgForm) sameItem(value []byte, org string) bool {
	if same, known := f.sameRaw(value, org); known {
		return same
	}
	return string(value) == org || f.same(string(value), org)
}

func isIntegerSize(n int) bool { return n == 2 || n == 4 || n == 8 }

func decodeInteger(b []byte) int64 {
	switch len(b) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	default:
		return int64(binary.BigEndian.Uint64(b))
	}
}

// eachOfTextArray calls ok for each item of a one-dimensional array literal
// (PostgreSQL manual, 8.15.6) and reports whether all were accepted. NULL
// items match nothing and are accepted. Anything else than such an array is
// not accepted.
func eachOfTextArray(value []byte, ok func(string) bool) bool {
	s := bytes.TrimSpace(value)
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return false
	}
	s = s[1 : len(s)-1]
	if len(bytes.TrimSpace(s)) == 0 {
		return true
	}
	for {
		item, quoted, rest, more, good := nextArrayItem(s)
		if !good {
			return false
		}
		if !(!quoted && strings.EqualFold(item, "null")) && !ok(item) {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// nextArrayItem reads one item. Braces and stray quotes are not accepted:
// arrays of arrays are not org lists.
func nextArrayItem(s []byte) (item string, quoted bool, rest []byte, more, ok bool) {
	s = bytes.TrimLeft(s, " \t\n\v\f\r")
	if len(s) > 0 && s[0] == '"' {
		return nextQuotedItem(s[1:])
	}
	end := bytes.IndexByte(s, ',')
	if more = end >= 0; more {
		rest = s[end+1:]
		s = s[:end]
	}
	s = bytes.TrimRight(s, " \t\n\v\f\r")
	if len(s) == 0 || bytes.ContainsAny(s, `"{}\`) {
		return "", false, nil, false, false
	}
	return string(s), false, rest, more, true
}

func nextQuotedItem(s []byte) (item string, quoted bool, rest []byte, more, ok bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return "", true, nil, false, false
			}
			b = append(b, s[i])
		case '"':
			rest = bytes.TrimLeft(s[i+1:], " \t\n\v\f\r")
			if len(rest) == 0 {
				return string(b), true, nil, false, true
			}
			return string(b), true, rest[1:], true, rest[0] == ','
		default:
			b = append(b, s[i])
		}
	}
	return "", true, nil, false, false
}

// The binary form of an array (array_send): dimensions, flags, element type,
// then size and lower bound for each dimension, then items, each with a length
// of -1 for NULL.
const (
	arrayHeader    = 12
	arrayDimension = 8
	arrayLength    = 4
)

func (f orgForm) eachOfBinaryArray(b []byte, org string) bool {
	if len(b) < arrayHeader {
		return false
	}
	dimensions := binary.BigEndian.Uint32(b)
	b = b[arrayHeader:]
	if dimensions == 0 {
		return len(b) == 0
	}
	if dimensions != 1 || len(b) < arrayDimension {
		return false
	}
	items := binary.BigEndian.Uint32(b)
	b = b[arrayDimension:]
	for ; items > 0; items-- {
		if len(b) < arrayLength {
			return false
		}
		n := int32(binary.BigEndian.Uint32(b))
		b = b[arrayLength:]
		if n == -1 {
			continue
		}
		if n < 0 || int(n) > len(b) || !f.sameItem(b[:n], org) {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}
