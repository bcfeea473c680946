package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validator checks what the types do not say: ranges, forms and whether keys
// agree with each other. It changes nothing.
type validator struct {
	c        *Config
	broken   []string // keys that could not be read
	problems []Problem
	// schemaOnly: nobody connects, so server.dsn and auth.issuers may be
	// missing.
	schemaOnly bool
}

// all runs every check.
func (v *validator) all() {
	v.listen()
	v.tls()
	v.server()
	v.auth()
	v.tenant()
	v.pool()
	v.policy()
	v.log()
	v.admin()
	v.limits()
	v.verify()
	v.audit()
}

// problem records what is wrong with a key, unless the key (or the section
// around it) could not even be read: then that has been said.
func (v *validator) problem(key, what, todo string) {
	for _, b := range v.broken {
		if key == b || strings.HasPrefix(key, b+".") || strings.HasPrefix(b, key+".") {
			return
		}
	}
	v.problems = append(v.problems, Problem{
		Where: v.c.Origin(key), Key: key, What: what, Todo: todo, line: v.c.origins.line(key),
	})
}

func (v *validator) listen() {
	if len(v.c.Listen) == 0 {
		v.problem("listen", "names no address", "write at least one, such as 127.0.0.1:6432")
	}
	for i, addr := range v.c.Listen {
		key := "listen." + itoa(i)
		if slices.Index(v.c.Listen, addr) < i {
			v.problem(key, fmt.Sprintf("%q is listed twice", addr), "remove one")
			continue
		}
		if path, ok := strings.CutPrefix(addr, "unix:"); ok {
			v.socket(key, path)
			continue
		}
		v.address(key, addr)
	}
	v.atLeast("loops", v.c.Loops, 0)
}

// maxSocketPath is what fits into sockaddr_un on Linux (unix(7)).
const maxSocketPath = 107

func (v *validator) socket(key, path string) {
	switch {
	case !filepath.IsAbs(path):
		v.problem(key, "the path of a unix socket is not absolute", "write unix:/path/.s.PGSQL.6432")
	case len(path) > maxSocketPath:
		v.problem(key, fmt.Sprintf("the path of a unix socket is longer than %d bytes", maxSocketPath), "choose a shorter one")
	}
}

func (v *validator) address(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && !validHost(host) {
		err = fmt.Errorf("host")
	}
	if err != nil {
		v.problem(key, fmt.Sprintf("%q is not an address", addr), "write host:port, [ipv6]:port or unix:/path")
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return hostName.MatchString(host) && strings.Trim(host, "0123456789.") != ""
}

// onThisHost reports whether only this host can reach the address.
func onThisHost(addr string) bool {
	if strings.HasPrefix(addr, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // no address at all, which has been said
	}
	if host == "localhost" || host != "" && !validHost(host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// offLoopback returns the first listener that others can reach, or "".
func (v *validator) offLoopback() string {
	for _, addr := range v.c.Listen {
		if !onThisHost(addr) {
			return addr
		}
	}
	return ""
}

func (v *validator) tls() {
	t := v.c.ClientTLS
	hasCert, hasKey := t.CertFile != "", t.KeyFile != ""
	if hasCert != hasKey {
		v.problem("client_tls", "cert_file and key_file belong together, one is missing", "set both")
	}
	switch t.Mode {
	case TLSRequire, TLSVerifyClient:
		if !hasCert && !hasKey {
			v.problem("client_tls.mode", string(t.Mode)+" needs a certificate", "set client_tls.cert_file and key_file")
		}
	}
	if t.Mode == TLSVerifyClient && t.ClientCAFile == "" {
		v.problem("client_tls.mode", "verify-client needs the authority of client certificates", "set client_tls.client_ca_file")
	}
	off := v.offLoopback()
	tlsOn := t.Mode != TLSDisable && hasCert
	if off != "" && !tlsOn && !hasCert && !t.AllowPlaintextPassword {
		v.problem("client_tls", "TLS is off while "+off+" can be reached from other hosts: every token sent there would be refused",
			"set client_tls.cert_file and key_file, or listen on loopback or a unix socket")
	}
	if off != "" && t.Mode == TLSDisable && hasCert && !t.AllowPlaintextPassword {
		v.problem("client_tls.mode", "TLS is off while "+off+" can be reached from other hosts", "write prefer or require")
	}
}

func (v *validator) pool() {
	p := v.c.Pool
	v.atLeast("pool.max_server_connections", p.MaxServerConnections, 1)
	v.atLeast("pool.max_per_org", p.MaxPerOrg, 1)
	v.atLeast("pool.min_idle", p.MinIdle, 0)
	if p.MinIdle > p.MaxServerConnections {
		v.problem("pool.min_idle", fmt.Sprintf("%d is more than pool.max_server_connections, %d", p.MinIdle, p.MaxServerConnections),
			"lower it")
	}
	v.notNegative("pool.idle_timeout", p.IdleTimeout)
	v.notNegative("pool.max_lifetime", p.MaxLifetime)
	v.notNegative("pool.queue_timeout", p.QueueTimeout)
}

var ruleID = regexp.MustCompile(`^G[1-8][0-9][0-9]$`)

func (v *validator) policy() {
	for _, id := range sortedKeys(v.c.Policy.Rules) {
		if !ruleID.MatchString(id) {
			v.problem("policy.rules."+id, "not a rule id", "write one such as G203; `bulkhead rules` lists them")
		}
	}
	a := v.c.Policy.Allow
	for _, list := range []struct {
		key   string
		items []string
	}{
		{"functions", a.Functions}, {"settings", a.Settings}, {"statements", a.Statements}, {"relations", a.Relations},
	} {
		v.noEmpty("policy.allow."+list.key, list.items)
	}
}

func (v *validator) log() {
	if v.c.BlockedLog.File == "" {
		v.problem("blocked_log.file", "is empty", "name a file: refusals must be recorded")
	}
	v.atLeast("blocked_log.max_size_mb", v.c.BlockedLog.MaxSizeMB, 0)
	v.notNegative("telemetry.slow_query", v.c.Telemetry.SlowQuery)
	if v.c.Telemetry.ServiceName == "" {
		v.problem("telemetry.service_name", "is empty", "name the service, or remove the line")
	}
}

func (v *validator) admin() {
	a := v.c.Admin
	if a.Listen == "" {
		return // turned off
	}
	v.address("admin.listen", a.Listen)
	if !onThisHost(a.Listen) && a.TokenFile == "" {
		v.problem("admin.listen", a.Listen+" can be reached from other hosts and no token is asked for",
			"set admin.token_file, or listen on 127.0.0.1")
	}
}

// The widest bounds that max_token_bytes and max_statement_bytes may have: a
// token is hashed and parsed before its sender is known; a message of the
// protocol cannot be longer than a signed 32-bit length.
const (
	minTokenLimit     = 512
	maxTokenLimit     = 64 << 10
	minStatementLimit = 1 << 10
	maxStatementLimit = 1<<30 - 1
)

func (v *validator) limits() {
	l := v.c.Limits
	v.atLeast("limits.max_clients", l.MaxClients, 1)
	v.atLeast("limits.max_clients_per_org", l.MaxClientsPerOrg, 1)
	v.between("limits.max_statement_bytes", l.MaxStatementBytes, minStatementLimit, maxStatementLimit)
	if l.AuthTimeout <= 0 {
		v.problem("limits.auth_timeout", "must be more than 0", "write 10s: without it, clients that never log in would hold connections")
	}
	v.notNegative("limits.client_idle_timeout", l.ClientIdleTimeout)
	v.notNegative("limits.idle_in_transaction_timeout", l.IdleInTransactionTimeout)
	v.notNegative("limits.statement_timeout", l.StatementTimeout)
}

func (v *validator) atLeast(key string, got, least int) {
	if got < least {
		v.problem(key, fmt.Sprintf("%d is too small", got), fmt.Sprintf("write %d or more", least))
	}
}

func (v *validator) between(key string, got, least, most Size) {
	if got < least || got > most {
		v.problem(key, fmt.Sprintf("%d bytes is out of range", got), fmt.Sprintf("write %d to %d", least, most))
	}
}

func (v *validator) notNegative(key string, got time.Duration) {
	if got < 0 {
		v.problem(key, got.String()+" is negative", "write a duration, or 0 for none")
	}
}

// noEmpty refuses empty and repeated entries.
func (v *validator) noEmpty(key string, items []string) {
	for i, item := range items {
		switch {
		case strings.TrimSpace(item) == "":
			v.problem(key+"."+itoa(i), "is empty", "remove it")
		case slices.Index(items, item) < i:
			v.problem(key+"."+itoa(i), fmt.Sprintf("%q is listed twice", item), "remove one")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
