package policy

import (
	"encoding/json"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// namesInRow judges a value that meets a row with the column in it: in text,
// or as JSON. Other columns of the row are there too, so only what certainly
// is about the org counts.
func (f orgForm) namesInRow(t *orgTerm, value, org string) bool {
	if t.keyed && t.key != parser.AnyMember {
		return f.isOrgKey(t, lastKey(t.key)) && !f.partOf(value, org)
	}
	var document any
	if json.Unmarshal(bytesOf(value), &document) == nil {
		switch document.(type) {
		case []any:
			return f.otherUUID(value, org)
		case map[string]any:
			return f.memberNames(document, func(key string) bool { return f.isOrgKey(t, key) }, org)
		}
	}
	if strings.Contains(value, t.column) && !f.holds(value, org) {
		return strings.ContainsAny(strings.ReplaceAll(value, t.column, ""), "0123456789abcdefghijklmnopqrstuvwxyz")
	}
	return f.otherUUID(value, org) && !f.holds(value, org)
}

// isOrgKey reports whether a key is that of the column.
func (f orgForm) isOrgKey(t *orgTerm, key string) bool {
	return key == t.column || strings.EqualFold(compactName(key), compactName(t.column))
}

func compactName(s string) string { return strings.ReplaceAll(s, "_", "") }

// lastKey is the last part of a path, as #> takes it: {a,b}.
func lastKey(path string) string {
	if strings.HasPrefix(path, "{") {
		path = strings.Trim(path, "{}")
		path = path[strings.LastIndexByte(path, ',')+1:]
	}
	if strings.HasPrefix(path, "$") { // a JSON path
		path = strings.TrimRight(path, "[]*0123456789 ")
		path = path[strings.LastIndexByte(path, '.')+1:]
	}
	return strings.Trim(path, `" `)
}

// namesInDocument judges a document of which a member meets the column: the
// members with that key, wherever they are, or, without a key, all that are no
// objects.
func (f orgForm) namesInDocument(t *orgTerm, value, org string) bool {
	var document any
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.UseNumber()
	if decoder.Decode(&document) != nil {
		return false // nor can the server read it
	}
	key := lastKey(t.key)
	switch {
	case t.keyed && (key == parser.AnyMember || strings.Trim(key, "-0123456789") == ""): // of an array, or the document itself
		return f.scalarNames(document, org) || f.memberNames(document, func(string) bool { return true }, org)
	case t.keyed:
		return f.memberNames(document, func(k string) bool { return k == key }, org)
	}
	return f.scalarNames(document, org) || f.memberNames(document, func(key string) bool { return f.isOrgKey(t, key) }, org)
}

// memberNames reports whether a member with one of the keys is another org.
func (f orgForm) memberNames(document any, isKey func(string) bool, org string) bool {
	switch v := document.(type) {
	case map[string]any:
		for key, member := range v {
			if isKey(key) && f.scalarNames(member, org) || f.memberNames(member, isKey, org) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if f.memberNames(item, isKey, org) {
				return true
			}
		}
	}
	return false
}

// scalarNames reports whether a value, or an item of a list, is another org.
func (f orgForm) scalarNames(value any, org string) bool {
	switch v := value.(type) {
	case string:
		return !f.same(v, org) && !isNoOrg(v)
	case json.Number:
		return !f.same(v.String(), org) && !isNoOrg(v.String())
	case []any:
		for _, item := range v {
			if f.scalarNames(item, org) {
				return true
			}
		}
	}
	return false
}
