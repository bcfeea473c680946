package proxytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// Large prepared statements are bounded by their size, for a session and on
// its server connection; those that are there go on working, also after they
// had to make room on the server.
func TestMemory_PreparedStatements(t *testing.T) {
	large := strings.Repeat("x", 1_000_000)
	for _, mode := range twoModes {
		p := start(t, options{mode: mode})
		c := p.connect(t, orgA)
		names, refused := 0, ""
		for i := 0; i < 50 && refused == ""; i++ {
			c.Send(parse(fmt.Sprint("s", i), fmt.Sprintf("SELECT %d, length('%s')", i, large)), synced)
			if refused = code(c.Until(1)); refused == "" {
				names++
			}
		}
		if refused != "54000" || names < 20 {
			t.Errorf("%s mode: %d statements of a megabyte, then %q, want 54000", mode, names, refused)
		}
		for i := 0; i < names; i += 10 {
			c.Send(bind("", fmt.Sprint("s", i)), execute("", 0), synced)
			if got, want := fmt.Sprint(wiretest.Rows(c.Until(1))), fmt.Sprintf("[[%d 1000000]]", i); got != want {
				t.Errorf("%s mode: statement %d returns %s", mode, i, got)
			}
		}
		c.Send(closes('S', "s0"), parse("again", "SELECT '"+large+"'"), synced)
		if got := code(c.Until(1)); got != "" {
			t.Errorf("%s mode: after one was closed: %s", mode, got)
		}
	}
}

// A Bind that is compared with the tenant comes byte by byte: the parameters
// before the tenant's are not read again for each.
func TestMemory_SlowBind(t *testing.T) {
	p := start(t, options{mode: "session"})
	c := p.connect(t, orgA)
	const params = 30_000
	var text strings.Builder
	for i := range params {
		fmt.Fprintf(&text, "$%d,", i+1)
	}
	c.Send(parse("", "SELECT count(*) FROM accounts WHERE name IN ("+strings.TrimSuffix(text.String(), ",")+fmt.Sprintf(") OR org_id = $%d", params+1)), synced)
	if got := code(c.Until(1)); got != "" {
		t.Fatal(got)
	}
	values := make([]any, params+1)
	for i := range values {
		values[i] = i
	}
	values[params] = orgB
	b := bind("", "", values...)
	for len(b) > 0 {
		n := min(97, len(b))
		c.Send(b[:n])
		b = b[n:]
	}
	c.Send(execute("", 0), synced)
	if got := code(c.Until(1)); got != "42501 G802" {
		t.Errorf("the tenant's parameter is another org: got %q", got)
	}
	expectRows(t, "afterwards", c, "SELECT 1", "[[1]]")
}
