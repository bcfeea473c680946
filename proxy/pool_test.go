package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// poolFixture drives a pool without servers: it notes who is to be logged in.
type poolFixture struct {
	t      *testing.T
	p      *pool
	loop   *loopState
	now    time.Time
	dialed []*waiter
}

func newPoolFixture(t *testing.T, o PoolOptions) *poolFixture {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &poolFixture{t: t, p: newPool(o), loop: &loopState{Loop: l}, now: time.Unix(1000, 0)}
	f.p.dial = func(w *waiter) { f.dialed = append(f.dialed, w) }
	return f
}

func (f *poolFixture) waiter(org string) *waiter {
	start := org
	if f.p.opts.Shared {
		start = "shared"
	}
	return &waiter{client: &clientLink{loop: f.loop}, key: poolKey{org: org, start: unique.Make(start)}, org: org, since: f.now}
}

// login ends the oldest login well.
func (f *poolFixture) login() *serverLink {
	f.t.Helper()
	if len(f.dialed) == 0 {
		f.t.Fatal("nobody is to be logged in")
	}
	w := f.dialed[0]
	f.dialed = f.dialed[1:]
	f.p.made()
	return &serverLink{loop: f.loop, sc: &serverConn{key: w.key, org: w.org}, share: w.key.org, created: f.now}
}

// back gives a connection back and returns the org that gets it, or for which
// another is made in its place.
func (f *poolFixture) back(l *serverLink) string {
	f.t.Helper()
	out := f.p.takeBack(l, f.now)
	f.dialed = append(f.dialed, out.dial...)
	switch {
	case len(out.lend) > 0:
		l.sc.org = out.lend[0].to.org
		return l.sc.org
	case len(out.dial) > 0:
		return out.dial[0].org
	}
	return ""
}

// Where connections are shared, orgs that wait are served in turn, whatever
// the number of their clients, and no org has more than its share.
func TestPool_SharedIsFair(t *testing.T) {
	f := newPoolFixture(t, PoolOptions{Shared: true, Max: 3, MaxPerOrg: 2})
	for range 5 {
		f.p.borrow(f.waiter("a"))
	}
	if len(f.dialed) != 2 {
		t.Fatalf("org a gets %d connections, want 2", len(f.dialed))
	}
	first, second := f.login(), f.login()
	for _, org := range []string{"b", "c", "b"} {
		f.p.borrow(f.waiter(org))
	}
	third := f.login() // of b
	var served []string
	for _, l := range []*serverLink{first, second, third, first, second, third} {
		org := f.back(l)
		served = append(served, org)
	}
	if got := strings.Join(served, ""); got != "acbaa" {
		t.Errorf("served in the order %v, want a, which came first and has room again, c, b, and what is left of a", served)
	}
	counts := map[string]int{}
	for _, org := range served {
		counts[org]++
	}
	if counts["b"] != 1 || counts["c"] != 1 || counts["a"] != 3 {
		t.Errorf("served %v, want b and c once each and the three of a", counts)
	}
	if o := f.p.orgs["a"]; o != nil && o.total > 2 {
		t.Errorf("org a has %d connections", o.total)
	}
}

// An org that always has somebody waiting does not keep another out for long.
func TestPool_DedicatedYields(t *testing.T) {
	f := newPoolFixture(t, PoolOptions{Max: 1, MaxPerOrg: 1})
	f.p.borrow(f.waiter("a"))
	l := f.login()
	f.p.borrow(f.waiter("a"))
	f.p.borrow(f.waiter("b"))
	if got := f.back(l); got != "a" {
		t.Errorf("at once: %q is served, want a, whose connection it is", got)
	}
	f.now = f.now.Add(2 * longWait)
	f.p.borrow(f.waiter("a"))
	if got := f.back(l); got != "b" {
		t.Errorf("after a long wait: %q is served, want b", got)
	}
}

// Nobody stays in the pool's books who has nothing there.
func TestPool_ForgetsOrgs(t *testing.T) {
	for _, shared := range []bool{false, true} {
		f := newPoolFixture(t, PoolOptions{Shared: shared, Max: 2, MaxPerOrg: 1, IdleTimeout: time.Second})
		for i := range 50 {
			w := f.waiter(fmt.Sprint(i))
			if l := f.p.borrow(w); l != nil {
				f.back(l)
				continue
			}
			if slices.Contains(f.dialed, w) {
				f.back(f.login())
				continue
			}
			f.p.withdraw(w)
		}
		f.now = f.now.Add(time.Hour)
		f.p.sweep(f.now)
		if s := f.p.stats(); s.total != 0 || s.idle != 0 || s.waiting != 0 || s.orgs != 0 || len(f.p.queue) != 0 {
			t.Errorf("shared %v: %+v, %d in the queue, want nothing", shared, s, len(f.p.queue))
		}
	}
}
