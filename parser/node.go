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
	for r := n.read(); r.next(); {
		if f := r.field; f != nil && f.message != nil {
			inner = node{f.message, r.value.bytes}
		}
	}
	return inner
}

// value is one occurrence of a field.
type value struct {
	integer uint64
	bytes   []byte
}

// reader goes through the fields that are set in a message.
type reader struct {
	message *message
	rest    []byte
	number  protowire.Number // of the field
	field   *field           // nil for one that the schema does not know
	value   value
	bad     bool // these bytes are no message, or not in the writer's order
}

func (n node) read() reader { return reader{message: n.message, rest: n.bytes} }

// next moves to the next field. After false, bad tells whether the message was
// read to its end. Fields come in the order of their numbers: last relies on it.
func (r *reader) next() bool {
	if len(r.rest) == 0 {
		return false
	}
	number, wire, b, ok := consumeTag(r.rest)
	if !ok || number < r.number {
		r.bad = true
		return false
	}
	r.number = number
	var size int
	r.value = value{}
	switch wire {
	case protowire.VarintType:
		r.value.integer, size = consumeVarint(b)
	case protowire.BytesType:
		r.value.bytes, size = consumeBytes(b)
	default:
		size = protowire.ConsumeFieldValue(number, wire, b)
	}
	if size < 0 {
		r.bad = true
		return false
	}
	r.rest = b[size:]
	r.field = r.message.field(number, wire)
	return true
}

// The three consume functions are protowire's, with the short forms, which are
// nearly all, read in place.

const (
	more     = 0x80 // the bit of a varint's byte that says that another follows
	wireBits = 3
)

// consumeTag returns what is behind a tag too.
func consumeTag(b []byte) (number protowire.Number, wire protowire.Type, rest []byte, ok bool) {
	tag := uint(b[0])
	rest = b[1:]
	if tag >= more {
		if len(rest) == 0 || rest[0] >= more {
			return consumeLongTag(b)
		}
		tag = tag&^more | uint(rest[0])<<7
		rest = rest[1:]
	}
	return protowire.Number(tag >> wireBits), protowire.Type(tag & (1<<wireBits - 1)), rest, tag>>wireBits > 0
}

func consumeLongTag(b []byte) (number protowire.Number, wire protowire.Type, rest []byte, ok bool) {
	number, wire, size := protowire.ConsumeTag(b)
	if size < 0 {
		return 0, 0, nil, false
	}
	return number, wire, b[size:], true
}

func consumeVarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < more {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

func consumeBytes(b []byte) ([]byte, int) {
	if len(b) > 0 && b[0] < more && int(b[0]) < len(b) {
		n := int(b[0]) + 1
		return b[1:n:n], n
	}
	return protowire.ConsumeBytes(b)
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

// named returns a field by name, nil if there is none. Fields are few: going
// through them is faster than a map.
func (m *message) named(name string) *field {
	for _, f := range m.list {
		if f.name == name {
			return f
		}
	}
	return nil
}

// must returns a field by name. A name that the schema lacks is a mistake in
// this package.
func (m *message) must(name string) *field {
	f := m.named(name)
	if f == nil {
		panic("parser: message " + m.name + " has no field " + name)
	}
	return f
}

// last returns the last occurrence of a field, which of one that is not
// repeated is the only one.
func (n node) last(name string) (f *field, found value, ok bool) {
	if !n.ok() {
		return nil, value{}, false
	}
	f = n.message.must(name)
	for r := n.read(); r.next() && r.number <= f.number; {
		if r.field == f {
			found, ok = r.value, true
		}
	}
	return f, found, ok
}

func (n node) text(name string) string {
	_, v, _ := n.last(name)
	return string(v.bytes)
}

func (n node) flag(name string) bool {
	_, v, _ := n.last(name)
	return v.integer != 0
}

func (n node) int(name string) int {
	_, v, _ := n.last(name)
	return int(int64(v.integer))
}

// enum returns the name of an enum's value, "" if it is not known.
func (n node) enum(name string) string {
	f, v, _ := n.last(name)
	if f == nil {
		return ""
	}
	return f.values[int32(v.integer)]
}

// child returns what a field holds, unwrapped; of a repeated one the last item.
func (n node) child(name string) node {
	f, v, ok := n.last(name)
	if !ok {
		return node{}
	}
	return node{f.message, v.bytes}.unwrap()
}

// count returns how many items a repeated field has.
func (n node) count(name string) int {
	if !n.ok() {
		return 0
	}
	want, count := n.message.must(name), 0
	for r := n.read(); r.next() && r.number <= want.number; {
		if r.field == want {
			count++
		}
	}
	return count
}

// each calls visit for the items of a repeated field, unwrapped.
func (n node) each(name string, visit func(node)) {
	if !n.ok() {
		return
	}
	want := n.message.must(name)
	for r := n.read(); r.next() && r.number <= want.number; {
		if r.field == want {
			visit(node{want.message, r.value.bytes}.unwrap())
		}
	}
}

// list returns the items of a repeated field, unwrapped.
func (n node) list(name string) []node {
	count := n.count(name)
	if count == 0 {
		return nil
	}
	items := make([]node, 0, count)
	n.each(name, func(item node) { items = append(items, item) })
	return items
}

// eachItem calls visit for what items returns, without a list in memory.
func (n node) eachItem(visit func(node)) {
	switch {
	case !n.ok():
	case n.is("List"):
		n.each("items", visit)
	default:
		visit(n)
	}
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
