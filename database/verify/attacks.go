package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
)

// The classes of attacks, one file each.
const (
	classContext      = "context"
	classRole         = "role"
	classDefinition   = "definition"
	classReach        = "reach"
	classSideChannel  = "side channel"
	classResidue      = "residue"
	classInterference = "interference"
	classSignature    = "signature"
)

// held says what the database alone can do about an attack.
type held uint8

const (
	// byDatabase: a hardened database refuses it, or it is harmless there.
	byDatabase held = iota
	// bySignature: only if the context is signed.
	bySignature
	// byProxy: PostgreSQL lets every role do it.
	byProxy
	// byNobody: neither wall can hide it; it is documented.
	byNobody
)

// attack is one thing that a client of one org may try on another.
type attack struct {
	id, class, title string
	cwe              int
	held             held
	// refused says that the statement itself must fail. Otherwise it may run,
	// as long as nothing of the other org shows afterwards.
	refused bool
	// outside of a transaction block: inside it proves nothing.
	outside bool
	// statements are variants; each is tried by itself. The text before a NUL
	// is sent first.
	statements func(w *world) []string
	// perform is for what is more than a statement: it returns what was tried,
	// what came back, and what was reached.
	perform func(ctx context.Context, w *world) (statement string, o outcome, reached string)
	skip    func(w *world) string
}

// attacks are all attacks, in the order in which they are tried.
var attacks = slices.Concat(
	contextAttacks, plannerAttacks, roleAttacks, definitionAttacks, reachAttacks, sideChannelAttacks, residueAttacks, interferenceAttacks, signatureAttacks)

// world is what an attack knows of the place.
type world struct {
	r      *runner
	x      *matrix
	p      *planter
	s      *sessions
	actor  Side
	aim    Side
	label  string
	signed bool // bulkhead.org_id() checks a signature
}

// attack tries the list by one way in.
func (r *runner) attack(ctx context.Context, x *matrix, p *planter, s *sessions) error {
	for _, d := range directions {
		w := &world{r: r, x: x, p: p, s: s, actor: d[0], aim: d[1], signed: signed(r.snap)}
		if err := r.attackAs(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// attackAs tries the list as one org at the other.
func (r *runner) attackAs(ctx context.Context, w *world) error {
	for i := range attacks {
		a := &attacks[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		r.o.Progress("attack " + a.id)
		if a.skip != nil {
			if why := a.skip(w); why != "" {
				r.attempt(w, a, Simple, 0, Attempt{Status: Skipped, Note: why})
				continue
			}
		}
		if a.perform != nil {
			w.label = r.newLabel()
			statement, o, reached := a.perform(ctx, w)
			r.attempt(w, a, Simple, 0, w.judge(a, statement, &o, reached))
			continue
		}
		for n, text := range a.statements(w) {
			for _, path := range r.o.Paths {
				r.one(ctx, w, a, path, n, text)
			}
		}
	}
	return nil
}

// one tries one statement by one path, in a session of its own.
func (r *runner) one(ctx context.Context, w *world, a *attack, path Path, n int, text string) {
	before, statement, ok := strings.Cut(text, "\x00")
	if !ok {
		before, statement = "", text
	}
	several := strings.Contains(strings.TrimSuffix(statement, ";"), ";") && !strings.Contains(statement, "$$")
	if several && path != Simple && path != Multi {
		return
	}
	w.label = r.newLabel()
	conn, err := w.login(ctx, w.actor)
	if err != nil {
		o := loginOutcome(err)
		r.attempt(w, a, path, n, Attempt{Statement: parser.Redact(statement), Got: o.got(), Status: NotProven, Note: "no session"})
		return
	}
	defer conn.close(ctx)
	if !a.outside {
		if err := conn.exec(ctx, "BEGIN"); err != nil {
			r.attempt(w, a, path, n, Attempt{Statement: parser.Redact(statement), Status: NotProven, Note: "no transaction"})
			return
		}
	}
	if before != "" {
		_ = conn.exec(ctx, before) // refused or not, the attack goes on
	}
	o := conn.send(ctx, path, request{sql: statement})
	reached := ""
	if o.err == nil && o.broken == nil {
		reached = w.harvest(ctx, conn)
	}
	if !a.outside && o.broken == nil {
		_ = conn.exec(ctx, "ROLLBACK") // closing the connection does the same
	}
	r.attempt(w, a, path, n, w.judge(a, statement, &o, reached))
}

// redacted is a statement for the report.
func (w *world) redacted(sql string) string { return parser.Redact(sql) }

// login opens a session of an org under the label of the attempt.
func (w *world) login(ctx context.Context, side Side) (*session, error) {
	return w.s.connect(ctx, side, Other, w.label)
}

// harvest reads tables of tenants and says what of the other org shows.
func (w *world) harvest(ctx context.Context, conn *session) string {
	for _, m := range w.victims() {
		o := conn.send(ctx, Simple, request{sql: "SELECT " + columnList(m.seen()) + " FROM " + m.rel.SQL()})
		if w.x.shows(&o, w.aim) {
			return "afterwards rows of the other org were visible"
		}
		if o.err != nil && conn.conn.TxStatus() == 'E' {
			return ""
		}
	}
	return ""
}

// maxVictims is how many tables are read after each attack.
const maxVictims = 3

// victims are tables that the application reads and in which the other org has
// a marked row.
func (w *world) victims() []*member {
	var out []*member
	for _, m := range w.x.pop.members {
		if m.tenantOwned() && m.rel.HoldsRows() && len(m.seen()) > 0 && m.canary[w.aim] != nil && m.canary[w.actor] != nil && len(out) < maxVictims {
			out = append(out, m)
		}
	}
	return out
}

// victim is the first of them, nil if there is none.
func (w *world) victim() *member {
	if v := w.victims(); len(v) > 0 {
		return v[0]
	}
	return nil
}

// table is the victim's name for statements.
func (w *world) table() string {
	if m := w.victim(); m != nil {
		return m.rel.SQL()
	}
	return "pg_catalog.pg_class"
}

// judge decides an attempt.
func (w *world) judge(a *attack, statement string, o *outcome, reached string) Attempt {
	t := Attempt{Statement: parser.Redact(statement), Got: o.got(), SQLState: o.code(), Rule: o.rule(), Status: Pass}
	if a.perform != nil {
		t.Statement = statement
	}
	t.Expected = w.expected(a)
	if a.perform == nil && reached == "" && w.shows(o, statement) {
		reached = "rows of the other org came back"
	}
	if reached == "" && a.refused && o.err == nil && o.broken == nil {
		reached = "it was not refused"
	}
	switch {
	case reached != "":
		t.Status, t.Note = w.verdict(a), reached
	case o.broken != nil && o.err == nil:
		t.Status, t.Note = NotProven, "the connection ended before there was an answer"
	case o.err != nil && inconclusive(o.err.Code):
		t.Status, t.Note = NotProven, "no answer in time"
	}
	return t
}

// expected is what must come of an attack by this way in.
func (w *world) expected(a *attack) string {
	switch {
	case a.held == byNobody:
		return "known: no wall hides it"
	case w.s.wall == Proxy && a.refused:
		return "blocked by a rule, or SQLSTATE 42501 or another error of the server"
	case w.s.wall == Proxy:
		return "blocked by a rule, or nothing of the other org shows"
	case a.held == byProxy:
		return "held by the proxy alone; past it the server lets every role do it"
	case a.refused:
		return "SQLSTATE 42501 or another error"
	}
	return "nothing of the other org shows, or SQLSTATE 42501"
}

// shows reports whether the answer to a statement has something of the other
// org that the statement did not name itself.
func (w *world) shows(o *outcome, statement string) bool {
	switch {
	case w.x.marks.in(statement, w.aim):
		return false
	case strings.Contains(statement, w.x.pop.orgs[w.aim]):
		return w.x.marks.shows(o, w.aim)
	}
	return w.x.shows(o, w.aim)
}

// verdict is what it means that an attack got through.
func (w *world) verdict(a *attack) Status {
	switch {
	case a.held == byNobody:
		return Exposed
	case w.s.wall == Proxy:
		return Leak
	case a.held == byProxy, a.held == bySignature && !w.signed:
		if w.r.behindProxy() {
			return Exposed
		}
		return Leak
	}
	return Leak
}

// behindProxy reports whether this run also goes through the proxy: what the
// database alone cannot hold is then held, or reported, there.
func (r *runner) behindProxy() bool { return r.o.ProxyDSN != "" }

func (r *runner) attempt(w *world, a *attack, path Path, n int, t Attempt) {
	direction := w.actor.String() + "->" + w.aim.String()
	t.ID = strings.Join([]string{a.id, fmt.Sprint(n + 1), string(path), string(w.s.wall), direction}, "/")
	t.Attack, t.Class, t.Title, t.CWE, t.Path, t.Wall, t.Direction = a.id, a.class, a.title, a.cwe, string(path), w.s.wall, direction
	t.label = w.label
	if t.Expected == "" {
		t.Expected = "refused or harmless"
	}
	r.report.Attacks = append(r.report.Attacks, t)
}

func (r *runner) newLabel() string {
	r.labels++
	return fmt.Sprintf("%s-%d", r.o.label, r.labels)
}

// signed reports whether bulkhead.org_id() is one of the strict functions.
func signed(s *inventory.Snapshot) bool {
	for _, f := range s.Functions {
		if f.Schema == inventory.OwnSchema && f.Name == "org_id" {
			return f.SecurityDefiner
		}
	}
	return false
}

// always is the list of one statement.
func always(sql ...string) func(*world) []string { return func(*world) []string { return sql } }

// onTable writes the victim's table into statements, in the place of %t.
func onTable(sql ...string) func(*world) []string {
	return func(w *world) []string {
		out := make([]string, len(sql))
		for i, s := range sql {
			out[i] = strings.ReplaceAll(s, "%t", w.table())
		}
		return out
	}
}

func noVictim(w *world) string {
	if w.victim() == nil {
		return "there is no table with rows of both orgs"
	}
	return ""
}

func proxyOnlyAttack(w *world) string {
	if w.s.wall != Proxy {
		return "sessions share server connections behind the proxy only"
	}
	return ""
}
