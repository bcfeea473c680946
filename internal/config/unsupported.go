package config

import "slices"

// Unsupported is a value that the contract of the configuration has and this
// version of Bulkhead cannot honour. It is an error, never ignored: somebody
// relies on it.
type Unsupported struct {
	Key  string
	Used func(*Config) bool
	What string
	Todo string
}

// UnsupportedValues lists them all. Remove an entry with the commit that
// makes its value work.
func UnsupportedValues() []Unsupported {
	return []Unsupported{
		{
			Key:  "server.databases",
			Used: func(c *Config) bool { return slices.Contains(c.Server.Databases, "*") },
			What: `"*" is not supported by this version: the guard reads the catalogue of each database that it serves`,
			Todo: "list the databases by name",
		},
	}
}

func (v *validator) unsupported() {
	for _, u := range UnsupportedValues() {
		if u.Used(v.c) {
			v.problem(u.Key, u.What, u.Todo)
		}
	}
}
