package proxy

// Who gets which server connection: the best fitting idle one, or a new one, in
// which order, and what makes room for it. The caller holds the pool's mu.

// takeIdle takes the idle connection that fits best, nil if there is none or o
// may have no more.
func (p *pool) takeIdle(o *orgPool, w *waiter) *serverLink {
	if p.opts.Shared && o.total >= p.opts.MaxPerOrg {
		return nil
	}
	from := p.idleOf(o)
	i := from.fitting(w)
	if i < 0 {
		return nil
	}
	l := p.removeIdle(from, i)
	if p.opts.Shared {
		o.total++
		l.share = o.org
	}
	return l
}

// fitting returns the index of the idle connection that fits best: same
// startup, then same org, then same settings of the client, then same label,
// then same loop, then used last; of those that served other orgs the one used
// first, since its last org is the least likely to come back.
func (o *orgPool) fitting(w *waiter) int {
	best, bestScore := -1, -1
	for i := len(o.idle) - 1; i >= 0; i-- {
		l := o.idle[i]
		if l.sc.key.start != w.key.start {
			continue
		}
		score := 0
		own := l.sc.org == w.org
		if own {
			score += 8
		}
		if l.sc.state == w.state {
			score += 4
		}
		if l.sc.label == w.label {
			score += 2
		}
		if l.loop == w.client.loop {
			score++
		}
		if score > bestScore || score == bestScore && !own {
			best, bestScore = i, score
		}
	}
	return best
}

func (p *pool) removeIdle(o *orgPool, i int) *serverLink {
	l := o.idle[i]
	o.idle = append(o.idle[:i], o.idle[i+1:]...)
	p.idle--
	l.state.set(linkLent)
	return l
}

func (p *pool) enqueue(o *orgPool) {
	if !o.queued && len(o.waiters) > 0 {
		o.queued = true
		p.queue = append(p.queue, o)
	}
}

// serve gives those who wait what there is, one org after the other: an org
// that was served goes to the end, one that is at its limit keeps its place.
func (p *pool) serve(out *outcome) {
	if p.closed {
		return
	}
	for i := 0; i < len(p.queue) && (p.total < p.opts.Max || p.idle > 0); {
		o := p.queue[i]
		if len(o.waiters) > 0 && !p.serveOne(o, out) {
			i++
			continue
		}
		p.queue = append(p.queue[:i], p.queue[i+1:]...)
		o.queued = false
		p.enqueue(o)
	}
}

// serveOne gives the first waiter of o an idle connection that is shared, or a
// new one. Idle connections make room when they fit nobody who waits.
func (p *pool) serveOne(o *orgPool, out *outcome) bool {
	w := o.waiters[0]
	if p.opts.Shared {
		if l := p.takeIdle(o, w); l != nil {
			o.waiters = o.waiters[1:]
			out.lend = append(out.lend, loan{l, w})
			return true
		}
	}
	if !p.makeRoom(o, out) {
		return false
	}
	o.waiters = o.waiters[1:]
	p.reserve(o, w, out)
	return true
}

// reserve starts a login in a place of o's.
func (p *pool) reserve(o *orgPool, w *waiter, out *outcome) {
	p.total++
	p.making++
	o.total++
	w.epoch = p.epoch
	out.dial = append(out.dial, w)
}

// makeRoom reports whether org o may have one more server connection now.
func (p *pool) makeRoom(o *orgPool, out *outcome) bool {
	if o.total >= p.opts.MaxPerOrg {
		if p.opts.Shared || len(o.idle) == 0 {
			return false
		}
		p.drop(o, 0, out)
	}
	if p.total < p.opts.Max {
		return true
	}
	if own := p.idleOf(o); len(own.idle) > 0 {
		p.drop(own, 0, out)
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
	l := p.removeIdle(o, i)
	p.total--
	if !p.opts.Shared {
		o.total--
	}
	out.close = append(out.close, l)
}

func (p *pool) oldestIdle() *orgPool {
	if p.idle == 0 {
		return nil
	}
	var oldest *orgPool
	for _, o := range p.orgs {
		if len(o.idle) > 0 && (oldest == nil || o.idle[0].idleSince.Before(oldest.idle[0].idleSince)) {
			oldest = o
		}
	}
	return oldest
}
