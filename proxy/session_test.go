package proxy

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/tenant"
)

const (
	testOrg    = "11111111-1111-4111-8111-111111111111"
	testSecret = "0123456789abcdef0123456789abcdef"
)

// newTestEnvironment makes what sessions share, without a server.
func newTestEnvironment(t testing.TB) (*environment, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file)
	verifier, err := auth.New(auth.Options{OrgType: "uuid", Issuers: []auth.Issuer{
		{Issuer: "test", Audience: "bulkhead", Algorithms: []string{"HS256"}, SecretFile: file, OrgClaim: "org_id"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.Mint(auth.MintOptions{KeyFile: file, Issuer: "test", Audience: "bulkhead", Org: testOrg, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := tenant.NewResolver(tenant.Options{Settings: map[string]string{"app.org_id": "${org}"}})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policy.New(policy.Options{
		OrgType: "uuid", TenantColumns: []string{"org_id"}, TenantSettings: resolver.Names(), AssumeRelations: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	log, err := blocklog.Open(blocklog.Options{File: filepath.Join(t.TempDir(), "blocked.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(t.Context()) })
	return &environment{
		opts: &Options{
			Limits:   Limits{MaxStatementBytes: 1 << 20, MaxTokenBytes: 8 << 10, AuthTimeout: time.Second, QueueTimeout: time.Second, MaxClientsPerOrg: 100},
			Verifier: verifier, Throttle: auth.NewThrottle(), Resolver: resolver, BlockedLog: log,
			Server:  ServerOptions{Database: "app"},
			Engines: map[string]*policy.Engine{"app": engine},
		},
		log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), recent: &recentParams{keys: map[unique.Handle[string]]map[string]string{}},
	}, token
}

func writeSecret(t testing.TB, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newRelaySession returns a session that is ready for queries on sc.
func newRelaySession(t testing.TB, env *environment) *Session {
	t.Helper()
	s := newSession(env, 1, peer{local: true}, time.Now())
	s.identity = &auth.Identity{Org: testOrg, Expires: time.Now().Add(time.Hour)}
	ctx, err := env.opts.Resolver.Resolve(tenant.Claims{Org: testOrg})
	if err != nil {
		t.Fatal(err)
	}
	s.context, s.engine, s.phase = ctx, env.opts.Engines["app"], phaseRelay
	s.sc = &serverConn{tx: txIdle, params: map[string]string{}}
	return s
}

// drive feeds b in chunks and returns what went to either side.
func drive(s *Session, b []byte, chunk int) (toClient, toServer []byte) {
	st := step{now: time.Now()}
	for len(b) > 0 {
		n := min(chunk, len(b))
		buf := append([]byte(nil), b[:n]...)
		s.clientBytes(&st, buf)
		toClient = append(toClient, st.toClient.bytes()...)
		toServer = append(toServer, st.toServer.bytes()...)
		st.reset()
		clear(buf) // the loop uses its buffer again
		b = b[n:]
	}
	return toClient, toServer
}

func cliMsg(typ byte, body string) []byte { return srvMsg(typ, body) }

// However the client's bytes are cut, the server gets the same.
func TestSession_EverySplit(t *testing.T) {
	env, _ := newTestEnvironment(t)
	in := join(
		cliMsg('Q', "SELECT 1\x00"), cliMsg('P', "s\x00SELECT $1::int\x00\x00\x01\x00\x00\x00\x17"),
		cliMsg('B', "\x00s\x00\x00\x00\x00\x01\x00\x00\x00\x011\x00\x00"), cliMsg('D', "P\x00"), cliMsg('E', "\x00\x00\x00\x00\x00"), cliMsg('S', ""),
		cliMsg('Q', "SET app.org_id = 'x'\x00"), cliMsg('P', "\x00SET ROLE x\x00\x00\x00"), cliMsg('S', ""),
		cliMsg('F', "\x00\x00\x08\x1d\x00\x00\x00\x00\x00\x00"), cliMsg('H', ""), cliMsg('C', "Ss\x00"), cliMsg('S', ""),
		cliMsg('P', "\x00SELECT 1 FROM t WHERE org_id = $1\x00\x00\x00"),
		cliMsg('B', "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x24"+strings.Repeat("2", 8)+"-2222-4222-8222-222222222222\x00\x00"), cliMsg('S', ""),
	)
	_, want := drive(newRelaySession(t, env), in, len(in))
	for _, refused := range []string{"rule G201", "rule G301", "rule G103", "rule G802"} {
		if !bytes.Contains(want, []byte(refused)) {
			t.Errorf("the server is not told of a refusal by %s", refused)
		}
	}
	for _, secret := range []string{"app.org_id", "SET ROLE", "2222-4222"} {
		if bytes.Contains(want, []byte(secret)) {
			t.Errorf("the server gets %q of a refused message", secret)
		}
	}
	for chunk := 1; chunk < 40; chunk++ {
		if _, got := drive(newRelaySession(t, env), in, chunk); !bytes.Equal(got, want) {
			t.Fatalf("chunks of %d:\ngot  %q\nwant %q", chunk, got, want)
		}
	}
}

func TestSession_Startup(t *testing.T) {
	env, token := newTestEnvironment(t)
	packet := append([]byte{0, 0, 0, 0, 0, 3, 0, 0}, "user\x00u\x00database\x00app\x00\x00"...)
	packet[3] = byte(len(packet))
	s := newSession(env, 1, peer{local: true}, time.Now())
	out, _ := drive(s, packet, 3)
	if want := authRequest(nil, authCleartext); !bytes.Equal(out, want) {
		t.Fatalf("answer to the startup packet: %q, want %q", out, want)
	}
	st := step{now: time.Now()}
	s.clientBytes(&st, cliMsg('p', token+"\x00"))
	if len(st.requests) != 1 || s.phase != phaseVerifying {
		t.Fatalf("requests %v, phase %v", st.requests, s.phase)
	}
	id, err := env.opts.Verifier.Verify(t.Context(), st.requests[0].(verifyToken).token)
	st.reset()
	s.tokenVerified(&st, id, err)
	if len(st.requests) != 2 || s.phase != phaseAttaching {
		t.Fatalf("requests %v, phase %v", st.requests, s.phase)
	}
	if _, ok := st.requests[1].(borrowServer); !ok {
		t.Fatalf("asks for %T, want a server connection", st.requests[1])
	}
	// Time goes by: the client is told, and the session is over.
	st.reset()
	st.now = st.now.Add(time.Minute)
	s.tick(&st)
	if !bytes.Contains(st.toClient.bytes(), []byte("53300")) || s.phase != phaseClosed {
		t.Errorf("after the queue timeout: %q, phase %v", st.toClient.bytes(), s.phase)
	}
}

func FuzzSession_Relay(f *testing.F) {
	env, _ := newTestEnvironment(f)
	f.Add(join(cliMsg('Q', "SELECT 1\x00"), cliMsg('S', "")))
	f.Add(join(cliMsg('P', "\x00SET app.org_id=1\x00\x00\x00"), cliMsg('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), cliMsg('E', "\x00\x00\x00\x00\x00"), cliMsg('S', "")))
	f.Add(join(cliMsg('P', "\x00SELECT set_config('bulkhead.token', $1, true)\x00\x00\x00"), cliMsg('B', "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01x\x00\x00"),
		cliMsg('D', "P\x00"), cliMsg('E', "\x00\x00\x00\x00\x00"), cliMsg('S', "")))
	f.Add(join(cliMsg('Q', "BEGIN\x00"), cliMsg('Q', "SET LOCAL bulkhead.org_id = 'x'\x00"), cliMsg('Q', "RESET bulkhead.token\x00"), cliMsg('X', "")))
	f.Add(join(cliMsg('d', "x"), cliMsg('c', ""), cliMsg('f', "x\x00"), cliMsg('X', "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, whole := drive(newRelaySession(t, env), b, len(b)+1)
		_, cut := drive(newRelaySession(t, env), b, 1)
		// A violation ends the session where it is seen; what was forwarded
		// before must be the same.
		n := min(len(whole), len(cut))
		if !bytes.Equal(whole[:n], cut[:n]) {
			t.Errorf("got %q cut, %q whole", cut, whole)
		}
	})
}

func FuzzSession_Prelude(f *testing.F) {
	env, token := newTestEnvironment(f)
	packet := append([]byte{0, 0, 0, 0, 0, 3, 0, 0}, "user\x00u\x00database\x00app\x00\x00"...)
	packet[3] = byte(len(packet))
	f.Add(append(packet, cliMsg('p', token+"\x00")...))
	f.Add([]byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f})
	f.Add([]byte{0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSession(env, 1, peer{local: true}, time.Now())
		if _, toServer := drive(s, b, 7); len(toServer) > 0 {
			t.Errorf("bytes reach the server before authentication: %q", toServer)
		}
		if s.phase == phaseRelay {
			t.Error("a session came up without a server")
		}
	})
}
