package loop

import (
	"errors"
	"net"
	"sync"
	"time"
)

// goroutines is the portable driver: each socket has a goroutine that reads
// and one that writes; the loop's own goroutine runs the callbacks.
type goroutines struct {
	ready chan struct{} // holds one element if the loop must turn
	size  int           // of read buffers
}

func newGoroutines(o Options) *goroutines {
	size := o.ReadBuffer
	if size == 0 {
		size = defaultReadBuffer
	}
	return &goroutines{ready: make(chan struct{}, 1), size: size}
}

func (g *goroutines) wake() {
	select {
	case g.ready <- struct{}{}:
	default:
	}
}

func (g *goroutines) close() {}

func (g *goroutines) run(l *Loop) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		goOn, next := l.turn()
		if !goOn {
			return nil
		}
		if next.IsZero() {
			<-g.ready
			continue
		}
		timer.Reset(time.Until(next))
		select {
		case <-g.ready:
		case <-timer.C:
		}
	}
}

func (g *goroutines) listen(l *Loop, ln net.Listener, accept func(*Conn)) (func(), error) {
	_, unix := ln.(*net.UnixListener)
	go func() {
		for {
			nc, err := ln.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				l.log.Error("accept failed", "error", err)
				time.Sleep(acceptRetry)
				continue
			}
			s := newGoSocket(g, nc)
			l.Post(func() { accepted(l, s, unix, accept) })
		}
	}()
	return func() { ln.Close() }, nil
}

// acceptRetry is how long to wait when there are no file descriptors.
const acceptRetry = 100 * time.Millisecond

func accepted(l *Loop, s *goSocket, unix bool, accept func(*Conn)) {
	c := newConn(l, s, unix)
	s.c = c
	l.drv.attach(c)
	c.protect(func() { accept(c) })
	if c.h == nil {
		c.Close()
	}
}

func (g *goroutines) adopt(_ *Loop, nc net.Conn) (socket, error) { return newGoSocket(g, nc), nil }

func (g *goroutines) attach(c *Conn) error {
	s := c.sock.(*goSocket)
	s.mu.Lock()
	s.c, s.loop = c, c.loop
	start := !s.started
	s.started = true
	s.mu.Unlock()
	if start {
		go s.readLoop()
		go s.writeLoop()
	}
	c.interest()
	s.mu.Lock()
	s.changed.Broadcast()
	s.mu.Unlock()
	return nil
}

// goSocket is a socket with its goroutines.
type goSocket struct {
	nc   net.Conn
	size int

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	c       *Conn
	loop    *Loop // nil while it moves between loops
	started bool
	reading bool   // the loop wants to read
	out     []byte // on its way to the peer
	shut    bool   // the writer is to say that this is all
	closed  bool
	failed  error
}

// maxInFlight bounds what a socket takes from the loop at a time: more is
// Conn.Pending, which the users of the loop can see.
const maxInFlight = 256 << 10

func newGoSocket(g *goroutines, nc net.Conn) *goSocket {
	s := &goSocket{nc: nc, size: g.size}
	s.changed.L = &s.mu
	return s
}

// post runs f on the loop that has the socket. mu is held.
func (s *goSocket) post(f func(*Conn)) {
	for s.loop == nil && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return
	}
	c := s.c
	l := s.loop
	l.Post(func() {
		if c.loop == l && !c.closed {
			f(c)
			return
		}
		if !c.closed { // it has moved meanwhile
			c.loop.Post(func() { f(c) })
		}
	})
}

func (s *goSocket) readLoop() {
	buf := make([]byte, s.size)
	delivered := make(chan struct{}, 1)
	for {
		s.mu.Lock()
		for !s.reading && !s.closed {
			s.changed.Wait()
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		n, err := s.nc.Read(buf)
		s.mu.Lock()
		s.post(func(c *Conn) {
			if n > 0 {
				c.received(buf[:n])
			}
			if err != nil && !c.closed {
				c.ended(err)
			}
			delivered <- struct{}{}
		})
		closed = s.closed
		s.mu.Unlock()
		if closed || err != nil {
			return
		}
		s.awaitDelivery(delivered)
	}
}

// awaitDelivery waits until the buffer may be used again.
func (s *goSocket) awaitDelivery(delivered chan struct{}) {
	for {
		select {
		case <-delivered:
			return
		case <-time.After(time.Second):
			s.mu.Lock()
			closed := s.closed
			s.mu.Unlock()
			if closed {
				return
			}
		}
	}
}

func (s *goSocket) writeLoop() {
	for {
		s.mu.Lock()
		for len(s.out) == 0 && !s.closed && !s.shut {
			s.changed.Wait()
		}
		b := s.out
		s.out = nil
		closed, shut := s.closed, s.shut
		s.shut = false
		s.mu.Unlock()
		if len(b) > 0 {
			if _, err := s.nc.Write(b); err != nil {
				s.mu.Lock()
				s.failed = err
				s.mu.Unlock()
			}
		}
		if closed {
			s.nc.Close()
			return
		}
		if half, ok := s.nc.(interface{ CloseWrite() error }); shut && ok {
			half.CloseWrite()
		}
		s.mu.Lock()
		s.post(func(c *Conn) { c.writable() })
		s.mu.Unlock()
	}
}

func (s *goSocket) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return 0, s.failed
	}
	n := min(len(b), maxInFlight-len(s.out))
	if n <= 0 {
		return 0, nil
	}
	s.out = append(s.out, b[:n]...)
	s.changed.Broadcast()
	return n, nil
}

func (s *goSocket) writev(bs [][]byte) (int, error) {
	total := 0
	for _, b := range bs {
		n, err := s.write(b)
		total += n
		if err != nil || n < len(b) {
			return total, err
		}
	}
	return total, nil
}

func (s *goSocket) unread() bool { return false } // its readLoop tells at once

func (s *goSocket) interest(read, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = read
	s.changed.Broadcast()
}

func (s *goSocket) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop = nil
}

// shutdown lets the writer send what it has, and say that this is all.
func (s *goSocket) shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	s.changed.Broadcast()
}

// close lets the writer send what it has, and close the socket.
func (s *goSocket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.nc.SetReadDeadline(time.Now())
	s.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	if !s.started {
		s.nc.Close()
	}
	s.changed.Broadcast()
}

func (s *goSocket) remoteAddr() net.Addr { return s.nc.RemoteAddr() }
func (s *goSocket) localAddr() net.Addr  { return s.nc.LocalAddr() }
