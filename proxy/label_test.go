package proxy

import (
	"bytes"
	"testing"
	"time"
	"unique"

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

// The parameters that a session is told at its beginning are those of the
// server, not what another client, perhaps of another org, has SET on the
// connection that it is lent.
func TestSession_ParametersOfOthers(t *testing.T) {
	env, _ := newTestEnvironment(t)
	env.opts.Pool.Transaction = true
	s := newRelaySession(t, env)
	sc := s.sc
	s.sc, s.phase = nil, phaseAttaching
	sc.params["application_name"] = "secret of another"
	sc.state = unique.Make("application_name\x00secret of another\x00")
	st := step{now: time.Now()}
	s.serverBorrowed(&st, sc, nil)
	if got := st.toClient.bytes(); len(got) > 0 {
		t.Errorf("before the settings are reset the client gets %q", got)
	}
	if got := st.toServer.bytes(); !bytes.Contains(got, []byte("RESET ALL")) {
		t.Errorf("the server gets %q", got)
	}
	st.reset()
	reset := srvMsg('S', "application_name\x00\x00")
	var done []byte
	for range sc.owed.at(0).left {
		done = join(done, srvMsg('1', ""), srvMsg('2', ""), srvMsg('C', "RESET\x00"))
	}
	s.serverBytes(&st, join(reset, done, srvMsg('Z', "I")))
	if got := st.toClient.bytes(); bytes.Contains(got, []byte("secret")) || s.phase != phaseRelay {
		t.Errorf("phase %v, the client gets %q", s.phase, got)
	}
}
