package proxy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// ServerOptions say where the server is and how to log in.
type ServerOptions struct {
	// Config is a parsed libpq connection string: hosts, TLS, login role and
	// password, target_session_attrs.
	Config *pgconn.Config
	// Password returns the password of the login role; nil: the Config's.
	Password func() (string, error)
	Database string // of the connection string: what an empty name means
	Dialers  int    // logins at a time
}

// login is a server connection that has been logged in by blocking code.
type login struct {
	sc     *serverConn
	socket *loop.Socket
}

// connect logs in to the server for w: the tenant context and the client's
// startup parameters go into the startup packet, so RESET ALL and DISCARD ALL
// return to them.
func (s *Server) connect(ctx context.Context, w *waiter) (*login, error) {
	cfg := s.opts.Server.Config.Copy()
	cfg.Database = w.database
	cfg.RuntimeParams = maps.Clone(cfg.RuntimeParams)
	if cfg.RuntimeParams == nil {
		cfg.RuntimeParams = make(map[string]string)
	}
	if t := s.env.limits().StatementTimeout; t > 0 {
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(t.Milliseconds(), 10)
	}
	for _, p := range w.params {
		cfg.RuntimeParams[p.name] = p.value
	}
	_, encoded := cfg.RuntimeParams["client_encoding"]
	for name, value := range safeReading {
		if _, given := cfg.RuntimeParams[name]; !given || !w.lax && name != "client_encoding" {
			cfg.RuntimeParams[name] = value
		}
	}
	for _, f := range w.fixed {
		cfg.RuntimeParams[f.Name] = f.Value
	}
	if s.opts.Server.Password != nil {
		password, err := s.opts.Server.Password()
		if err != nil {
			return nil, fmt.Errorf("read the login role's password: %w", err)
		}
		cfg.Password = password
	}
	return dialServer(ctx, cfg, w.key, w.lax, encoded, &s.opts.Signing)
}

// safeReading are settings under which the server reads a text as the guard
// does. A role's or database's own settings could say otherwise.
var safeReading = map[string]string{
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
}

func dialServer(ctx context.Context, cfg *pgconn.Config, key poolKey, lax, encoded bool, signing *SigningOptions) (*login, error) {
	var socket *loop.Socket
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		socket, err = loop.NewSocket(c)
		if err != nil {
			c.Close()
			return nil, err
		}
		return socket, nil
	}
	var frontend *pgproto3.Frontend
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frontend = pgproto3.NewFrontend(r, w)
		return frontend
	}
	cfg.MaxProtocolMessageBodyLen = maxErrorResponse
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var backend string
	var challenge int64
	switch {
	case signing.Sealed:
		challenge, err = challengeOf(ctx, pc)
	case signing.enabled():
		backend, err = backendOf(ctx, pc)
	}
	if err != nil {
		pc.Close(ctx)
		return nil, err
	}
	hc, err := pc.Hijack()
	if err != nil {
		return nil, err
	}
	if frontend.ReadBufferLen() != 0 || hc.TxStatus != txIdle {
		hc.Conn.Close()
		return nil, errors.New("the server sent more than the login's replies")
	}
	if tc, ok := hc.Conn.(*tls.Conn); ok {
		socket.SetTLS(tc)
	}
	sc := &serverConn{
		key:       key,
		pid:       hc.PID,
		secret:    hc.SecretKey,
		params:    hc.ParameterStatuses,
		tx:        txIdle,
		cancel:    cancelOver(hc),
		backend:   backend,
		challenge: challenge,
	}
	if encoded { // the rules have passed it
		sc.encoding = sc.params["client_encoding"]
	}
	if !lax && !sc.readsSafely() {
		hc.Conn.Close()
		return nil, errUnsafeParameter
	}
	return &login{sc: sc, socket: socket}, nil
}

// cancelOver returns the canceller of a connection: a CancelRequest to the
// same address, over TLS if the connection has it (PostgreSQL manual,
// Canceling Requests in Progress).
func cancelOver(hc *pgconn.HijackedConn) canceller {
	addr := hc.Conn.RemoteAddr()
	request := binary.BigEndian.AppendUint32(nil, uint32(12+len(hc.SecretKey)))
	request = binary.BigEndian.AppendUint32(request, codeCancel)
	request = binary.BigEndian.AppendUint32(request, hc.PID)
	request = append(request, hc.SecretKey...)
	tlsConfig := hc.TLSConfig
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, addr.Network(), addr.String())
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer c.Close()
		if t, ok := ctx.Deadline(); ok {
			c.SetDeadline(t)
		}
		if tlsConfig != nil {
			if c, err = cancelTLS(ctx, c, tlsConfig); err != nil {
				return err
			}
		}
		if _, err := c.Write(request); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		// The server closes the connection when it has sent the signal.
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("wait: %w", err)
		}
		return nil
	}
}

func cancelTLS(ctx context.Context, c net.Conn, cfg *tls.Config) (net.Conn, error) {
	b := binary.BigEndian.AppendUint32(nil, 8)
	if _, err := c.Write(binary.BigEndian.AppendUint32(b, codeSSL)); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if answer[0] != 'S' {
		return nil, errors.New("the server refused TLS for the cancel request")
	}
	tc := tls.Client(c, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// dial makes a server connection for w, off the loop.
func (s *Server) dial(w *waiter) {
	s.dialing.Add(1)
	go func() {
		defer s.dialing.Done()
		in, err := s.login(w)
		if w.client == nil {
			s.pool.aheadEnded(w, err != nil && clientsAffair(w, err))
		}
		if err != nil {
			e := s.loginError(err)
			for _, other := range s.pool.failed(w, !clientsAffair(w, err)) {
				other.client.later(func(st *step) { other.client.sess.serverBorrowed(st, nil, e) })
			}
			return
		}
		w.loop.Post(func() { s.adopt(in, w) })
	}()
}

// login logs in, as soon as that makes sense, and a bounded number at a time.
func (s *Server) login(w *waiter) (*login, error) {
	for {
		probe, err := s.gate.enter(s.ctx)
		if err != nil {
			return nil, err
		}
		s.dialers <- struct{}{}
		if probe || s.gate.failing() == nil {
			break
		}
		<-s.dialers // one before has failed meanwhile
	}
	defer func() { <-s.dialers }()
	ctx, stop := context.WithTimeout(s.ctx, s.loginTimeout())
	defer stop()
	in, err := s.connect(ctx, w)
	if err != nil {
		s.metrics.loginFailed()
	}
	if clientsAffair(w, err) {
		s.env.recent.forget(w.key)
		s.gate.leave(nil) // the server answers
	} else {
		s.gate.leave(err)
	}
	return in, err
}

// clientsAffair reports whether a login has failed for a reason that other
// clients have nothing to do with: the database, or a startup parameter. Where
// the client has sent any, every refusal is put down to them that does not
// speak of the server's own state: no list could hold all that a value can do
// to a login.
func clientsAffair(w *waiter, err error) bool {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
		return false
	case slices.Contains(passedOn[:clientsOwn], pg.Code):
		return true
	case len(w.params) == 0 || len(pg.Code) < 2:
		return false
	}
	return pg.Code == codeCancelled || !slices.Contains(serversOwn, pg.Code[:2])
}

// serversOwn are the classes of SQLSTATE (PostgreSQL manual, Error Codes) that
// concern the login role or the state of the server.
var serversOwn = []string{"08", "28", "53", "57", "58", "F0", "XX"}

// codeCancelled is query_canceled: by a statement_timeout too.
const codeCancelled = "57014"

const defaultLoginTimeout = 15 * time.Second

func (s *Server) loginTimeout() time.Duration {
	if t := s.opts.Server.Config.ConnectTimeout; t > 0 {
		return t
	}
	return defaultLoginTimeout
}

// adopt puts a new server connection on the client's loop and lends it, or
// keeps it if nobody waits.
func (s *Server) adopt(in *login, w *waiter) {
	c := w.client
	l := &serverLink{
		srv: s, loop: w.loop, sc: in.sc, created: w.loop.Now(), share: in.sc.key.org, epoch: w.epoch, jitter: rand.Float64(),
	}
	in.sc.link = l
	conn, err := w.loop.Adopt(in.socket, l)
	if err != nil {
		in.socket.Close()
		s.pool.made()
		s.pool.lost(in.sc.key.org)
		s.log.Error("server connection cannot be used", "error", err)
		if c != nil {
			c.later(func(st *step) { c.sess.serverBorrowed(st, nil, &errServerDown) })
		}
		return
	}
	l.conn = conn
	s.pool.made()
	s.watch(l)
	if c == nil {
		s.pool.put(l, w.loop.Now())
		return
	}
	l.lent(c)
}

// passedOn are the errors of a login that are the client's own affair: a
// startup parameter or a database that the server refuses, or a server that
// is starting, stopping or full. All others concern the proxy's own login and
// are only logged.
var passedOn = []string{
	"22023", "22P02", "42602", "42704", "3D000", "55000", // a parameter, the database
	"53300", "57P01", "57P02", "57P03", // the server's state
}

// clientsOwn is how many of passedOn are about a parameter or the database.
const clientsOwn = 6

// loginError is what the client is told of a failed login.
func (s *Server) loginError(err error) *clientError {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && slices.Contains(passedOn, pg.Code) {
		s.log.Info("server refused a session", "sqlstate", pg.Code)
		return &clientError{severity: severityFatal, code: pg.Code, message: pg.Message, detail: pg.Detail, hint: pg.Hint}
	}
	s.log.Error("cannot log in to the server", "error", err)
	return &errServerDown
}
