package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a configuration. None of its texts
// holds the value of a secret.
type Problem struct {
	Where string // "bulkhead.yaml:12", "bulkhead.yaml" if the key is not there, or "BULKHEAD_POOL_MODE"
	Key   string // dotted path, "" for the file as a whole
	What  string // what is wrong
	Todo  string // what to do

	line int // for sorting; 0 if it has none
}

// String returns the problem as one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Where)
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.What)
	if p.Todo != "" {
		b.WriteString("; ")
		b.WriteString(p.Todo)
	}
	return b.String()
}

// Error is the error of [Load] for a configuration that was read and is
// wrong: all its problems, in the order of the file.
type Error struct {
	Problems []Problem
}

// Error implements error: one line per problem.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration has %d problems:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// origin is where a key was given.
type origin struct {
	file string
	line int    // 0 if unknown
	env  string // variable, if it came from one
}

func (o origin) String() string {
	switch {
	case o.env != "":
		return o.env
	case o.line > 0:
		return fmt.Sprintf("%s:%d", o.file, o.line)
	case o.file != "":
		return o.file
	}
	return "configuration"
}

// origins maps the dotted path of each key that was given to its place; ""
// stands for the file.
type origins map[string]origin

// find returns the place of a key, or of the nearest section around it that
// was given.
func (o origins) find(key string) origin {
	for {
		if at, ok := o[key]; ok {
			return at
		}
		if key == "" {
			return origin{}
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			i = 0
		}
		key = key[:i]
	}
}

// Origin tells where a key, given as a dotted path, was set: "file:line", the
// name of a variable, or the nearest enclosing section. For messages of those
// who find a problem only later, such as an unknown rule id.
func (c *Config) Origin(key string) string { return c.origins.find(key).String() }

// line returns the line of a key, or of the nearest section around it; 0 if
// it came from a variable or is in no file.
func (o origins) line(key string) int { return o.find(key).line }

// Given reports whether the file or a variable sets the key.
func (c *Config) Given(key string) bool {
	_, ok := c.origins[key]
	return ok
}
