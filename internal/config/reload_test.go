package config

import (
	"slices"
	"strings"
	"testing"
)

func TestReload(t *testing.T) {
	const first = "server: {dsn: 'postgres://app@127.0.0.1/app'}\nauth: {issuers: [{issuer: a, audience: b, secret_file: s}]}\n"
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("b.yaml", []byte(text), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	running := parse(first + "pool: {max_per_org: 3}\n")
	next := parse(strings.Replace(first, "app@127.0.0.1/app", "app@127.0.0.1/other", 1) +
		"pool: {mode: session, max_per_org: 5}\nlisten: ['127.0.0.1:1']\npolicy: {mode: observe}\nlimits: {max_clients: 7}\naudit: {root_table: a.b}\n")
	now, restart, err := running.Reload(next)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"listen", "server.dsn", "pool.mode"}; !slices.Equal(restart, want) {
		t.Errorf("needs a restart: %v, want %v", restart, want)
	}
	if now.Pool.MaxPerOrg != 5 || now.Policy.Mode != PolicyObserve || now.Limits.MaxClients != 7 {
		t.Errorf("not taken up: %+v", now)
	}
	if now.Pool.Mode != PoolTransaction || now.Listen[0] == "127.0.0.1:1" || now.Server.DSN != running.Server.DSN {
		t.Errorf("taken up: %+v", now)
	}
	if running.Pool.MaxPerOrg != 3 || running.Auth.Issuers[0].Audience != "b" {
		t.Errorf("the running configuration has changed: %+v", running)
	}
}

// What is right by itself can be wrong with what stays as it is.
func TestReload_DoesNotFit(t *testing.T) {
	const tls = "client_tls: {mode: require, cert_file: c, key_file: k}\nlisten: ['0.0.0.0:6432']\n"
	const rest = "server: {dsn: 'postgres://app@127.0.0.1/app'}\nauth: {issuers: [{issuer: a, audience: b, secret_file: s}]}\n"
	running, err := Parse("b.yaml", []byte(tls+rest), "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := Parse("b.yaml", []byte(rest), "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := running.Reload(next); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("a listener on the network without TLS: %v", err)
	}
}

// Each name of changeable is a key or a section.
func TestReload_KeysExist(t *testing.T) {
	for _, name := range changeable {
		if !slices.ContainsFunc(Keys(), func(k Key) bool {
			return k.Path == name || strings.HasPrefix(k.Path, name) && strings.HasSuffix(name, ".")
		}) {
			t.Errorf("%s is no key", name)
		}
	}
}
