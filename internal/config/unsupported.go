package config

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
			Key:  "pool.sharing",
			Used: func(c *Config) bool { return c.Pool.Sharing == SharingShared },
			What: "shared is not supported by this version",
			Todo: "write dedicated",
		},
		{
			Key:  "tenant.signing_key_file",
			Used: func(c *Config) bool { return c.Tenant.SigningKeyFile != "" },
			What: "the signed tenant context is not supported by this version",
			Todo: "remove it",
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
