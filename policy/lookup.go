package policy

import (
	"context"
	"sync"
	"time"
)

// A client must not be able to make the proxy hammer the database by naming
// what does not exist. So a snapshot counts as fresh for freshFor, or for
// freshFactor times what it took to make if that is longer, and no other is
// asked for until then. A failed lookup is not repeated sooner either.
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
	next    time.Time     // no other lookup before
	latest  *Catalog      // what the last lookup that ended well gave
}

// refresh makes sure that a lookup has ended after the call began or that the
// last one is fresh, and gives a new snapshot to use. It returns early when
// ctx ends.
func (l *lookup) refresh(ctx context.Context, use func(*Catalog)) {
	l.mu.Lock()
	if l.running == nil {
		if l.now().Before(l.next) {
			l.mu.Unlock()
			return
		}
		l.running = make(chan struct{})
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
	start := l.now()
	c, err := l.fetch(ctx)
	if err == nil && c != nil { // an error is the fetcher's to log: rules have no logger
		use(c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.latest = c
	}
	end := l.now()
	l.next = end.Add(max(freshFor, freshFactor*end.Sub(start)))
	close(l.running)
	l.running = nil
}

// fresh reports whether a name that k does not know may count as missing: k
// was made by the last lookup, and that was a short while ago.
func (l *lookup) fresh(k *known) bool {
	if l.fetch == nil || k.absent {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest == k.catalog && l.now().Before(l.next)
}
