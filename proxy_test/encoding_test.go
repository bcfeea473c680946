package proxytest

import (
	"fmt"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// Clients that speak LATIN1 (psql, psycopg2 and others on request) get it, at
// startup or by SET, in every pool mode; what could be read in two ways is
// refused.
func TestEncoding_Latin1(t *testing.T) {
	for _, mode := range []string{"session", "transaction", "shared"} {
		p := start(t, options{mode: mode, pool: oneShared})
		const e = "\xe9" // é
		s := p.startup(t, orgA)
		s.Params = map[string]string{"client_encoding": "LATIN1"}
		c := wiretest.Connect(t, s)
		expectRows(t, mode, c, "SHOW client_encoding", "[[LATIN1]]")
		expectRows(t, mode, c, "SELECT '"+e+"', length('"+e+"'), ascii('"+e+"')", "[["+e+" 1 233]]")
		c.Send(parse("", "SELECT '"+e+"' || $1"), bindText(e), execute("", 0), synced)
		if got := fmt.Sprint(wiretest.Rows(c.Until(1))); got != "[["+e+e+"]]" {
			t.Errorf("%s: in the extended protocol: %s", mode, got)
		}
		// These bytes are é in UTF-8 and Ã© in LATIN1.
		c.Query("BEGIN")
		if x, failed := wiretest.Error(c.Query("SELECT 'é'")); !failed || x.Field('C') != "42501" {
			t.Errorf("%s: an ambiguous text: %v", mode, x)
		}
		if got := wiretest.Status(c.Query("ROLLBACK")); got != 'I' {
			t.Errorf("%s: status %c", mode, got)
		}
		expectRows(t, mode, c, "RESET ALL", "[]")
		expectRows(t, mode, c, "SELECT '"+e+"' FROM accounts LIMIT 1", "[["+e+"]]")
		c.Send(wiretest.Terminate)

		// By SET, and back.
		c = p.connect(t, orgA)
		expectRows(t, mode, c, "SELECT 'é'", "[[é]]")
		expectRows(t, mode, c, "SET client_encoding TO 'LATIN1'", "[]")
		expectRows(t, mode, c, "SELECT '"+e+"'", "[["+e+"]]")
		expectRows(t, mode, c, "SET client_encoding TO 'UTF8'", "[]")
		expectRows(t, mode, c, "SELECT chr(233)", "[[é]]")
		c.Query("SET client_encoding TO 'LATIN1'")
		c.Send(wiretest.Terminate)

		// The next client has what it asks for.
		c = p.connect(t, orgB)
		expectRows(t, mode, c, "SELECT 'é', current_setting('client_encoding')", "[[é UTF8]]")
		c.Send(wiretest.Terminate)
	}
}

// What the proxy sends itself means the same on a connection in LATIN1.
func TestEncoding_Label(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: oneShared})
	s := p.startup(t, orgA)
	s.Password = token(t, orgA, map[string]any{"nick": "ü"})
	s.Params = map[string]string{"client_encoding": "LATIN1"}
	c := wiretest.Connect(t, s)
	got := wiretest.Rows(c.Query("SELECT ascii(current_setting('request.jwt.claims')::json ->> 'nick'), length(current_setting('request.jwt.claims')::json ->> 'nick')"))
	if fmt.Sprint(got) != "[[252 1]]" {
		t.Errorf("the claim arrives as %v", got)
	}
}

// bindText is a Bind of the unnamed statement with one parameter, as text.
func bindText(value string) []byte { return bindFormats("", "", "", "", []string{value}) }

// What a client is answered does not depend on what others have sent before:
// the guard's cache knows texts by their bytes, and the same bytes are another
// text in another encoding.
func TestEncoding_Cache(t *testing.T) {
	p := start(t, options{mode: "session"})
	both, latin := "SELECT 1 AS \"é\"", "SELECT 1 AS \"\xe9\""
	c := p.connect(t, orgA)
	for range 3 {
		expectRows(t, "UTF8", c, both, "[[1]]")
		expectRows(t, "UTF8", c, latin, "22021 G705")
	}
	s := p.startup(t, orgB)
	s.Params = map[string]string{"client_encoding": "LATIN1"}
	o := wiretest.Connect(t, s)
	for range 3 {
		expectRows(t, "LATIN1", o, both, "42501 G104")
		expectRows(t, "LATIN1", o, latin, "[[1]]")
		o.Send(parse("", both), synced)
		if got := code(o.Until(1)); got != "42501 G104" {
			t.Errorf("Parse in LATIN1: got %q", got)
		}
	}
}
