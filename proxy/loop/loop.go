// Package loop is a small reactor: it runs callbacks of connections and
// timers one at a time on one goroutine. It knows nothing of PostgreSQL.
//
// A [Loop] owns its connections: every method of a [Conn], unless it says
// otherwise, may be called on the loop only. What takes long runs elsewhere
// and comes back by [Loop.Post].
//
// Two drivers stand behind one API: raw epoll on Linux (level-triggered, one
// locked OS thread, one read buffer for all connections), and goroutines
// elsewhere.
package loop

import (
	"container/heap"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// Options configure a loop. The zero value is usable.
type Options struct {
	Driver     string // "epoll", "goroutine"; "" is the best of the platform
	ReadBuffer int    // bytes; 0 means 64 KiB
	Logger     *slog.Logger
	// KeepProcessor tells that Go has more processors than there are loops,
	// so that each may keep one while it waits for a short time.
	KeepProcessor bool
}

const defaultReadBuffer = 64 << 10

// driver waits for sockets and reads and writes them.
type driver interface {
	// run waits for events and calls Loop.turn, until the loop is stopped.
	run(l *Loop) error
	// wake makes run call turn soon. Any goroutine.
	wake()
	listen(l *Loop, ln net.Listener, accept func(*Conn)) (stop func(), err error)
	adopt(l *Loop, nc net.Conn) (socket, error)
	// attach registers a socket that was detached from another loop.
	attach(c *Conn) error
	close()
}

// socket is one connected socket, as its driver keeps it.
type socket interface {
	// write takes what it can at once, without blocking.
	write(b []byte) (int, error)
	writev(bs [][]byte) (int, error)
	// unread reports whether the peer has sent something, or its end, that was
	// not read yet.
	unread() bool
	// interest tells which events are wanted.
	interest(read, write bool)
	// detach takes the socket from its loop, to be attached elsewhere.
	detach()
	shutdown()
	close()
	remoteAddr() net.Addr
	localAddr() net.Addr
}

// Loop is an event loop. See the package comment.
type Loop struct {
	// immutable
	drv     driver
	log     *slog.Logger
	readBuf int

	// owned by the loop
	now    time.Time
	timers timerHeap
	conns  map[*Conn]struct{}
	plain  []byte   // decrypted bytes on their way to a handler
	cipher []byte   // encrypted bytes on their way to a socket
	spare  [][]byte // buffers for what sockets do not take
	batch  []func()

	mu      sync.Mutex // guards what follows
	posted  []func()
	stopped bool
}

// New makes a loop; Run runs it.
func New(o Options) (*Loop, error) {
	if o.ReadBuffer == 0 {
		o.ReadBuffer = defaultReadBuffer
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	drv, err := newDriver(o)
	if err != nil {
		return nil, err
	}
	return &Loop{drv: drv, log: o.Logger, readBuf: o.ReadBuffer, now: time.Now(), conns: make(map[*Conn]struct{})}, nil
}

// Run runs callbacks until Stop. It closes what is then attached.
func (l *Loop) Run() error {
	err := l.drv.run(l)
	for c := range l.conns {
		c.Close()
	}
	l.drv.close()
	return err
}

// Stop makes Run return. Any goroutine.
func (l *Loop) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.drv.wake()
}

// Post runs f on the loop, after what was posted before. Any goroutine. What
// is posted after Stop may never run.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	first := len(l.posted) == 0
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	if first {
		l.drv.wake()
	}
}

// Now is the time at which the loop last woke up.
func (l *Loop) Now() time.Time { return l.now }

// Listen hands each connection that ln accepts to accept, on the loop. Several
// loops may listen on one listener. Call it while or before Run runs.
func (l *Loop) Listen(ln net.Listener, accept func(*Conn)) (stop func(), err error) {
	return l.drv.listen(l, ln, accept)
}

// turn runs what was posted and what timers are due. It reports whether the
// loop goes on, and when it must be called again at the latest; zero: when
// something happens.
func (l *Loop) turn() (goOn bool, next time.Time) {
	l.now = time.Now()
	l.mu.Lock()
	batch := l.posted
	l.posted = l.batch[:0]
	stopped := l.stopped
	l.mu.Unlock()
	for i, f := range batch {
		batch[i] = nil
		l.protect(f)
	}
	l.batch = batch[:0]
	next = l.fire()
	l.mu.Lock()
	more := len(l.posted) > 0
	l.mu.Unlock()
	if more {
		next = l.now
	}
	return !stopped, next
}

// protect runs f and keeps a panic from ending the process.
func (l *Loop) protect(f func()) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("panic on the loop", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// Timer calls a function on the loop at a time that can be changed at hardly
// any cost.
type Timer struct {
	l         *Loop
	f         func()
	at        time.Time // when to call; zero: stopped
	scheduled time.Time // its place in the heap
	index     int       // in the heap, -1: not there
}

// NewTimer returns a stopped timer.
func (l *Loop) NewTimer(f func()) *Timer { return &Timer{l: l, f: f, index: -1} }

// Reset sets the time of the call. A later time is only noted; the timer is
// moved when its old time has come.
func (t *Timer) Reset(at time.Time) {
	t.at = at
	switch {
	case t.index < 0:
		t.scheduled = at
		heap.Push(&t.l.timers, t)
	case at.Before(t.scheduled):
		t.scheduled = at
		heap.Fix(&t.l.timers, t.index)
	}
}

// Stop makes the timer not call. It may be Reset again.
func (t *Timer) Stop() { t.at = time.Time{} }

// fire calls the timers that are due and returns when the next may be.
func (l *Loop) fire() time.Time {
	for len(l.timers) > 0 {
		t := l.timers[0]
		if t.scheduled.After(l.now) {
			return t.scheduled
		}
		switch {
		case t.at.IsZero():
			heap.Pop(&l.timers)
		case t.at.After(l.now):
			t.scheduled = t.at
			heap.Fix(&l.timers, 0)
		default:
			heap.Pop(&l.timers)
			t.at = time.Time{}
			l.protect(t.f)
		}
	}
	return time.Time{}
}

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].scheduled.Before(h[j].scheduled) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
