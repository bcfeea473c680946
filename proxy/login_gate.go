package proxy

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// loginGate holds logins back while they fail, so that clients who come back
// again and again do not become as many logins to a server that is down, full
// or starting: then one login at a time tries, with growing pauses, and those
// who wait share its outcome. It is used by several goroutines.
type loginGate struct {
	mu      sync.Mutex
	err     error // of the last login, nil if it went well
	pause   time.Duration
	until   time.Time // no login before, while err is set
	probing bool
	tried   chan struct{} // closed when the next outcome is known
}

// The pauses between logins that fail.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// enter waits until a login may be tried; leave must follow. It returns the
// error of the login that was tried meanwhile instead, if that failed. probe
// tells that this is the one login that is tried while others wait.
func (g *loginGate) enter(ctx context.Context) (probe bool, err error) {
	for {
		g.mu.Lock()
		wait := time.Until(g.until)
		switch {
		case g.err == nil:
			g.mu.Unlock()
			return false, nil
		case !g.probing && wait <= 0:
			g.probing = true
			g.mu.Unlock()
			return true, nil
		case g.tried == nil:
			g.tried = make(chan struct{})
		}
		tried, probing := g.tried, g.probing
		g.mu.Unlock()
		timer := time.NewTimer(max(wait, 0))
		expired := timer.C
		if probing {
			expired = nil // its outcome will come
		}
		select {
		case <-tried:
			timer.Stop()
			if err := g.failing(); err != nil {
				return false, err
			}
		case <-expired:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}

func (g *loginGate) failing() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// leave notes the outcome of a login: err is nil unless the server cannot be
// used at the moment.
func (g *loginGate) leave(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	now := time.Now()
	switch {
	case err == nil:
		g.err, g.pause = nil, 0
	case g.err == nil:
		g.err, g.pause = err, firstPause
		g.until = now.Add(g.pause)
	case now.After(g.until): // else it began before the last one had failed
		g.err, g.pause = err, min(2*g.pause+rand.N(firstPause), maxPause)
		g.until = now.Add(g.pause)
	}
	if g.tried != nil {
		close(g.tried)
		g.tried = nil
	}
}
