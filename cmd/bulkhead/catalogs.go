package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/pgbulkhead/bulkhead/database/catalog"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/proxy"
)

// catalogs keep the guard's picture of each database up to date.
type catalogs struct {
	cfg    *config.Config
	server proxy.ServerOptions
	log    *slog.Logger

	settings []string // that the tenant context sets

	flight  singleflight.Group // an engine is made once for all who ask for it
	opening chan struct{}      // engines that are being made

	mu      sync.Mutex     // guards what follows
	policy  *config.Config // whose policy is in force
	byName  map[string]*policy.Engine
	failing string // why the server cannot be reached; "" if it can
}

// Bounds where clients may name any database.
const (
	maxDatabases = 200 // whose picture is kept
	maxOpening   = 16  // that are looked at for the first time at a time
)

// catalogEvery is how often the catalogue is read without a reason. A name
// that is not known is looked up at once.
const catalogEvery = time.Minute

// catalogTimeout bounds one reading.
const catalogTimeout = 30 * time.Second

func newCatalogs(cfg *config.Config, server proxy.ServerOptions, log *slog.Logger) *catalogs {
	return &catalogs{
		cfg: cfg, server: server, log: log, opening: make(chan struct{}, maxOpening),
		policy: cfg, byName: make(map[string]*policy.Engine),
	}
}

// load reads the catalogue of a database as the login role.
func (c *catalogs) load(ctx context.Context, database string) (*catalog.Snapshot, error) {
	ctx, stop := context.WithTimeout(ctx, catalogTimeout)
	defer stop()
	conn, err := c.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	o := catalog.Options{TenantColumns: c.cfg.Tenant.Columns, Role: c.cfg.Tenant.Role}
	for _, role := range c.cfg.Tenant.Roles {
		o.Roles = append(o.Roles, role)
	}
	slices.Sort(o.Roles)
	return catalog.Load(ctx, conn, o)
}

// connect logs in to a database as the login role.
func (c *catalogs) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	dsn, err := serverDSN(c.cfg)
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("server.dsn: not a connection string that libpq takes")
	}
	cfg.Config.Database = database
	cfg.RuntimeParams["application_name"] = "bulkhead"
	if c.server.Password != nil {
		if cfg.Config.Password, err = c.server.Password(); err != nil {
			return nil, fmt.Errorf("read the login role's password: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("log in to the server: %w", err)
	}
	return conn, nil
}

// judge refuses a login role from which row security can be escaped, unless
// server.allow_unsafe_login accepts it.
func (c *catalogs) judge(ctx context.Context) error {
	snapshot, err := c.load(ctx, c.server.Database)
	if err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	unsafe := false
	for _, f := range catalog.JudgeLogin(snapshot) {
		if f.Severity == catalog.Warning {
			c.log.Warn("server: "+f.Text, "subject", f.Subject, "remedy", f.Remedy)
			continue
		}
		unsafe = true
		c.log.Error("login role is not fit: "+f.Text, "subject", f.Subject, "remedy", f.Remedy)
	}
	switch {
	case !unsafe:
	case c.cfg.Server.AllowUnsafeLogin:
		c.log.Error("server.allow_unsafe_login is set: tenants are not safe from each other if the guard fails")
	default:
		return &exitError{code: exitFindings, err: fmt.Errorf(
			"the login role %s is not fit for tenants (see the log); give the proxy a role of its own, or set server.allow_unsafe_login to run all the same", snapshot.LoginRole)}
	}
	return nil
}

// engines makes an engine for each database that the configuration names.
func (c *catalogs) engines(ctx context.Context, settings []string) (map[string]*policy.Engine, error) {
	c.settings = settings
	for _, name := range c.databases() {
		if _, err := c.open(ctx, name); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byName), nil
}

// databases are those that the configuration names.
func (c *catalogs) databases() []string {
	names := []string{c.server.Database}
	for _, name := range c.cfg.Server.Databases {
		if name != anyDatabase && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// anyDatabase in server.databases stands for every database of the server.
const anyDatabase = "*"

// open returns the engine of a database, which is made if there is none. Others
// do not wait for a database that does not answer, and who gives up waiting
// leaves the work to those who still do.
func (c *catalogs) open(ctx context.Context, name string) (*policy.Engine, error) {
	c.mu.Lock()
	e, full := c.byName[name], len(c.byName) >= maxDatabases
	c.mu.Unlock()
	if e != nil {
		return e, nil
	}
	if full {
		return nil, errManyDatabases
	}
	made := c.flight.DoChan(name, func() (any, error) { return c.make(context.WithoutCancel(ctx), name) })
	select {
	case r := <-made:
		e, _ = r.Val.(*policy.Engine)
		return e, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errManyDatabases is told to the client as an error of the server's.
var errManyDatabases = &pgconn.PgError{Code: "53300", Message: "the proxy serves too many databases already"}

// make makes the engine of a database.
func (c *catalogs) make(ctx context.Context, name string) (*policy.Engine, error) {
	c.opening <- struct{}{}
	defer func() { <-c.opening }()
	c.mu.Lock()
	e, cfg := c.byName[name], c.policy
	c.mu.Unlock()
	if e != nil {
		return e, nil // made since the caller has looked
	}
	o := policyOptions(cfg, c.settings)
	o.Lookup = func(ctx context.Context) (*policy.Catalog, error) { return c.read(ctx, name) }
	snapshot, err := c.load(ctx, name)
	if err != nil {
		return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("database %s: %w", name, err)}
	}
	o.Catalog = policyCatalog(snapshot)
	if e, err = policy.New(o); err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("policy: %w", err)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.byName) >= maxDatabases:
		return nil, errManyDatabases
	case c.policy != cfg: // reloaded meanwhile
		if err := e.SetOptions(policyOptions(c.policy, c.settings)); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
	}
	c.byName[name] = e
	return e, nil
}

// setPolicy puts the policy of another configuration in force. It fails, and
// changes nothing, if that cannot be.
func (c *catalogs) setPolicy(cfg *config.Config) error {
	o := policyOptions(cfg, c.settings)
	if _, err := policy.New(o); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = cfg
	for _, e := range c.byName {
		if err := e.SetOptions(o); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	return nil
}

// opener returns open if clients may name any database, else nil.
func (c *catalogs) opener() func(ctx context.Context, name string) (*policy.Engine, error) {
	if !slices.Contains(c.cfg.Server.Databases, anyDatabase) {
		return nil
	}
	return c.open
}

func (c *catalogs) read(ctx context.Context, database string) (*policy.Catalog, error) {
	snapshot, err := c.load(ctx, database)
	c.mu.Lock()
	defer c.mu.Unlock()
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "3D000" && c.opener() != nil {
		delete(c.byName, database) // dropped: no client needs it any more
		return nil, err
	}
	if err != nil {
		c.failing = "the server's catalogue cannot be read"
		c.log.Warn("catalogue cannot be read", "database", database, "error", err)
		return nil, err
	}
	c.failing = ""
	return policyCatalog(snapshot), nil
}

// refreshAll reads all catalogues anew. What cannot be read stays as it was.
func (c *catalogs) refreshAll(ctx context.Context) {
	c.mu.Lock()
	engines := maps.Clone(c.byName)
	c.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(maxReading)
	for name, e := range engines {
		g.Go(func() error {
			if snapshot, err := c.read(ctx, name); err == nil {
				e.SetCatalog(snapshot)
			}
			return nil
		})
	}
	g.Wait()
}

// maxReading is how many catalogues are read anew at a time.
const maxReading = 4

// watch reads the catalogues now and then until ctx ends.
func (c *catalogs) watch(ctx context.Context) {
	t := time.NewTicker(catalogEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.refreshAll(ctx)
		}
	}
}

func (c *catalogs) unreachable() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failing
}
