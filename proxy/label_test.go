package proxy

import (
	"bytes"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/tenant"
)

// A CancelRequest reaches the server while it carries out what Bulkhead has put
// in front of the client's statement: the statement is what was cancelled, and
// the session goes on. It once ended the session.
func TestSession_CancelHitsLabel(t *testing.T) {
	cancelled := srvMsg('E', "SERROR\x00VERROR\x00C57014\x00Mcanceling statement due to user request\x00\x00")
	batch := join(cliMsg('P', "s\x00SELECT 1\x00\x00\x00"), cliMsg('B', "\x00s\x00\x00\x00\x00\x00\x00"), cliMsg('E', "\x00\x00\x00\x00\x00"))
	for name, sent := range map[string][]byte{
		"query": cliMsg('Q', "SELECT 1\x00"),
		"batch": append(bytes.Clone(batch), cliMsg('S', "")...),
		"open":  batch, // its Sync is still to come
	} {
		env, _ := newTestEnvironment(t)
		env.opts.Pool.Transaction = true
		resolver, err := tenant.NewResolver(tenant.Options{Settings: map[string]string{"app.org_id": "${org}", "app.user": "${subject}"}})
		if err != nil {
			t.Fatal(err)
		}
		env.opts.Resolver = resolver
		s := newRelaySession(t, env)
		sc := s.sc
		st := step{now: time.Now()}
		if s.putLabel(&st, true) {
			t.Fatalf("%s: the session waits for its label", name)
		}
		s.clientBytes(&st, sent)
		if !bytes.Contains(st.toServer.bytes(), []byte("SELECT 1")) {
			t.Fatalf("%s: nothing follows the label: %q", name, st.toServer.bytes())
		}
		st.reset()
		s.serverBytes(&st, cancelled)
		ready := name != "open"
		want := errCancelled.appendTo(nil)
		if ready {
			want = readyForQuery(want, txIdle)
		}
		if got := st.toClient.bytes(); !bytes.Equal(got, want) {
			t.Errorf("%s: the client gets %q, want %q", name, got, want)
		}
		if s.sc != nil || sc.doubt == "" || s.phase != phaseRelay {
			t.Errorf("%s: server connection %v, doubt %q, phase %v", name, s.sc, sc.doubt, s.phase)
		}
		if s.named["s"] != nil {
			t.Errorf("%s: the statement that was never prepared is still known", name)
		}
		if !ready {
			st.reset()
			s.clientBytes(&st, cliMsg('S', ""))
			if got := st.toClient.bytes(); !bytes.Equal(got, readyForQuery(nil, txIdle)) {
				t.Errorf("at its Sync the client gets %q", got)
			}
		}
	}
}
