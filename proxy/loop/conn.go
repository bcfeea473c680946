package loop

import (
	"fmt"
	"net"
	"runtime/debug"
	"time"
)

// Handler gets what happens to a connection, on its loop.
type Handler interface {
	// Received gets bytes that the peer sent, decrypted if the connection is
	// encrypted. b is valid during the call only.
	Received(b []byte)
	// Drained is called when what Write could not send at once has been sent.
	Drained()
	// Closed is called once when the peer has closed the connection (io.EOF)
	// or it broke. It is not called after Close or CloseWhenDrained.
	Closed(err error)
}

// lingerTime bounds CloseWhenDrained.
const lingerTime = 5 * time.Second

// Conn is one connection. It is owned by its loop.
type Conn struct {
	loop *Loop
	sock socket
	h    Handler
	out  pending // accepted by Write, not taken by the socket
	held []byte  // decrypted while reading is paused
	tls  *tlsLayer
	// peerClosed is why no more can be read; told once reading goes on.
	peerClosed error

	paused  bool
	writing bool // waits for the socket to take more
	closing bool // CloseWhenDrained
	ending  bool // CloseWrite
	closed  bool
	unix    bool
}

func newConn(l *Loop, s socket, unix bool) *Conn {
	c := &Conn{loop: l, sock: s, unix: unix}
	l.conns[c] = struct{}{}
	return c
}

// SetHandler sets who gets the connection's events. It must be called in the
// callback that yields the connection.
func (c *Conn) SetHandler(h Handler) { c.h = h }

// Loop returns the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Unix reports whether it is a unix socket.
func (c *Conn) Unix() bool { return c.unix }

// TLS reports whether the connection is encrypted.
func (c *Conn) TLS() bool { return c.tls != nil }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.remoteAddr() }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.sock.localAddr() }

// Pending returns how many bytes wait for the socket.
func (c *Conn) Pending() int { return c.out.len() }

// Write sends b, in order with what was written before. It never blocks: what
// the socket does not take is copied and sent when it does. Errors come to
// Handler.Closed.
func (c *Conn) Write(b []byte) {
	if c.closed || c.closing || c.ending || len(b) == 0 {
		return
	}
	if c.tls != nil {
		b = c.tls.seal(b)
	}
	c.send(b)
}

// WriteV is Write for several pieces, with one system call if the socket
// takes them.
func (c *Conn) WriteV(bs [][]byte) {
	switch {
	case len(bs) == 1:
		c.Write(bs[0])
	case c.closed || c.closing || c.ending || len(bs) == 0:
	case c.tls != nil:
		c.send(c.tls.seal(bs...))
	case c.out.len() > 0:
		for _, b := range bs {
			c.out.add(c.loop, b)
		}
	default:
		n, err := c.sock.writev(bs)
		if err != nil {
			c.fail(err)
			return
		}
		for _, b := range bs {
			k := min(n, len(b))
			n -= k
			if k < len(b) {
				c.out.add(c.loop, b[k:])
			}
		}
		c.wantWrite()
	}
}

// send sends raw bytes.
func (c *Conn) send(b []byte) {
	if c.out.len() > 0 {
		c.out.add(c.loop, b)
		return
	}
	n, err := c.sock.write(b)
	if err != nil {
		c.fail(err)
		return
	}
	if n < len(b) {
		c.out.add(c.loop, b[n:])
		c.wantWrite()
	}
}

func (c *Conn) wantWrite() {
	if want := c.out.len() > 0; want != c.writing {
		c.writing = want
		c.interest()
	}
}

func (c *Conn) interest() { c.sock.interest(!c.paused && c.peerClosed == nil, c.writing) }

// writable is called by the driver when the socket takes more.
func (c *Conn) writable() {
	if c.closed || c.out.len() == 0 {
		return
	}
	n, err := c.sock.write(c.out.rest())
	if err != nil {
		c.fail(err)
		return
	}
	c.out.took(c.loop, n)
	if c.out.len() > 0 {
		return
	}
	c.wantWrite()
	if c.closing {
		c.Close()
		return
	}
	if c.ending {
		c.sock.shutdown()
	}
	c.protect(func() { c.h.Drained() })
}

// Unread reports whether the peer has sent bytes, or closed the connection, of
// which the handler has not been told yet. A driver that reads ahead knows of
// none.
func (c *Conn) Unread() bool {
	return c.closed || c.peerClosed != nil || len(c.held) > 0 || c.sock.unread()
}

// IsClosed reports whether it is closed; the handler may not have been told yet.
func (c *Conn) IsClosed() bool { return c.closed }

// PauseReading stops Received until ResumeReading.
func (c *Conn) PauseReading() {
	if !c.paused && !c.closed {
		c.paused = true
		c.interest()
	}
}

// ResumeReading undoes PauseReading. What was already there is delivered soon.
func (c *Conn) ResumeReading() {
	if !c.paused || c.closed {
		return
	}
	c.paused = false
	c.interest()
	if len(c.held) > 0 || c.peerClosed != nil || c.tls != nil {
		c.loop.Post(c.pump)
	}
}

// pump delivers what came while reading was paused.
func (c *Conn) pump() {
	if c.closed || c.paused {
		return
	}
	if b := c.held; len(b) > 0 {
		c.held = nil
		c.deliver(b)
	}
	if c.tls != nil {
		c.tls.open()
	}
	if c.peerClosed != nil && !c.paused && len(c.held) == 0 {
		c.fail(c.peerClosed)
	}
}

// received is called by the driver with raw bytes.
func (c *Conn) received(b []byte) {
	if c.closed {
		return
	}
	if c.tls != nil {
		c.tls.queue.put(b)
		c.tls.open()
		return
	}
	c.deliver(b)
}

func (c *Conn) deliver(b []byte) {
	if c.paused {
		c.held = append(c.held, b...)
		return
	}
	defer c.recovered()
	c.h.Received(b)
}

// ended is called by the driver when no more can be read.
func (c *Conn) ended(err error) {
	if c.closed {
		return
	}
	if c.tls != nil {
		c.tls.queue.end()
		c.tls.open()
	}
	if c.paused || len(c.held) > 0 {
		c.peerClosed = err
		c.interest()
		return
	}
	c.fail(err)
}

// fail closes the connection and tells the handler.
func (c *Conn) fail(err error) {
	if c.closed {
		return
	}
	told := c.closing
	c.Close()
	if told || c.h == nil {
		return
	}
	// Not at once: the caller may be the handler itself, in the middle of a
	// Write.
	c.loop.Post(func() { c.protect(func() { c.h.Closed(err) }) })
}

// CloseWhenDrained sends what is pending, for a bounded time, and closes.
func (c *Conn) CloseWhenDrained() {
	if c.closed || c.closing {
		return
	}
	if c.tls != nil {
		c.send(c.tls.closeNotify())
	}
	if c.closed {
		return
	}
	if c.out.len() == 0 {
		c.Close()
		return
	}
	c.closing = true
	c.PauseReading()
	t := c.loop.NewTimer(c.Close)
	t.Reset(c.loop.now.Add(lingerTime))
}

// CloseWrite sends what is pending and then tells the peer that no more will
// come. What the peer says until it closes the connection is still received.
func (c *Conn) CloseWrite() {
	if c.closed || c.closing || c.ending {
		return
	}
	if c.tls != nil {
		c.send(c.tls.closeNotify())
	}
	c.ending = true
	if !c.closed && c.out.len() == 0 {
		c.sock.shutdown()
	}
}

// Close closes the connection at once.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.loop.conns, c)
	if c.tls != nil {
		c.tls.queue.end()
	}
	if c.out.len() == 0 {
		c.sock.shutdown()
	}
	c.sock.close()
	c.out.drop(c.loop)
	c.held = nil
}

// MoveTo gives the connection to another loop; done runs there. Until then
// nothing may be called on it.
func (c *Conn) MoveTo(l *Loop, done func()) {
	if !c.closed {
		c.sock.detach()
		delete(c.loop.conns, c)
	}
	l.Post(func() {
		c.loop = l
		if !c.closed {
			l.conns[c] = struct{}{}
			if err := l.drv.attach(c); err != nil {
				c.fail(fmt.Errorf("attach to another loop: %w", err))
			} else {
				c.interest()
			}
		}
		done()
		if !c.closed && (len(c.held) > 0 || c.tls != nil || c.peerClosed != nil) {
			c.pump()
		}
	})
}

// protect runs a callback; a panic closes this connection only.
func (c *Conn) protect(f func()) {
	defer c.recovered()
	f()
}

func (c *Conn) recovered() {
	if p := recover(); p != nil {
		c.loop.log.Error("panic in a connection's handler", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		c.fail(fmt.Errorf("panic in a handler: %v", p))
	}
}
