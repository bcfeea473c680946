package config

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// envPrefix begins the name of every variable that is read.
const envPrefix = "BULKHEAD_"

// envName returns the variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func itoa(i int) string { return strconv.Itoa(i) }

// foreignVariable matches variables with our prefix that are not ours to
// read: those of tests, the path of the configuration itself (read by cmd),
// and what Kubernetes and Docker links set in every container beside a
// service named bulkhead or bulkhead-something.
var foreignVariable = regexp.MustCompile(
	`^BULKHEAD_(TEST_.*|CONFIG|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)

// maxIssuers bounds the index of BULKHEAD_AUTH_ISSUERS_<n>_*.
const maxIssuers = 32

// environment lays the variables of env over c. Lists are read as a, b or as
// a YAML flow list, tables as a YAML flow mapping. A variable that belongs to
// no key is a problem: as a silently ignored policy.mode it could be a hole.
func (d *decoder) environment(c *Config, env []string) {
	defer func() { d.env = "" }()
	vars := map[string]string{}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, envPrefix) {
			vars[name] = value // the last one counts, as in os/exec
		}
	}
	d.growIssuers(c, vars)
	eachKey(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		name := envName(key)
		value, ok := vars[name]
		if !ok {
			return
		}
		delete(vars, name)
		d.env = name
		if n := d.envNode(value, v, key); n != nil {
			d.value(n, v, key)
		}
	})
	d.unknownVariables(vars)
}

// growIssuers appends entries to auth.issuers for variables that name one
// behind the last.
func (d *decoder) growIssuers(c *Config, vars map[string]string) {
	for len(c.Auth.Issuers) < maxIssuers {
		prefix := envName("auth.issuers."+itoa(len(c.Auth.Issuers))) + "_"
		named := ""
		for name := range vars {
			if strings.HasPrefix(name, prefix) && (named == "" || name < named) {
				named = name
			}
		}
		if named == "" {
			return
		}
		d.origins["auth.issuers."+itoa(len(c.Auth.Issuers))] = origin{env: named}
		c.Auth.Issuers = append(c.Auth.Issuers, defaultIssuer())
	}
}

// envNode makes the node that the value of a variable stands for.
func (d *decoder) envNode(value string, v reflect.Value, key string) *yaml.Node {
	scalar := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if isScalar(v) {
		return scalar
	}
	value = strings.TrimSpace(value)
	if v.Kind() == reflect.Slice && !strings.HasPrefix(value, "[") {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: item})
			}
		}
		return list
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil || len(doc.Content) == 0 {
		d.problem(&yaml.Node{}, key, "is not a list or mapping", "write [a, b] or {name: value}")
		return nil
	}
	return doc.Content[0]
}

// unknownVariables reports the variables that no key has taken.
func (d *decoder) unknownVariables(vars map[string]string) {
	var known []string
	for _, k := range Keys() {
		known = append(known, k.Env)
	}
	var names []string
	for name := range vars {
		if !foreignVariable.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		todo := "unset it; docs/configuration.md lists the variables"
		if near := nearest(name, known); near != "" {
			todo = "did you mean " + near + "?"
		}
		d.env = name
		d.problem(&yaml.Node{}, "", "no key of the configuration has this variable", todo)
	}
}
