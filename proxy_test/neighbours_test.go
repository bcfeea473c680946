package proxytest

import (
	"fmt"
	"sync"
	"testing"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// What a client's startup parameters do to a login is its own affair: others,
// who need logins too, do not wait for it and do not share its error. Once the
// proxy took it for a server that is down.
func TestNeighbours_BadStartupParameters(t *testing.T) {
	signed, _ := startContext(t, options{mode: "transaction"}, dbcontext.Sealed)
	for _, x := range []struct {
		p           *proxy
		name, value string
	}{
		{start(t, options{mode: "transaction"}), "timezone", "\xff"},
		{start(t, options{mode: "session"}), "default_text_search_config", "nothing"},
		{signed, "statement_timeout", "1"}, // ends what the proxy asks for a signature
		{signed, "lc_time", "nowhere"},
	} {
		stop := make(chan struct{})
		var attackers sync.WaitGroup
		for range 4 {
			attackers.Add(1)
			go func() {
				defer attackers.Done()
				for {
					select {
					case <-stop:
						return
					default:
					}
					s := x.p.startup(t, orgA)
					s.Params = map[string]string{x.name: x.value}
					if c, _, err := wiretest.Dial(t, s); err == nil {
						c.Conn.Close()
					}
				}
			}()
		}
		for i := range 20 {
			s := x.p.startup(t, orgB)
			s.Params = map[string]string{"application_name": fmt.Sprint("login ", i)} // a connection of its own
			c, msgs, err := wiretest.Dial(t, s)
			if err != nil || msgs[len(msgs)-1].Type != 'Z' {
				t.Errorf("beside %s = %q: %v %v", x.name, x.value, msgs, err)
				break
			}
			expectRows(t, "beside "+x.name, c, names, rowsB)
			c.Send(wiretest.Terminate)
			c.Conn.Close()
		}
		close(stop)
		attackers.Wait()
	}
}

// Names that the server would not take for settings do not get to it.
func TestStartup_NoSettingsNames(t *testing.T) {
	p := start(t, options{mode: "session"})
	for _, name := range []string{"a.1b", "a..b", ".a", "a.", "1a", "$a", "a b", "a-b"} {
		s := p.startup(t, orgA)
		s.Params = map[string]string{name: "x"}
		if _, msgs, _ := wiretest.Dial(t, s); code(msgs) != "42501 G101" {
			t.Errorf("%s: %s", name, wiretest.Transcript(msgs))
		}
	}
}

// A session counts for its org although it has never needed a server
// connection: one org could take all of limits.max_clients.
func TestNeighbours_ClientsPerOrg(t *testing.T) {
	for _, mode := range []string{"session", "transaction", "shared"} {
		p := start(t, options{mode: mode, extra: "limits: {max_clients_per_org: 2}"})
		open := []*wiretest.Client{p.connect(t, orgA), p.connect(t, orgA)}
		for range 3 {
			if _, msgs, _ := wiretest.Dial(t, p.startup(t, orgA)); code(msgs) != "53300" {
				t.Errorf("%s mode, a third client: %v", mode, msgs)
			}
		}
		p.connect(t, orgB)
		for _, c := range open {
			c.Send(wiretest.Terminate)
			c.Conn.Close()
		}
		awaitRows(t, mode, func() string {
			_, msgs, _ := wiretest.Dial(t, p.startup(t, orgA))
			return code(msgs)
		}, "")
	}
}
