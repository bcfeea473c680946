package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/harden"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// Mode is how much a run may do.
type Mode string

// The modes.
const (
	Snapshot Mode = "snapshot"
	Canary   Mode = "canary"
	Scratch  Mode = "scratch"
)

// Modes are all modes, the default first.
var Modes = []string{string(Snapshot), string(Canary), string(Scratch)}

const loginTimeout = 20 * time.Second

// Options of a run.
type Options struct {
	Mode     Mode
	AdminDSN string // a role that sees all rows
	AppDSN   string // a login as the application's role, past the proxy; "" does not try that way
	ProxyDSN string // the proxy; "" does not try that way
	// AppPassword, if set, gives the password for AppDSN.
	AppPassword func() (string, error)
	// Token returns a token of an org for a context, for ProxyDSN.
	Token func(org string, s Side, subject string, c Context) (string, error)
	// StartProxy, if set, starts a proxy in front of a database in scratch
	// mode, and returns its DSN, its blocked-query log and what ends it. sealed
	// says that the context of the database is.
	StartProxy func(ctx context.Context, database string, orgs [2]string, sealed bool) (dsn, log string, stop func() error, err error)

	Selection inventory.Selection
	AppRole   string            // that sessions run as; "" is the selection's first
	Orgs      [2]string         // existing orgs for snapshot mode; made up in the others
	Subjects  [2]string         // users of the orgs, where policies ask
	Settings  map[string]string // the context of direct sessions: templates with ${org}, ${subject}, ${claims}
	OrgClaim  string
	// SigningKey, if set, signs the context of direct sessions (mode signed):
	// without one they see nothing in such a database.
	SigningKey *tenant.Key

	Paths  []Path    // nil: all
	Logins []Context // logins that must be refused; nil: all

	LockTimeout, StatementTimeout time.Duration
	BlockedLog                    string // read for the records of refusals; "" looks up none
	ScratchFrom                   string // dump, template, or "" for whatever is possible
	PgDump                        string // program; "" looks for it in PATH
	Exceptions                    []Exception
	AllowNotProven                bool
	// Fingerprint, if set, is that of the catalogue that the proof is for: a
	// run on another one proves nothing about it.
	Fingerprint           string
	Command               []string
	Operator, ToolVersion string
	Progress              func(done string)

	subjectsGiven bool
	sealed        bool   // the database's context is: past the proxy a challenge is answered
	label         string // application_name of sessions
	database      string // that sessions use instead of their DSN's
	now           func() time.Time
}

// DefaultSettings is the context of direct sessions where none is given: what
// the proxy sets by default, and what the floor of harden reads.
func DefaultSettings() map[string]string {
	return map[string]string{"app.org_id": "${org}", "bulkhead.org_id": "${org}", "request.jwt.claims": "${claims}"}
}

// Errors of a run that never began.
var (
	// ErrNoWay is returned if there is nothing to try with.
	ErrNoWay = errors.New("no way in was given: name the application's DSN, or the proxy's with tokens")
	// ErrBlind is returned if the administrator does not see all rows: the
	// truth would be unknown.
	ErrBlind = errors.New("the administrator's role does not see all rows: use a superuser or a role with BYPASSRLS")
	// ErrNoOrgs is returned if snapshot mode lacks two orgs.
	ErrNoOrgs = errors.New("two different orgs that exist are needed")
	// ErrNoRole is returned if the application's role is unknown.
	ErrNoRole = errors.New("the application's role is unknown: name it")
)

func (o *Options) fill() {
	if o.Mode == "" {
		o.Mode = Snapshot
	}
	if len(o.Settings) == 0 {
		o.Settings = DefaultSettings()
	}
	if len(o.Logins) == 0 {
		o.Logins = []Context{None, Empty, Garbage, Expired}
	}
	if len(o.Paths) == 0 {
		o.Paths = Paths
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = 10 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.now == nil {
		o.now = time.Now
	}
	o.subjectsGiven = o.Subjects != [2]string{}
	for i := range o.Subjects {
		if o.Subjects[i] == "" {
			o.Subjects[i] = "bulkhead-verify"
		}
	}
}

// appConfig is the login as the application's role.
func (o *Options) appConfig() (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(o.AppDSN)
	if err != nil {
		return nil, errors.New("the application's DSN is not a connection string that libpq takes")
	}
	if o.AppPassword != nil {
		if cfg.Password, err = o.AppPassword(); err != nil {
			return nil, fmt.Errorf("read the password of the application's role: %w", err)
		}
	}
	return cfg, nil
}

// token returns a token of a side for a context.
func (o *Options) token(s Side, c Context) (string, error) {
	if o.Token == nil {
		return "", errors.New("no token was given, and no key to mint one")
	}
	return o.Token(o.Orgs[s], s, o.Subjects[s], c)
}

// runner is one run.
type runner struct {
	o      Options
	admin  *pgx.Conn
	snap   *inventory.Snapshot
	model  *inventory.Model
	marks  marks
	report *Report
	before harden.State // of the catalogue
	labels int          // of attempts so far
}

// Run verifies a database. The error says why nothing could be verified; what
// was found is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.fill()
	r := &runner{o: o, marks: newMarks()}
	r.o.label = "bulkhead-verify-" + r.marks.run
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { r.admin.Close(context.WithoutCancel(ctx)) }()
	run := map[Mode]func(context.Context) error{Snapshot: r.snapshot, Canary: r.canary, Scratch: r.scratch}[r.o.Mode]
	if run == nil {
		return nil, fmt.Errorf("mode %q: want one of %v", r.o.Mode, Modes)
	}
	if err := run(ctx); err != nil {
		return nil, err
	}
	return r.report, r.end(ctx)
}

// begin connects, takes the inventory and opens the report.
func (r *runner) begin(ctx context.Context) error {
	started := r.o.now().UTC()
	cfg, err := pgx.ParseConfig(r.o.AdminDSN)
	if err != nil {
		return errors.New("the administrator's DSN is not a connection string that libpq takes")
	}
	cfg.RuntimeParams["application_name"] = r.o.label
	if r.admin, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return &UnreachableError{What: "the database", Err: err}
	}
	if err := r.inventory(ctx); err != nil {
		r.admin.Close(ctx)
		return err
	}
	if r.before, err = state(ctx, r.admin); err != nil {
		r.admin.Close(ctx)
		return err
	}
	r.report = &Report{
		Version: ReportVersion,
		Run: RunInfo{
			ID: r.marks.run, ToolVersion: r.o.ToolVersion, Mode: r.o.Mode, Started: started,
			Operator: r.o.Operator, Command: r.o.Command, ConfigHash: r.o.hash(),
		},
		Database:  Database{Name: r.snap.Database, ServerVersion: r.snap.Server.Version, Fingerprint: r.before.Fingerprint()},
		Relations: []Relation{}, Matrix: []Cell{}, Attacks: []Attempt{}, Accepted: []Exception{}, NotTested: []string{}, Caveats: []string{},
		Controls: controls(),
	}
	return nil
}

func (r *runner) inventory(ctx context.Context) error {
	var err error
	if r.snap, err = inventory.Load(ctx, r.admin); err != nil {
		return err
	}
	if !r.snap.Login.Superuser && !r.snap.Login.BypassRLS {
		return ErrBlind
	}
	r.o.sealed = sealed(r.snap)
	if r.model, err = inventory.Resolve(r.snap, r.o.Selection); err != nil {
		return err
	}
	if r.o.AppRole == "" {
		if len(r.model.AppRoles) == 0 {
			return ErrNoRole
		}
		r.o.AppRole = r.model.AppRoles[0].Name
	}
	if r.snap.Role(r.o.AppRole) == nil {
		return fmt.Errorf("there is no role %q", r.o.AppRole)
	}
	return nil
}

// UnreachableError says that something could not be connected to.
type UnreachableError struct {
	What string
	Err  error
}

func (e *UnreachableError) Error() string { return e.What + " cannot be reached: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// end fills in what is known only now.
func (r *runner) end(ctx context.Context) error {
	after, err := state(ctx, r.admin)
	if err != nil {
		return err
	}
	r.report.Database.FingerprintAfter = after.Fingerprint()
	if d := harden.Difference(r.before, after); len(d) > 0 {
		r.report.Caveats = append(r.report.Caveats,
			"the catalogue changed during the run, by somebody else's migration or an attack that left something behind: "+some(d))
	}
	if want := r.o.Fingerprint; want != "" {
		r.report.Database.ExpectedFingerprint = want
		if want != r.report.Database.Fingerprint {
			r.report.Caveats = append(r.report.Caveats, "the catalogue is not the one that was expected, so the proof is about something else: its fingerprint differs")
		}
	}
	r.exposed()
	r.except()
	r.report.Run.Ended = r.o.now().UTC()
	r.report.finish(r.o.AllowNotProven)
	return nil
}

// some shows the beginning of a difference.
func some(difference []string) string {
	const shown = 3
	if len(difference) <= shown {
		return strings.Join(difference, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(difference[:shown], "; "), len(difference)-shown)
}

// exposed says in the open what only the proxy holds.
func (r *runner) exposed() {
	n := 0
	for i := range r.report.Matrix {
		if r.report.Matrix[i].Status == Exposed {
			n++
		}
	}
	for i := range r.report.Attacks {
		if r.report.Attacks[i].Status == Exposed {
			n++
		}
	}
	if n > 0 {
		r.report.Caveats = append(r.report.Caveats, fmt.Sprintf(
			"%d probes or attacks are held by the proxy only: whoever reaches the database past it can do them", n))
	}
}

// state reads what the fingerprint of a database's catalogue is made of.
func state(ctx context.Context, conn *pgx.Conn) (harden.State, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the fingerprint: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // read-only: nothing is lost
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog, pg_temp"); err != nil {
		return nil, fmt.Errorf("prepare the fingerprint: %w", err)
	}
	return harden.DatabaseState(ctx, tx)
}

// hash identifies the selection and options of a run, without secrets.
func (o *Options) hash() string {
	b, err := json.Marshal(struct {
		Mode       Mode
		Selection  inventory.Selection
		AppRole    string
		Settings   map[string]string
		OrgClaim   string
		Direct     bool
		Proxy      bool
		NotProven  bool
		Exceptions []Exception
	}{o.Mode, o.Selection, o.AppRole, o.Settings, o.OrgClaim, o.AppDSN != "", o.ProxyDSN != "" || o.StartProxy != nil, o.AllowNotProven, o.Exceptions})
	if err != nil {
		return "" // the types above can all be encoded
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
