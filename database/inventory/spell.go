package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// OwnSchema is the schema of Bulkhead's own objects.
const OwnSchema = "bulkhead"

// Quote quotes an identifier as the server's quote_ident does: only where it
// must be.
func Quote(identifier string) string {
	if plainIdentifier(identifier) && !quotedKeywords[identifier] {
		return identifier
	}
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

func plainIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// QuoteLiteral quotes a string constant for standard_conforming_strings.
func QuoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// QuoteRole quotes a grantee: a role, or PUBLIC.
func QuoteRole(name string) string {
	if name == Public {
		return "PUBLIC"
	}
	return Quote(name)
}

// FindTable finds a table by what an operator wrote: table or schema.table,
// quoted as in SQL or as it is stored.
func (s *Snapshot) FindTable(written string) (*Relation, error) {
	parts := splitName(written)
	var found []*Relation
	for _, fold := range []bool{false, true} {
		for _, r := range s.Relations {
			if r.HoldsRows() && matches(parts, r, fold) {
				found = append(found, r)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return nil, fmt.Errorf("there is no table %s", written)
	}
	if i := slices.IndexFunc(found, func(r *Relation) bool { return r.Schema == "public" }); i >= 0 {
		return found[i], nil
	}
	return nil, fmt.Errorf("%s is ambiguous: write %s or %s", written, found[0].Object(), found[1].Object())
}

// namePart is one part of a written name.
type namePart struct {
	text   string
	quoted bool
}

func matches(parts []namePart, r *Relation, fold bool) bool {
	names := []string{r.Schema, r.Name}
	if len(parts) > len(names) {
		return false
	}
	for i, name := range names[len(names)-len(parts):] {
		part := parts[i]
		if fold && !part.quoted {
			part.text = strings.ToLower(part.text)
		}
		if part.text != name {
			return false
		}
	}
	return true
}

// splitName splits a.b at its dots, those in double quotes aside.
func splitName(written string) []namePart {
	var parts []namePart
	var part namePart
	inside := false
	for i := 0; i < len(written); i++ {
		switch c := written[i]; {
		case c == '"' && inside && i+1 < len(written) && written[i+1] == '"':
			part.text += `"`
			i++
		case c == '"':
			inside = !inside
			part.quoted = true
		case c == '.' && !inside:
			parts = append(parts, part)
			part = namePart{}
		default:
			part.text += written[i : i+1]
		}
	}
	return append(parts, part)
}
