package proxy

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/pgbulkhead/bulkhead/auth"
)

const otherOrg = "22222222-2222-4222-8222-222222222222"

// otherToken returns a token of another org, and makes sure that it is known.
func otherToken(t testing.TB, env *environment, file string) string {
	t.Helper()
	tok, err := auth.Mint(auth.MintOptions{KeyFile: file, Issuer: "test", Audience: "bulkhead", Org: otherOrg, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.opts.Verifier.Verify(t.Context(), []byte(tok)); err != nil {
		t.Fatal(err)
	}
	return tok
}

// However the bytes are cut, a change of identity is answered alike, nothing of
// it goes to the server, and no allowed text does without a new connection.
func TestInBand_EverySplit(t *testing.T) {
	env, _, file := newTestEnvironmentWithKey(t)
	tok := otherToken(t, env, file)
	in := join(
		cliMsg('Q', "SET bulkhead.token = '"+tok+"'\x00"), cliMsg('Q', "SELECT set_config('bulkhead.token', '"+tok+"', false)\x00"),
		cliMsg('P', "n\x00SELECT set_config('bulkhead.token', $1, false)\x00\x00\x00"), cliMsg('D', "Sn\x00"),
		cliMsg('B', "\x00n\x00\x00\x00\x00\x01\x00\x00"+string([]byte{byte(len(tok) >> 8), byte(len(tok))})+tok+"\x00\x00"), cliMsg('E', "\x00\x00\x00\x00\x00"), cliMsg('S', ""),
		cliMsg('Q', "SET LOCAL bulkhead.token = '"+tok+"'\x00"), cliMsg('Q', "SET bulkhead.org_id = '"+testOrg+"'\x00"),
		cliMsg('Q', "RESET bulkhead.token\x00"), cliMsg('C', "Sn\x00"), cliMsg('S', ""), cliMsg('Q', "SELECT 1\x00"),
	)
	detached := func() *Session {
		s := newRelaySession(t, env)
		s.sc = nil
		return s
	}
	want, toServer := drive(detached(), in, len(in))
	if len(toServer) > 0 {
		t.Fatalf("the server gets %q", toServer)
	}
	if bytes.Contains(want, []byte(tok)) {
		t.Error("the token is sent back")
	}
	for what, n := range map[string]int{"SELECT 1\x00": 2, "[redacted]": 2, "RESET\x00": 1, "C25P01\x00": 1, "rule=G201": 1} {
		if got := bytes.Count(want, []byte(what)); got != n {
			t.Errorf("%q stands %d times in the replies, want %d: %q", what, got, n, want)
		}
	}
	for chunk := 1; chunk < 300; chunk += 7 {
		if got, _ := drive(detached(), in, chunk); !bytes.Equal(got, want) {
			t.Fatalf("chunks of %d:\ngot  %q\nwant %q", chunk, got, want)
		}
	}
}

// A server connection that comes late, for an identity that the session has
// given up, is not for the one that it has now.
func TestInBand_LateServerConnection(t *testing.T) {
	env, _, file := newTestEnvironmentWithKey(t)
	tok := otherToken(t, env, file)
	s := newRelaySession(t, env)
	s.key = makeKey(s.context, &s.startup)
	late := &serverConn{key: s.key, tx: txIdle, params: map[string]string{}}
	s.sc = nil
	st := step{now: time.Now()}
	s.clientBytes(&st, cliMsg('Q', "SELECT 1\x00")) // waits, in vain
	st.now = st.now.Add(time.Minute)
	s.tick(&st)
	if got := string(st.toClient.bytes()); !strings.Contains(got, "C53300\x00") || s.phase != phaseRelay {
		t.Fatalf("after the queue timeout: %q, phase %v", got, s.phase)
	}
	s.clientBytes(&st, cliMsg('Q', "SET bulkhead.token = '"+tok+"'\x00"))
	s.clientBytes(&st, cliMsg('Q', "SELECT 2\x00"))
	if s.wait != waitServer || s.context.Org != otherOrg {
		t.Fatalf("wait %v, org %s", s.wait, s.context.Org)
	}
	st.reset()
	s.serverBorrowed(&st, late, nil)
	if s.sc != nil || len(st.toServer.bytes()) > 0 || len(st.requests) != 1 {
		t.Fatalf("the session takes another org's server connection: %q, %v", st.toServer.bytes(), st.requests)
	}
	if _, back := st.requests[0].(returnClean); !back {
		t.Errorf("asks for %T, want it to be given back", st.requests[0])
	}
	own := &serverConn{key: s.key, tx: txIdle, params: map[string]string{}}
	s.serverBorrowed(&st, own, nil)
	if s.sc != own || !bytes.Contains(st.toServer.bytes(), []byte("SELECT 2")) {
		t.Errorf("its own is not used: %q", st.toServer.bytes())
	}
}

// A label goes in front of the client's message without a Sync, and what stands
// behind the first Query or Sync waits for it.
func TestLabel_Pipelined(t *testing.T) {
	env, _ := newTestEnvironment(t)
	env.opts.Pool = PoolOptions{Transaction: true, Shared: true}
	s := newRelaySession(t, env)
	shared := *s.context
	shared.Label, shared.Key = "mine", "shared"
	s.context, s.sc = &shared, nil
	s.key = poolKey{org: testOrg, start: unique.Make("x")}
	st := step{now: time.Now()}
	s.clientBytes(&st, join(cliMsg('Q', "SELECT 1\x00"), cliMsg('Q', "SELECT 2\x00")))
	sc := &serverConn{key: s.key, org: otherOrg, label: "other", tx: txIdle, params: map[string]string{}}
	st.reset()
	s.serverBorrowed(&st, sc, nil)
	sent := st.toServer.bytes()
	for i, want := range []string{"DISCARD ALL", "BEGIN", "COMMIT", "SELECT 1"} {
		at := bytes.Index(sent, []byte(want))
		if at < 0 {
			t.Fatalf("%d: %q is not sent: %q", i, want, sent)
		}
		sent = sent[at:]
	}
	if all := st.toServer.bytes(); bytes.Contains(all, []byte("SELECT 2")) || bytes.Contains(all, cliMsg('S', "")) {
		t.Fatalf("what waits for the label is sent, or a Sync: %q", all)
	}
	st.reset()
	s.serverBytes(&st, srvError("42501"))
	if out := st.toClient.bytes(); !bytes.Contains(out, []byte("08006")) || bytes.Contains(out, []byte("42501")) || s.phase != phaseClosed || sc.doubt == "" {
		t.Errorf("after a label that fails: %q, phase %v, doubt %q", out, s.phase, sc.doubt)
	}
}

// newTestEnvironmentWithKey is newTestEnvironment with the file of the key.
func newTestEnvironmentWithKey(t testing.TB) (env *environment, token, file string) {
	t.Helper()
	env, token = newTestEnvironment(t)
	file = filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file)
	env.opts.Pool.Transaction = true
	return env, token, file
}
