package policy

import (
	"context"
	"sync"
	"time"
)

// A client must not be able to make the proxy hammer the database by naming
// what does not exist. So a snapshot counts as fresh for freshFor, or for
// freshFactor times what the last lookup took if that is longer, and until
// then no other is asked for. A failed lookup is not repeated sooner either.
const (
	freshFor    = 5 * time.Second
	freshFactor = 20
	// lookupTimeout bounds one lookup: it outlives the statement that caused
	// it, since others wait for it too.
	lookupTimeout = 30 * time.Second
)

// lookup asks for snapshots, one at a time.
type lookup struct {
	fetch func(context.Context) (*Catalog, error)
	now   func() time.Time

	mu      sync.Mutex
	running chan struct{} // closed when the lookup under way ends; nil if none is
	started time.Time     // when the last one began
	took    time.Duration // and how long it took
}

// refresh makes sure that a lookup has ended after the call began or that the
// last one is fresh, and gives a new snapshot to use. It returns early when
// ctx ends.
func (l *lookup) refresh(ctx context.Context, use func(*Catalog)) {
	l.mu.Lock()
	if l.running == nil {
		if !l.rested() {
			l.mu.Unlock()
			return
		}
		l.running = make(chan struct{})
		l.started = l.now()
		go l.run(context.WithoutCancel(ctx), use)
	}
	done := l.running
	l.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (l *lookup) run(ctx context.Context, use func(*Catalog)) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	c, err := l.fetch(ctx)
	if err == nil && c != nil { // an error is the fetcher's to log: rules have no logger
		use(c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = l.now().Sub(l.started)
	close(l.running)
	l.running = nil
}

// fresh reports whether a name that k does not know may count as missing: its
// snapshot was taken a short while ago.
func (l *lookup) fresh(k *known) bool {
	if l.fetch == nil || k.absent {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Sub(k.catalog.TakenAt) < l.window()
}

// due reports whether a lookup may know more than k does: k is not fresh, and
// none was made a short while ago.
func (l *lookup) due(k *known) bool {
	if l.fresh(k) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running != nil || l.rested()
}

// rested reports whether the next lookup may begin. The caller holds mu.
func (l *lookup) rested() bool {
	return l.started.IsZero() || l.now().Sub(l.started) >= l.window()
}

// window is how long a snapshot is fresh. The caller holds mu.
func (l *lookup) window() time.Duration { return max(freshFor, freshFactor*l.took) }
