package proxy

import (
	"slices"
	"sync"
	"time"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// PoolOptions are the bounds on server connections.
type PoolOptions struct {
	// Transaction: a session holds a server connection for a transaction
	// only, unless it leaves state on it. Otherwise it holds one for life.
	Transaction bool
	// Shared: a server connection serves any org, one after the other, and is
	// labelled for each. Otherwise it belongs to one tenant context for life.
	Shared      bool
	Max         int // server connections in all
	MaxPerOrg   int
	MinIdle     int           // per org, or in all if shared, that are kept beyond IdleTimeout
	IdleTimeout time.Duration // 0: none
	MaxLifetime time.Duration // 0: none
}

// pool lends server connections. It belongs to no loop: mu guards it. It is
// used when a server connection is borrowed or returned, never in between.
type pool struct {
	opts PoolOptions
	dial func(*waiter) // starts a login; ends in done or failed
	// failing, if set, reports whether logins fail at the moment.
	failing func() bool

	mu     sync.Mutex
	total  int     // server connections that exist or are being made
	idle   int     // of these, idle ones
	making int     // of these, those being made
	ahead  int     // of these, those that nobody waits for
	last   *waiter // the last request, where connections are shared
	orgs   map[string]*orgPool
	queue  []*orgPool // orgs with waiters, the next to be served first
	common orgPool    // holds the idle connections where they are shared
	closed bool
	epoch  uint64 // of the configuration; connections of an older one serve nobody any more
	// emptyUntil: what comes back before is closed, see closeIdle.
	emptyUntil time.Time
}

// orgPool is one org's share. Guarded by the pool's mu.
type orgPool struct {
	org string
	// total counts its server connections and those being made; where they
	// are shared, those that it has now.
	total   int
	idle    []*serverLink // the last returned at the end
	waiters []*waiter     // first come, first served
	queued  bool          // in pool.queue
	ahead   int           // being made, and nobody waits for them
	last    *waiter       // the last request, where connections belong to orgs; nil if they are not opened ahead
}

// waiter is a client that waits for a server connection.
type waiter struct {
	client *clientLink // nil: nobody waits, it is opened ahead
	loop   *loopState  // the client's
	lax    bool        // the rules of settings under which a text is read otherwise only observe
	epoch  uint64      // of the pool's configuration
	key    poolKey
	org    string // as server connections remember it
	label  string
	state  clientSettings
	params []setting
	since  time.Time
	// database and fixed are for a login.
	database string
	fixed    []tenant.Setting
}

func newPool(o PoolOptions) *pool {
	return &pool{opts: o, orgs: make(map[string]*orgPool)}
}

// outcome of a request to the pool, carried out without its lock.
type outcome struct {
	grant *serverLink
	lend  []loan
	close []*serverLink
	dial  []*waiter
}

// loan is an idle connection for one who waits.
type loan struct {
	link *serverLink
	to   *waiter
}

func (p *pool) org(name string) *orgPool {
	o := p.orgs[name]
	if o == nil {
		o = &orgPool{org: name}
		p.orgs[name] = o
	}
	return o
}

// idleOf returns where the idle connections for o are.
func (p *pool) idleOf(o *orgPool) *orgPool {
	if p.opts.Shared {
		return &p.common
	}
	return o
}

// borrow returns an idle server connection for w, or starts a login, or
// queues w.
func (p *pool) borrow(w *waiter) *serverLink {
	p.mu.Lock()
	var out outcome
	o := p.org(w.key.org)
	p.used(o, w)
	if len(o.waiters) == 0 { // nobody overtakes those who wait
		out.grant = p.takeIdle(o, w)
	}
	if out.grant == nil {
		o.waiters = append(o.waiters, w)
		p.enqueue(o)
		p.serve(&out)
	}
	p.mu.Unlock()
	p.carryOut(out, nil)
	return out.grant
}

// put takes a clean connection back, for those who wait or as an idle one. It
// is called on the connection's loop.
func (p *pool) put(l *serverLink, now time.Time) {
	here := l.loop
	p.mu.Lock()
	out := p.takeBack(l, now)
	p.mu.Unlock()
	p.carryOut(out, here)
}

func (p *pool) takeBack(l *serverLink, now time.Time) (out outcome) {
	o := p.org(l.share)
	l.idleSince = now
	switch {
	case p.closed || p.expired(l, now) || p.yields(o, now) || now.Before(p.emptyUntil):
		p.release(o, &out)
		out.close = append(out.close, l)
	case p.opts.Shared:
		o.total--
		l.share = ""
		p.idleAgain(&p.common, l)
		p.serve(&out)
		p.forget(o)
	default:
		if w := o.matching(l); w != nil {
			out.lend = append(out.lend, loan{l, w})
			break
		}
		p.idleAgain(o, l)
		p.serve(&out)
	}
	return out
}

func (p *pool) idleAgain(o *orgPool, l *serverLink) {
	l.state.set(linkIdle)
	if p.idle++; l.used {
		o.idle = append(o.idle, l)
	} else {
		o.idle = slices.Insert(o.idle, 0, l) // those that are warm come first
	}
}

// yields reports whether a connection of o is closed to make room for another
// org that has waited long, which then comes first. Without that, orgs that
// always have somebody waiting would keep all places among themselves. That it
// is long, not at once, is because a login costs more than most transactions.
func (p *pool) yields(o *orgPool, now time.Time) bool {
	if p.opts.Shared || p.total < p.opts.Max || p.idle > 0 {
		return false
	}
	i := slices.IndexFunc(p.queue, func(other *orgPool) bool {
		return other != o && len(other.waiters) > 0 && other.total < p.opts.MaxPerOrg && now.Sub(other.waiters[0].since) > longWait
	})
	if i < 0 {
		return false
	}
	other := p.queue[i]
	p.queue = slices.Insert(slices.Delete(p.queue, i, i+1), 0, other)
	return true
}

// longWait is how long an org waits until others must give it a place.
const longWait = 200 * time.Millisecond

// matching takes the first waiter that can use l as it is.
func (o *orgPool) matching(l *serverLink) *waiter {
	for i, w := range o.waiters {
		if w.key.start == l.sc.key.start {
			o.waiters = append(o.waiters[:i], o.waiters[i+1:]...)
			return w
		}
	}
	return nil
}

func (p *pool) expired(l *serverLink, now time.Time) bool {
	return l.epoch != p.epoch || p.opts.MaxLifetime > 0 && now.Sub(l.created) > jittered(p.opts.MaxLifetime, l.jitter)
}

// release gives up the place of a connection of o.
func (p *pool) release(o *orgPool, out *outcome) {
	p.total--
	o.total--
	p.serve(out)
	p.forget(o)
}

// forget drops an org that has nothing: orgs come and go by the thousand.
func (p *pool) forget(o *orgPool) {
	if o.total == 0 && len(o.waiters) == 0 && !o.queued && o.last == nil {
		delete(p.orgs, o.org)
	}
}

// lost gives up the place of a connection that is closed or was never made.
func (p *pool) lost(org string) {
	p.mu.Lock()
	var out outcome
	p.release(p.org(org), &out)
	p.mu.Unlock()
	p.carryOut(out, nil)
}

// made notes that a login has ended well.
func (p *pool) made() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.making--
}

// failed gives up the place of a login for w that has failed. It returns those
// who need not wait any longer: w, and if nothing is left that they could wait
// for, because the server cannot be used, everybody.
func (p *pool) failed(w *waiter, down bool) []*waiter {
	p.mu.Lock()
	p.making--
	var hopeless []*waiter
	if w.client != nil {
		hopeless = append(hopeless, w)
	}
	if down && p.total-p.making <= 1 {
		for _, o := range p.queue {
			hopeless = append(hopeless, o.waiters...)
			o.waiters = nil
		}
	}
	var out outcome
	p.release(p.org(w.key.org), &out)
	p.mu.Unlock()
	p.carryOut(out, nil)
	return hopeless
}

// removed takes an idle connection that broke out of the pool. It reports
// whether it was idle; else somebody has it.
func (p *pool) removed(l *serverLink) bool {
	p.mu.Lock()
	var out outcome
	o := &p.common
	if !p.opts.Shared {
		o = p.org(l.share)
	}
	i := slices.Index(o.idle, l)
	if i >= 0 {
		p.drop(o, i, &out)
		out.close = nil // the caller closes it
		p.serve(&out)
	}
	if !p.opts.Shared {
		p.forget(o)
	}
	p.mu.Unlock()
	p.carryOut(out, nil)
	return i >= 0
}

// withdraw takes a request out of the queue, if it is still there.
func (p *pool) withdraw(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[w.key.org]
	if o == nil {
		return
	}
	if i := slices.Index(o.waiters, w); i >= 0 {
		o.waiters = append(o.waiters[:i], o.waiters[i+1:]...)
	}
	if len(o.waiters) == 0 && o.queued {
		i := slices.Index(p.queue, o)
		p.queue = append(p.queue[:i], p.queue[i+1:]...)
		o.queued = false
	}
	p.forget(o)
}

// sweep closes connections that are idle for too long or too old.
func (p *pool) sweep(now time.Time) {
	p.mu.Lock()
	var out outcome
	p.sweepOf(&p.common, now, &out)
	for _, o := range p.orgs {
		p.sweepOf(o, now, &out)
		p.unused(o, now)
		p.forget(o)
	}
	p.openAhead(now, &out)
	p.mu.Unlock()
	p.carryOut(out, nil)
}

func (p *pool) sweepOf(o *orgPool, now time.Time, out *outcome) {
	for i := 0; i < len(o.idle); {
		l := o.idle[i]
		idle := p.opts.IdleTimeout > 0 && now.Sub(l.idleSince) > p.opts.IdleTimeout && len(o.idle) > p.opts.MinIdle
		if idle || p.expired(l, now) {
			p.drop(o, i, out)
			continue
		}
		i++
	}
}

// closeIdle closes all idle connections, and for a while those that become
// idle.
func (p *pool) closeIdle(now time.Time) {
	p.mu.Lock()
	p.emptyUntil = now.Add(emptyFor)
	var out outcome
	for len(p.common.idle) > 0 {
		p.drop(&p.common, 0, &out)
	}
	for _, o := range p.orgs {
		for len(o.idle) > 0 {
			p.drop(o, 0, &out)
		}
		p.forget(o)
	}
	p.mu.Unlock()
	p.carryOut(out, nil)
}

// emptyFor is how long the server waits for others to leave a database that a
// statement wants for itself (CountOtherDBBackends).
const emptyFor = 5 * time.Second

// shut closes all idle connections and lends no more.
func (p *pool) shut() {
	p.mu.Lock()
	var out outcome
	p.closed = true
	for len(p.common.idle) > 0 {
		p.drop(&p.common, 0, &out)
	}
	for _, o := range p.orgs {
		for len(o.idle) > 0 {
			p.drop(o, 0, &out)
		}
	}
	p.mu.Unlock()
	p.carryOut(out, nil)
}

// poolStats is a reading for metrics.
type poolStats struct{ total, idle, waiting, orgs int }

func (p *pool) stats() (s poolStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.total, s.idle, s.orgs = p.total, p.idle, len(p.orgs)
	for _, o := range p.orgs {
		s.waiting += len(o.waiters)
	}
	return s
}

// carryOut does what was decided. here is the loop that the caller is on, nil
// if it is on none or must not be called back at once.
func (p *pool) carryOut(out outcome, here *loopState) {
	for _, x := range out.lend {
		x.link.lend(x.to, here)
	}
	for _, l := range out.close {
		l.loop.Post(l.terminate)
	}
	for _, w := range out.dial {
		p.dial(w)
	}
}

// start looks after idle connections on loop l.
func (p *pool) start(l *loopState) {
	l.Post(func() {
		var t *loop.Timer
		t = l.NewTimer(func() {
			p.sweep(l.Now())
			t.Reset(l.Now().Add(sweepEvery))
		})
		t.Reset(l.Now().Add(sweepEvery))
	})
}
