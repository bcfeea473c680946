package proxytest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// While an issuer does not answer, those who send tokens with unknown keys
// wait for it, and nobody else does: inspections of large texts and cancels
// once shared their places with them.
func TestNeighbours_SlowIssuer(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	issuer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		select {
		case <-release:
		case <-r.Context().Done(): // the proxy gives it up
		}
	}))
	defer issuer.Close()
	defer close(release)
	p := start(t, options{})
	conf, err := os.ReadFile(filepath.Join(p.dir, "bulkhead.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p.stopped = make(chan struct{})
	more := "issuers:\n    - {issuer: slow, audience: bulkhead, algorithms: [RS256], jwks_url: \"" + issuer.URL + "\"}\n"
	p.launch(t, writeFile(t, "slow.yaml", []byte(strings.Replace(string(conf), "issuers:\n", more, 1))))

	c := p.connect(t, orgA)
	text := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	var waiting sync.WaitGroup
	for i := range 30 {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			s := p.startup(t, orgA)
			s.Password = text(fmt.Sprintf(`{"alg":"RS256","kid":"k%d"}`, i)) + "." +
				text(`{"iss":"slow","aud":"bulkhead","exp":9999999999,"org_id":"`+orgA+`"}`) + "." + text(strings.Repeat("x", 256))
			wiretest.Dial(t, s)
		}()
	}
	<-asked
	begin := time.Now()
	expectRows(t, "beside a slow issuer", c, "SELECT length('"+strings.Repeat("x", 100_000)+"')", "[[100000]]")
	// An issuer is given up after five seconds, which frees all places.
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("a large text waited %v for the issuer of others", took)
	}
	waiting.Wait()
}

// Connections that never authenticate take no place from those that do, and
// those that have keep theirs.
func TestNeighbours_Strangers(t *testing.T) {
	p := start(t, options{extra: "limits: {max_clients: 5, auth_timeout: 1h}"})
	in := p.connect(t, orgA)
	var strangers []net.Conn
	for range 20 {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		strangers = append(strangers, nc)
	}
	// The oldest were told to go, in the protocol's words.
	strangers[0].SetReadDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(strangers[0])
	if err != nil || !strings.Contains(string(b), "53300") {
		t.Errorf("the first stranger gets %q, %v", b, err)
	}
	others := []*wiretest.Client{p.connect(t, orgB), p.connect(t, orgB), p.connect(t, orgB), p.connect(t, orgB)}
	expectRows(t, "beside strangers", in, names, rowsA)
	for _, c := range others {
		expectRows(t, "beside strangers", c, names, rowsB)
	}
	if _, msgs, _ := wiretest.Dial(t, p.startup(t, orgA)); code(msgs) != "53300" {
		t.Errorf("one too many: %v", msgs)
	}
}
