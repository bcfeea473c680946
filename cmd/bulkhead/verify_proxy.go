package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/verify"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

// scratchProxy is the proxy that scratch mode starts in front of its copy:
// the configuration of the real one, if it was given, with an issuer of its
// own.
type scratchProxy struct {
	base     *config.Config // nil: defaults
	appDSN   string
	password func() (string, error)
	// signingKey is the file of the key of a signed context, "" for a plain one.
	signingKey string

	dir    string
	tokens verifyTokens
	log    lockedBuffer
}

// lockedBuffer is a buffer that a running proxy writes to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the proxy in this process, in front of a database.
func (p *scratchProxy) start(ctx context.Context, database string, orgs [2]string, sealed bool) (dsn, log string, stop func() error, err error) {
	if p.dir, err = os.MkdirTemp("", "bulkhead-verify-"); err != nil {
		return "", "", nil, fmt.Errorf("make a folder: %w", err)
	}
	clean := func() error { return os.RemoveAll(p.dir) }
	cfg, err := p.config(database, orgs, sealed)
	if err != nil {
		return "", "", nil, errors.Join(err, clean())
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- serve(serving, cfg, noFile, &p.log) }()
	dsn = "postgres://verify@" + cfg.Listen[0] + "/" + url.PathEscape(database) + "?sslmode=disable"
	if err := p.await(ctx, dsn, done); err != nil {
		cancel()
		return "", "", nil, errors.Join(err, clean())
	}
	return dsn, string(cfg.BlockedLog.File), func() error {
		cancel()
		return errors.Join(<-done, clean())
	}, nil
}

// config is the configuration of the proxy.
func (p *scratchProxy) config(database string, orgs [2]string, sealed bool) (*config.Config, error) {
	secret := filepath.Join(p.dir, "secret")
	if err := os.WriteFile(secret, []byte(rand32()), 0o600); err != nil {
		return nil, fmt.Errorf("write the proxy's secret: %w", err)
	}
	p.tokens = verifyTokens{key: secret, issuer: "bulkhead-verify", audience: "bulkhead", orgClaim: "org_id"}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c := config.Default()
	if p.base != nil {
		copied := *p.base
		c = &copied
	} else {
		c.Tenant.OrgType, c.Tenant.Settings = orgTypeOf(orgs[verify.A]), verify.DefaultSettings()
		if p.signingKey != "" {
			c.Tenant.Context, c.Tenant.SigningKeyFile = config.ContextSigned, config.Path(p.signingKey)
			if sealed {
				c.Tenant.Context = config.ContextSealed
			}
		}
	}
	c.Listen = []string{fmt.Sprintf("127.0.0.1:%d", port)}
	c.ClientTLS = config.ClientTLS{Mode: config.TLSDisable}
	dsn, err := onDatabase(p.appDSN, p.password, database)
	if err != nil {
		return nil, err
	}
	c.Server = config.Server{DSN: config.NewSecret(dsn), AllowUnsafeLogin: true}
	issuer := config.Issuer{
		Issuer: "bulkhead-verify", Audience: "bulkhead", Algorithms: []config.Algorithm{"HS256"}, SecretFile: config.Path(secret),
		Claims: config.Claims{Org: "org_id", Subject: "sub", Role: "role"},
	}
	c.Auth.Issuers, c.Auth.Methods, c.Auth.TokenFile, c.Auth.RevokedFile = []config.Issuer{issuer}, []config.AuthMethod{config.MethodPassword}, "", ""
	c.BlockedLog = config.BlockedLog{File: config.Path(filepath.Join(p.dir, "blocked.jsonl")), MaxSizeMB: 1024}
	c.Admin = config.Admin{}
	c.Log = config.Log{Level: config.LevelWarn, Format: config.FormatText}
	return c, nil
}

// orgTypeOf guesses the form of orgs.
func orgTypeOf(org string) config.OrgType {
	switch {
	case uuidForm.MatchString(org):
		return config.OrgUUID
	case integerForm.MatchString(org):
		return config.OrgInteger
	}
	return config.OrgText
}

var (
	uuidForm    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	integerForm = regexp.MustCompile(`^[0-9]{1,18}$`)
)

// onDatabase is a connection string with another database.
func onDatabase(dsn string, password func() (string, error), database string) (string, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", errors.New("the application's DSN is not a connection string that libpq takes")
	}
	if password != nil {
		if c.Password, err = password(); err != nil {
			return "", fmt.Errorf("read the login role's password: %w", err)
		}
	}
	mode := "disable"
	if c.TLSConfig != nil {
		mode = "require"
		if !c.TLSConfig.InsecureSkipVerify {
			mode = "verify-full"
		}
	}
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
	}
	out := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=%s", quote(c.Host), c.Port, quote(c.User), quote(database), mode)
	if c.Password != "" {
		out += " password=" + quote(c.Password)
	}
	return out, nil
}

// await waits until the proxy answers: a login without a token is refused by
// nobody else.
func (p *scratchProxy) await(ctx context.Context, dsn string, done <-chan error) error {
	for {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			c.Close(ctx)
			return nil
		}
		if strings.Contains(err.Error(), "28P01") || strings.Contains(err.Error(), "28000") {
			return nil
		}
		select {
		case err := <-done:
			return fmt.Errorf("the proxy did not start: %w\n%s", err, p.log.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *scratchProxy) token(org string, _ verify.Side, subject string, c verify.Context) (string, error) {
	return p.tokens.mint(org, subject, c)
}
