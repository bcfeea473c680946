package config

import (
	"reflect"
	"slices"
	"strings"
)

// changeable are the keys, and sections (with a dot at the end), of which a
// running proxy takes up new values.
var changeable = []string{
	"client_tls.", "auth.issuers.", "auth.leeway", "auth.max_token_bytes", "auth.revoked_file",
	"pool.max_server_connections", "pool.max_per_org", "pool.min_idle", "pool.idle_timeout", "pool.max_lifetime", "pool.queue_timeout",
	"policy.", "blocked_log.max_size_mb", "limits.", "telemetry.slow_query", "log.level",
}

// Changeable reports whether a running proxy takes up a new value of the key.
func Changeable(key string) bool {
	return slices.ContainsFunc(changeable, func(k string) bool {
		return key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k)
	})
}

// otherCommands is the section that serve does not look at.
const otherCommands = "audit."

// Reload returns c, the configuration of a running proxy, with what of next can
// change while it runs, and the keys for whose new values it must be started
// again. It fails if both do not fit together. Neither c nor next is changed.
func (c *Config) Reload(next *Config) (now *Config, restart []string, err error) {
	merged := *c
	merged.origins = next.origins
	merged.Auth.Issuers = slices.Clone(next.Auth.Issuers)
	values := make(map[string]reflect.Value)
	eachKey(reflect.ValueOf(next).Elem(), "", func(key string, v reflect.Value) { values[key] = v })
	eachKey(reflect.ValueOf(&merged).Elem(), "", func(key string, v reflect.Value) {
		switch {
		case Changeable(key):
			v.Set(values[key])
		case !strings.HasPrefix(key, otherCommands) && !reflect.DeepEqual(v.Interface(), values[key].Interface()):
			restart = append(restart, key)
		}
	})
	v := &validator{c: &merged}
	v.all()
	if len(v.problems) > 0 {
		sortProblems(v.problems)
		return nil, nil, &Error{Problems: v.problems}
	}
	return &merged, restart, nil
}
