package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/console"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/database/verify"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

// isolation is the canary of a running proxy: now and then it proves, through
// the proxy itself, that two orgs do not see each other (verify.interval). Its
// tokens come from an issuer of its own, whose secret is made at start and
// known to this process only.
type isolation struct {
	cfg    *config.Config
	log    *slog.Logger
	dir    string // of the secret
	tokens verifyTokens
	role   string // role claim, where the proxy asks for one

	runs     *prometheus.CounterVec
	coverage prometheus.Gauge
	last     prometheus.Gauge

	mu   sync.Mutex
	open map[string]string // leaks that no run has found closed: id of the probe, its relation
	leak string            // why the proxy is not ready; "" if it is
}

// newIsolation makes the secret. It returns nil if verify.interval is 0.
func newIsolation(cfg *config.Config, log *slog.Logger) (*isolation, error) {
	if cfg.Verify.Interval == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "bulkhead-verify-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the secret of the canary: %w", err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(rand32()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write the secret of the canary: %w", err), os.RemoveAll(dir))
	}
	i := &isolation{
		cfg: cfg, log: log, dir: dir,
		tokens: verifyTokens{key: secret, issuer: "bulkhead-verify-" + strings.ToLower(rand.Text()[:12]), audience: "bulkhead-verify", orgClaim: "org_id"},
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_verify_runs_total", Help: "Runs of the canary by result: isolated, leak, not_proven, failed.",
		}, []string{"result"}),
		coverage: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_verify_coverage_ratio", Help: "Relations that the canary proved in its last run, of all.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_verify_last_run_timestamp_seconds", Help: "When the canary last had a result.",
		}),
	}
	if claims := slices.Sorted(maps.Keys(cfg.Tenant.Roles)); len(claims) > 0 {
		i.role = claims[0]
	}
	return i, nil
}

func (i *isolation) close() error { return os.RemoveAll(i.dir) }

// issuer is what the verifier must accept beside the configured ones.
func (i *isolation) issuer() auth.Issuer {
	return auth.Issuer{
		Issuer: i.tokens.issuer, Audience: i.tokens.audience, Algorithms: []string{"HS256"}, SecretFile: i.tokens.key,
		OrgClaim: "org_id", SubjectClaim: "sub", RoleClaim: "role",
	}
}

func (i *isolation) collectors() []prometheus.Collector {
	return []prometheus.Collector{i.runs, i.coverage, i.last}
}

// watch runs the canary at once and then at every interval, until ctx ends.
func (i *isolation) watch(ctx context.Context, addresses []net.Addr) {
	t := time.NewTicker(i.cfg.Verify.Interval)
	defer t.Stop()
	for {
		i.run(ctx, addresses)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// runTime bounds a run on a database that does not answer: the next one begins
// anew.
const runTime = 10 * time.Minute

// run is one run. Only a leak takes the proxy out of service: a database that
// cannot be reached has checks of its own.
func (i *isolation) run(ctx context.Context, addresses []net.Addr) {
	o, err := i.options(addresses)
	var report *verify.Report
	if err == nil {
		limited, stop := context.WithTimeout(ctx, max(runTime, i.cfg.Verify.Interval))
		report, err = verify.Run(limited, *o)
		stop()
	}
	if err != nil {
		if ctx.Err() == nil {
			i.runs.WithLabelValues("failed").Inc()
			i.log.Warn("isolation could not be verified", "error", err)
		}
		return
	}
	i.runs.WithLabelValues(string(report.Result.Status)).Inc()
	i.coverage.Set(report.Result.Coverage.Percent / 100)
	i.last.Set(float64(report.Run.Ended.Unix()))
	for _, f := range report.Findings() {
		if f.Status == verify.Leak {
			i.log.Error("isolation does not hold", "finding", f.ID, "got", f.Got, "note", f.Note)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open = stillOpen(i.open, report)
	switch {
	case report.Result.Status == verify.Leak:
		i.leak = report.Result.Summary
	case len(i.open) > 0:
		i.log.Warn("isolation could not be verified where it did not hold before", "probes", len(i.open), "summary", report.Result.Summary)
	default:
		i.leak = ""
		i.log.Info("isolation verified", "result", string(report.Result.Status), "summary", report.Result.Summary)
	}
}

// stillOpen are the leaks of a run, and those of earlier ones that it could not
// try again: that a database gives no answer closes none. What is gone leaks no
// more.
func stillOpen(before map[string]string, r *verify.Report) map[string]string {
	open := make(map[string]string)
	closed, unknown := make(map[string]bool), make(map[string]bool)
	for n := range r.Matrix {
		switch c := &r.Matrix[n]; c.Status {
		case verify.Leak:
			open[c.ID] = c.Relation
		case verify.NotProven:
			unknown[c.ID] = true
		default:
			closed[c.ID] = true
		}
	}
	there := make(map[string]bool)
	for n := range r.Relations {
		there[r.Relations[n].Name] = r.Relations[n].Status != verify.Pass
	}
	for id, relation := range before {
		if unknown[id] || !closed[id] && there[relation] {
			open[id] = relation
		}
	}
	return open
}

// problem is why the proxy is not ready, if it is not.
func (i *isolation) problem() (console.Problem, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return console.Problem{What: "isolation", Reason: i.leak}, i.leak != ""
}

// options are those of one run: snapshot mode, through the proxy alone.
func (i *isolation) options(addresses []net.Addr) (*verify.Options, error) {
	dsn, err := i.proxyDSN(addresses)
	if err != nil {
		return nil, err
	}
	roles := proxyRoles(i.cfg)
	selection := inventory.Selection{
		AppRoles: i.cfg.Audit.AppRoles, RootTable: i.cfg.Audit.RootTable, GlobalTables: i.cfg.Audit.GlobalTables, TenantColumns: i.cfg.Tenant.Columns,
	}
	if len(selection.AppRoles) == 0 {
		selection.AppRoles = roles
	}
	o := &verify.Options{
		Mode: verify.Snapshot, AdminDSN: i.cfg.Verify.DSN.Reveal(), ProxyDSN: dsn, Selection: selection, AppRole: i.sessionRole(),
		Paths: []verify.Path{verify.Simple, verify.Extended}, Logins: []verify.Context{verify.Garbage},
		Token: i.token, ToolVersion: currentVersion().Version, Operator: "bulkhead serve", Command: []string{"bulkhead", "serve"},
	}
	copy(o.Orgs[:], i.cfg.Verify.Orgs)
	return o, nil
}

// sessionRole is the role that the sessions of the canary run as.
func (i *isolation) sessionRole() string {
	switch {
	case i.role != "":
		return i.cfg.Tenant.Roles[i.role]
	case i.cfg.Tenant.Role != "":
		return i.cfg.Tenant.Role
	}
	if c, err := pgx.ParseConfig(i.cfg.Server.DSN.Reveal()); err == nil {
		return c.User
	}
	return ""
}

func (i *isolation) token(org string, _ verify.Side, subject string, c verify.Context) (string, error) {
	t := i.tokens
	t.role = i.role
	return t.mint(org, subject, c)
}

// proxyDSN is the way to one of the proxy's own listeners: a unix socket if
// there is one, else loopback.
func (i *isolation) proxyDSN(addresses []net.Addr) (string, error) {
	database := i.cfg.Server.DSN.Reveal()
	c, err := pgx.ParseConfig(database)
	if err != nil {
		return "", errors.New("server.dsn: not a connection string that libpq takes")
	}
	name := c.Database
	if name == "" {
		name = c.User
	}
	host, port := "", ""
	for _, a := range addresses {
		switch a := a.(type) {
		case *net.UnixAddr:
			dir, file := filepath.Split(a.Name)
			if p, ok := strings.CutPrefix(file, ".s.PGSQL."); ok {
				host, port = filepath.Clean(dir), p
			}
		case *net.TCPAddr:
			if host == "" {
				ip := a.IP
				if ip.IsUnspecified() {
					ip = net.IPv4(127, 0, 0, 1)
				}
				host, port = ip.String(), fmt.Sprint(a.Port)
			}
		}
	}
	mode := "disable"
	if !strings.HasPrefix(host, "/") && (i.cfg.ClientTLS.Mode == config.TLSRequire || i.cfg.ClientTLS.Mode == config.TLSPrefer && i.cfg.ClientTLS.CertFile != "") {
		mode = "require" // to ourselves: the certificate names the service, not this address
	}
	return fmt.Sprintf("host=%s port=%s user=bulkhead-verify dbname=%s sslmode=%s", dsnValue(host), port, dsnValue(name), mode), nil
}

// dsnValue quotes a value of a key=value connection string.
func dsnValue(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
