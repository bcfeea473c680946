package parser

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// node is one message of the parse tree, as bytes. The zero node stands for a
// field that is not set.
type node struct {
	message *message
	bytes   []byte
}

func (n node) ok() bool { return n.message != nil }

func (n node) is(name string) bool { return n.message != nil && n.message.name == name }

func (n node) name() string {
	if n.message == nil {
		return ""
	}
	return n.message.name
}

// unwrap returns what is in a Node, and any other node as it is.
func (n node) unwrap() node {
	if !n.ok() || !n.message.oneof {
		return n
	}
	var inner node
	n.scan(func(f *field, v value) {
		if f != nil && f.message != nil {
			inner = node{f.message, v.bytes}
		}
	})
	return inner
}

// value is one occurrence of a field.
type value struct {
	number  protowire.Number
	integer uint64
	bytes   []byte
}

// scan calls visit for each field that is set, f is nil for one that the
// schema does not know. It returns false for bytes that are no message.
func (n node) scan(visit func(f *field, v value)) bool {
	b := n.bytes
	for len(b) > 0 {
		number, wire, size := protowire.ConsumeTag(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		v := value{number: number}
		switch wire {
		case protowire.VarintType:
			v.integer, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(number, wire, b)
		}
		if size < 0 {
			return false
		}
		b = b[size:]
		visit(n.message.field(number, wire), v)
	}
	return true
}

// field returns the field with a number, nil if it is not known or its form is
// another one.
func (m *message) field(number protowire.Number, wire protowire.Type) *field {
	if int(number) >= len(m.fields) || m.fields[number] == nil {
		return nil
	}
	f := m.fields[number]
	bytes := f.kind == protoreflect.MessageKind || f.kind == protoreflect.StringKind || f.kind == protoreflect.BytesKind
	if bytes != (wire == protowire.BytesType) && wire != protowire.BytesType {
		return nil
	}
	return f
}

// must returns a field by name. A name that the schema lacks is a mistake in
// this package.
func (m *message) must(name string) *field {
	f := m.byName[name]
	if f == nil {
		panic("parser: message " + m.name + " has no field " + name)
	}
	return f
}

func (n node) last(name string) (found value, ok bool) {
	if !n.ok() {
		return value{}, false
	}
	want := n.message.must(name)
	n.scan(func(f *field, v value) {
		if f == want {
			found, ok = v, true
		}
	})
	return found, ok
}

func (n node) text(name string) string {
	v, _ := n.last(name)
	return string(v.bytes)
}

func (n node) flag(name string) bool {
	v, _ := n.last(name)
	return v.integer != 0
}

func (n node) int(name string) int {
	v, _ := n.last(name)
	return int(int64(v.integer))
}

// enum returns the name of an enum's value, "" if it is not known.
func (n node) enum(name string) string {
	if !n.ok() {
		return ""
	}
	v, _ := n.last(name)
	return n.message.must(name).values[int32(v.integer)]
}

// child returns what a field holds, unwrapped.
func (n node) child(name string) node {
	v, ok := n.last(name)
	if !ok {
		return node{}
	}
	return node{n.message.must(name).message, v.bytes}.unwrap()
}

// list returns the items of a repeated field, unwrapped.
func (n node) list(name string) []node {
	if !n.ok() {
		return nil
	}
	want := n.message.must(name)
	var items []node
	n.scan(func(f *field, v value) {
		if f == want {
			items = append(items, node{f.message, v.bytes}.unwrap())
		}
	})
	return items
}

// items returns the items of a List node; another node is a list of itself.
func (n node) items() []node {
	switch {
	case !n.ok():
		return nil
	case n.is("List"):
		return n.list("items")
	}
	return []node{n}
}

// strings returns the String nodes among items: the parts of a name.
func stringsOf(items []node) []string {
	list := make([]string, 0, len(items))
	for _, i := range items {
		if i.is("String") {
			list = append(list, i.text("sval"))
		}
	}
	return list
}

// nameOf makes a name of its parts.
func nameOf(parts []string) Name {
	switch n := len(parts); n {
	case 0:
		return Name{}
	case 1:
		return Name{Name: parts[0]}
	case 2:
		return Name{Schema: parts[0], Name: parts[1]}
	default:
		return Name{Catalog: strings.Join(parts[:n-2], "."), Schema: parts[n-2], Name: parts[n-1]}
	}
}
