package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// setting is one setting and its value.
type setting struct{ name, value string }

// contextSettings fills in the templates of the settings for an org in a
// context. None has no settings at all.
//
// backend is what a signature is bound to, as bulkhead.backend() tells it; ""
// leaves the context unsigned.
func (o *Options) contextSettings(s Side, c Context, backend string) []setting {
	var out []setting
	if c == None {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		v := strings.NewReplacer("${org}", o.Orgs[s], "${subject}", o.Subjects[s], "${role}", o.AppRole,
			"${claims}", claimsJSON(o.OrgClaim, o.Orgs[s], o.Subjects[s])).Replace(o.Settings[name])
		switch c {
		case Empty:
			v = ""
		case Garbage:
			v = garbage
		}
		out = append(out, setting{name, v})
	}
	if o.SigningKey != nil && backend != "" && c != Empty { // only where it is learned
		out = append(out, setting{tenant.SignatureSetting, o.sign(out, c, backend)})
	}
	return out
}

// sign signs what settings say of org and claims. Garbage keeps the signature
// of an org that it is not; Expired is signed for the past.
func (o *Options) sign(settings []setting, c Context, backend string) string {
	org, claims := signedPart(settings)
	return o.SigningKey.SignBackend(backend, signedOrg(c, org), claims, expiry(c))
}

// garbage is no org of any type but text, and of that none that exists.
const garbage = "bulkhead-verify-no-such-org"

// notNone is what a context can be turned into in a session that has had one:
// a setting that was set cannot be unset again.
func notNone(c Context) Context {
	if c == None {
		return Empty
	}
	return c
}

// setLocal writes a statement that sets settings until the end of the
// transaction.
func setLocal(settings []setting) string {
	var calls []string
	for _, s := range settings {
		calls = append(calls, "set_config("+literal(s.name)+", "+literal(s.value)+", true)")
	}
	if len(calls) == 0 {
		return neighbour
	}
	return "SELECT " + strings.Join(calls, ", ")
}

// inTransaction is the stage of canary mode: the administrator's own
// transaction, in which nothing is ever committed.
type inTransaction struct {
	s    *session
	o    *Options
	role string
	// authorize becomes the application's role until the end of a
	// subtransaction.
	authorize string
	failed    error // the transaction is lost: nothing more can be tried
}

func (t *inTransaction) way() Wall { return Direct }

// contexts begins with None: a setting that was set once is empty afterwards,
// no longer missing.
func (t *inTransaction) contexts() []Context { return t.o.directContexts() }

// directContexts are those of sessions past the proxy. A plain context does
// not expire.
func (o *Options) directContexts() []Context {
	list := []Context{None, Same, Other, Empty, Garbage}
	if o.SigningKey != nil {
		list = append(list, Expired)
	}
	return list
}

func (t *inTransaction) paths() []Path { return Paths }

const probeSavepoint = "bulkhead_probe"

func (t *inTransaction) try(ctx context.Context, a try) outcome {
	if t.failed != nil {
		return outcome{broken: t.failed}
	}
	begin := "SAVEPOINT " + probeSavepoint + "; "
	first, c := a.actor, a.context
	if a.path == Prepared {
		first, c = a.aim, Same
	}
	if !t.o.enters() {
		begin += setLocal(t.o.contextSettings(first, c, t.s.backend)) + "; "
	}
	if err := t.s.exec(ctx, begin+t.authorize); err != nil {
		return t.fail(err)
	}
	defer t.undo(ctx)
	if t.o.enters() && c != None {
		if err := t.s.become(ctx, t.o, first, c); err != nil {
			return t.noted(err)
		}
	}
	if a.path != Prepared {
		return t.s.send(ctx, a.path, a.request)
	}
	return t.prepared(ctx, a)
}

// prepared prepares a request in the context that has been entered, and
// executes it in that of the probe.
func (t *inTransaction) prepared(ctx context.Context, a try) outcome {
	if err := t.s.plan(ctx, a.request); err != nil {
		return t.noted(err)
	}
	var err error
	if t.o.enters() {
		err = t.s.become(ctx, t.o, a.actor, notNone(a.context))
	} else {
		err = t.s.exec(ctx, setLocal(t.o.contextSettings(a.actor, notNone(a.context), t.s.backend)))
	}
	if err != nil {
		return t.noted(err)
	}
	var o outcome
	o.note(t.s.runPrepared(ctx, a.request, &o))
	if a.request.then != "" && o.err == nil {
		o.note(t.s.query(ctx, Simple, a.request.then, &o))
	}
	o.heard = t.s.takeHeard()
	return o
}

func (t *inTransaction) noted(err error) outcome {
	var o outcome
	o.note(err)
	o.heard = t.s.takeHeard()
	return o
}

func (t *inTransaction) fail(err error) outcome {
	t.failed = fmt.Errorf("the transaction of the canaries cannot go on: %w", err)
	return outcome{broken: t.failed}
}

// undo takes back what a probe did, its role and settings included.
func (t *inTransaction) undo(ctx context.Context) {
	t.s.forget(ctx)
	if err := t.s.exec(ctx, "ROLLBACK TO SAVEPOINT "+probeSavepoint+"; RELEASE SAVEPOINT "+probeSavepoint); err != nil {
		t.failed = fmt.Errorf("the transaction of the canaries is lost: %w", err)
	}
}

// sessions is the stage of real logins: one connection for each org and
// context.
type sessions struct {
	wall    Wall
	o       *Options
	connect func(ctx context.Context, s Side, c Context, label string) (*session, error)
	open    map[string]*session
	kinds   []Context
}

func newSessions(o *Options, wall Wall) *sessions {
	s := &sessions{wall: wall, o: o, open: make(map[string]*session)}
	if wall == Direct {
		s.connect, s.kinds = s.direct, o.directContexts()
		return s
	}
	s.connect, s.kinds = s.proxied, []Context{Same, Other}
	return s
}

func (s *sessions) way() Wall           { return s.wall }
func (s *sessions) contexts() []Context { return s.kinds }
func (s *sessions) paths() []Path       { return Paths }

// direct logs in as the application's role, with the context in the startup
// packet.
func (s *sessions) direct(ctx context.Context, side Side, c Context, label string) (*session, error) {
	cfg, err := s.o.appConfig()
	if err != nil {
		return nil, err
	}
	s.o.limitSession(cfg, label)
	for _, set := range s.o.contextSettings(side, c, "") {
		cfg.RuntimeParams[set.name] = set.value
	}
	if s.o.AppRole != "" && s.o.AppRole != cfg.User {
		cfg.RuntimeParams["role"] = s.o.AppRole
	}
	if s.o.database != "" {
		cfg.Database = s.o.database
	}
	conn, err := openSession(ctx, cfg, Direct)
	if err != nil || s.o.SigningKey == nil || c == None {
		return conn, err
	}
	if err := conn.signed(ctx, s.o, side, c); err != nil {
		conn.close(ctx)
		return nil, err
	}
	return conn, nil
}

// signed gives a session the signature of its context, as the proxy would.
func (s *session) signed(ctx context.Context, o *Options, side Side, c Context) error {
	if !o.sealed {
		if err := s.learnBackend(ctx); err != nil {
			return err
		}
	}
	return s.become(ctx, o, side, c)
}

// learnBackend asks what a signature is bound to.
func (s *session) learnBackend(ctx context.Context) error {
	o := s.send(ctx, Simple, request{sql: "SELECT bulkhead.backend()"})
	switch {
	case o.err != nil:
		return fmt.Errorf("ask for what a signature is bound to: %w", o.err)
	case o.broken != nil:
		return o.broken
	case len(o.rows) == 1:
		s.backend = o.rows[0][0]
	}
	return nil
}

// proxied logs in through the proxy with a token of the org.
func (s *sessions) proxied(ctx context.Context, side Side, c Context, label string) (*session, error) {
	token, err := s.o.token(side, c)
	if err != nil {
		return nil, err
	}
	cfg, err := pgconn.ParseConfig(s.o.ProxyDSN)
	if err != nil {
		return nil, errors.New("the proxy's DSN is not a connection string that libpq takes")
	}
	s.o.limitSession(cfg, label)
	cfg.Password = token
	if s.o.database != "" {
		cfg.Database = s.o.database
	}
	return openSession(ctx, cfg, Proxy)
}

// limitSession keeps a probe from waiting for others, or others for it.
func (o *Options) limitSession(cfg *pgconn.Config, label string) {
	cfg.ConnectTimeout = loginTimeout
	cfg.Fallbacks = nil
	cfg.RuntimeParams["application_name"] = label
	cfg.RuntimeParams["lock_timeout"] = o.LockTimeout.String()
	cfg.RuntimeParams["statement_timeout"] = o.StatementTimeout.String()
}

// session returns the connection of a side and context, and opens it at its
// first use and after it was lost.
func (s *sessions) session(ctx context.Context, side Side, c Context) (*session, error) {
	if c == Same {
		c = Other // the same session: what differs is the row aimed at
	}
	key := side.String() + string(c)
	if old := s.open[key]; old != nil && !old.conn.IsClosed() {
		return old, nil
	}
	conn, err := s.connect(ctx, side, c, s.o.label)
	if err != nil {
		return nil, err
	}
	s.open[key] = conn
	return conn, nil
}

func (s *sessions) try(ctx context.Context, a try) outcome {
	conn, err := s.session(ctx, a.actor, a.context)
	if err != nil {
		return loginOutcome(err)
	}
	o := s.tryOn(ctx, conn, a)
	if o.broken != nil {
		conn.close(ctx)
	}
	return o
}

func (s *sessions) tryOn(ctx context.Context, conn *session, a try) (o outcome) {
	if a.path == Prepared && s.wall == Proxy {
		// Prepared outside of the transaction: in transaction pooling it is
		// then executed on whatever server connection comes.
		if err := conn.prepare(ctx, a.request.sql); err != nil {
			o.note(err)
			o.heard = conn.takeHeard()
			return o
		}
		defer conn.forget(ctx)
	}
	if a.path == Prepared && s.o.enters() && s.wall == Direct {
		if err := s.preparedBefore(ctx, conn, a); err != nil {
			o.note(err)
			return o
		}
		defer conn.forget(ctx)
	}
	if err := conn.exec(ctx, "BEGIN"); err != nil {
		return outcome{broken: fmt.Errorf("begin: %w", err)}
	}
	defer func() {
		if err := conn.exec(ctx, "ROLLBACK"); err != nil && o.broken == nil {
			o.broken = fmt.Errorf("roll back: %w", err)
		}
	}()
	if a.path != Prepared {
		return conn.send(ctx, a.path, a.request)
	}
	if s.wall == Direct && !s.o.enters() {
		if err := conn.exec(ctx, setLocal(s.o.contextSettings(a.aim, Same, conn.backend))); err != nil {
			o.note(err)
			return o
		}
		defer conn.forget(ctx)
		prepare := conn.plan
		if a.unplanned {
			prepare = func(ctx context.Context, r request) error { return conn.prepare(ctx, r.sql) }
		}
		if err := prepare(ctx, a.request); err != nil {
			o.note(err)
			return o
		}
		if err := conn.exec(ctx, setLocal(s.o.contextSettings(a.actor, notNone(a.context), conn.backend))); err != nil {
			o.note(err)
			return o
		}
	}
	o.note(conn.runPrepared(ctx, a.request, &o))
	if a.request.then != "" && o.err == nil && o.broken == nil {
		o.note(conn.query(ctx, Simple, a.request.then, &o))
	}
	o.heard = conn.takeHeard()
	return o
}

// preparedBefore prepares a request in the context of the org aimed at, and
// returns to that of the session: a seal knows no transaction.
func (s *sessions) preparedBefore(ctx context.Context, conn *session, a try) error {
	if err := conn.become(ctx, s.o, a.aim, Same); err != nil {
		return err
	}
	if err := conn.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	var err error
	if a.unplanned {
		err = conn.prepare(ctx, a.request.sql)
	} else {
		err = conn.plan(ctx, a.request)
	}
	if err := errors.Join(err, conn.exec(ctx, "ROLLBACK")); err != nil {
		return err
	}
	return conn.become(ctx, s.o, a.actor, notNone(a.context))
}

func (s *sessions) close(ctx context.Context) {
	for _, conn := range s.open {
		conn.close(ctx)
	}
}

// claimsJSON are claims as the proxy would send them, as far as policies read
// them.
func claimsJSON(claim, org, subject string) string {
	if claim == "" {
		claim = "org_id"
	}
	return `{"` + claim + `":` + jsonText(org) + `,"sub":` + jsonText(subject) + `,"role":"authenticated"}`
}

func jsonText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// becomeSQL is how an administrator becomes the application's role inside a
// transaction.
func becomeSQL(login inventory.Login, role string) string {
	if login.Superuser {
		return "SET LOCAL SESSION AUTHORIZATION " + inventory.Quote(role)
	}
	return "SET LOCAL ROLE " + inventory.Quote(role)
}
