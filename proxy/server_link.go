package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// linkState says who has a server connection.
type linkState uint8

const (
	linkLent      linkState = iota // a session
	linkCleaning                   // nobody: it is being reset
	linkIdle                       // the pool
	linkAbandoned                  // nobody: what its client has sent still runs (abandon.go)
	linkDead
)

// linkStateVar holds a linkState. The pool changes it, under its lock, when it
// takes an idle connection; the owner's loop reads it at any time.
type linkStateVar struct{ v atomic.Uint32 }

func (s *linkStateVar) set(to linkState) { s.v.Store(uint32(to)) }
func (s *linkStateVar) get() linkState   { return linkState(s.v.Load()) }

// serverLink drives one server connection. It is owned by the loop it is on;
// state, idleSince and created are also read by the pool while it is idle.
type serverLink struct {
	srv  *Server
	loop *loopState
	conn *loop.Conn
	sc   *serverConn

	holder     *clientLink
	share      string // the org in whose share of the pool it counts; "" while it is idle and shared. Guarded by the pool's mu while idle
	state      linkStateVar
	used       bool // it has been lent
	broken     bool // closed by the server while it was being lent
	created    time.Time
	jitter     float64 // of its lifetime
	epoch      uint64  // of the pool's configuration that it was made for
	idleSince  time.Time
	readPause  bool
	cancelling bool     // a CancelRequest is on its way
	cancels    []func() // what waits for one more behind it
	waiting    func()   // giveBack, until no CancelRequest is on its way
	timer      *loop.Timer
}

// looksFresh is how long an idle connection is lent without a look at its
// socket: of one in use the loop has heard a moment ago.
const looksFresh = time.Millisecond

// cancelTimeout bounds a CancelRequest to the server.
const cancelTimeout = 10 * time.Second

// jittered spreads the ends of connections made together: it takes off up to a
// tenth, by a number from 0 to 1.
func jittered(d time.Duration, jitter float64) time.Duration {
	return d - time.Duration(jitter*float64(d)/10)
}

// Received implements loop.Handler.
func (l *serverLink) Received(b []byte) {
	if c := l.holder; c != nil {
		st := c.begin()
		c.sess.serverBytes(st, b)
		c.finish(st, l.sc)
		return
	}
	if l.state.get() == linkAbandoned {
		return // nobody waits for it
	}
	st := &l.loop.step
	st.now = l.loop.Now()
	err := l.sc.receive(st, b, l)
	if len(st.toServer.pieces) > 0 {
		l.conn.WriteV(st.toServer.pieces)
	}
	st.reset() // what nobody waits for is dropped
	switch {
	case err != nil:
		l.srv.log.Error("server connection out of step", "server_pid", l.sc.pid, "error", err)
		l.discard("out of step")
	case l.sc.doubt != "":
		l.discard(l.sc.doubt)
	case l.state.get() == linkCleaning && l.sc.owed.len() == 0:
		l.cleaned()
	}
}

// Drained implements loop.Handler.
func (l *serverLink) Drained() {
	if l.holder != nil {
		l.holder.settle()
	}
}

// Closed implements loop.Handler.
func (l *serverLink) Closed(err error) {
	if c := l.holder; c != nil {
		st := c.begin()
		c.sess.serverGone(st)
		c.finish(st, l.sc)
		return
	}
	l.discard("closed by the server")
}

func (l *serverLink) pauseReading(pause bool) {
	if pause == l.readPause || l.state.get() == linkDead {
		return
	}
	l.readPause = pause
	if pause {
		l.conn.PauseReading()
	} else {
		l.conn.ResumeReading()
	}
}

// lend gives the connection, which is nobody's, to the client of w. The
// caller is on the loop here.
func (l *serverLink) lend(w *waiter, here *loopState) {
	if l.loop == here {
		l.hand(w)
		return
	}
	l.loop.Post(func() { l.hand(w) })
}

// hand moves the connection to the client's loop. It runs on l's.
func (l *serverLink) hand(w *waiter) {
	c := w.client
	if l.broken {
		l.srv.pool.lost(l.share)
		l.kill()
	}
	switch {
	case l.state.get() == linkDead:
		c.loop.Post(func() {
			if c.waiter == w { // else the request was given up
				c.borrow()
			}
		})
	case l.conn.IsClosed() || l.loop.Now().Sub(l.idleSince) > looksFresh && l.conn.Unread():
		// It has ended, or the server says why it will. What that is, the loop
		// finds out when it next looks at its sockets: before the second turn.
		l.loop.Post(func() { l.loop.Post(func() { l.hand(w) }) })
	case c.loop == l.loop:
		l.lent(c)
	default:
		to := c.loop
		l.conn.MoveTo(to.Loop, func() {
			l.loop = to
			l.lent(c)
		})
	}
}

// lent completes a loan on the client's loop.
func (l *serverLink) lent(c *clientLink) {
	l.state.set(linkLent)
	l.used = true
	if c.finished {
		l.giveBack(true)
		return
	}
	l.holder = c
	c.turn(func(st *step) { c.sess.serverBorrowed(st, l.sc, nil) })
}

// giveBack takes the connection from its session. Unless the session left
// nothing on it, it is cleaned; in doubt it is closed.
func (l *serverLink) giveBack(clean bool) {
	l.holder = nil
	l.pauseReading(false)
	sc := l.sc
	if l.cancelling {
		// A CancelRequest that is on its way must not hit what runs next.
		l.state.set(linkCleaning)
		l.waiting = func() { l.giveBack(clean) }
		return
	}
	switch {
	case l.state.get() == linkDead:
	case sc.owed.len() > 0 || sc.copying != copyNone || sc.frame.rest > 0 || len(sc.frame.partial) > 0 || sc.owed.skipping:
		l.abandon()
	case sc.doubt != "":
		l.discard(sc.doubt)
	case clean && sc.tx == txIdle && !sc.unsynced:
		l.srv.pool.put(l, l.loop.Now())
	default:
		l.clean()
	}
}

// clean brings the connection back to the state after login. DISCARD ALL
// returns to the settings of the startup packet, so to the tenant's.
func (l *serverLink) clean() {
	l.state.set(linkCleaning)
	l.sc.org, l.sc.label, l.sc.state, l.sc.signature = "", "", clientSettings{}, signature{}
	l.sc.known.clear()
	unsynced := l.sc.unsynced
	l.sc.unsynced = false
	var b []byte
	if unsynced {
		b = append(b, 'S', 0, 0, 0, 4)
		l.sc.owed.push(owed{kind: owedSync, own: true})
	}
	if l.sc.tx != txIdle {
		b = message(b, 'Q', "ROLLBACK")
		l.sc.owed.push(owed{kind: owedQuery, own: true})
	}
	b = message(b, 'Q', "DISCARD ALL")
	l.sc.owed.push(owed{kind: owedQuery, own: true})
	if l.srv.opts.Signing.Sealed {
		l.sc.challenge = 0
		b = message(b, 'Q', challengeSQL)
		l.sc.owed.push(owed{kind: owedQuery, own: true, challenge: true})
	}
	l.conn.Write(b)
	l.timer = l.loop.NewTimer(func() {
		if l.state.get() == linkCleaning {
			l.discard("cleaning took too long")
		}
	})
	l.timer.Reset(l.loop.Now().Add(l.srv.env.limits().ServerResetTimeout))
}

func (l *serverLink) cleaned() {
	l.timer.Stop()
	l.timer = nil
	if !l.sc.idle() {
		l.discard("cleaning left it in a transaction")
		return
	}
	if !l.sc.readsSafely() {
		l.discard("cleaning left it with an unsafe setting")
		return
	}
	l.srv.pool.put(l, l.loop.Now())
}

// discard closes the connection, if need be in the middle of what it does.
func (l *serverLink) discard(why string) {
	switch l.state.get() {
	case linkDead:
		return
	case linkIdle:
		if !l.srv.pool.removed(l) {
			l.broken = true // it has just been lent
			return
		}
	default:
		defer l.srv.pool.lost(l.share)
	}
	l.srv.log.Debug("server connection closed", "server_pid", l.sc.pid, "reason", why)
	l.kill()
}

// terminate closes a connection that the pool has let go.
func (l *serverLink) terminate() {
	if l.state.get() != linkDead {
		l.conn.Write(terminateMessage)
		l.kill()
	}
}

var terminateMessage = []byte{'X', 0, 0, 0, 4}

func (l *serverLink) kill() {
	l.state.set(linkDead)
	if l.timer != nil {
		l.timer.Stop()
	}
	l.conn.CloseWhenDrained()
}

// The replies of a connection that nobody has.

func (l *serverLink) ready(_ *step, o *owed) {
	if o.failed {
		l.sc.doubtful("it could not be cleaned")
	}
}

func (l *serverLink) executed(*step, *owed) {}

func (l *serverLink) undo(*change, bool) {}

func (l *serverLink) survives() bool { return false }

func (l *serverLink) clientPID() uint32 { return 0 }

func (l *serverLink) failed(*step, *owed, string) {}

// parameter implements replies. What a client that is gone has set last may
// be reported late; see cleaned.
func (l *serverLink) parameter(_ *step, name, value string) error {
	err := l.sc.setParameter(name, value)
	if l.state.get() == linkCleaning {
		return nil
	}
	return err
}

var errUnsafeParameter = errors.New("server reported an unsafe setting")
