package proxytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// pki makes a CA and a certificate for localhost, as PEM.
func pki(t testing.TB) (ca, cert, key []byte) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	caDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTLS_Client(t *testing.T) {
	ca, cert, key := pki(t)
	p := start(t, options{extra: fmt.Sprintf("client_tls: {mode: require, cert_file: %s, key_file: %s}",
		writeFile(t, "server.crt", cert), writeFile(t, "server.key", key))})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := p.startup(t, orgA)
		s.TLS = &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version}
		c := wiretest.Connect(t, s)
		got := wiretest.Rows(c.Query("SELECT count(*), length(repeat('x', 1000000)) FROM accounts"))
		if fmt.Sprint(got) != "[[2 1000000]]" {
			t.Errorf("TLS %x: got %v", version, got)
		}
		if n := len(wiretest.Rows(c.Query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)"))); n != 20000 {
			t.Errorf("TLS %x: %d rows, want 20000", version, n)
		}
	}
	// Direct TLS needs the ALPN protocol.
	for alpn, ok := range map[string]bool{"postgresql": true, "": false} {
		cfg := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		if alpn != "" {
			cfg.NextProtos = []string{alpn}
		}
		nc, err := tls.Dial("tcp", p.addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(wiretest.StartupPacket(p.startup(t, orgA)))
		var b [1]byte
		nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		nc.Read(b[:])
		if got := b[0] == 'R'; got != ok {
			t.Errorf("direct TLS with ALPN %q: answer %q", alpn, b)
		}
		nc.Close()
	}
	// Old TLS is refused, and so is plain text on this listener... on loopback
	// plain text may be accepted unless TLS is required.
	if _, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"postgresql"}, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

func TestServer_LoginMethods(t *testing.T) {
	ca, cert, key := pki(t)
	for _, method := range []string{"scram-sha-256", "md5", "password"} {
		for _, encrypted := range []bool{false, true} {
			o := pgtest.Options{Auth: method}
			if encrypted {
				o.TLSCert, o.TLSKey = cert, key
			}
			pg := pgtest.New(t, o)
			pg.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE TABLE t (org_id uuid); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO app")
			dsn := fmt.Sprintf("postgres://app:app@localhost:%d/postgres?sslmode=disable", pg.Port)
			if encrypted {
				dsn = fmt.Sprintf("postgres://app:app@localhost:%d/postgres?sslmode=verify-full&sslrootcert=%s", pg.Port, writeFile(t, "ca.crt", ca))
			}
			p := &proxy{pg: pg, db: "postgres", dir: t.TempDir(), stopped: make(chan struct{})}
			p.log = filepath.Join(p.dir, "blocked.jsonl")
			conf := fmt.Sprintf("listen: [\"127.0.0.1:0\", \"unix:%s/sock\"]\nserver: {dsn: %q}\nauth:\n  issuers:\n    - {issuer: test, audience: bulkhead, secret_file: %s}\nblocked_log: {file: %s}\nadmin: {listen: \"127.0.0.1:0\"}\n",
				p.dir, dsn, writeFile(t, "secret", []byte(secret)), p.log)
			p.launch(t, writeFile(t, "b.yaml", []byte(conf)))
			c := p.connect(t, orgA)
			want := "f"
			if encrypted {
				want = "t"
			}
			got := wiretest.Rows(c.Query("SELECT current_setting('app.org_id')"))
			if fmt.Sprint(got) != "[["+orgA+"]]" {
				t.Errorf("%s, TLS %v: %v", method, encrypted, got)
			}
			var ssl string
			admin := pg.Connect(t, "postgres")
			if err := admin.QueryRow(t.Context(), "SELECT bool_and(ssl)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'").Scan(&ssl); err != nil || !strings.HasPrefix(ssl, want) {
				t.Errorf("%s: server connection encrypted %s, want %s (%v)", method, ssl, want, err)
			}
			admin.Close(t.Context())
			if n := len(wiretest.Rows(c.Query("SELECT repeat('x', 1000) FROM generate_series(1, 5000)"))); n != 5000 {
				t.Errorf("%s, TLS %v: %d rows", method, encrypted, n)
			}
			s := p.startup(t, orgA)
			s.Address = p.dir + "/sock"
			u := wiretest.Connect(t, s)
			if got := wiretest.Rows(u.Query("SELECT 1")); fmt.Sprint(got) != "[[1]]" {
				t.Errorf("unix socket: %v", got)
			}
		}
	}
}

func TestSession_TokenExpires(t *testing.T) {
	p := start(t, options{extra: "", mode: "session"})
	s := p.startup(t, orgA)
	// Leeway is 30 s: the token ends two seconds from now.
	s.Password = expiring(t, 2*time.Second-30*time.Second)
	c := wiretest.Connect(t, s)
	c.Query("BEGIN")
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		other := p.startup(t, orgA)
		other.Password = s.Password
		if _, msgs, _ := wiretest.Dial(t, other); len(msgs) > 0 && msgs[len(msgs)-1].Type == 'E' {
			break // expired for a new session
		}
	}
	// Never inside a transaction ...
	if e, failed := wiretest.Error(c.Query("SELECT 1")); failed {
		t.Errorf("in the transaction: %s", e)
	}
	c.Query("COMMIT")
	// ... but at its end.
	e, failed := wiretest.Error(c.Query("SELECT 1"))
	if !failed || e.Field('C') != "28000" || e.Field('S') != "FATAL" {
		t.Errorf("after the transaction: %s, want FATAL 28000", e)
	}
}

// SASL OAUTHBEARER as libpq 18 does it: first without a token, to learn where
// to get one, then with it.
func TestAuth_OAuthBearer(t *testing.T) {
	p := start(t, options{})
	conf, err := os.ReadFile(filepath.Join(p.dir, "bulkhead.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p.stopped = make(chan struct{})
	p.launch(t, writeFile(t, "oauth.yaml", []byte(strings.Replace(string(conf), "auth:\n", "auth:\n  methods: [oauthbearer]\n", 1))))
	for _, tt := range []struct {
		initial string
		ok      bool
	}{
		{"n,,\x01auth=\x01\x01", false},
		{"n,,\x01auth=Bearer " + token(t, orgA, nil) + "\x01\x01", true},
		{"n,,\x01auth=Bearer wrong\x01\x01", false},
		{"y,,\x01auth=Bearer x\x01\x01", false},
	} {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		c := wiretest.Over(t, nc)
		c.Send(wiretest.StartupPacket(p.startup(t, orgA)))
		if m, err := c.Receive(); err != nil || m.Type != 'R' || !strings.Contains(string(m.Body), "OAUTHBEARER") {
			t.Fatalf("got %v, %v; want AuthenticationSASL", m, err)
		}
		size := string([]byte{0, 0, byte(len(tt.initial) >> 8), byte(len(tt.initial))})
		c.Send(wiretest.Frame('p', "OAUTHBEARER\x00"+size+tt.initial))
		m, err := c.Receive()
		if err == nil && m.Type == 'R' && strings.Contains(string(m.Body), "openid-configuration") {
			c.Send(wiretest.Frame('p', "\x01"))
			m, err = c.Receive()
		}
		if err != nil || (m.Type == 'R') != tt.ok {
			t.Errorf("%.20q: got %v, %v", tt.initial, m, err)
		}
		nc.Close()
	}
}

// A sidecar's own token: the client needs none.
func TestAuth_TokenFile(t *testing.T) {
	file := writeFile(t, "token", []byte(token(t, orgB, nil)+"\n"))
	p := start(t, options{})
	conf, err := os.ReadFile(filepath.Join(p.dir, "bulkhead.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p.stopped = make(chan struct{})
	p.launch(t, writeFile(t, "sidecar.yaml", []byte(strings.Replace(string(conf), "auth:\n", "auth:\n  token_file: "+file+"\n", 1))))
	s := p.startup(t, orgA)
	s.Password = "nobody asks for it"
	c := wiretest.Connect(t, s)
	if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT current_setting('app.org_id')"))); got != "[["+orgB+"]]" {
		t.Errorf("the session acts for %s, want the org of the token file", got)
	}
}

// A certificate that was renewed is shown without a restart.
func TestTLS_CertificateReload(t *testing.T) {
	_, cert, key := pki(t)
	certFile, keyFile := writeFile(t, "server.crt", cert), writeFile(t, "server.key", key)
	p := start(t, options{extra: fmt.Sprintf("client_tls: {mode: require, cert_file: %s, key_file: %s}", certFile, keyFile)})
	ca, cert, key := pki(t)
	for file, b := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(file, later, later); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	deadline := time.Now().Add(20 * time.Second)
	for {
		nc, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"postgresql"}})
		if err == nil {
			nc.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not shown: %v", err)
		}
	}
}
