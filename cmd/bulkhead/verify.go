package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/database/verify"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// verifyFlags are the flags of bulkhead verify.
type verifyFlags struct {
	selectionFlags
	verifyTokens
	appDSN, proxyDSN         string
	orgs, subjects           [2]string
	settings                 []string
	paths                    []string
	mode, output, exceptions string
	previous, signKey        string
	fingerprint              string
	signingKey               string
	blockedLog               string
	scratchFrom, pgDump      string
	operator                 string
	allowNotProven           bool
	lockTimeout, statement   time.Duration
}

func newVerifyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify --dsn DSN (--app-dsn DSN | --proxy-dsn DSN)",
		Short: "Prove that one org cannot reach another's rows, by trying",
		Long: `Tries to reach rows of one org as another, by every command, context and path, and
writes down what came of it.

  snapshot  compares what sessions of two existing orgs see with the truth, in one
            snapshot; aims writes at rows of the other org alone and rolls them
            back. Writes nothing: for production.
  canary    makes two orgs with marked rows in one transaction of the administrator,
            tries everything as the application's role, and rolls it back. Takes
            locks on tables for moments: for staging.
  scratch   copies the schema into a database of its own, with two orgs, and runs
            all attacks by direct logins and through a proxy: for CI. With --app-dsn
            and without --proxy-dsn it starts a proxy itself. The copy is dropped.

A relation without a row to recognise, or whose own rows are not visible, is not
proven: that is a finding, too.

Exit codes: 0 isolated, 1 a leak or something not proven, 2 wrong use, 3 something
cannot be reached.`,
		Example: `  bulkhead verify --dsn postgres://admin@db/app --proxy-dsn postgres://any@proxy:6432/app --token-a a.jwt --token-b b.jwt \
    --org-a 1111... --org-b 2222... --format html --output isolation.html
  bulkhead verify --mode canary --dsn postgres://admin@staging/app --app-role app
  bulkhead verify --mode scratch --dsn postgres://postgres@localhost/app --app-dsn postgres://app@localhost/app --format junit`,
		Args: cobra.NoArgs,
	}
	formats := append([]string{"text"}, verify.Formats...)
	f.add(cmd)
	format := addFormat(cmd, formats...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFormat(*format, formats...); err != nil {
			return err
		}
		return f.run(cmd, *format)
	}
	cmd.AddCommand(newVerifyCheckCommand())
	return cmd
}

func (f *verifyFlags) add(cmd *cobra.Command) {
	f.register(cmd)
	f.verifyTokens.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.mode, "mode", verify.Modes[0], "how much may be done: "+strings.Join(verify.Modes, ", "))
	fl.StringVar(&f.appDSN, "app-dsn", "", "login as the application's role, past the proxy; with --config its server.dsn")
	fl.StringVar(&f.proxyDSN, "proxy-dsn", "", "the proxy, without a password: that is the token")
	fl.StringVar(&f.orgs[verify.A], "org-a", "", "an org that exists (snapshot mode); without it the first two of the root table")
	fl.StringVar(&f.orgs[verify.B], "org-b", "", "another one")
	fl.StringVar(&f.subjects[verify.A], "sub-a", "", "a user of org A, where policies ask for one")
	fl.StringVar(&f.subjects[verify.B], "sub-b", "", "a user of org B")
	fl.StringArrayVar(&f.settings, "setting", nil, "setting of direct sessions, NAME=TEMPLATE with ${org}, ${subject}, ${claims}; several times; default: those of --config and bulkhead.org_id")
	fl.StringArrayVar(&f.paths, "path", nil, "way to send statements: simple, extended, pipelined, prepared, multi; several times; default: all")
	fl.StringVar(&f.output, "output", "", "file for the report; - or nothing is standard output")
	fl.StringVar(&f.exceptions, "exceptions", "", "YAML list of accepted findings: match, owner, reason, expires")
	fl.StringVar(&f.previous, "previous", "", "JSON report of the run before, to which this one is chained")
	fl.StringVar(&f.fingerprint, "fingerprint", "", "fingerprint that the catalogue must have, or a JSON report of the database that has it: for a proof about production that runs elsewhere")
	fl.StringVar(&f.signKey, "sign-key", "", "Ed25519 private key (PEM) that signs the report")
	fl.StringVar(&f.signingKey, "signing-key", "", "key of the signed tenant context, for direct sessions; with --config tenant.signing_key_file")
	fl.StringVar(&f.blockedLog, "blocked-log", "", "blocked-query log of the proxy: refusals get the numbers of their records")
	fl.StringVar(&f.scratchFrom, "scratch-from", "", "how scratch mode copies: dump or template; default: a dump if pg_dump fits the server")
	fl.StringVar(&f.pgDump, "pg-dump", "", "pg_dump of the server's version, if it is not in PATH")
	fl.StringVar(&f.operator, "operator", "", "who runs it, for the report; default: the user of the operating system")
	fl.BoolVar(&f.allowNotProven, "allow-not-proven", false, "what is not proven is no finding")
	fl.DurationVar(&f.lockTimeout, "lock-timeout", time.Second, "how long a probe waits for a lock")
	fl.DurationVar(&f.statement, "statement-timeout", 10*time.Second, "how long a probe may take")
}

func (f *verifyFlags) run(cmd *cobra.Command, format string) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	seal, err := f.sealer()
	if err != nil {
		return err
	}
	report, err := verify.Run(cmd.Context(), *o)
	if err != nil {
		return verifyError(err)
	}
	if err := seal(report); err != nil {
		return err
	}
	if err := f.write(cmd, report, format); err != nil {
		return err
	}
	if report.Result.Status != verify.Isolated {
		return &exitError{code: exitFindings}
	}
	return nil
}

// options turns flags and configuration into those of a run.
func (f *verifyFlags) options(cmd *cobra.Command) (*verify.Options, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	o := &verify.Options{
		Mode: verify.Mode(f.mode), AdminDSN: f.dsn, AppDSN: f.appDSN, ProxyDSN: f.proxyDSN, Selection: f.selection(cfg),
		Orgs: f.orgs, Subjects: f.subjects, OrgClaim: f.orgClaim, LockTimeout: f.lockTimeout, StatementTimeout: f.statement,
		BlockedLog: f.blockedLog, ScratchFrom: f.scratchFrom, PgDump: f.pgDump, AllowNotProven: f.allowNotProven,
		Command: commandLine(), Operator: f.operator, ToolVersion: currentVersion().Version, Progress: newVerifyProgress(cmd.ErrOrStderr()),
	}
	if o.Fingerprint, err = f.expected(); err != nil {
		return nil, err
	}
	if f.config == "" {
		cfg = nil
	}
	if cfg != nil && o.AdminDSN == "" {
		o.AdminDSN = cfg.Verify.DSN.Reveal()
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := f.application(o, cfg); err != nil {
		return nil, err
	}
	if o.Settings, err = f.settingTemplates(cfg); err != nil {
		return nil, err
	}
	for _, p := range f.paths {
		o.Paths = append(o.Paths, verify.Path(p))
	}
	if o.Exceptions, err = readExceptions(f.exceptions); err != nil {
		return nil, err
	}
	if o.Operator == "" {
		if u, err := user.Current(); err == nil {
			o.Operator = u.Username
		}
	}
	o.Token = f.source()
	if f.proxyDSN == "" && verify.Mode(f.mode) == verify.Scratch && o.AppDSN != "" {
		p := &scratchProxy{base: cfg, appDSN: o.AppDSN, password: o.AppPassword, signingKey: f.signingKey}
		o.StartProxy, o.Token = p.start, p.token
	}
	return o, nil
}

func (f *verifyFlags) check() error {
	switch verify.Mode(f.mode) {
	case verify.Snapshot, verify.Canary, verify.Scratch:
	default:
		return usageErrorf("--mode %q: write %s", f.mode, strings.Join(verify.Modes, ", "))
	}
	for _, p := range f.paths {
		if !slices.Contains(verify.Paths, verify.Path(p)) {
			return usageErrorf("--path %q: write simple, extended, pipelined, prepared or multi", p)
		}
	}
	switch f.scratchFrom {
	case "", "dump", "template":
	default:
		return usageErrorf("--scratch-from %q: write dump or template", f.scratchFrom)
	}
	for name, dsn := range map[string]string{"--dsn": f.dsn, "--app-dsn": f.appDSN, "--proxy-dsn": f.proxyDSN} {
		if _, err := pgx.ParseConfig(dsn); err != nil {
			return usageErrorf("%s: not a connection string that libpq takes", name)
		}
	}
	if f.proxyDSN != "" && f.key == "" && (f.tokens[verify.A] == "" || f.tokens[verify.B] == "") {
		return usageErrorf("--proxy-dsn needs --token-a and --token-b, or --key to make tokens")
	}
	return nil
}

// application finds out how the application logs in, and as whom.
func (f *verifyFlags) application(o *verify.Options, cfg *config.Config) error {
	if cfg != nil && cfg.Server.DSN.IsSet() && f.appDSN == "" && f.proxyDSN == "" {
		dsn, err := serverDSN(cfg)
		if err != nil {
			return usageErrorf("%w", err)
		}
		server, err := serverOptions(cfg)
		if err != nil {
			return usageErrorf("%w", err)
		}
		o.AppDSN, o.AppPassword = dsn, server.Password
	}
	if cfg != nil && f.signingKey == "" && cfg.Tenant.ContextMode() != config.ContextPlain {
		f.signingKey = string(cfg.Tenant.SigningKeyFile)
	}
	if f.signingKey != "" {
		key, err := tenant.LoadKey(f.signingKey)
		if err != nil {
			return usageErrorf("--signing-key: %w", err)
		}
		o.SigningKey = key
	}
	if cfg != nil && cfg.Tenant.Role != "" {
		o.AppRole = cfg.Tenant.Role
	}
	if len(o.Selection.AppRoles) == 0 && o.AppDSN != "" {
		app, err := pgx.ParseConfig(o.AppDSN)
		if err != nil {
			return usageErrorf("--app-dsn: not a connection string that libpq takes")
		}
		o.Selection.AppRoles = []string{app.User}
	}
	return nil
}

// settingTemplates are the settings of direct sessions.
func (f *verifyFlags) settingTemplates(cfg *config.Config) (map[string]string, error) {
	out := verify.DefaultSettings()
	if cfg != nil {
		for name, template := range cfg.Tenant.Settings {
			out[name] = template
		}
	}
	if len(f.settings) > 0 {
		out = make(map[string]string)
	}
	for _, s := range f.settings {
		name, template, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usageErrorf("--setting %q: write NAME=TEMPLATE", s)
		}
		out[name] = template
	}
	return out, nil
}

func readExceptions(file string) ([]verify.Exception, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usageErrorf("read the exceptions: %w", err)
	}
	var list []verify.Exception
	dec := yaml.NewDecoder(strings.NewReader(string(b)))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil {
		return nil, usageErrorf("%s: %w", file, err)
	}
	for i := range list {
		if err := list[i].Check(); err != nil {
			return nil, usageErrorf("%s: %w", file, err)
		}
	}
	return list, nil
}

// sealer reads what closes the report before the run: a key that cannot be
// read should not cost a run.
func (f *verifyFlags) sealer() (func(*verify.Report) error, error) {
	var previous string
	if f.previous != "" {
		r, err := readReport(f.previous)
		if err != nil {
			return nil, err
		}
		if err := r.CheckSeal(nil); err != nil {
			return nil, usageErrorf("--previous %s: %w", f.previous, err)
		}
		previous = r.Chain.Hash
	}
	var key ed25519.PrivateKey
	if f.signKey != "" {
		b, err := os.ReadFile(f.signKey)
		if err != nil {
			return nil, usageErrorf("--sign-key: %w", err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, usageErrorf("--sign-key %s: not a PEM file", f.signKey)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		signer, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok {
			return nil, usageErrorf("--sign-key %s: not an Ed25519 private key; `bulkhead token keygen` makes one", f.signKey)
		}
		key = signer
	}
	return func(r *verify.Report) error { return r.Seal(previous, key) }, nil
}

// expected is the fingerprint that the catalogue must have, "" for any.
func (f *verifyFlags) expected() (string, error) {
	if f.fingerprint == "" || fingerprintForm.MatchString(f.fingerprint) {
		return f.fingerprint, nil
	}
	r, err := readReport(f.fingerprint)
	if err != nil {
		return "", usageErrorf("--fingerprint: neither 64 hexadecimal digits nor a report: %w", err)
	}
	return r.Database.Fingerprint, nil
}

var fingerprintForm = regexp.MustCompile("^[0-9a-f]{64}$")

func readReport(file string) (*verify.Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	r, err := verify.Read(b)
	if err != nil {
		return nil, usageErrorf("%s: %w", file, err)
	}
	return r, nil
}

// write writes the report; a file gets it whole or not at all.
func (f *verifyFlags) write(cmd *cobra.Command, r *verify.Report, format string) error {
	if f.output == "" || f.output == "-" {
		if format == "text" {
			printVerifyReport(newDisplay(cmd.OutOrStdout()), r)
			return nil
		}
		return r.Write(cmd.OutOrStdout(), format)
	}
	temp := f.output + ".part"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return usageErrorf("--output: %w", err)
	}
	if format == "text" {
		printVerifyReport(display{w: file}, r)
	} else {
		err = r.Write(file, format)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.Rename(temp, f.output); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	d := newDisplay(cmd.ErrOrStderr())
	d.printf("%s\nreport: %s\n", r.Result.Summary, printable(f.output))
	return nil
}

// verifyError gives errors of a run their exit code.
func verifyError(err error) error {
	var unreachable *verify.UnreachableError
	var nothing *verify.NothingError
	switch {
	case errors.As(err, &unreachable):
		return &exitError{code: exitUnreachable, err: err}
	case errors.Is(err, verify.ErrNoWay), errors.Is(err, verify.ErrNoOrgs), errors.Is(err, verify.ErrNoRole), errors.Is(err, verify.ErrBlind),
		errors.As(err, &nothing):
		return &exitError{code: exitUsage, err: err}
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitFindings, err: errors.New("interrupted: nothing is proven")}
	}
	var selection *inventory.SelectionError
	if errors.As(err, &selection) || errors.Is(err, inventory.ErrTooOld) {
		return &exitError{code: exitUsage, err: err}
	}
	return err
}

// secretFlags are flags whose values may hold a password.
var secretFlags = []string{"--dsn", "--app-dsn", "--proxy-dsn"}

// commandLine is how this command was called, without passwords.
func commandLine() []string {
	out := []string{"bulkhead"}
	hide := false
	for _, a := range os.Args[1:] {
		for _, name := range secretFlags {
			if value, ok := strings.CutPrefix(a, name+"="); ok {
				a = name + "=" + withoutPassword(value)
			}
		}
		if hide {
			a = withoutPassword(a)
		}
		hide = false
		for _, name := range secretFlags {
			hide = hide || a == name
		}
		out = append(out, a)
	}
	return out
}

// withoutPassword writes a connection string as host, port, user and database.
func withoutPassword(dsn string) string {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "..."
	}
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", c.Host, c.Port, c.User, c.Database)
}
