package proxytest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// Where rules only observe, a client gets what the server gives, be it settings
// under which the guard reads something else than the server.
func TestObserve_OtherEncodings(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode, extra: "policy: {mode: observe}"})
		s := p.startup(t, orgA)
		s.Params = map[string]string{"client_encoding": "LATIN9"}
		c := wiretest.Connect(t, s)
		if got := c.Params["client_encoding"]; got != "LATIN9" {
			t.Errorf("%s: client_encoding is %q at start, want LATIN9", mode, got)
		}
		if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT length('\xa4'), '\xa4' = chr(8364)"))); got != "[[1 t]]" {
			t.Errorf("%s: a euro sign in LATIN9: %s", mode, got)
		}
		c = p.connect(t, orgA)
		c.Query("SET client_encoding TO 'LATIN1'; SET standard_conforming_strings TO off")
		if got := fmt.Sprint(c.Params["client_encoding"], c.Params["standard_conforming_strings"]); got != "LATIN1off" {
			t.Errorf("%s: after SET the client was told %s", mode, got)
		}
		if got := fmt.Sprint(wiretest.Rows(c.Query(`SELECT 'a\'b', length('` + "\xe4" + `')`))); got != "[[a'b 1]]" {
			t.Errorf("%s: after SET: %s", mode, got)
		}
		c.Send(wiretest.Terminate)
		for range 3 { // whoever comes next on that server connection
			n := p.connect(t, orgA)
			if got := fmt.Sprint(wiretest.Rows(n.Query(`SELECT 'a\', length('ä')`))); got != `[[a\ 1]]` || n.Params["client_encoding"] != "UTF8" {
				t.Errorf("%s: the next session reads %s in %s", mode, got, n.Params["client_encoding"])
			}
		}
	}
}

// A FunctionCall is recorded and forwarded where its rule only observes.
func TestObserve_FunctionCall(t *testing.T) {
	p := start(t, options{mode: "transaction", extra: "policy: {mode: observe}"})
	call := func(oid uint32, arg string) []byte {
		body := binary.BigEndian.AppendUint32(nil, oid)
		body = append(body, 0, 0, 0, 1) // arguments in text
		body = binary.BigEndian.AppendUint32(body, uint32(len(arg)))
		return wiretest.Frame('F', string(append(append(body, arg...), 0, 0)))
	}
	const absInt4 = 1397
	got, want := p.connect(t, orgA), p.direct(t)
	for _, x := range []turn{
		{send: [][]byte{call(absInt4, "-42")}, ready: 1},
		{send: [][]byte{call(absInt4, "x")}, ready: 1},
		{send: [][]byte{call(1, "x"), wiretest.Query("SELECT 1"), call(absInt4, "-1")}, ready: 3},
		{send: [][]byte{wiretest.Query("BEGIN"), call(absInt4, "x"), call(absInt4, "-1"), wiretest.Query("ROLLBACK")}, ready: 4},
		{send: [][]byte{parse("", "SELECT 1/0"), bind("", ""), execute("", 0), call(absInt4, "-1"), synced}, ready: 1},
	} {
		if got, want := x.play(t, got), x.play(t, want); got != want {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
	}
	if r := p.blocked(t, 7)[0]; r.Rule != "G103" || string(r.Decision) != "observed" || r.Protocol != "fastpath" {
		t.Errorf("recorded: %+v", r)
	}
}

// A client that ignores what it notified itself compares process ids.
func TestPooling_NotificationOfOnesOwn(t *testing.T) {
	p := start(t, options{mode: "transaction", extra: "policy: {allow: {statements: [LISTEN, NOTIFY]}}"})
	c := p.connect(t, orgA)
	c.Query("LISTEN x")
	for _, m := range c.Query("NOTIFY x, 'own'") {
		if m.Type != 'A' {
			continue
		}
		if pid := binary.BigEndian.Uint32(m.Body); pid != c.PID || string(m.Body[4:]) != "x\x00own\x00" {
			t.Errorf("the notification is %q, the client's process id %d", m.Body, c.PID)
		}
		return
	}
	t.Error("no notification")
}

// server.databases ["*"]: any database of the server.
func TestServer_AnyDatabase(t *testing.T) {
	t.Setenv("BULKHEAD_SERVER_DATABASES", "*")
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode, role: pgtest.Superuser, extra: "policy: {mode: observe}"})
		s := p.startup(t, orgA)
		admin := wiretest.Connect(t, s)
		other := p.db + "_other"
		if e, failed := wiretest.Error(admin.Query("CREATE DATABASE " + other)); failed {
			t.Fatal(e)
		}
		s.Database = other
		c := wiretest.Connect(t, s)
		if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT current_database()"))); got != "[["+other+"]]" {
			t.Errorf("%s: connected to %s, want %s", mode, got, other)
		}
		c.Send(wiretest.Terminate)
		c.Receive() // until it is gone
		if e, failed := wiretest.Error(admin.Query("DROP DATABASE " + other)); failed {
			t.Errorf("%s: a server connection that nobody uses is in the way: %s", mode, e)
		}
		if mode == "transaction" { // a session can start without the server
			c := wiretest.Connect(t, s)
			if e, failed := wiretest.Error(c.Query("SELECT 1")); !failed {
				t.Errorf("a database that is gone answers: %s", e)
			}
		}
		_, msgs, _ := wiretest.Dial(t, s)
		if e, failed := wiretest.Error(msgs); !failed || e.Field('C') != "3D000" {
			t.Errorf("%s: a database that is gone: %s", mode, wiretest.Transcript(msgs))
		}
	}
}
