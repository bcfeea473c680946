package proxytest

import (
	"bytes"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// soonExpired is the life of a token that ends a moment from now: the leeway
// is 30 seconds.
const soonExpired = 2*time.Second - 30*time.Second

// awaitExpiry waits until nobody can log in with the token any more.
func (p *proxy) awaitExpiry(t *testing.T, tok string) {
	t.Helper()
	s := wiretest.Startup{Address: p.addr, User: "anyone", Database: p.db, Password: tok}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		c, msgs, _ := wiretest.Dial(t, s)
		if len(msgs) > 0 && msgs[len(msgs)-1].Type == 'E' {
			return
		}
		c.Conn.Close()
	}
	t.Fatal("the token does not expire")
}

// A token that has expired allows no further transaction, however the client
// hides where one begins. before is sent while the token is valid, last (if any)
// must still be carried out, and after must not.
func TestSession_TokenExpiresHidden(t *testing.T) {
	run := func(sql string) []byte {
		return bytes.Join([][]byte{parse("", sql), bind("", ""), execute("", 0), wiretest.Flush}, nil)
	}
	one := run("SELECT 1")
	for _, mode := range []string{"session", "shared"} {
		p := start(t, options{mode: mode})
		for what, x := range map[string]struct{ before, last, after [][]byte }{
			"COMMIT AND CHAIN": {
				before: [][]byte{wiretest.Query("BEGIN")},
				after:  [][]byte{wiretest.Query("COMMIT AND CHAIN"), wiretest.Query("SELECT 1"), wiretest.Query("SELECT 1")},
			},
			"one text": {
				before: [][]byte{wiretest.Query("BEGIN")},
				after:  [][]byte{wiretest.Query("COMMIT; BEGIN; SELECT 1"), wiretest.Query("SELECT 1")},
			},
			"no Sync": {
				before: [][]byte{wiretest.Query("BEGIN")},
				last:   [][]byte{one},
				after:  [][]byte{run("COMMIT"), run("BEGIN"), one},
			},
			"prepared": {
				before: [][]byte{parse("c", "COMMIT AND CHAIN"), synced, wiretest.Query("BEGIN")},
				last:   [][]byte{one, synced},
				after:  [][]byte{bind("", "c"), execute("", 0), synced, one},
			},
		} {
			s := p.startup(t, orgA)
			s.Password = expiring(t, soonExpired)
			c := wiretest.Connect(t, s)
			c.Send(x.before...)
			c.Until(len(x.before)/2 + 1)
			p.awaitExpiry(t, s.Password)
			c.Send(x.last...)
			c.Send(x.after...)
			rows, fatal := 0, false
			for {
				m, err := c.Receive()
				if err != nil {
					break
				}
				if m.Type == 'D' {
					rows++
				}
				fatal = fatal || m.Type == 'E' && m.Field('C') == "28000" && m.Field('S') == "FATAL"
			}
			if want := min(len(x.last), 1); rows != want || !fatal {
				t.Errorf("%s mode, %s: %d rows, want %d; ended with FATAL 28000: %v", mode, what, rows, want, fatal)
			}
		}
		neverIdle(t, mode, p)
	}
}

// neverIdle keeps a reply owed all the time, so that the proxy never sees the
// session between transactions.
func neverIdle(t *testing.T, mode string, p *proxy) {
	t.Helper()
	s := p.startup(t, orgA)
	s.Password = expiring(t, soonExpired)
	c := wiretest.Connect(t, s)
	ended := make(chan wiretest.Message, 1)
	go func() {
		c.Send(wiretest.Query("SELECT pg_sleep(0.01)"))
		for {
			c.Send(wiretest.Query("SELECT pg_sleep(0.01)"))
			msgs := c.Until(1)
			if e, failed := wiretest.Error(msgs); failed || len(msgs) == 0 {
				ended <- e
				return
			}
		}
	}()
	p.awaitExpiry(t, s.Password)
	select {
	case e := <-ended:
		if e.Field('C') != "28000" {
			t.Errorf("%s mode, never idle: ended with %s", mode, e)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s mode, never idle: goes on after the token has expired", mode)
	}
}
