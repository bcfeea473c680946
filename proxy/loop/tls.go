package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// tlsLayer encrypts a connection. crypto/tls reads from and writes to a byte
// queue; the socket stays with the loop.
type tlsLayer struct {
	c     *Conn
	conn  *tls.Conn
	queue *tlsQueue
	ready bool // the handshake is done
}

// tlsQueue is the net.Conn under a tls.Conn. During the handshake, which runs
// in a goroutine, Read blocks; later an empty queue yields errEmpty, which
// crypto/tls does not hold against the connection because it is Temporary:
// it keeps what it has of a record and reads on when asked again.
type tlsQueue struct {
	mu       sync.Mutex
	arrived  sync.Cond
	in       []byte
	ended    bool
	blocking bool
	blocked  net.Conn     // for blocking use before the loop has it
	write    func([]byte) // where encrypted bytes go
	out      []byte       // encrypted bytes of the seal that runs
	sealing  bool
}

type emptyError struct{}

func (emptyError) Error() string   { return "no bytes yet" }
func (emptyError) Timeout() bool   { return true }
func (emptyError) Temporary() bool { return true }

var errEmpty net.Error = emptyError{}

func newTLSQueue(blocking bool) *tlsQueue {
	q := &tlsQueue{blocking: blocking}
	q.arrived.L = &q.mu
	return q
}

func (q *tlsQueue) put(b []byte) {
	q.mu.Lock()
	q.in = append(q.in, b...)
	q.mu.Unlock()
	q.arrived.Signal()
}

func (q *tlsQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.arrived.Broadcast()
}

// Read implements net.Conn.
func (q *tlsQueue) Read(b []byte) (int, error) {
	q.mu.Lock()
	if nc := q.blocked; nc != nil {
		q.mu.Unlock()
		return nc.Read(b)
	}
	defer q.mu.Unlock()
	for q.blocking && len(q.in) == 0 && !q.ended {
		q.arrived.Wait()
	}
	if len(q.in) == 0 {
		if q.ended {
			return 0, io.EOF
		}
		return 0, errEmpty
	}
	n := copy(b, q.in)
	q.in = q.in[n:]
	if len(q.in) == 0 && cap(q.in) > 4*defaultReadBuffer {
		q.in = nil
	}
	return n, nil
}

// Write implements net.Conn.
func (q *tlsQueue) Write(b []byte) (int, error) {
	q.mu.Lock()
	nc, sealing := q.blocked, q.sealing
	q.mu.Unlock()
	switch {
	case nc != nil:
		return nc.Write(b)
	case sealing:
		q.out = append(q.out, b...)
	default:
		q.write(append([]byte(nil), b...))
	}
	return len(b), nil
}

func (q *tlsQueue) Close() error {
	q.end()
	if nc := q.blocked; nc != nil {
		return nc.Close()
	}
	return nil
}

func (q *tlsQueue) LocalAddr() net.Addr {
	if q.blocked != nil {
		return q.blocked.LocalAddr()
	}
	return &net.TCPAddr{}
}

func (q *tlsQueue) RemoteAddr() net.Addr {
	if q.blocked != nil {
		return q.blocked.RemoteAddr()
	}
	return &net.TCPAddr{}
}

func (q *tlsQueue) SetDeadline(t time.Time) error {
	if q.blocked != nil {
		return q.blocked.SetDeadline(t)
	}
	return nil
}

func (q *tlsQueue) SetReadDeadline(t time.Time) error {
	if q.blocked != nil {
		return q.blocked.SetReadDeadline(t)
	}
	return nil
}

func (q *tlsQueue) SetWriteDeadline(t time.Time) error {
	if q.blocked != nil {
		return q.blocked.SetWriteDeadline(t)
	}
	return nil
}

// handshakeTime bounds a handshake, whatever the caller's own bounds are.
const handshakeTime = time.Minute

// StartTLS makes the connection a TLS server's. early are bytes of the
// handshake that were already received. done runs on the loop; after an error
// the connection is of no use.
func (c *Conn) StartTLS(cfg *tls.Config, early []byte, done func(tls.ConnectionState, error)) {
	q := newTLSQueue(true)
	q.write = func(b []byte) {
		c.loop.Post(func() {
			if !c.closed && !c.closing {
				c.send(b)
			}
		})
	}
	q.put(early)
	t := &tlsLayer{c: c, conn: tls.Server(q, cfg), queue: q}
	c.tls = t
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), handshakeTime)
		defer stop()
		err := t.conn.HandshakeContext(ctx)
		c.loop.Post(func() {
			q.mu.Lock()
			q.blocking = false
			q.mu.Unlock()
			t.ready = err == nil
			if c.closed {
				return
			}
			c.protect(func() { done(t.conn.ConnectionState(), err) })
			t.open()
		})
	}()
}

// open decrypts what is there and delivers it.
func (t *tlsLayer) open() {
	c := t.c
	if !t.ready {
		return
	}
	l := c.loop
	if l.plain == nil {
		l.plain = make([]byte, l.readBuf)
	}
	for !c.closed && !c.paused {
		// Deliver as much as there is at once: one record each would cost a
		// write each.
		n := 0
		var err error
		for n < len(l.plain) && err == nil {
			var k int
			k, err = t.conn.Read(l.plain[n:])
			n += k
		}
		if n > 0 {
			buf := l.plain
			l.plain = nil // the handler may use another connection's TLS
			c.deliver(buf[:n])
			l.plain = buf
		}
		var ne net.Error
		switch {
		case err == nil:
		case errors.As(err, &ne) && ne.Timeout():
			return
		default:
			if !c.closed {
				if c.paused {
					c.peerClosed = err
					return
				}
				c.fail(err)
			}
			return
		}
	}
}

// seal encrypts the pieces. The result is valid until the next seal on the
// loop.
func (t *tlsLayer) seal(bs ...[]byte) []byte {
	return t.collect(func() {
		for _, b := range bs {
			t.conn.Write(b) // goes to the queue, which takes everything
		}
	})
}

func (t *tlsLayer) closeNotify() []byte {
	if !t.ready {
		return nil
	}
	return t.collect(func() { t.conn.CloseWrite() })
}

func (t *tlsLayer) collect(f func()) []byte {
	q, l := t.queue, t.c.loop
	q.mu.Lock()
	q.sealing = true
	q.mu.Unlock()
	q.out = l.cipher[:0]
	f()
	q.mu.Lock()
	q.sealing = false
	q.mu.Unlock()
	b := q.out
	q.out = nil
	if cap(b) <= 4*defaultReadBuffer {
		l.cipher = b
	} else {
		l.cipher = nil
	}
	return b
}

// Socket is a net.Conn for blocking code, such as a database driver that logs
// in. Later a loop adopts it.
type Socket struct {
	net.Conn // blocking use
	queue    *tlsQueue
	tls      *tls.Conn
	nc       net.Conn
}

// NewSocket wraps a TCP or unix socket that was just dialled.
func NewSocket(nc net.Conn) (*Socket, error) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil, errors.New("loop: only TCP and unix sockets can be adopted")
	}
	q := newTLSQueue(false)
	q.blocked = nc
	return &Socket{Conn: q, queue: q, nc: nc}, nil
}

// SetTLS says that blocking code has made the socket encrypted: tc runs over
// the Socket, its handshake is done.
func (s *Socket) SetTLS(tc *tls.Conn) { s.tls = tc }

// Adopt makes s a connection of the loop. Blocking use of it must be over.
// What tls.Conn has already read is delivered.
func (l *Loop) Adopt(s *Socket, h Handler) (*Conn, error) {
	_, unix := s.nc.(*net.UnixConn)
	sock, err := l.drv.adopt(l, s.nc)
	if err != nil {
		return nil, err
	}
	c := newConn(l, sock, unix)
	c.h = h
	if s.tls != nil {
		q := s.queue
		q.mu.Lock()
		q.blocked = nil
		q.mu.Unlock()
		q.write = func(b []byte) {
			if !c.closed && !c.closing {
				c.send(b)
			}
		}
		c.tls = &tlsLayer{c: c, conn: s.tls, queue: q, ready: true}
		l.Post(c.pump)
	}
	if err := l.drv.attach(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
