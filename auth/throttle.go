package auth

import (
	"net/netip"
	"sync"
	"time"
)

// Throttle slows down addresses that fail to authenticate. The first failures
// are free, then the wait doubles. IPv6 addresses count by their /64. It is
// bounded: when there are too many addresses, the oldest half is forgotten.
type Throttle struct {
	mu    sync.Mutex
	young map[netip.Prefix]failures
	old   map[netip.Prefix]failures
}

type failures struct {
	count int
	last  time.Time
}

const (
	freeFailures = 5
	firstWait    = 100 * time.Millisecond
	longestWait  = 30 * time.Second
	maxThrottled = 10_000
)

// NewThrottle returns an empty Throttle.
func NewThrottle() *Throttle { return &Throttle{young: make(map[netip.Prefix]failures)} }

func throttleKey(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

func (t *Throttle) get(k netip.Prefix) failures {
	if f, ok := t.young[k]; ok {
		return f
	}
	return t.old[k]
}

// Allow returns how long this address has to wait before it may try again, 0
// if it may now. The zero address, a unix socket, never waits.
func (t *Throttle) Allow(a netip.Addr, now time.Time) time.Duration {
	k, ok := throttleKey(a)
	if !ok {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.get(k)
	if f.count < freeFailures {
		return 0
	}
	wait := longestWait
	if n := f.count - freeFailures; n < 9 {
		wait = min(wait, firstWait<<n)
	}
	return max(0, f.last.Add(wait).Sub(now))
}

// Failed notes a failure.
func (t *Throttle) Failed(a netip.Addr, now time.Time) {
	k, ok := throttleKey(a)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.get(k)
	if now.Sub(f.last) > 2*longestWait {
		f.count = 0
	}
	if len(t.young) >= maxThrottled/2 {
		t.old, t.young = t.young, make(map[netip.Prefix]failures)
	}
	t.young[k] = failures{count: f.count + 1, last: now}
}

// Succeeded forgets the failures of an address.
func (t *Throttle) Succeeded(a netip.Addr) {
	k, ok := throttleKey(a)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.young, k)
	delete(t.old, k)
}
