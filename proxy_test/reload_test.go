package proxytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// reload changes the configuration of the proxy, sends SIGHUP, and waits until
// the log says what has come of it; that line is returned.
func (p *proxy) reload(t *testing.T, change func(string) string) string {
	t.Helper()
	file := filepath.Join(p.dir, "bulkhead.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(change(string(b))), 0o600); err != nil {
		t.Fatal(err)
	}
	const taken, refused = `"msg":"configuration taken up"`, `"msg":"the configuration is not taken up`
	count := func() int {
		log := p.stderr.String()
		return strings.Count(log, taken) + strings.Count(log, refused)
	}
	before := count()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitRows(t, "answers to SIGHUP", func() string { return fmt.Sprint(count()) }, fmt.Sprint(before+1))
	last := ""
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, taken) || strings.Contains(line, refused) {
			last = line
		}
	}
	return last
}

// with returns a change that puts one text in the place of another.
func with(old, text string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("the configuration has no " + old)
		}
		return strings.Replace(s, old, text, 1)
	}
}

// SIGHUP takes up what can change, for sessions that there are too.
func TestReload_TakenUp(t *testing.T) {
	p := start(t, options{mode: "transaction", extra: "limits: {max_statement_bytes: 2kB}\npolicy: {mode: enforce}\ntelemetry: {slow_query: 0}\n"})
	c := p.connect(t, orgA)
	long := "SELECT '" + strings.Repeat("x", 4<<10) + "'"
	for sql, want := range map[string]string{"LISTEN x": "42501", long: "54000"} {
		if e, _ := wiretest.Error(c.Query(sql)); e.Field('C') != want {
			t.Errorf("before: %.20s: %v, want %s", sql, e, want)
		}
	}
	expectRows(t, "before", c, "SHOW statement_timeout", "[[0]]")
	line := p.reload(t, func(s string) string {
		s = with("max_statement_bytes: 2kB", "max_statement_bytes: 64kB, statement_timeout: 7s, max_clients_per_org: 2")(s)
		s = with("mode: enforce", "allow: {statements: [LISTEN]}")(s)
		return with("slow_query: 0", "slow_query: 1ms")(s)
	})
	if !strings.Contains(line, "INFO") {
		t.Fatalf("not taken up: %s", line)
	}
	for _, sql := range []string{"LISTEN x", "UNLISTEN x", long} {
		if e, failed := wiretest.Error(c.Query(sql)); failed {
			t.Errorf("%.20s: %v", sql, e)
		}
	}
	expectRows(t, "after", c, "SHOW statement_timeout", "[[7s]]")
	p.connect(t, orgA)
	if _, msgs, err := wiretest.Dial(t, p.startup(t, orgA)); err != nil || code(msgs) != "53300" {
		t.Errorf("a third client of the org: %v %v, want 53300", msgs, err)
	}
	c.Query("SELECT count(*) FROM generate_series(1, 1000000)")
	if _, ok := p.stderr.await(`"msg":"slow`); !ok {
		t.Error("no slow statement is logged")
	}
}

// What is wrong changes nothing, and all of it is told; what needs a restart is
// named.
func TestReload_Refused(t *testing.T) {
	p := start(t, options{mode: "transaction", extra: "policy: {mode: enforce}\n"})
	c := p.connect(t, orgA)
	for name, x := range map[string]struct {
		change func(string) string
		want   []string
	}{
		"keys":    {with("policy: {mode: enforce}", "policy: {mode: observe}\nlimits: {max_client: 3}\nloops: -1"), []string{"bulkhead.yaml:", "limits.max_client", "loops", "2 problems"}},
		"rule":    {with("policy: {mode: enforce}", "policy: {mode: observe, rules: {G999: off}}"), []string{"G999"}},
		"keyfile": {with("secret_file: ", "secret_file: /nowhere"), []string{"/nowhere"}},
	} {
		good, err := os.ReadFile(filepath.Join(p.dir, "bulkhead.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		line := p.reload(t, x.change)
		for _, want := range x.want {
			if !strings.Contains(line, "ERROR") || !strings.Contains(line, want) {
				t.Errorf("%s: %s, want %s", name, line, want)
			}
		}
		if e, _ := wiretest.Error(c.Query("SET ROLE x")); e.Field('C') != "42501" {
			t.Errorf("%s: a part of the configuration is in force: %v", name, e)
		}
		if line := p.reload(t, func(string) string { return string(good) }); !strings.Contains(line, "INFO") {
			t.Fatalf("%s: the old configuration: %s", name, line)
		}
	}
	p.reload(t, with("pool: {mode: transaction", "pool: {mode: session"))
	if line, ok := p.stderr.await("need a restart"); !ok || !strings.Contains(line, `["pool.mode"]`) {
		t.Errorf("a key that needs a restart: %s", line)
	}
	expectRows(t, "the session", c, "SELECT 1", "[[1]]")
}

// An issuer comes, and goes again: then its sessions end at their next
// transaction, others go on.
func TestReload_Issuers(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	key := filepath.Join(p.dir, "other")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := auth.Mint(auth.MintOptions{KeyFile: key, Issuer: "other", Audience: "bulkhead", Org: orgB, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s := p.startup(t, orgB)
	s.Password = tok
	if _, msgs, err := wiretest.Dial(t, s); err != nil || code(msgs) != "28P01" {
		t.Fatalf("an unknown issuer: %v %v", msgs, err)
	}
	stays := p.connect(t, orgA)
	entry := "\n    - {issuer: other, audience: bulkhead, secret_file: " + key + "}"
	p.reload(t, with("  issuers:", "  issuers:"+entry))
	goes, inside := wiretest.Connect(t, s), wiretest.Connect(t, s)
	expectRows(t, "the new issuer", goes, "SELECT current_setting('app.org_id')", "[["+orgB+"]]")
	inside.Query("BEGIN")
	p.reload(t, with(entry, ""))
	expectRows(t, "in a transaction", inside, "SELECT 1", "[[1]]")
	inside.Query("COMMIT")
	for _, c := range []*wiretest.Client{goes, inside} {
		c.Send(wiretest.Query("SELECT 1"))
		if m, _ := drain(c); m.Field('C') != "28000" {
			t.Errorf("after its issuer is gone: %v", m)
		}
	}
	expectRows(t, "the other issuer's", stays, "SELECT 1", "[[1]]")
}
