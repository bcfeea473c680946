package proxytest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// attack is one entry of testdata/attacks.txt.
type attack struct {
	name string
	want string // beginning of a rule id, "any", "error", "harmless"
	sql  string
}

func readAttacks(t testing.TB) []attack {
	t.Helper()
	b, err := os.ReadFile("testdata/attacks.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []attack
	for _, paragraph := range strings.Split(string(b), "\n\n") {
		head, sql, ok := strings.Cut(strings.TrimSpace(paragraph), "\n")
		name, want, ok2 := strings.Cut(strings.Trim(head, "[]"), " -> ")
		if strings.HasPrefix(head, "#") {
			continue
		}
		if !ok || !ok2 {
			t.Fatalf("attacks.txt: cannot read %q", paragraph)
		}
		out = append(out, attack{name, want, strings.TrimSpace(sql)})
	}
	if len(out) < 100 {
		t.Fatalf("attacks.txt: only %d attacks", len(out))
	}
	return out
}

// A form is a way to send one text. It returns everything the server said, and
// whether the text stands alone in its transaction.
type form struct {
	name string
	send func(c *wiretest.Client, sql string) []wiretest.Message
	// want is the transaction status afterwards if the text is refused.
	status byte
	multi  bool // takes several statements
}

var forms = []form{
	{"simple", func(c *wiretest.Client, sql string) []wiretest.Message { return c.Query(sql) }, 'I', true},
	{"extended", func(c *wiretest.Client, sql string) []wiretest.Message {
		c.Send(wiretest.Parse("", sql), wiretest.Bind("", ""), wiretest.Describe('P', ""), wiretest.Execute("", 0), wiretest.Sync)
		return c.Until(1)
	}, 'I', false},
	{"named", func(c *wiretest.Client, sql string) []wiretest.Message {
		c.Send(wiretest.Parse("n", sql), wiretest.Sync)
		msgs := c.Until(1)
		c.Send(wiretest.Bind("", "n"), wiretest.Execute("", 0), wiretest.Sync)
		msgs = append(msgs, c.Until(1)...)
		c.Send(wiretest.Close('S', "n"), wiretest.Sync)
		return append(msgs, c.Until(1)...)
	}, 'I', false},
	{"in a transaction", func(c *wiretest.Client, sql string) []wiretest.Message {
		c.Query("BEGIN")
		return c.Query(sql)
	}, 'E', true},
	{"batch", func(c *wiretest.Client, sql string) []wiretest.Message {
		return c.Query("SELECT 1; " + sql + "; SELECT name FROM accounts")
	}, 'I', true},
	{"pipelined", func(c *wiretest.Client, sql string) []wiretest.Message {
		c.Send(wiretest.Query("SELECT 1"), wiretest.Query(sql), wiretest.Query("SELECT name FROM accounts"))
		return c.Until(3)
	}, 'I', true},
	{"extended pipeline", func(c *wiretest.Client, sql string) []wiretest.Message {
		c.Send(wiretest.Parse("", "SELECT 1"), wiretest.Bind("", ""), wiretest.Execute("", 0),
			wiretest.Parse("", sql), wiretest.Bind("", ""), wiretest.Execute("", 0),
			wiretest.Parse("", "SELECT name FROM accounts"), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync)
		return c.Until(1)
	}, 'I', false},
}

func several(sql string) bool { return strings.Contains(strings.TrimSuffix(sql, ";"), ";") }

func TestAttacks(t *testing.T) {
	attacks := readAttacks(t)
	for i, version := range versions(t) {
		for _, mode := range []string{"session", "transaction", "shared"} {
			if mode == "shared" && i == 0 && len(versions(t)) > 1 {
				continue // what differs has no versions
			}
			t.Run(fmt.Sprintf("PostgreSQL %d/%s", version, mode), func(t *testing.T) {
				p := start(t, options{version: version, mode: mode})
				before := p.fingerprintB(t)
				refusals := 0
				for _, f := range forms {
					refusals += p.attackAll(t, f, attacks)
				}
				if after := p.fingerprintB(t); after != before {
					t.Errorf("org B's data changed:\nbefore %s\nafter  %s", before, after)
				}
				records := p.blocked(t, refusals)
				if len(records) != refusals {
					t.Errorf("%d records for %d refusals", len(records), refusals)
				}
				for _, r := range records {
					if strings.Contains(string(r.Statement), orgB) {
						t.Errorf("record %d holds a literal: %s", r.Seq, r.Statement)
						break
					}
				}
				if log := p.stderr.String(); strings.Contains(log, orgB) || strings.Contains(log, canary) {
					t.Error("the proxy's log holds a literal")
				}
			})
		}
	}
}

// attackAll sends all attacks in one form and returns how many refusals came.
func (p *proxy) attackAll(t *testing.T, f form, attacks []attack) int {
	t.Helper()
	refusals := 0
	c := p.connect(t, orgA)
	c.Query("SELECT FROM nothing_has_this_name") // now a name that the catalogue does not have is taken for a missing one
	for _, a := range attacks {
		if several(a.sql) && !f.multi || a.want == "harmless" && f.name != "simple" && f.name != "extended" {
			continue
		}
		msgs := f.send(c, a.sql)
		what := fmt.Sprintf("%s, %s: %s", f.name, a.name, a.sql)
		refusals += judge(t, what, f, a, msgs)
		c.Query("ROLLBACK")
		if got := wiretest.Rows(c.Query("SELECT current_setting('app.org_id'), current_user, count(*) FROM accounts WHERE name LIKE 'CANARY%'")); fmt.Sprint(got) != fmt.Sprintf("[[%s app 0]]", orgA) {
			t.Errorf("%s: afterwards the session is %v", what, got)
			c.Conn.Close()
			c = p.connect(t, orgA)
		}
	}
	c.Send(wiretest.Terminate)
	return refusals
}

// judge looks at the answer to one attack and returns the number of refusals.
func judge(t *testing.T, what string, f form, a attack, msgs []wiretest.Message) (refusals int) {
	t.Helper()
	for _, m := range msgs {
		if bytes.Contains(m.Body, []byte(canary)) {
			t.Errorf("%s: LEAK: %s", what, m)
		}
		if m.Type == 'E' && strings.HasPrefix(m.Field('D'), "rule=") {
			refusals++
		}
	}
	e, failed := wiretest.Error(msgs)
	rule := strings.TrimPrefix(e.Field('D'), "rule=")
	switch a.want {
	case "harmless":
		return refusals
	case "error":
		if !failed {
			t.Errorf("%s: no error", what)
		}
		return refusals
	case "any":
		if !strings.HasPrefix(rule, "G") {
			t.Errorf("%s: not refused by a rule: %v", what, wiretest.Transcript(msgs))
		}
	default:
		if !strings.HasPrefix(rule, a.want) {
			t.Errorf("%s: want a refusal by %s, got %s", what, a.want, wiretest.Transcript(msgs))
		}
	}
	if got := wiretest.Status(msgs); got != f.status {
		t.Errorf("%s: transaction status %c, want %c", what, got, f.status)
	}
	return refusals
}

// TestAttacks_WorkWithoutTheProxy makes sure that the attacks are attacks: on
// the careless database itself most of them do harm, or at least run.
func TestAttacks_WorkWithoutTheProxy(t *testing.T) {
	p := start(t, options{})
	leaks := 0
	for _, sql := range []string{
		"SET app.org_id = '" + orgB + "'; SELECT name FROM accounts",
		"SELECT set_config('app.org_id', '" + orgB + "', false); SELECT name FROM accounts",
		"SET ROLE admin_bypass; SELECT name FROM accounts",
		"SELECT * FROM v_documents", "SELECT * FROM mv_invoices", "SELECT * FROM audit_events", "SELECT * FROM events_2025",
		"SELECT * FROM document_by_id(2)", "SELECT exec_sql('SET app.org_id = ''" + orgB + "''')",
		"SELECT convert_from(lo_get(50002), 'UTF8')", "SELECT table_to_xml('audit_events', true, false, '')",
	} {
		c := p.direct(t)
		found := false
		for _, m := range c.Query(sql) {
			found = found || bytes.Contains(m.Body, []byte(canary))
		}
		if !found {
			t.Errorf("does not leak without the proxy, so it tests nothing: %s", sql)
			continue
		}
		leaks++
	}
	if leaks == 0 {
		t.Error("nothing leaks without the proxy")
	}
}

func TestBenign(t *testing.T) {
	b, err := os.ReadFile("testdata/benign.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"session", "transaction", "shared"} {
		t.Run(mode, func(t *testing.T) {
			p := start(t, options{mode: mode})
			direct, proxied := p.direct(t), p.connect(t, orgA)
			for _, sql := range strings.Split(string(b), "\n") {
				if sql == "" || strings.HasPrefix(sql, "#") {
					continue
				}
				for _, f := range forms[:2] {
					if several(sql) && !f.multi {
						continue
					}
					// Direct and proxied by turns: they change the same data.
					want := wiretest.Transcript(f.send(direct, sql))
					got := wiretest.Transcript(f.send(proxied, sql))
					if got != want {
						t.Errorf("%s: %s\ngot  %s\nwant %s", f.name, sql, got, want)
					}
				}
				direct.Query("ROLLBACK")
				proxied.Query("ROLLBACK")
			}
		})
	}
}
