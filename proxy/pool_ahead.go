package proxy

import "time"

// Server connections are opened ahead of their use so that pool.min_idle of
// them are idle: where they belong to orgs, for each org that was used lately;
// where they are shared, in all. That happens in the sweep, a few at a time and
// in the random order of Go's maps, only while nobody waits and there is room
// without closing another's, and not while logins fail.

const (
	// aheadPerSweep is how many are opened at a time.
	aheadPerSweep = 4
	// aheadFor is for how long after its last use an org counts as used lately,
	// if pool.max_lifetime does not say.
	aheadFor = time.Hour
)

// openAhead starts logins for connections that are to be idle.
func (p *pool) openAhead(now time.Time, out *outcome) {
	if p.opts.MinIdle <= 0 || p.closed || now.Before(p.emptyUntil) || p.failing != nil && p.failing() {
		return
	}
	if p.opts.Shared {
		for p.last != nil && p.openOne(p.org(p.last.key.org), p.last, now, out) {
		}
		return
	}
	for _, o := range p.orgs {
		for o.last != nil && p.openOne(o, o.last, now, out) {
		}
	}
}

// openOne starts a login like that of last for o, if one is wanted now.
func (p *pool) openOne(o *orgPool, last *waiter, now time.Time, out *outcome) bool {
	making := o.ahead
	if p.opts.Shared {
		making = p.ahead
	}
	switch {
	case p.ahead >= aheadPerSweep || len(p.queue) > 0 || p.total >= p.opts.Max || o.total >= p.opts.MaxPerOrg,
		len(p.idleOf(o).idle)+making >= p.opts.MinIdle, now.Sub(last.since) > p.lately():
		p.forget(o)
		return false
	}
	w := *last
	o.ahead++
	p.ahead++
	p.reserve(o, &w, out)
	return true
}

func (p *pool) lately() time.Duration {
	if p.opts.MaxLifetime > 0 {
		return p.opts.MaxLifetime
	}
	return aheadFor
}

// used notes the last request for a server connection: more like it may come.
func (p *pool) used(o *orgPool, w *waiter) {
	last := &o.last
	if p.opts.Shared {
		last = &p.last
	}
	switch {
	case p.opts.MinIdle <= 0:
	case *last == nil || (*last).key != w.key:
		t := *w
		t.client = nil
		*last = &t
	default:
		(*last).since = w.since
	}
}

// unused forgets the last request of an org that was not used lately.
func (p *pool) unused(o *orgPool, now time.Time) {
	if o.last != nil && (p.opts.MinIdle <= 0 || now.Sub(o.last.since) > p.lately()) {
		o.last = nil
	}
}

// aheadEnded notes that a login ahead of use has ended. With refused, that was
// for what it asked for.
func (p *pool) aheadEnded(w *waiter, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.org(w.key.org)
	p.ahead--
	o.ahead--
	if refused {
		o.last, p.last = nil, nil
	}
}
