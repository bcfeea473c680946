package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/tenant"
)

// newSignedSession returns a session in whose environment contexts are signed
// by the key that is in *key.
func newSignedSession(t *testing.T, key **tenant.Key) *Session {
	t.Helper()
	env, _ := newTestEnvironment(t)
	var err error
	env.opts.Resolver, err = tenant.NewResolver(tenant.Options{Settings: map[string]string{"request.jwt.claims": "${claims}"}, Signed: true})
	if err != nil {
		t.Fatal(err)
	}
	env.opts.Signing = SigningOptions{Key: func() *tenant.Key { return *key }, TTL: time.Hour}
	env.opts.Limits.ServerResetTimeout = time.Second
	s := newRelaySession(t, env)
	s.sc.backend = "app|4711|local|0"
	return s
}

func testKey(t *testing.T, id int) *tenant.Key {
	t.Helper()
	k, err := tenant.NewKey(id, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// query sends a Query at a time and returns what goes to the server before the
// server has answered anything.
func query(s *Session, now time.Time) string {
	st := step{now: now}
	s.clientBytes(&st, cliMsg('Q', "SELECT 1\x00"))
	return string(st.toServer.bytes())
}

// confirmLabel answers a label, and returns what goes to the server then.
func confirmLabel(s *Session, now time.Time, statements int) string {
	st := step{now: now}
	var answer []byte
	for range statements {
		answer = append(answer, join(srvMsg('1', ""), srvMsg('2', ""), srvMsg('C', "SET\x00"))...)
	}
	s.serverBytes(&st, append(answer, srvMsg('Z', "I")...))
	return string(st.toServer.bytes())
}

func finishQuery(s *Session, now time.Time, tx string) {
	st := step{now: now}
	s.serverBytes(&st, join(srvMsg('C', "SELECT 1\x00"), srvMsg('Z', tx)))
}

// TestSession_RenewsSignature: between transactions, in the second half of its
// life or when the key has changed, and at no other time. The client's
// statement waits for it.
func TestSession_RenewsSignature(t *testing.T) {
	key := testKey(t, 1)
	s := newSignedSession(t, &key)
	begin := time.Now()
	signs := func(what string, now time.Time, kid string) {
		t.Helper()
		out := query(s, now)
		if !strings.Contains(out, kid) || strings.Contains(out, "SELECT 1") {
			t.Fatalf("%s: the server gets %q, want a signature by key %s and nothing else", what, out, kid)
		}
		if out := confirmLabel(s, now, strings.Count(out, "P\x00\x00")); !strings.Contains(out, "SELECT 1") {
			t.Fatalf("%s: after the signature the server gets %q, want the client's statement", what, out)
		}
		finishQuery(s, now, "I")
	}
	keeps := func(what string, now time.Time, tx string) {
		t.Helper()
		if out := query(s, now); !strings.Contains(out, "SELECT 1") || strings.Contains(out, "signature") {
			t.Fatalf("%s: the server gets %q, want the client's statement alone", what, out)
		}
		finishQuery(s, now, tx)
	}
	signs("first", begin, "'0001.")
	keeps("a minute later", begin.Add(time.Minute), "I")
	keeps("just before half the time", begin.Add(30*time.Minute-time.Second), "T")
	keeps("in a transaction", begin.Add(40*time.Minute), "E")
	keeps("in a failed transaction", begin.Add(41*time.Minute), "I")
	signs("afterwards", begin.Add(42*time.Minute), "'0001.")
	keeps("and then not", begin.Add(43*time.Minute), "I")
	key = testKey(t, 2)
	signs("by a new key", begin.Add(44*time.Minute), "'0002.")
}

// TestSession_SignatureTTL: no longer than a server connection lives.
func TestSession_SignatureTTL(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		0: time.Hour, 24 * time.Hour: time.Hour, time.Hour: time.Hour, 5 * time.Minute: 5 * time.Minute, time.Second: minSignatureTTL,
	} {
		if got := signatureTTL(life); got != want {
			t.Errorf("server connections that live for %s: signatures for %s, want %s", life, got, want)
		}
	}
}

// TestSession_SignatureBehindReset: a signature is not made anew behind a reset:
// the transaction may be rolled back to the one before, whose end would then
// not be known.
func TestSession_SignatureBehindReset(t *testing.T) {
	key := testKey(t, 1)
	s := newSignedSession(t, &key)
	now := time.Now()
	out := query(s, now)
	confirmLabel(s, now, strings.Count(out, "P\x00\x00"))
	finishQuery(s, now, "T")
	before := s.sc.signature
	later := now.Add(50 * time.Minute)
	st := step{now: later}
	s.clientBytes(&st, cliMsg('Q', "RESET ALL\x00"))
	st.reset()
	s.serverBytes(&st, join(srvMsg('C', "RESET\x00"), srvMsg('Z', "T")))
	if got := string(st.toServer.bytes()); !strings.Contains(got, before.setting.Value) {
		t.Errorf("behind RESET ALL in a transaction: %q, want the signature that was there", got)
	}
	if s.sc.signature != before {
		t.Error("another signature is noted")
	}
}

func FuzzChallengeRow(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x0212"))
	f.Add([]byte("\x00\x01\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x02\x00\x00\x00\x0112"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := challengeRow(b); err == nil && n == 0 {
			t.Error("0 stands for none")
		}
	})
}

// TestSession_SignatureCostsNoRoundTrip: on a server connection that has just
// been borrowed the signature goes in front of the client's statement, in the
// same step, in both modes.
func TestSession_SignatureCostsNoRoundTrip(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		key := testKey(t, 1)
		s := newSignedSession(t, &key)
		want := `"bulkhead"."signature" = '0001.`
		sc := s.sc
		if sealed {
			s.env.opts.Signing.Sealed = true
			sc.challenge = 4711
			want = "SELECT bulkhead.enter("
		}
		s.sc = nil
		st := step{now: time.Now()}
		s.clientBytes(&st, cliMsg('Q', "SELECT 1\x00"))
		if len(st.requests) != 1 || len(st.toServer.pieces) != 0 {
			t.Fatalf("requests %v, to the server %q", st.requests, st.toServer.bytes())
		}
		st.reset()
		s.serverBorrowed(&st, sc, nil)
		out := string(st.toServer.bytes())
		label, statement := strings.Index(out, want), strings.Index(out, "SELECT 1\x00")
		if label < 0 || statement < label || strings.Contains(out[:statement], "S\x00\x00\x00\x04") {
			t.Errorf("sealed %v: the server gets %q, want the label, no Sync, and the client's statement", sealed, out)
		}
		if sealed && sc.challenge != 0 {
			t.Error("a challenge that was answered is kept")
		}
	}
}
