package proxy

import (
	"sync"
	"time"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// PoolOptions are the bounds on server connections.
type PoolOptions struct {
	// Transaction: a session holds a server connection for a transaction
	// only, unless it leaves state on it. Otherwise it holds one for life.
	Transaction bool
	Max         int // server connections in all
	MaxPerOrg   int
	MinIdle     int           // per org that are kept beyond IdleTimeout
	IdleTimeout time.Duration // 0: none
	MaxLifetime time.Duration // 0: none
}

// pool lends server connections. It belongs to no loop: mu guards it. It is
// used when a server connection is borrowed or returned, never in between.
type pool struct {
	opts PoolOptions
	dial func(*waiter) // starts a login; ends in done or failed

	mu    sync.Mutex
	total int // server connections that exist or are being made
	orgs  map[string]*orgPool
	queue []*orgPool // orgs with waiters, the next to be served first
	// emptyUntil: what comes back before is closed, see closeIdle.
	emptyUntil time.Time
	closed     bool
}

// orgPool is one org's share. Guarded by the pool's mu.
type orgPool struct {
	org     string
	total   int
	idle    []*serverLink // the last returned at the end
	waiters []*waiter     // first come, first served
	queued  bool          // in pool.queue
}

// waiter is a client that waits for a server connection.
type waiter struct {
	client *clientLink
	key    poolKey
	label  string
	state  clientSettings
	params []setting
}

func newPool(o PoolOptions) *pool {
	return &pool{opts: o, orgs: make(map[string]*orgPool)}
}

// outcome of a request to the pool, carried out without its lock.
type outcome struct {
	grant *serverLink
	close []*serverLink
	dial  []*waiter
}

func (p *pool) org(name string) *orgPool {
	o := p.orgs[name]
	if o == nil {
		o = &orgPool{org: name}
		p.orgs[name] = o
	}
	return o
}

// borrow returns an idle server connection for w, or starts a login, or
// queues w.
func (p *pool) borrow(w *waiter) *serverLink {
	p.mu.Lock()
	out := p.take(w)
	p.mu.Unlock()
	p.carryOut(out)
	return out.grant
}

func (p *pool) take(w *waiter) (out outcome) {
	o := p.org(w.key.org)
	if len(o.waiters) == 0 { // nobody overtakes those who wait
		if out.grant = o.takeIdle(w); out.grant != nil {
			return out
		}
	}
	o.waiters = append(o.waiters, w)
	p.enqueue(o)
	p.serve(&out)
	return out
}

// takeIdle takes the idle connection that fits best: same startup, then same
// settings of the client, then same per-user settings, then same loop, then
// used last.
func (o *orgPool) takeIdle(w *waiter) *serverLink {
	best, bestScore := -1, -1
	for i := len(o.idle) - 1; i >= 0; i-- {
		l := o.idle[i]
		if l.sc.key.start != w.key.start {
			continue
		}
		score := 0
		if l.sc.state == w.state {
			score += 4
		}
		if l.sc.label == w.label {
			score += 2
		}
		if l.loop == w.client.loop {
			score++
		}
		if score > bestScore {
			best, bestScore = i, score
		}
	}
	if best < 0 {
		return nil
	}
	return o.removeIdle(best)
}

func (o *orgPool) removeIdle(i int) *serverLink {
	l := o.idle[i]
	o.idle = append(o.idle[:i], o.idle[i+1:]...)
	l.state.set(linkLent)
	return l
}

func (p *pool) enqueue(o *orgPool) {
	if !o.queued && len(o.waiters) > 0 {
		o.queued = true
		p.queue = append(p.queue, o)
	}
}

// serve starts logins for waiters as long as there is room, one org after the
// other. Idle connections make room when they fit nobody who waits.
func (p *pool) serve(out *outcome) {
	for progress := true; progress && !p.closed; {
		progress = false
		for range len(p.queue) {
			o := p.queue[0]
			p.queue = p.queue[1:]
			o.queued = false
			if len(o.waiters) > 0 && p.makeRoom(o, out) {
				w := o.waiters[0]
				o.waiters = o.waiters[1:]
				p.total++
				o.total++
				out.dial = append(out.dial, w)
				progress = true
			}
			p.enqueue(o)
		}
	}
}

// makeRoom reports whether org o may have one more server connection now.
func (p *pool) makeRoom(o *orgPool, out *outcome) bool {
	if o.total >= p.opts.MaxPerOrg {
		if len(o.idle) == 0 {
			return false
		}
		p.drop(o, 0, out)
	}
	if p.total < p.opts.Max {
		return true
	}
	if len(o.idle) > 0 {
		p.drop(o, 0, out)
		return true
	}
	victim := p.oldestIdle()
	if victim == nil {
		return false
	}
	p.drop(victim, 0, out)
	return true
}

// drop takes the i-th idle connection of o out of the pool, to be closed.
func (p *pool) drop(o *orgPool, i int, out *outcome) {
	l := o.removeIdle(i)
	p.total--
	o.total--
	out.close = append(out.close, l)
}

func (p *pool) oldestIdle() *orgPool {
	var oldest *orgPool
	for _, o := range p.orgs {
		if len(o.idle) > 0 && (oldest == nil || o.idle[0].idleSince.Before(oldest.idle[0].idleSince)) {
			oldest = o
		}
	}
	return oldest
}

// put takes a clean connection back. If somebody waits for one like it, that
// is who gets it.
func (p *pool) put(l *serverLink, now time.Time) {
	here := l.loop
	p.mu.Lock()
	var out outcome
	o := p.org(l.sc.key.org)
	switch w := o.matching(l); {
	case p.closed || p.expired(l, now) || now.Before(p.emptyUntil):
		p.release(o, &out)
		out.close = append(out.close, l)
	case w != nil:
		p.mu.Unlock()
		l.lend(w, here)
		return
	default:
		l.state.set(linkIdle)
		l.idleSince = now
		o.idle = append(o.idle, l)
		p.serve(&out)
	}
	p.mu.Unlock()
	p.carryOut(out)
}

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
	return p.opts.MaxLifetime > 0 && now.Sub(l.created) > l.lifetime
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
	if o.total == 0 && len(o.waiters) == 0 && !o.queued {
		delete(p.orgs, o.org)
	}
}

// lost gives up the place of a connection that is closed or was never made.
func (p *pool) lost(org string) {
	p.mu.Lock()
	var out outcome
	p.release(p.org(org), &out)
	p.mu.Unlock()
	p.carryOut(out)
}

// removed takes an idle connection that broke out of the pool. It reports
// whether it was idle; else somebody has it.
func (p *pool) removed(l *serverLink) bool {
	p.mu.Lock()
	var out outcome
	found := false
	o := p.org(l.sc.key.org)
	for i, x := range o.idle {
		if x == l {
			o.removeIdle(i)
			p.release(o, &out)
			found = true
			break
		}
	}
	p.mu.Unlock()
	p.carryOut(out)
	return found
}

// withdraw takes a client that went away out of the queue.
func (p *pool) withdraw(c *clientLink, org string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return
	}
	for i, w := range o.waiters {
		if w.client == c {
			o.waiters = append(o.waiters[:i], o.waiters[i+1:]...)
			break
		}
	}
	p.forget(o)
}

// sweep closes connections that are idle for too long or too old.
func (p *pool) sweep(now time.Time) {
	p.mu.Lock()
	var out outcome
	for _, o := range p.orgs {
		for i := 0; i < len(o.idle); {
			l := o.idle[i]
			idle := p.opts.IdleTimeout > 0 && now.Sub(l.idleSince) > p.opts.IdleTimeout && len(o.idle) > p.opts.MinIdle
			if idle || p.expired(l, now) {
				p.drop(o, i, &out)
				continue
			}
			i++
		}
		p.forget(o)
	}
	p.mu.Unlock()
	p.carryOut(out)
}

// closeIdle closes all idle connections, and for a while those that become
// idle.
func (p *pool) closeIdle(now time.Time) {
	p.mu.Lock()
	p.emptyUntil = now.Add(emptyFor)
	var out outcome
	for _, o := range p.orgs {
		for len(o.idle) > 0 {
			p.drop(o, 0, &out)
		}
		p.forget(o)
	}
	p.mu.Unlock()
	p.carryOut(out)
}

// emptyFor is how long the server waits for others to leave a database that a
// statement wants for itself (CountOtherDBBackends).
const emptyFor = 5 * time.Second

// shut closes all idle connections and lends no more.
func (p *pool) shut() {
	p.mu.Lock()
	var out outcome
	p.closed = true
	for _, o := range p.orgs {
		for len(o.idle) > 0 {
			p.drop(o, 0, &out)
		}
	}
	p.mu.Unlock()
	p.carryOut(out)
}

// poolStats is a reading for metrics.
type poolStats struct{ total, idle, waiting, orgs int }

func (p *pool) stats() (s poolStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.total, s.orgs = p.total, len(p.orgs)
	for _, o := range p.orgs {
		s.idle += len(o.idle)
		s.waiting += len(o.waiters)
	}
	return s
}

func (p *pool) carryOut(out outcome) {
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
