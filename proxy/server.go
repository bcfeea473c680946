package proxy

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/proxy/loop"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// Options configure a Server. All fields are immutable once it is made; of some
// others may be put in force (Changeable).
type Options struct {
	Listen  []string // "host:port" or "unix:/path"
	TLS     TLSOptions
	Server  ServerOptions
	Pool    PoolOptions
	Limits  Limits
	Signing SigningOptions

	Verifier *auth.Verifier
	Throttle *auth.Throttle
	// TokenSource, if set, gives the identity of clients that need no token.
	TokenSource *auth.TokenSource
	// OAuthBearer asks for the token by SASL OAUTHBEARER instead of as a
	// password. OAuthFailure is the discovery document sent to a client that
	// has no token yet.
	OAuthBearer  bool
	OAuthFailure []byte

	Resolver *tenant.Resolver
	// Engines judge statements, by the name of the database: each knows one
	// catalogue. They are the databases that a client may name.
	Engines map[string]*policy.Engine
	// OpenDatabase, if set, returns the engine of any other database.
	OpenDatabase func(ctx context.Context, name string) (*policy.Engine, error)
	BlockedLog   *blocklog.Writer

	Tracer trace.Tracer // nil: tracing is off
	// Sampled, if set, tells whether the span of an allowed statement will be
	// recorded, and with which context: so most statements cost no span.
	Sampled func(parent trace.SpanContext) (context.Context, bool)
	// SlowQuery is the duration from which a statement is logged; 0: never.
	SlowQuery time.Duration
	Logger    *slog.Logger
	Loops     int    // event loops; 0: from the number of processors
	Driver    string // of the loops; "" is the platform's best
}

// TLSMode is how a listener treats TLS.
type TLSMode uint8

// The modes, as client_tls.mode names them.
const (
	TLSDisable TLSMode = iota
	TLSPrefer
	TLSRequire
	TLSVerifyClient
)

// TLSOptions configure TLS towards clients.
type TLSOptions struct {
	Mode TLSMode
	// Config returns the configuration in force, with the certificate that is
	// on disk now. nil: TLS is not available.
	Config func() *tls.Config
	// AllowPlaintextToken accepts a token over an unencrypted connection
	// that does not come over loopback or a unix socket.
	AllowPlaintextToken bool
}

func (o *TLSOptions) available() bool { return o.Mode != TLSDisable && o.Config != nil }

func (o *TLSOptions) required() bool { return o.Mode == TLSRequire || o.Mode == TLSVerifyClient }

// Server accepts clients and lends them server connections.
type Server struct {
	opts    *Options
	env     *environment
	log     *slog.Logger
	metrics *metrics
	pool    *pool
	loops   []*loopState
	cancels cancelRegistry
	nextID  atomic.Uint64

	listeners []net.Listener
	stops     []func()

	ctx     context.Context // set by Start
	stop    context.CancelFunc
	ended   chan error // of the loops
	workers workers
	dialers chan struct{}
	dialing sync.WaitGroup
	gate    loginGate

	mu      sync.Mutex // guards what follows
	clients int
	// strangers are the *clientLink that have not authenticated yet, the one
	// that has come first in front.
	strangers list.List
	draining  bool
	drained   chan struct{} // closed when draining and no client is left
	allGone   sync.Once
}

// New makes a server and binds its listeners. Run serves.
func New(o Options) (*Server, error) {
	s := &Server{
		opts:    &o,
		log:     o.Logger,
		cancels: cancelRegistry{keys: make(map[string]*clientLink)},
		workers: newWorkers(),
		dialers: make(chan struct{}, max(1, o.Server.Dialers)),
		drained: make(chan struct{}),
	}
	if o.Signing.TTL == 0 {
		o.Signing.TTL = signatureTTL(o.Pool.MaxLifetime)
	}
	s.pool = newPool(o.Pool)
	s.pool.dial = s.dial
	s.pool.failing = func() bool { return s.gate.failing() != nil }
	s.metrics = newMetrics(s)
	s.env = &environment{
		opts: &o, log: o.Logger, metrics: s.metrics,
		recent: &recentParams{keys: make(map[unique.Handle[string]]map[string]string)},
	}
	s.env.now.Store(o.Changeable())
	loops := loopCount(o.Loops)
	for range loops {
		l, err := loop.New(loop.Options{Driver: o.Driver, Logger: o.Logger, KeepProcessor: loops < runtime.GOMAXPROCS(0)})
		if err != nil {
			return nil, fmt.Errorf("make event loop: %w", err)
		}
		s.loops = append(s.loops, &loopState{Loop: l, clients: make(map[*clientLink]struct{})})
	}
	s.ended = make(chan error, len(s.loops))
	for _, addr := range o.Listen {
		ln, err := listen(addr)
		if err != nil {
			s.closeListeners()
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		s.listeners = append(s.listeners, ln)
	}
	return s, nil
}

// loopCount leaves a processor to the server and the Go runtime: a loop keeps
// one busy.
func loopCount(n int) int {
	if n > 0 {
		return n
	}
	return max(1, min(8, runtime.GOMAXPROCS(0)/2))
}

func listen(addr string) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, "unix:")
	if !unix {
		return net.Listen("tcp", addr)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, errors.New("another process listens there")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		os.Remove(path) // left by a process that died
	}
	return net.Listen("unix", path)
}

// Addresses returns where the server listens, in the order of Options.Listen.
func (s *Server) Addresses() []net.Addr {
	var out []net.Addr
	for _, ln := range s.listeners {
		out = append(out, ln.Addr())
	}
	return out
}

// Start begins to accept clients. What it starts ends with ctx; Run must
// follow.
func (s *Server) Start(ctx context.Context) error {
	s.ctx, s.stop = context.WithCancel(ctx)
	s.pool.start(s.loops[0])
	for _, l := range s.loops {
		go func() { s.ended <- l.Run() }()
	}
	for _, l := range s.loops {
		for _, ln := range s.listeners {
			stop, err := l.Listen(ln, func(c *loop.Conn) { s.accept(l, c) })
			if err != nil {
				return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
			}
			s.stops = append(s.stops, stop)
		}
	}
	return nil
}

// Run serves until the context of Start ends, then closes what is open at
// once. To end in order, call Drain first.
func (s *Server) Run() error {
	defer s.stop()
	<-s.ctx.Done()
	s.closeListeners()
	s.dialing.Wait()
	for _, l := range s.loops {
		l.Stop()
	}
	var err error
	for range s.loops {
		err = errors.Join(err, <-s.ended)
	}
	return err
}

func (s *Server) closeListeners() {
	for _, ln := range s.listeners {
		ln.Close()
	}
}

// Drain accepts no more clients, ends each session at its next transaction
// boundary, and returns when all are gone or ctx ends.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	none := s.clients == 0
	s.mu.Unlock()
	for _, stop := range s.stops {
		stop()
	}
	s.closeListeners()
	for _, l := range s.loops {
		l.Post(func() {
			for c := range l.clients {
				c.turn(c.sess.drain)
			}
		})
	}
	if !none {
		select {
		case <-s.drained:
		case <-ctx.Done():
			s.endAll()
			return fmt.Errorf("sessions are still in a transaction: %w", ctx.Err())
		}
	}
	s.pool.shut()
	return nil
}

// endAll ends the sessions that are left, wherever they are.
func (s *Server) endAll() {
	for _, l := range s.loops {
		l.Post(func() {
			for c := range l.clients {
				c.turn(func(st *step) { c.sess.end(st, endDrained, &errDraining) })
			}
		})
	}
}

// Draining reports whether Drain has been called.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// accept starts a session on a new connection.
func (s *Server) accept(l *loopState, conn *loop.Conn) {
	c := &clientLink{srv: s, loop: l, conn: conn}
	c.sess = newSession(s.env, s.nextID.Add(1), peerOf(conn), l.Now())
	c.timer = l.NewTimer(c.tick)
	conn.SetHandler(c)
	l.clients[c] = struct{}{}
	refused, oldest := s.admit(c)
	if oldest != nil {
		oldest.later(func(st *step) { oldest.sess.makeRoom(st) })
	}
	if refused != nil {
		c.turn(func(st *step) { c.sess.end(st, endRefused, refused) })
		return
	}
	c.settle()
}

// admit counts a client, or says why it may not come in. Where all places are
// taken, the client that has waited longest for its authentication makes room:
// connections that never authenticate must not keep out those that do.
func (s *Server) admit(c *clientLink) (refused *clientError, oldest *clientLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	switch {
	case s.draining:
		return &errDraining, nil
	case s.clients <= s.env.limits().MaxClients:
	case s.strangers.Len() == 0:
		return &errTooManyClients, nil
	default:
		oldest = s.strangers.Remove(s.strangers.Front()).(*clientLink)
		oldest.stranger = nil
	}
	c.stranger = s.strangers.PushBack(c)
	return nil, oldest
}

// authenticated: the client keeps its place.
func (s *Server) authenticated(c *clientLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known(c)
}

// known takes a client out of the strangers. The caller holds mu.
func (s *Server) known(c *clientLink) {
	if c.stranger != nil {
		s.strangers.Remove(c.stranger)
		c.stranger = nil
	}
}

func (s *Server) clientEnded(c *clientLink) {
	s.metrics.sessionEnded(c.sess.reason)
	s.log.Debug("session ended", "session", c.sess.id, "client_addr", c.sess.client.addr, "reason", c.sess.reason.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients--
	s.known(c)
	if s.draining && s.clients == 0 {
		s.allGone.Do(func() { close(s.drained) })
	}
}

// watch is called for each new server connection.
func (s *Server) watch(l *serverLink) {
	s.log.Debug("server connection opened", "server_pid", l.sc.pid)
}

// Collector returns the server's metrics for Prometheus.
func (s *Server) Collector() prometheus.Collector { return s.metrics }

// Ping logs in to the server and out again, with the login role's own
// settings: readiness.
func (s *Server) Ping(ctx context.Context) error {
	cfg := s.opts.Server.Config.Copy()
	if s.opts.Server.Password != nil {
		password, err := s.opts.Server.Password()
		if err != nil {
			return fmt.Errorf("read the login role's password: %w", err)
		}
		cfg.Password = password
	}
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("log in to the server: %w", err)
	}
	return c.Close(ctx)
}

// sweepEvery is how often idle server connections are looked at.
const sweepEvery = time.Second
