package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// decoder reads YAML nodes into the Config and collects every problem. It
// knows a key's type from the struct and nothing of what keys mean.
type decoder struct {
	file     string
	env      string // variable that is being read, "" while it is the file
	problems []Problem
	origins  origins
	broken   []string // keys whose value could not be read; the validator is silent about them
}

// field is one key of a section.
type field struct {
	name  string
	index int
}

// fieldsOf returns the keys of a section, in order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			fields = append(fields, field{name, i})
		}
	}
	return fields
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// at returns the place of a node.
func (d *decoder) at(n *yaml.Node) origin {
	if d.env != "" {
		return origin{env: d.env}
	}
	return origin{file: d.file, line: n.Line}
}

// problem records what is wrong at a node.
func (d *decoder) problem(n *yaml.Node, key, what, todo string) {
	d.problems = append(d.problems, Problem{Where: d.at(n).String(), Key: key, What: what, Todo: todo, line: n.Line})
	d.broken = append(d.broken, key)
}

// value reads n into v, which key names.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind == yaml.AliasNode {
		d.problem(n, key, "is an alias", "write the value out; anchors and aliases are not read")
		return
	}
	if key != "" { // a key that is missing at the top has no line
		d.origins[key] = d.at(n)
	}
	switch {
	case isScalar(v):
		d.scalar(n, v, key)
	case v.Kind() == reflect.Struct:
		d.section(n, v, key)
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	case v.Kind() == reflect.Map:
		d.table(n, v, key)
	default:
		panic("config: no decoder for " + v.Type().String())
	}
}

// section reads a mapping with fixed keys. An empty one leaves the defaults.
func (d *decoder) section(n *yaml.Node, v reflect.Value, key string) {
	if isNull(n) {
		return
	}
	fields := fieldsOf(v.Type())
	d.mapping(n, key, func(name string, keyNode, valueNode *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			d.unknownKey(keyNode, key, fields)
			return
		}
		d.value(valueNode, v.Field(fields[i].index), join(key, name))
	})
}

// plainKey matches names that may be shown: a value that slipped into the
// place of a key, such as a DSN, does not.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (d *decoder) unknownKey(n *yaml.Node, section string, fields []field) {
	if !plainKey.MatchString(n.Value) {
		d.problem(n, section, "a key that is not a plain name", "write name: value, with a blank after the colon")
		return
	}
	d.problem(n, join(section, n.Value), "unknown key", suggest(section, n.Value, fields))
}

// table reads a mapping whose keys are free. It replaces the default.
func (d *decoder) table(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, key, "must be a mapping, is "+kindOf(n), "write {} for none, or key: value lines below it")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.mapping(n, key, func(name string, _, valueNode *yaml.Node) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(valueNode, elem, join(key, name))
		v.SetMapIndex(reflect.ValueOf(name), elem)
	})
}

// mapping calls f for each entry of n, and refuses everything that would make
// two readers of one file see different things.
func (d *decoder) mapping(n *yaml.Node, key string, f func(name string, keyNode, valueNode *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, key, "must be a mapping, is "+kindOf(n), "write key: value lines, indented below it")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!merge" || isNull(k):
			d.problem(k, key, "a key that is not a plain name", "write name: value; merge keys (<<) are not read")
		case seen[k.Value] > 0:
			d.problem(k, join(key, k.Value), fmt.Sprintf("set twice, first in line %d", seen[k.Value]), "keep one of them")
		default:
			seen[k.Value] = k.Line
			f(k.Value, k, n.Content[i+1])
		}
	}
}

// list reads a sequence. It replaces the default.
func (d *decoder) list(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, key, "must be a list, is "+kindOf(n), "write [a, b], or [] for none")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
	for i, item := range n.Content {
		elem := newElement(v.Type().Elem())
		d.value(item, elem, fmt.Sprintf("%s.%d", key, i))
		v.Set(reflect.Append(v, elem))
	}
}

// newElement returns what an entry of a list starts from.
func newElement(t reflect.Type) reflect.Value {
	elem := reflect.New(t).Elem()
	if is, ok := elem.Addr().Interface().(*Issuer); ok {
		*is = defaultIssuer()
	}
	return elem
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kindOf names what stands at a node, without its value.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!str":
		return "text"
	}
	return "a value with a tag of its own"
}

// sortProblems puts problems into the order of the file; those without a line
// come after, in the order found.
func sortProblems(problems []Problem) {
	const last = 1 << 30
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Compare(cmp.Or(a.line, last), cmp.Or(b.line, last))
	})
}
