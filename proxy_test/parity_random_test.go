package proxytest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// author writes conversations at random: pipelines with errors, closed and
// prepared statements, suspended portals, COPY and resets in every order.
type author struct {
	*rand.Rand
}

func (a *author) of(texts ...string) string { return texts[a.IntN(len(texts))] }

func (a *author) name() string { return a.of("", "", "a", "b", "c") }

// parse returns a Parse that is not the first message of its batch: of a named
// statement, since unnamed ones that are skipped in several batches in a row are
// not brought back (docs/protocol.md).
func (a *author) parse(name string) []byte {
	if name == "" {
		name = "d"
	}
	return parse(name, a.text())
}

func (a *author) portal() string { return a.of("", "", "", "p", "q") }

// text is of a statement that leaves nothing that the server cannot be asked
// about.
func (a *author) text() string {
	n := strconv.Itoa(a.IntN(3))
	return a.of("SELECT "+n, "SELECT "+n+"::text AS t", "SELECT g FROM generate_series(1, 5) g", "SELECT 1/"+n, "SELECT "+n+" FROM nowhere",
		"SELECT current_setting('work_mem')", "SET work_mem = '"+strconv.Itoa(a.IntN(4)+1)+"MB'", "RESET work_mem", "SET LOCAL work_mem = '9MB'",
		"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT AND CHAIN",
		"DEALLOCATE "+a.of("a", "b", "x"), "DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS", "RESET ALL", "CLOSE ALL",
		"PREPARE "+a.of("a", "x")+" AS SELECT "+n, "EXECUTE "+a.of("a", "b", "x"), "DECLARE cur CURSOR FOR SELECT g FROM generate_series(1, 9) g",
		"FETCH 2 FROM cur", "CLOSE cur", "SHOW work_mem", "", "INSERT INTO sink VALUES ("+n+") RETURNING a", "INSERT INTO sink VALUES ('x')")
}

// batch returns messages of the extended protocol without a Sync.
func (a *author) batch() (msgs [][]byte) {
	if a.IntN(3) == 0 {
		msgs = append(msgs, parse("", a.text()))
	}
	for range a.IntN(7) {
		switch a.IntN(12) {
		case 0, 1, 2:
			msgs = append(msgs, a.parse(a.name()))
		case 3:
			msgs = append(msgs, bind(a.portal(), a.name()))
		case 4:
			msgs = append(msgs, describe(a.of("S", "P")[0], a.name()))
		case 5:
			msgs = append(msgs, execute(a.portal(), uint32(a.IntN(3))))
		case 6:
			msgs = append(msgs, closes(a.of("S", "S", "P")[0], a.name()))
		case 7:
			msgs = append(msgs, wiretest.Flush)
		case 8:
			msgs = append(msgs, a.copy()...)
		default:
			name, portal := a.name(), a.portal()
			if a.IntN(2) == 0 {
				msgs = append(msgs, a.parse(name))
			}
			msgs = append(msgs, bind(portal, name), describe('P', portal), execute(portal, uint32(a.IntN(3))))
		}
	}
	return msgs
}

// copy returns a COPY FROM STDIN whose data are pipelined behind it.
func (a *author) copy() [][]byte {
	const own = "copy" // nobody else runs it: its data would be missing
	msgs := [][]byte{
		closes('S', own), parse(own, "COPY "+a.of("sink", "sink", "nowhere")+" FROM STDIN"), closes('P', own), bind(own, own), execute(own, 0),
	}
	for range a.IntN(3) {
		msgs = append(msgs, wiretest.Frame('d', a.of("1\n", "2\n3\n", "x\n")))
	}
	if a.IntN(4) == 0 {
		return append(msgs, wiretest.Frame('f', "given up\x00"))
	}
	return append(msgs, wiretest.Frame('c', ""))
}

// turn returns messages and how many ReadyForQuery answer them.
func (a *author) turn() (x turn) {
	for range 1 + a.IntN(3) {
		x.ready++
		if a.IntN(3) == 0 {
			text := a.text()
			if a.IntN(3) == 0 && !strings.HasPrefix(text, "DEALLOCATE") { // whether it was carried out would not be known
				text += "; " + a.of("SELECT 1", "SELECT 1/0", "SELECT 'last'")
			}
			x.send = append(x.send, wiretest.Query(text))
			continue
		}
		x.send = append(append(x.send, a.batch()...), synced)
	}
	return x
}

// Whatever clients send, each gets what the server would have answered to it
// alone, though they change their server connections all the time. It is
// a search, so it runs only if BULKHEAD_TEST_SEED says random, or the seed of a
// conversation that has failed.
func TestParity_Random(t *testing.T) {
	clients, conversations, turns := 4, 30, 12
	first := rand.Uint64() % 1e9
	switch s := os.Getenv("BULKHEAD_TEST_SEED"); s {
	case "":
		t.Skip("set BULKHEAD_TEST_SEED to random, or to the seed of a conversation")
	case "random":
	default:
		first, _ = strconv.ParseUint(s, 10, 64)
		clients, conversations = 1, 1
	}
	for _, mode := range []string{"transaction", "shared"} {
		p := startParity(t, options{mode: mode, pool: "max_server_connections: 8, max_per_org: 3, queue_timeout: 60s"})
		p.pg.Exec(t, p.db, "CREATE TABLE sink (a int); GRANT ALL ON sink TO app")
		startups := map[string]wiretest.Startup{orgA: p.startup(t, orgA), orgB: p.startup(t, orgB)}
		var all sync.WaitGroup
		for n := range clients {
			org := []string{orgA, orgB}[n%2]
			all.Go(func() {
				for i := range conversations {
					seed := first + uint64(n*conversations+i)
					if !p.converse(t, org, startups[org], seed, turns) {
						t.Errorf("%s: conversation of BULKHEAD_TEST_SEED=%d, by the first client", mode, seed)
						return
					}
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
	}
}

// refusedInFailed reports whether in a failed transaction the server has refused
// a Parse of Bulkhead's, which docs/protocol.md names as a difference.
func refusedInFailed(msgs []wiretest.Message) bool {
	return wiretest.Status(msgs) == 'E' && slices.ContainsFunc(msgs, func(m wiretest.Message) bool { return m.Type == 'E' && m.Field('C') == "25P02" })
}

// converse plays a conversation both ways and reports whether the replies are
// the same.
func (p *proxy) converse(t *testing.T, org string, startup wiretest.Startup, seed uint64, turns int) bool {
	a, s := &author{Rand: rand.New(rand.NewPCG(seed, 0))}, &script{}
	got, msgs, err := wiretest.Dial(t, startup)
	if err != nil {
		t.Errorf("connect: %v %v", msgs, err)
		return false
	}
	want := p.directAs(t, org)
	defer got.Conn.Close()
	defer want.Conn.Close()
	told := ""
	for i := range turns {
		x := a.turn()
		told += fmt.Sprintf("%d: %q\n", i, x.send)
		got.Send(x.send...)
		want.Send(x.send...)
		w, err := x.receive(want)
		if errors.Is(err, errFatal) {
			return true // a COPY that was run again has met a message that is not its
		}
		if err != nil {
			t.Errorf("direct, turn %d: %v after %v\n%s", i, err, w, told)
			return false
		}
		g, err := x.receive(got)
		if err == nil && !bytes.Equal(s.raw(g), s.raw(w)) && refusedInFailed(g) && wiretest.Status(w) == 'E' {
			return true
		}
		if err != nil || !bytes.Equal(s.raw(g), s.raw(w)) {
			t.Errorf("turn %d: %v\ngot\n%swant\n%s\n%s", i, err, wiretest.Transcript(g), wiretest.Transcript(w), told)
			return false
		}
	}
	return true
}
