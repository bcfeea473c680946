package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/console"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/internal/telemetry"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/proxy"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// drainTime is how long sessions may go on after SIGTERM to end their
// transactions.
const drainTime = 30 * time.Second

func newServeCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the proxy",
		Long: `Run the proxy until SIGTERM or SIGINT, which drain it: no client is accepted any
more, each session ends at its next transaction boundary, and after 30 seconds,
or a second signal, what is left is cut off. SIGHUP reads the configuration, the
database's catalogue, keys and certificates anew; what of the configuration
needs a restart is logged.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, os.Environ())
			if err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			if err := checkConfig(cfg); err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			return serve(cmd.Context(), cfg, file, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file; without it everything comes from BULKHEAD_ variables")
	return cmd
}

// gcPercent is Go's GOGC. The data path makes no garbage, so that collections
// are rare; idle sessions are what memory goes to.
const gcPercent = 50

// service is a running proxy with all that belongs to it.
type service struct {
	cfg       *config.Config // in force
	file      string         // where it came from; "": cfg cannot be read again
	log       *slog.Logger
	level     slog.LevelVar // of log
	hangups   chan os.Signal
	telemetry *telemetry.Telemetry
	verifier  *auth.Verifier
	blocked   *blocklog.Writer
	signing   *tenant.KeyFile // nil: the tenant context is not signed
	catalogs  *catalogs
	proxy     *proxy.Server
	isolation *isolation // nil: verify.interval is 0
}

// serve runs the proxy until ctx ends. file is where cfg came from.
func serve(ctx context.Context, cfg *config.Config, file string, logTo interface{ Write([]byte) (int, error) }) error {
	level, err := telemetry.ParseLevel(string(cfg.Log.Level))
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	s := &service{cfg: cfg, file: file, hangups: make(chan os.Signal, 1)}
	signal.Notify(s.hangups, syscall.SIGHUP) // one that comes while it starts must not end it
	defer signal.Stop(s.hangups)
	s.level.Set(level)
	if s.log, err = telemetry.NewLogger(logTo, string(cfg.Log.Format), &s.level); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if err := s.build(ctx); err != nil {
		if s.isolation != nil {
			err = errors.Join(err, s.isolation.close())
		}
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// build makes everything that the proxy needs, in the order of dependence.
func (s *service) build(ctx context.Context) error {
	var err error
	if s.telemetry, err = telemetry.Setup(ctx, telemetry.Options{
		ServiceName: s.cfg.Telemetry.ServiceName, Version: version, Logger: s.log,
	}); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if err := s.openVerifier(); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	resolver, err := tenant.NewResolver(tenantOptions(s.cfg))
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	server, err := serverOptions(s.cfg)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	s.catalogs = newCatalogs(s.cfg, server, s.log)
	if err := s.catalogs.judge(ctx); err != nil {
		return err
	}
	if err := s.openSigningKey(ctx); err != nil {
		return err
	}
	engines, err := s.catalogs.engines(ctx, resolver.Names())
	if err != nil {
		return err
	}
	if s.blocked, err = blocklog.Open(blocklog.Options{
		File: string(s.cfg.BlockedLog.File), MaxSizeMB: s.cfg.BlockedLog.MaxSizeMB, Logger: s.log,
	}); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	o := proxyOptions(s.cfg, s.log)
	o.OpenDatabase = s.catalogs.opener()
	o.Server, o.Engines, o.Resolver, o.Verifier, o.BlockedLog = server, engines, resolver, s.verifier, s.blocked
	if err := s.addTLS(&o); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if s.signing != nil {
		o.Signing.Key, o.Signing.Sealed = s.signing.Key, s.cfg.Tenant.ContextMode() == config.ContextSealed
	}
	if s.cfg.Auth.TokenFile != "" {
		if o.TokenSource, err = auth.NewTokenSource(string(s.cfg.Auth.TokenFile), int(s.cfg.Auth.MaxTokenBytes)); err != nil {
			return &exitError{code: exitUsage, err: err}
		}
	}
	if s.telemetry.Enabled() {
		o.Tracer, o.Sampled = s.telemetry.Tracer(), s.telemetry.Sampled
	}
	if s.proxy, err = proxy.New(o); err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	return s.registerMetrics()
}

// openVerifier makes what checks tokens, those of the canary included.
func (s *service) openVerifier() (err error) {
	if s.isolation, err = newIsolation(s.cfg, s.log); err != nil {
		return err
	}
	o := authOptions(s.cfg, s.log)
	if s.isolation != nil {
		o.Issuers = append(o.Issuers, s.isolation.issuer())
	}
	s.verifier, err = auth.New(o)
	return err
}

func (s *service) registerMetrics() error {
	collectors := append(blockedLogCollectors(s.blocked), s.proxy.Collector())
	if s.isolation != nil {
		collectors = append(collectors, s.isolation.collectors()...)
	}
	for _, c := range collectors {
		if err := s.telemetry.Registry().Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (s *service) close() {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	err := errors.Join(s.blocked.Close(ctx), s.telemetry.Shutdown(ctx))
	if s.isolation != nil {
		err = errors.Join(err, s.isolation.close())
	}
	if err != nil {
		s.log.Error("shutdown incomplete", "error", err)
	}
}

// run serves until ctx ends, then drains.
func (s *service) run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, serving := errgroup.WithContext(serving)
	if err := s.proxy.Start(serving); err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	g.Go(s.proxy.Run)
	g.Go(func() error { s.verifier.Run(serving); return nil })
	g.Go(func() error { s.catalogs.watch(serving); return nil })
	if s.signing != nil {
		g.Go(func() error { s.signing.Watch(serving); return nil })
	}
	if s.isolation != nil {
		g.Go(func() error { s.isolation.watch(serving, s.proxy.Addresses()); return nil })
	}
	if s.cfg.Admin.Listen != "" {
		o := s.consoleOptions()
		g.Go(func() error { return console.Serve(serving, o) })
	}
	for _, addr := range s.proxy.Addresses() {
		s.log.Info("listening", "address", addr.String(), "network", addr.Network())
	}
	for {
		select {
		case <-s.hangups:
			s.reload()
			g.Go(func() error { s.catalogs.refreshAll(serving); s.log.Info("reloaded"); return nil })
			continue
		case <-serving.Done():
			return g.Wait()
		case <-ctx.Done():
		}
		break
	}
	s.log.Info("draining")
	draining, cancel := context.WithTimeout(serving, drainTime)
	defer cancel()
	if err := s.proxy.Drain(draining); err != nil {
		s.log.Warn("drain incomplete", "error", err)
	}
	stop()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *service) consoleOptions() console.Options {
	return console.Options{
		Listen:    s.cfg.Admin.Listen,
		TokenFile: string(s.cfg.Admin.TokenFile),
		Gatherer:  s.telemetry.Registry(),
		Logger:    s.log,
		Ready: func() []console.Problem {
			var p []console.Problem
			if s.proxy.Draining() {
				p = append(p, console.Problem{What: "draining", Reason: "the proxy is shutting down"})
			}
			if err := s.blocked.Err(); err != nil {
				p = append(p, console.Problem{What: "blocked_log", Reason: "the blocked-query log cannot be written"})
			}
			if why := s.catalogs.unreachable(); why != "" {
				p = append(p, console.Problem{What: "server", Reason: why})
			}
			if s.isolation != nil {
				if problem, leaks := s.isolation.problem(); leaks {
					p = append(p, problem)
				}
			}
			return p
		},
	}
}

func (s *service) addTLS(o *proxy.Options) error {
	t := s.cfg.ClientTLS
	o.TLS.AllowPlaintextToken = t.AllowPlaintextPassword
	if t.Mode == config.TLSDisable || t.CertFile == "" {
		return nil
	}
	o.TLS.Mode = map[config.TLSMode]proxy.TLSMode{
		config.TLSPrefer: proxy.TLSPrefer, config.TLSRequire: proxy.TLSRequire, config.TLSVerifyClient: proxy.TLSVerifyClient,
	}[t.Mode]
	files := proxy.CertificateFiles{Cert: string(t.CertFile), Key: string(t.KeyFile)}
	if t.Mode == config.TLSVerifyClient {
		files.ClientCA = string(t.ClientCAFile)
	}
	var err error
	o.TLS.Config, err = proxy.NewTLSConfig(files, s.log)
	return err
}

// openSigningKey reads the key of the signed tenant context, if there is one,
// and proves that the database accepts what it signs.
func (s *service) openSigningKey(ctx context.Context) (err error) {
	if s.cfg.Tenant.SigningKeyFile == "" {
		return nil
	}
	if s.signing, err = tenant.OpenKeyFile(string(s.cfg.Tenant.SigningKeyFile), s.log); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return s.catalogs.judgeContext(ctx, s.signing.Key())
}

func proxyOptions(c *config.Config, log *slog.Logger) proxy.Options {
	return proxy.Options{
		Listen: c.Listen,
		Loops:  c.Loops,
		Pool: proxy.PoolOptions{
			Transaction: c.Pool.Mode == config.PoolTransaction,
			Shared:      c.Pool.Sharing == config.SharingShared,
			Max:         c.Pool.MaxServerConnections,
			MaxPerOrg:   c.Pool.MaxPerOrg,
			MinIdle:     c.Pool.MinIdle,
			IdleTimeout: c.Pool.IdleTimeout,
			MaxLifetime: c.Pool.MaxLifetime,
		},
		Limits: proxy.Limits{
			MaxClients:         c.Limits.MaxClients,
			MaxClientsPerOrg:   c.Limits.MaxClientsPerOrg,
			AuthTimeout:        c.Limits.AuthTimeout,
			MaxStatementBytes:  int(c.Limits.MaxStatementBytes),
			MaxTokenBytes:      int(c.Auth.MaxTokenBytes),
			ClientIdle:         c.Limits.ClientIdleTimeout,
			IdleInTransaction:  c.Limits.IdleInTransactionTimeout,
			StatementTimeout:   c.Limits.StatementTimeout,
			QueueTimeout:       c.Pool.QueueTimeout,
			ServerResetTimeout: 10 * time.Second,
		},
		Throttle:     auth.NewThrottle(),
		OAuthBearer:  c.Auth.Methods[0] == config.MethodOAuthBearer,
		OAuthFailure: auth.BearerFailure(c.Auth.Issuers[0].Issuer, ""),
		SlowQuery:    c.Telemetry.SlowQuery,
		Logger:       log,
	}
}

func authOptions(c *config.Config, log *slog.Logger) auth.Options {
	o := auth.Options{
		Leeway:        c.Auth.Leeway,
		MaxTokenBytes: int(c.Auth.MaxTokenBytes),
		OrgType:       string(c.Tenant.OrgType),
		RevokedFile:   string(c.Auth.RevokedFile),
		Logger:        log,
	}
	for _, is := range c.Auth.Issuers {
		algorithms := make([]string, len(is.Algorithms))
		for i, a := range is.Algorithms {
			algorithms[i] = string(a)
		}
		o.Issuers = append(o.Issuers, auth.Issuer{
			Issuer: is.Issuer, Audience: is.Audience, Algorithms: algorithms,
			JWKSURL: is.JWKSURL, JWKSFile: string(is.JWKSFile), SecretFile: string(is.SecretFile), PublicKeyFile: string(is.PublicKeyFile),
			AllowServiceTokens: is.AllowServiceTokens, AllowOrgLists: is.AllowOrgLists, AllowAllOrgs: is.AllowAllOrgs,
			OrgClaim: is.Claims.Org, SubjectClaim: is.Claims.Subject, RoleClaim: is.Claims.Role,
		})
	}
	return o
}

func tenantOptions(c *config.Config) tenant.Options {
	return tenant.Options{
		OrgType: string(c.Tenant.OrgType), Settings: c.Tenant.Settings, Role: c.Tenant.Role, Roles: c.Tenant.Roles,
		Shared: c.Pool.Sharing == config.SharingShared, Signed: c.Tenant.ContextMode() == config.ContextSigned, Sealed: c.Tenant.ContextMode() == config.ContextSealed,
	}
}

// policyOptions are the options of an engine, without a catalogue.
func policyOptions(c *config.Config, settings []string) policy.Options {
	rules := make(map[string]policy.RuleMode, len(c.Policy.Rules))
	for id, mode := range c.Policy.Rules {
		rules[id] = map[config.RuleMode]policy.RuleMode{
			config.RuleEnforce: policy.RuleEnforce, config.RuleObserve: policy.RuleObserve, config.RuleOff: policy.RuleOff,
		}[mode]
	}
	mode := policy.Enforce
	if c.Policy.Mode == config.PolicyObserve {
		mode = policy.ObserveMode
	}
	return policy.Options{
		Mode: mode, Rules: rules,
		AllowFunctions: c.Policy.Allow.Functions, AllowSettings: c.Policy.Allow.Settings,
		AllowStatements: c.Policy.Allow.Statements, AllowRelations: c.Policy.Allow.Relations,
		TenantColumns: c.Tenant.Columns, OrgType: string(c.Tenant.OrgType),
		TenantSettings: settings, ContextRole: c.Tenant.Role,
		MaxStatementBytes: int(c.Limits.MaxStatementBytes),
	}
}

// serverDSN is server.dsn, with TLS verified off loopback unless the DSN or
// PGSSLMODE says otherwise: libpq's own default, prefer, would send the login
// role's password to anybody.
func serverDSN(c *config.Config) (string, error) {
	dsn := c.Server.DSN.Reveal()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return "", errors.New("server.dsn: not a connection string that libpq takes")
	}
	if strings.Contains(dsn, "sslmode") || os.Getenv("PGSSLMODE") != "" || localServer(cfg) {
		return dsn, nil
	}
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " sslmode=verify-full", nil
	}
	if strings.Contains(dsn, "?") {
		return dsn + "&sslmode=verify-full", nil
	}
	return dsn + "?sslmode=verify-full", nil
}

// serverOptions parses server.dsn.
func serverOptions(c *config.Config) (proxy.ServerOptions, error) {
	dsn, err := serverDSN(c)
	if err != nil {
		return proxy.ServerOptions{}, err
	}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return proxy.ServerOptions{}, errors.New("server.dsn: not a connection string that libpq takes")
	}
	o := proxy.ServerOptions{Config: cfg, Database: cfg.Database, Dialers: 8}
	if o.Database == "" {
		o.Database = cfg.User
	}
	if file := string(c.Server.PasswordFile); file != "" {
		o.Password = func() (string, error) {
			b, err := os.ReadFile(file)
			return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), err
		}
	}
	return o, nil
}

func localServer(c *pgconn.Config) bool {
	local := func(host string) bool {
		return strings.HasPrefix(host, "/") || host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
	}
	if !local(c.Host) {
		return false
	}
	for _, f := range c.Fallbacks {
		if !local(f.Host) {
			return false
		}
	}
	return true
}
