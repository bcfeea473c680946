package proxytest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// parityPolicy lets pass what the scripts do and a rule would refuse.
const parityPolicy = `
policy: {allow: {functions: [pg_try_advisory_lock, pg_try_advisory_xact_lock, parity_notice, parity_raise, parity_hint], statements: [LISTEN, UNLISTEN, NOTIFY]}}`

func startParity(t testing.TB, o options) *proxy {
	t.Helper()
	for _, file := range []string{"testdata/careless.sql", "testdata/parity.sql"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o.sql += string(b)
	}
	o.extra += parityPolicy
	return start(t, o)
}

// expected are the replies that a script gets from the server itself, one
// text for each turn, with the mark of client 0.
type expected map[*script]map[string][][]byte // by org

// expect plays all scripts directly, for both orgs, twice: what the server does
// not say twice alike is no measure.
func expect(t testing.TB, p *proxy, scripts []*script) expected {
	t.Helper()
	want := make(expected)
	for _, s := range scripts {
		want[s] = make(map[string][][]byte)
		for _, org := range []string{orgA, orgB} {
			for range 2 {
				c := p.directAs(t, org)
				replies := s.play(t, c, 0)
				c.Conn.Close()
				if old := want[s][org]; old != nil {
					for i := range old {
						if !bytes.Equal(old[i], replies[i]) {
							t.Fatalf("%s, turn %d: the server itself answers in two ways:\n%q\n%q", s.name, i, old[i], replies[i])
						}
					}
				}
				want[s][org] = replies
			}
		}
	}
	return want
}

func (s *script) play(t testing.TB, c *wiretest.Client, n int) [][]byte {
	var replies [][]byte
	for i, x := range s.marked(mark(n)) {
		c.Send(x.send...)
		msgs, err := x.receive(c)
		if err != nil {
			t.Fatalf("%s, turn %d: %v after\n%s", s.name, i, err, wiretest.Transcript(msgs))
		}
		replies = append(replies, s.raw(msgs))
	}
	return replies
}

// receive reads the reply to a turn.
func (x *turn) receive(c *wiretest.Client) (msgs []wiretest.Message, err error) {
	for ready := 0; ; {
		m, err := c.Receive()
		if err != nil {
			return msgs, err
		}
		msgs = append(msgs, m)
		switch {
		case m.Type == 'E' && m.Field('S') == "FATAL":
			return msgs, errFatal
		case m.Type == 'Z':
			if ready++; ready >= x.ready {
				return msgs, nil
			}
		case x.until != 0 && m.Type == x.until:
			return msgs, nil
		case x.until == 0 && x.flushes() && len(msgs) == x.ready:
			return msgs, nil
		}
	}
}

var errFatal = errors.New("the connection is about to end")

// flushes tells that the turn asks for nothing that a ReadyForQuery answers;
// then the number of the messages themselves is awaited.
func (x *turn) flushes() bool {
	for _, m := range x.send {
		if m[0] == 'S' || m[0] == 'Q' {
			return false
		}
	}
	return true
}

// raw returns the bytes of messages as they came, apart from differences that
// docs/protocol.md names: a syntax error is the guard's own (rule G701), and in
// a failed transaction it may be Bulkhead's Parse that the server refuses. Both
// have the same fields but those that say where in the server it was. Parameter
// statuses in a row are sorted. If the script says so, the OIDs of tables are
// left out.
func (s *script) raw(msgs []wiretest.Message) []byte {
	var b []byte
	for _, m := range sortedStatuses(msgs) {
		if s.vary && m.Type == 'T' {
			m.Body = withoutTables(m.Body)
		}
		if m.Type == 'E' && (m.Field('C') == "42601" || m.Field('C') == "25P02") {
			m.Body = []byte(m.Field('S') + m.Field('V') + m.Field('C') + m.Field('M') + m.Field('P'))
		}
		b = append(b, m.Type)
		b = binary.BigEndian.AppendUint32(b, uint32(len(m.Body)))
		b = append(b, m.Body...)
	}
	return b
}

// sortedStatuses sorts ParameterStatus messages that stand side by side.
func sortedStatuses(msgs []wiretest.Message) []wiretest.Message {
	msgs = slices.Clone(msgs)
	for from := 0; from < len(msgs); from++ {
		to := from
		for to < len(msgs) && msgs[to].Type == 'S' {
			to++
		}
		slices.SortFunc(msgs[from:to], func(a, b wiretest.Message) int { return bytes.Compare(a.Body, b.Body) })
		from = max(from, to-1)
	}
	return msgs
}

// withoutTables clears the OIDs of tables in a RowDescription.
func withoutTables(body []byte) []byte {
	body = bytes.Clone(body)
	const afterName = 18 // table, column, type, size, modifier, format
	for at := 2; at < len(body); at += afterName {
		at += bytes.IndexByte(body[at:], 0) + 1
		clear(body[at : at+4])
	}
	return body
}

// directAs connects to the server itself as the login role, with the org's
// context in the startup packet: what the proxy is compared with.
func (p *proxy) directAs(t testing.TB, org string) *wiretest.Client {
	t.Helper()
	return wiretest.Connect(t, wiretest.Startup{
		Address: fmt.Sprintf("127.0.0.1:%d", p.pg.Port), User: "app", Password: "app", Database: p.db,
		Params: map[string]string{"app.org_id": org, "client_encoding": "UTF8"},
	})
}

// crowd is many clients of both orgs at once, each with scripts in an order of
// its own.
type crowd struct {
	t       testing.TB
	p       *proxy
	scripts []*script
	want    expected
	seed    uint64
	kill    *killer // nil: nobody is killed
	clients atomic.Int64
	played  atomic.Int64
}

func (w *crowd) run(workers, scripts int) {
	var all sync.WaitGroup
	startups := map[string]wiretest.Startup{orgA: w.p.startup(w.t, orgA), orgB: w.p.startup(w.t, orgB)}
	for n := range workers {
		all.Go(func() {
			order := rand.New(rand.NewPCG(w.seed, uint64(n)))
			org := []string{orgA, orgB}[n%2]
			for range scripts {
				s := w.scripts[order.IntN(len(w.scripts))]
				for !w.client(s, org, startups[org], order) {
				}
				if w.t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
}

// client plays a script as one client. It returns false if the client or its
// server connection was killed on the way: then the script is to be played
// again.
func (w *crowd) client(s *script, org string, startup wiretest.Startup, order *rand.Rand) bool {
	n := int(w.clients.Add(1))
	c, msgs, err := wiretest.Dial(w.t, startup)
	if err != nil || msgs[len(msgs)-1].Type != 'Z' {
		return w.ended(s, "startup", nil, msgs, nil)
	}
	defer c.Conn.Close()
	for i, x := range s.marked(mark(n)) {
		if w.kill.now(w.t, order) {
			return false
		}
		if sent := w.send(c, x.send, order); sent < len(x.send) {
			return false // it was killed in the middle
		}
		msgs, err := x.receive(c)
		want := bytes.ReplaceAll(w.want[s][org][i], []byte(mark(0)), []byte(mark(n)))
		if lost := unserved(msgs); w.kill != nil && lost >= 0 {
			// Its server connection, or the login for one, was killed. In front
			// of that is what was asked for.
			if head := s.raw(msgs[:lost]); !bytes.HasPrefix(want, head) {
				w.t.Errorf("seed %d, %s, turn %d, in front of a lost server connection:\n%s", w.seed, s.name, i, difference(head, want))
			}
			return false
		}
		if err != nil {
			return w.ended(s, fmt.Sprintf("turn %d", i), x.send, msgs, want)
		}
		if !bytes.Equal(s.raw(msgs), want) {
			w.t.Errorf("seed %d, %s, turn %d of org %s as %s, sent %q\n%s", w.seed, s.name, i, org, mark(n), x.send, difference(s.raw(msgs), want))
			return true
		}
	}
	w.played.Add(1)
	if order.IntN(2) == 0 {
		c.Send(wiretest.Terminate)
	}
	return true
}

// unserved returns where the reply says that no server connection could be had,
// or that it was lost; -1 if it does not.
func unserved(msgs []wiretest.Message) int {
	return slices.IndexFunc(msgs, func(m wiretest.Message) bool {
		return m.Type == 'E' && m.Field('C') == "08006" && m.Field('S') == "ERROR" && m.Field('R') == "bulkhead"
	})
}

// send writes the messages in one or many pieces. It stops early if the client
// is killed.
func (w *crowd) send(c *wiretest.Client, msgs [][]byte, order *rand.Rand) int {
	switch order.IntN(4) {
	case 0:
		for i, m := range msgs {
			if w.kill != nil && order.IntN(150) == 0 {
				c.Conn.Close()
				return i
			}
			c.Send(m)
		}
	case 1:
		all := bytes.Join(msgs, nil)
		for len(all) > 0 {
			n := min(len(all), 1+order.IntN(40))
			c.Send(all[:n])
			all = all[n:]
		}
	default:
		c.Send(msgs...)
	}
	return len(msgs)
}

// ended judges a connection that has ended early: somebody must have killed
// it, what came before must be the beginning of the reply, and the last word,
// if any, be FATAL.
func (w *crowd) ended(s *script, where string, sent [][]byte, msgs []wiretest.Message, want []byte) bool {
	if n := len(msgs); n > 0 && msgs[n-1].Type == 'E' && msgs[n-1].Field('S') == "FATAL" {
		msgs = msgs[:n-1]
	}
	if where != "startup" && !bytes.HasPrefix(want, s.raw(msgs)) {
		w.t.Errorf("seed %d, %s, %s, sent %q\n%s", w.seed, s.name, where, sent, difference(s.raw(msgs), want))
		return true
	}
	if w.kill == nil {
		w.t.Errorf("seed %d, %s, %s: the connection ended, and nobody was killed:\n%s", w.seed, s.name, where, wiretest.Transcript(msgs))
		return true
	}
	return false
}

// difference shows where two replies part.
func difference(got, want []byte) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(0, at-300)
	cut := func(b []byte) string { return fmt.Sprintf("%.900q", b[from:]) }
	return fmt.Sprintf("%d bytes, want %d; they differ at %d. From %d on:\ngot  %s\nwant %s", len(got), len(want), at, from, cut(got), cut(want))
}

// killer ends server connections at random.
type killer struct {
	mu    sync.Mutex
	admin *pgx.Conn
	db    string
	n     atomic.Int64
}

// now kills a server connection now and then. It reports whether the client
// itself is to die.
func (k *killer) now(t testing.TB, order *rand.Rand) bool {
	if k == nil {
		return false
	}
	if order.IntN(80) == 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.n.Add(1)
		_, err := k.admin.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM "+
			"(SELECT pid FROM pg_stat_activity WHERE datname = $1 AND usename = 'app' AND application_name <> 'bulkhead' ORDER BY random() LIMIT 1) x", k.db)
		if err != nil {
			t.Error(err)
		}
	}
	return order.IntN(100) == 0
}

// Many clients of two orgs get, byte for byte, what the server gives to each
// alone.
func TestParity(t *testing.T) {
	scripts := corpus(t)
	for i, version := range versions(t) {
		p := startParity(t, options{mode: []string{"transaction", "shared"}[i%2], version: version, pool: "max_server_connections: 12, max_per_org: 6"})
		w := &crowd{t: t, p: p, scripts: scripts, want: expect(t, p, scripts), seed: uint64(version)}
		w.run(16, 25)
		if t.Failed() {
			return
		}
	}
	p := startParity(t, options{mode: "session", version: versions(t)[0]})
	w := &crowd{t: t, p: p, scripts: scripts, want: expect(t, p, scripts), seed: 1}
	w.run(8, 25)
}

// Clients and server connections are killed at every boundary of messages: no
// reply is lost, doubled or given to another client.
func TestParity_Kills(t *testing.T) {
	scripts := corpus(t)
	for _, mode := range []string{"transaction", "session", "shared"} {
		pool := "max_server_connections: 12, max_per_org: 6"
		if mode == "session" {
			pool = "max_server_connections: 40, max_per_org: 20"
		}
		p := startParity(t, options{mode: mode, pool: pool})
		k := &killer{admin: p.pg.Connect(t, p.db), db: p.db}
		w := &crowd{t: t, p: p, scripts: scripts, want: expect(t, p, scripts), seed: 7, kill: k}
		w.run(16, 25)
		k.admin.Close(context.Background())
		t.Logf("%s pooling: %d scripts played by %d clients, %d server connections killed", mode, w.played.Load(), w.clients.Load(), k.n.Load())
		if k.n.Load() == 0 || w.clients.Load() == w.played.Load() {
			t.Error("nobody was killed")
		}
	}
}

// Values of all common types are the same bytes in every form.
func TestParity_Types(t *testing.T) {
	b, err := os.ReadFile("testdata/types.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"session", "transaction"} {
		p := startParity(t, options{mode: mode})
		got, want := p.connect(t, orgA), p.directAs(t, orgA)
		for _, line := range strings.Split(string(b), "\n") {
			typ, value, ok := strings.Cut(line, "|")
			if !ok || line[0] == '#' {
				continue
			}
			value = strings.ReplaceAll(value, `\\`, `\`)
			wantText, wantBinary := typeReplies(want, typ, value, nil)
			gotText, gotBinary := typeReplies(got, typ, value, wantBinary)
			again, _ := typeReplies(want, typ, value, wantBinary)
			if gotText != wantText+again[len(wantText):] || !bytes.Equal(gotBinary, wantBinary) {
				t.Errorf("%s %q:\ngot  %s\nwant %s", typ, value, gotText, again)
			}
		}
	}
}

// typeReplies returns all that the server says of a value, and its binary
// form; if that is given, it is sent as a parameter too.
func typeReplies(c *wiretest.Client, typ, value string, binary []byte) (string, []byte) {
	ask := func(msgs ...[]byte) []wiretest.Message {
		c.Send(append(msgs, execute("", 0), synced)...)
		return c.Until(1)
	}
	sql := "SELECT $1::" + typ
	var out strings.Builder
	out.WriteString(wiretest.Transcript(c.Query("SELECT '" + strings.ReplaceAll(value, "'", "''") + "'::" + typ)))
	for _, format := range []string{"0", "1"} {
		msgs := ask(wiretest.Parse("", "SELECT $1::text::"+typ), bindFormats("", "", "", format, []string{value}), describe('P', ""))
		out.WriteString(wiretest.Transcript(msgs))
		if rows := wiretest.Rows(msgs); format == "1" && len(rows) == 1 && binary == nil {
			return out.String(), []byte(rows[0][0])
		}
	}
	if binary != nil {
		b := bindFormats("", "", "1", "1", []string{fmt.Sprintf("hex:%x", binary)})
		out.WriteString(wiretest.Transcript(ask(wiretest.Parse("", sql), describe('S', ""), b)))
	}
	return out.String(), binary
}
