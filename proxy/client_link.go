package proxy

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// loopState is what the sessions of one loop share. Owned by the loop.
type loopState struct {
	*loop.Loop
	step    step
	clients map[*clientLink]struct{}
}

// clientLink drives one Session: it gives it what the loop received and
// carries out what it asks for. Owned by its loop.
type clientLink struct {
	srv  *Server
	loop *loopState
	conn *loop.Conn
	sess *Session

	timer     *loop.Timer
	stranger  *list.Element // in Server.strangers, whose mu guards it
	waiter    *waiter       // the last request for a server connection
	key       cancelKey
	connGone  bool // the socket is closed
	finished  bool // the session is closed and forgotten
	readPause bool
	stop      context.CancelFunc // ends the work in the background, if there is any
}

// inBackground runs work that the session waits for, and with the session
// ends.
func (c *clientLink) inBackground(work func(ctx context.Context) func(st *step), places ...chan struct{}) {
	ctx, stop := context.WithCancel(c.srv.ctx)
	c.stop = stop
	background(func() {
		event := work(ctx)
		c.later(func(st *step) {
			stop()
			c.stop = nil
			event(st)
		})
	}, places...)
}

// begin starts a turn of the session; finish must follow.
func (c *clientLink) begin() *step {
	st := &c.loop.step
	st.now = c.loop.Now()
	return st
}

// finish sends what the session wants sent, then does what it asked for.
func (c *clientLink) finish(st *step, server *serverConn) {
	if server == nil {
		server = c.sess.sc
	}
	if len(st.toServer.pieces) > 0 && server != nil {
		server.link.conn.WriteV(st.toServer.pieces)
	}
	if len(st.toClient.pieces) > 0 && !c.connGone {
		c.conn.WriteV(st.toClient.pieces)
	}
	var few [4]request
	requests := append(few[:0], st.requests...)
	st.reset()
	for _, r := range requests {
		c.carryOut(r)
	}
	c.settle()
}

// settle brings reading, timers and registration in line with the session's
// state.
func (c *clientLink) settle() {
	if c.finished {
		return
	}
	if c.sess.phase == phaseClosed {
		c.forget()
		return
	}
	var link *serverLink
	if c.sess.sc != nil {
		link = c.sess.sc.link
	}
	if !c.connGone {
		c.pauseReading(c.sess.paused() || link != nil && link.conn.Pending() > maxPendingOut)
	}
	if link != nil {
		link.pauseReading(!c.connGone && c.conn.Pending() > maxPendingOut)
	}
	if at, _, _ := c.sess.nextDeadline(); at.IsZero() {
		c.timer.Stop()
	} else {
		c.timer.Reset(at)
	}
}

func (c *clientLink) pauseReading(pause bool) {
	if pause == c.readPause {
		return
	}
	c.readPause = pause
	if pause {
		c.conn.PauseReading()
	} else {
		c.conn.ResumeReading()
	}
}

// Received implements loop.Handler.
func (c *clientLink) Received(b []byte) {
	st := c.begin()
	sc := c.sess.sc
	c.sess.clientBytes(st, b)
	c.finish(st, sc)
}

// Drained implements loop.Handler.
func (c *clientLink) Drained() { c.settle() }

// Closed implements loop.Handler.
func (c *clientLink) Closed(error) {
	c.connGone = true
	st := c.begin()
	sc := c.sess.sc
	c.sess.clientGone(st)
	c.finish(st, sc)
}

// turn runs one event of the session.
func (c *clientLink) turn(f func(st *step)) {
	st := c.begin()
	sc := c.sess.sc
	f(st)
	c.finish(st, sc)
}

// later runs one event of the session from another goroutine.
func (c *clientLink) later(f func(st *step)) {
	c.loop.Post(func() {
		if !c.finished {
			c.turn(f)
		}
	})
}

func (c *clientLink) tick() {
	if !c.finished {
		c.turn(c.sess.tick)
	}
}

func (c *clientLink) carryOut(r request) {
	switch r := r.(type) {
	case startTLS:
		c.startTLS(r.early)
	case verifyToken:
		c.inBackground(func(ctx context.Context) func(*step) {
			id, err := c.srv.opts.Verifier.Verify(ctx, r.token)
			return func(st *step) { c.sess.tokenVerified(st, id, err) }
		}, c.srv.workers.verify)
	case inspectText:
		engine := c.sess.engine
		c.inBackground(func(ctx context.Context) func(*step) {
			ins := engine.Inspect(ctx, r.text, protocolOf(r.extended))
			return func(st *step) { c.sess.inspectionDone(st, ins) }
		}, c.sess.share.inspects, c.srv.workers.inspect)
	case openDatabase:
		c.inBackground(func(ctx context.Context) func(*step) {
			engine, err := c.srv.opts.OpenDatabase(ctx, r.name)
			var e *clientError
			if err != nil {
				e = c.srv.loginError(err)
			}
			return func(st *step) { c.sess.databaseOpened(st, engine, e) }
		}, c.srv.workers.open)
	case authenticated:
		c.srv.authenticated(c)
	case borrowServer:
		c.borrow()
	case stopWaiting:
		c.stopWaiting()
	case returnServer:
		r.sc.link.giveBack(false)
	case returnClean:
		r.sc.link.giveBack(true)
	case closeIdle:
		c.srv.pool.closeIdle(c.loop.Now())
	case registerKey:
		c.key = r.key
		c.srv.cancels.put(r.key, c)
	case cancelQuery:
		c.cancelQuery(r.key)
	case cancelOwn:
		c.cancelRunning(func() {})
	case closeClient:
		c.close()
	}
}

func (c *clientLink) close() {
	if !c.connGone {
		c.connGone = true
		c.conn.CloseWhenDrained()
	}
}

// forget takes a closed session out of all registers.
func (c *clientLink) forget() {
	if c.finished {
		return
	}
	c.finished = true
	c.timer.Stop()
	if c.stop != nil {
		c.stop()
	}
	if c.key.secret != "" {
		c.srv.cancels.remove(c.key)
	}
	if c.waiter != nil {
		c.srv.pool.withdraw(c.waiter)
	}
	delete(c.loop.clients, c)
	c.srv.clientEnded(c)
}

func (c *clientLink) startTLS(early []byte) {
	t := c.srv.env.changeable().TLS
	if !t.available() { // any more
		c.turn(func(st *step) { c.sess.tlsDone(st, "", errors.New("TLS was turned off")) })
		return
	}
	c.conn.StartTLS(t.Config(), early, func(state tls.ConnectionState, err error) {
		c.turn(func(st *step) { c.sess.tlsDone(st, state.NegotiatedProtocol, err) })
	})
}

func (c *clientLink) borrow() {
	if c.finished {
		return
	}
	if c.waiter == nil {
		c.waiter = new(waiter)
	}
	*c.waiter = waiter{
		client:   c,
		loop:     c.loop,
		lax:      c.sess.readsAnything(),
		key:      c.sess.key,
		org:      orgMark(c.sess.context),
		label:    c.sess.context.Label,
		state:    c.sess.state,
		params:   c.sess.startup.settings,
		since:    c.loop.Now(),
		database: c.sess.startup.database,
		fixed:    c.sess.context.Fixed,
	}
	if link := c.srv.pool.borrow(c.waiter); link != nil {
		link.lend(c.waiter, c.loop)
	}
}

// stopWaiting gives up the request for a server connection. A login for it may
// be on its way and read it, so it is not used again.
func (c *clientLink) stopWaiting() {
	if c.waiter != nil {
		c.srv.pool.withdraw(c.waiter)
		c.waiter = nil
	}
}

// cancelQuery passes a CancelRequest on, and closes this connection when the
// server has got it: clients wait for that.
func (c *clientLink) cancelQuery(wire string) {
	target := c.srv.cancels.find(wire)
	if target == nil {
		c.close()
		return
	}
	done := func() { c.loop.Post(c.close) }
	target.loop.Post(func() { target.cancelRunning(done) })
}

// cancelRunning cancels what runs for this session, and nothing that runs
// later for another.
func (c *clientLink) cancelRunning(done func()) {
	sc := c.sess.sc
	if c.finished || sc == nil || sc.owed.len() == 0 {
		done()
		return
	}
	sc.link.cancel(done)
}

// peerOf describes the client's end.
func peerOf(conn *loop.Conn) peer {
	if conn.Unix() {
		return peer{addr: "unix", local: true}
	}
	p := peer{addr: conn.RemoteAddr().String()}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(a.IP)
		p.throttle = ip.Unmap()
		p.local = p.throttle.IsLoopback()
	}
	return p
}

type throttleKey = netip.Addr
