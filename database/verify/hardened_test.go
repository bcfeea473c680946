package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/harden"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// A schema of database/testdata/schemas.
type shape struct {
	name    string
	app, as string
	sel     []string // root table, global tables
	orgs    [2]string
	open    []string // relations that cannot be proven: denied to everybody, or no row can be made
}

var shapes = []shape{
	{name: "uuid", app: "uuid_app", sel: []string{"public.organizations", "public.countries"}, orgs: [2]string{orgA, orgB}},
	{name: "bigint", app: "bigint_app", sel: []string{"public.tenants", "public.plans"}, orgs: [2]string{"101", "202"}},
	{name: "text", app: "Text App", sel: []string{`"Core"."Orgs"`, `"Core"."select"`}, orgs: [2]string{"acme", `o'brien & "co"`}},
	{name: "half_hardened", app: "half_app", sel: []string{"public.organizations"}, orgs: [2]string{orgA, orgB}, open: []string{"public.denied"}},
	{name: "owner", app: "owner_app", sel: []string{"app.tenant"}, orgs: [2]string{"1", "2"}},
	{name: "grants", app: "grants_app", sel: []string{"public.organizations", "public.rates"}, orgs: [2]string{orgA, orgB}},
	// A trigger there writes with the rights of a role that the floor binds, so
	// the administrator, who has no context, can make no member, and a team is
	// seen by its members alone.
	{name: "membership", app: "member_app", sel: []string{"public.teams"}, orgs: [2]string{"1", "2"}, open: []string{"public.teams", "public.team_members"}},
	{name: "supabase", app: "sb_authenticator", as: "sb_authenticated", sel: []string{"public.organizations"}, orgs: [2]string{orgA, orgB}},
}

// newShape makes a database of a shape.
func newShape(t *testing.T, version int, s *shape) place {
	t.Helper()
	p := place{pg: sharedServer(t, version)}
	p.db = p.pg.CreateDatabase(t)
	p.exec(t, readSchema(t, s.name))
	return p
}

func (s *shape) options(p place, mode Mode) Options {
	o := p.options(mode)
	o.AppDSN = fmt.Sprintf("host=127.0.0.1 port=%d user='%s' dbname=%s sslmode=disable", p.pg.Port, s.app, p.db)
	o.AppRole = s.app
	if s.as != "" {
		o.AppRole = s.as
	}
	o.Selection.AppRoles, o.Selection.RootTable, o.Selection.GlobalTables = []string{o.AppRole}, s.sel[0], s.sel[1:]
	o.Paths = []Path{Simple}
	return o
}

// apply hardens the database.
func (p place) apply(t *testing.T, o *Options, mode dbcontext.Mode) {
	t.Helper()
	ctx := context.Background()
	conn := p.pg.Connect(t, p.db)
	defer conn.Close(ctx)
	plan, err := harden.Build(ctx, conn, harden.Options{Selection: o.Selection, Context: mode})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := harden.Apply(ctx, conn, plan, harden.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Each shape leaks before it is hardened, and is isolated afterwards, with its
// own policies untouched.
func TestShapes_HardenedAreIsolated(t *testing.T) {
	version := newest(t)
	for i := range shapes {
		s := &shapes[i]
		t.Run(s.name, func(t *testing.T) {
			p := newShape(t, version, s)
			o := s.options(p, Canary)
			before := run(t, o)
			if s.name != "membership" && s.name != "supabase" && before.Result.Status != Leak {
				t.Errorf("before: %s", before.Result.Summary)
			}
			p.apply(t, &o, dbcontext.Plain)
			r := run(t, o)
			for _, rel := range r.Relations {
				if rel.Status != Pass && rel.Status != Skipped && !slices.Contains(s.open, rel.Name) {
					t.Errorf("%s: %s: %s %s", rel.Name, rel.Status, rel.Control, rel.Note)
				}
			}
			if want := map[bool]Status{true: Isolated, false: NotProven}[s.open == nil]; r.Result.Status != want {
				t.Errorf("after: %s\n%s", r.Result.Summary, describeFindings(r))
			}
		})
	}
}

// A signed context: sessions are isolated, and past the proxy no attack on the
// context gets through.
func TestScratch_SignedContext(t *testing.T) {
	s := &shapes[0]
	p := newShape(t, newest(t), s)
	o := s.options(p, Scratch)
	o.Paths = []Path{Simple}
	p.apply(t, &o, dbcontext.Signed)
	key, err := tenant.NewKey(1, bytes.Repeat([]byte{0xa7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	p.exec(t, addKey)
	blind := run(t, o)
	if blind.Result.Status != NotProven && blind.Result.Status != Leak {
		t.Errorf("without the key: %s", blind.Result.Summary)
	}
	o.SigningKey = key
	r := run(t, o)
	for _, id := range attacksThat(r, Leak) {
		if id == "context.temp-function" {
			continue // everybody may make one; what it does is not more than a statement
		}
		if strings.HasPrefix(id, "context.") || strings.HasPrefix(id, "signature.") {
			t.Errorf("%s got through a signed context", id)
		}
	}
	if found := leaks(r); len(found) > 0 || r.Result.Coverage.Percent != 100 {
		t.Errorf("leaks %v, coverage %v\n%s", found, r.Result.Coverage, describeFindings(r))
	}
	expired := 0
	for i := range r.Matrix {
		if c := &r.Matrix[i]; c.Context == string(Expired) && c.Status == Pass {
			expired++
		}
	}
	if expired == 0 {
		t.Error("no expired signature was tried")
	}
	for _, id := range []string{"signature.missing", "signature.forged", "signature.past", "signature.expired", "signature.replay", "signature.same-backend", "signature.retired"} {
		if !slices.ContainsFunc(r.Attacks, func(a Attempt) bool { return a.Attack == id && a.Status == Pass }) {
			t.Errorf("%s was not tried", id)
		}
	}
}

var addKey = `SELECT bulkhead.add_key(1, '\x` + strings.Repeat("a7", 32) + `')`

// A sealed context past the proxy: sessions answer the challenge as the proxy
// does, in all modes.
func TestSealedContext(t *testing.T) {
	s := &shapes[0]
	key, err := tenant.NewKey(1, bytes.Repeat([]byte{0xa7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{Snapshot, Canary, Scratch} {
		t.Run(string(mode), func(t *testing.T) {
			p := newShape(t, newest(t), s)
			o := s.options(p, mode)
			o.Paths, o.SigningKey = []Path{Prepared}, key
			switch mode {
			case Snapshot:
				o.Orgs = s.orgs
			case Scratch:
				o.Paths = []Path{Simple} // the attacks are what counts there
			}
			p.apply(t, &o, dbcontext.Sealed)
			p.exec(t, addKey)
			r := run(t, o)
			if found := leaks(r); len(found) > 0 || r.Result.Coverage.Percent != 100 {
				t.Errorf("leaks %v, coverage %v\n%s", found, r.Result.Coverage, describeFindings(r))
			}
			contexts := make(map[string]bool)
			for i := range r.Matrix {
				contexts[r.Matrix[i].Context] = true
			}
			for _, want := range []Context{Other, None, Empty, Garbage, Expired} {
				if !contexts[string(want)] {
					t.Errorf("context %s was not tried", want)
				}
			}
			for _, id := range attacksThat(r, Leak) {
				if strings.HasPrefix(id, "context.") && id != "context.temp-function" || strings.HasPrefix(id, "signature.") {
					t.Errorf("%s got through a sealed context", id)
				}
			}
		})
	}
}
