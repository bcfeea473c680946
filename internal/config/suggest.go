package config

import (
	"reflect"
	"strings"
)

// suggest says what to do about the unknown key name in section: the nearest
// known key there, the place where a key of that name exists, or what is
// known in the section.
func suggest(section, name string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if near := nearest(name, names); near != "" {
		return "did you mean " + join(section, near) + "?"
	}
	for _, k := range Keys() {
		if k.Path == name || strings.HasSuffix(k.Path, "."+name) {
			return "did you mean " + k.Path + "? It belongs in another section"
		}
	}
	return "remove it; known here: " + strings.Join(names, ", ")
}

// nearest returns the candidate that a typing error could have turned into
// name, or "".
func nearest(name string, candidates []string) string {
	best, found := 1+max(2, len(name)/3), ""
	for _, c := range candidates {
		if dist := distance(strings.ToLower(name), strings.ToLower(c)); dist < best && dist < len(c) {
			best, found = dist, c
		}
	}
	return found
}

// distance is the Levenshtein distance of two strings, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Key is one key of the configuration, for documentation.
type Key struct {
	Path    string // dotted; entries of a list are "auth.issuers.0.audience"
	Env     string // the variable that overrides it
	Type    string // "text", "number", "duration", "list", ...
	Default any    // the value in [Default]
}

// Keys returns all keys in the order of the file, sections left out and the
// first entry of auth.issuers written out.
func Keys() []Key {
	c := Default()
	c.Auth.Issuers = []Issuer{defaultIssuer()}
	var keys []Key
	eachKey(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		keys = append(keys, Key{Path: key, Env: envName(key), Type: typeName(v), Default: v.Interface()})
	})
	return keys
}

// eachKey calls f for every key below v that is not a section.
func eachKey(v reflect.Value, key string, f func(key string, v reflect.Value)) {
	switch {
	case !isScalar(v) && v.Kind() == reflect.Struct:
		for _, field := range fieldsOf(v.Type()) {
			eachKey(v.Field(field.index), join(key, field.name), f)
		}
	case v.Type() == reflect.TypeFor[[]Issuer]():
		for i := range v.Len() {
			eachKey(v.Index(i), join(key, itoa(i)), f)
		}
	default:
		f(key, v)
	}
}

// typeName names the form of a value for documentation.
func typeName(v reflect.Value) string {
	if c, ok := v.Interface().(choice); ok {
		return strings.Join(c.choices(), ", ")
	}
	switch v.Type().String() {
	case "bool":
		return "true or false"
	case "int":
		return "number"
	case "time.Duration":
		return "duration"
	case "config.Size":
		return "size"
	case "config.Path":
		return "file"
	case "config.Secret":
		return "text, secret"
	}
	switch v.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "mapping"
	}
	return "text"
}
