package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// isScalar reports whether v is one value, not a section, list or table.
func isScalar(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return v.Type() == reflect.TypeFor[Secret]()
	case reflect.Slice, reflect.Map:
		return false
	}
	return true
}

// scalar reads n into v. Messages show the value, except that of a Secret.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, key, "must be one value, is "+kindOf(n), "write key: value on one line")
		return
	}
	// A variable is text whatever it looks like; "" is a value there.
	if d.env == "" && isNull(n) {
		d.problem(n, key, "has no value", `write "" for an empty one, or remove the line for the default`)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *bool:
		d.boolean(n, p, key)
	case *int:
		d.integer(n, p, key)
	case *Size:
		d.size(n, p, key)
	case *time.Duration:
		d.duration(n, p, key)
	case *Secret:
		if d.isText(n, key) {
			*p = NewSecret(n.Value)
		}
	case *Day:
		if n.ShortTag() == "!!timestamp" || d.isText(n, key) {
			*p = Day(n.Value)
		}
	default:
		d.text(n, v, key)
	}
}

func (d *decoder) boolean(n *yaml.Node, p *bool, key string) {
	switch {
	case n.ShortTag() != "!!bool":
		d.problem(n, key, fmt.Sprintf("%q is not true or false", n.Value), "write true or false")
	default:
		*p = strings.EqualFold(n.Value, "true")
	}
}

func (d *decoder) integer(n *yaml.Node, p *int, key string) {
	i, err := strconv.ParseInt(n.Value, 10, 32)
	if err != nil || n.ShortTag() != "!!int" {
		d.problem(n, key, fmt.Sprintf("%q is not a whole number", n.Value), "write digits, without quotes or unit")
		return
	}
	*p = int(i)
}

func (d *decoder) size(n *yaml.Node, p *Size, key string) {
	s, err := parseSize(n.Value)
	if err != nil {
		d.problem(n, key, fmt.Sprintf("%q is not a size", n.Value), "write bytes, or a number with kB, MB or GB")
		return
	}
	*p = s
}

func (d *decoder) duration(n *yaml.Node, p *time.Duration, key string) {
	t, err := time.ParseDuration(n.Value)
	if err != nil {
		d.problem(n, key, fmt.Sprintf("%q is not a duration", n.Value), "write a number with its unit: 500ms, 30s, 5m, 1h; or 0")
		return
	}
	*p = t
}

// text reads a string, of a closed list if its type has one.
func (d *decoder) text(n *yaml.Node, v reflect.Value, key string) {
	if !d.isText(n, key) {
		return
	}
	if c, ok := v.Interface().(choice); ok && !slices.Contains(c.choices(), n.Value) {
		todo := "write one of " + strings.Join(c.choices(), ", ")
		if near := nearest(n.Value, c.choices()); near != "" {
			todo = "did you mean " + near + "? Known are " + strings.Join(c.choices(), ", ")
		}
		d.problem(n, key, fmt.Sprintf("unknown value %q", n.Value), todo)
		return
	}
	v.SetString(n.Value)
}

// isText refuses values of the file that YAML reads as something else than
// text: 012 and 1e3 would not stay what was written.
func (d *decoder) isText(n *yaml.Node, key string) bool {
	if d.env == "" && n.ShortTag() != "!!str" {
		d.problem(n, key, "must be text, is "+kindOf(n), "put the value in quotes")
		return false
	}
	if strings.ContainsRune(n.Value, 0) {
		d.problem(n, key, "holds a NUL character", "remove it")
		return false
	}
	return true
}
