package proxy

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// phase of a session. It only moves downwards, except that phaseStartup is
// entered again from phaseTLS, and every phase may go to phaseClosed.
type phase uint8

const (
	phasePrelude   phase = iota // waiting for the first packet, or the next after an answered SSLRequest or GSSENCRequest
	phaseTLS                    // the handshake runs
	phaseToken                  // waiting for the token
	phaseVerifying              // the token is being verified
	phaseAttaching              // waiting for a server connection, to learn its parameters
	phaseRelay                  // ready for queries
	phaseDraining               // the client has left in order; replies are read to their end
	phaseClosed
)

func (p phase) String() string {
	return [...]string{"prelude", "tls", "token", "verifying", "attaching", "relay", "draining", "closed"}[p]
}

// wait says for what a session in phaseRelay has stopped reading the client.
type wait uint8

const (
	waitNone      wait = iota
	waitServer         // a server connection
	waitInspect        // the inspection of a large text
	waitConfirmed      // the server to confirm the label, behind which a Query or Sync was sent already
	waitToken          // a verdict on a token that was sent in band
	waitLabel          // an answer to Bulkhead's own messages: the tenant context, or what the session has on the server
	waitReplies        // replies, because too many are owed
	waitSettled        // the replies to all that was sent: what comes next depends on them
	waitReset          // the reply to a RESET ALL or DISCARD ALL, after which the per-user settings are set again
)

// Session is the state machine of one client connection. It does no I/O and
// knows no clock: bytes, events and times go in, a step with bytes and
// requests comes out. It is owned by one loop.
type Session struct {
	// Immutable.
	env    *environment
	id     uint64
	client peer

	// What the startup packet and the token said.
	startup  startupParams
	identity *auth.Identity // in force
	who      *identities    // nil until the client changes its identity in band
	context  *tenant.Context
	engine   *policy.Engine // of the database
	key      poolKey
	cancel   cancelKey
	share    *orgShare // of the connection's org; nil before it is known

	validAt  instant // when the identity was last found valid
	deadline instant // of the present phase; 0 for none
	activity instant // of the client's last message
	progress instant // of the server's last completed reply

	// Client to server.
	in        frame
	heldBytes int32              // size of the message at the front, where it is held; see held.go
	lookAgain int32              // how much of it must have come before it is read again
	inspected *policy.Inspection // answer to an inspectText, for the message at the front of in.partial
	statements
	unsettled
	sessionState
	changing

	sc     *serverConn
	losses int // of server connections, one after the other

	// Small ones side by side: a session is what an idle client costs.
	phase    phase
	wait     wait
	standing standing
	reason   endReason
	encoded  bool // it may have another client_encoding than UTF8 (encoding.go)
	tls      bool // the connection is encrypted
	askedTLS bool
	askedGSS bool
	skipping bool // a message was refused without a server connection: skip to Sync
	relabel  bool // the label may have been reset
	sealing  bool // a challenge was asked for, and the label follows when it has come
	leaving  bool // it ends at its next transaction boundary
	// served: since the server connection was lent, a reply has come to its
	// end. opens: what was sent since then may have begun a transaction.
	// aborted: reopen stands for a transaction that is lost.
	served, opens, aborted bool
}

// changing is what a session needs to change its identity in band.
type changing struct {
	// begun is the text that began the present transaction, "" once anything
	// else was sent in it. reopen is the same for a transaction that was begun
	// for the client and must still be begun on the next server connection.
	begun, reopen string
	begin         string // the last such text
	ran           bool   // a statement was sent since the last Sync
	// ending: the transaction of SET LOCAL ends with the present batch.
	ending  bool
	verdict *verdict     // answer to a verifyToken
	held    *clientError // for the message at the front, once there is a server connection
}

// peer is the client's end of the connection, as records show it.
type peer struct {
	addr     string // "10.0.0.7:52100", "unix"
	throttle throttleKey
	local    bool // unix socket or loopback
}

// environment is what all sessions of a server share. Several loops use it.
type environment struct {
	opts    *Options
	log     *slog.Logger
	metrics *metrics
	recent  *recentParams

	contexts contexts
	now      atomic.Pointer[Changeable] // nil: as opts say
	orgs     orgClients
}

func newSession(env *environment, id uint64, p peer, now time.Time) *Session {
	s := &Session{env: env, id: id, client: p, activity: instantOf(now)}
	if t := env.limits().AuthTimeout; t > 0 {
		s.deadline = instantOf(now.Add(t))
	}
	return s
}

// clientBytes takes a chunk that the client sent.
func (s *Session) clientBytes(st *step, b []byte) {
	s.activity = instantOf(st.now)
	if len(s.in.partial) > 0 {
		b = append(s.in.partial, b...)
		s.in.partial = nil
		s.keep(b[s.consume(st, b):], true)
		return
	}
	s.keep(b[s.consume(st, b):], false)
}

// stopWait ends a wait for the server. An answer from elsewhere (an inspection,
// a verdict) is still to come, and is for the message at the front: until then
// the session must not ask for another.
func (s *Session) stopWait() {
	if s.wait != waitInspect && s.wait != waitToken {
		s.wait = waitNone
	}
}

// resume goes on with what was held back while the session waited.
func (s *Session) resume(st *step) {
	if b := s.in.partial; len(b) > 0 {
		s.in.partial = nil
		s.keep(b[s.consume(st, b):], true)
	}
}

// keep holds the rest of the input until more comes or the wait is over. The
// loop's read buffer must be copied; our own needs not.
func (s *Session) keep(rest []byte, ours bool) {
	switch {
	case len(rest) == 0 || s.phase == phaseClosed:
	case ours:
		s.in.partial = rest
	default:
		s.in.partial = append([]byte(nil), rest...)
	}
}

// consume handles as much of b as it can and returns how much that was.
func (s *Session) consume(st *step, b []byte) int {
	used := 0
	for used < len(b) {
		var n int
		switch s.phase {
		case phasePrelude:
			n = s.prelude(st, b[used:])
		case phaseToken:
			n = s.tokenMessage(st, b[used:])
		case phaseRelay:
			if s.wait != waitNone {
				return used
			}
			begins := s.in.rest == 0
			if n = s.clientMessage(st, b[used:]); n > 0 && begins {
				s.inspected, s.verdict = nil, nil // they were for this message, also if it was skipped
				s.holdBack(b[used])
			}
		case phaseDraining, phaseClosed:
			return len(b)
		default: // an event will come first
			return used
		}
		if n == 0 {
			return used
		}
		used += n
		if s.heldBytes > 0 {
			s.letGo()
		}
	}
	return used
}

// paused tells the driver not to read the client.
func (s *Session) paused() bool {
	switch s.phase {
	case phaseVerifying, phaseAttaching:
		return true
	case phaseRelay:
		return s.wait != waitNone
	}
	return false
}

// end closes the session; a client that is still there is told why.
func (s *Session) end(st *step, why endReason, e *clientError) {
	if s.phase == phaseClosed {
		return
	}
	if e != nil && (s.sc == nil || !s.sc.midMessage()) {
		st.toClient.add(e.appendTo(st.toClient.grow()))
	}
	s.leave(st, why)
	st.ask(closeClient{})
}

// leave gives back what the session holds.
func (s *Session) leave(st *step, why endReason) {
	s.phase, s.reason = phaseClosed, why
	s.in = frame{}
	if s.share != nil {
		s.share.hold(-s.beyond())
		s.env.orgs.leave(s.share)
		s.share = nil
	}
	if s.sc != nil {
		st.ask(returnServer{sc: s.sc})
		s.sc = nil
	}
}

// clientGone: the client's connection is closed or broken.
func (s *Session) clientGone(st *step) {
	// A client that left in order may close its socket at once; what it sent
	// before is still carried out.
	if s.phase != phaseClosed && s.phase != phaseDraining {
		s.leave(st, endClientLost)
	}
}

// serverBytes takes a chunk from the session's server connection.
func (s *Session) serverBytes(st *step, b []byte) {
	sc := s.sc
	if err := sc.receive(st, b, s); err != nil {
		sc.doubtful(err.Error())
		if errors.Is(err, errLabelCancelled) && s.labelCancelled(st) {
			return
		}
		s.env.log.Error("server connection out of step", "session", s.id, "server_pid", sc.pid, "error", err)
		e := &errServerProtocol
		switch {
		case errors.Is(err, errUnsafeParameter):
			e = &errUnsafeSetting
		case errors.Is(err, errLabel):
			e = &errTenantContext
		}
		s.end(st, endServerFault, e)
		return
	}
	if sc.ended != "" {
		s.goOn(st)
		return
	}
	if sc.fatal {
		// The client was told. Its next words must not find another server
		// connection, even if they are there already.
		s.end(st, endServerFault, nil)
		return
	}
	s.afterReplies(st)
}

// afterReplies does what the server's answers have made possible.
func (s *Session) afterReplies(st *step) {
	sc := s.sc
	if sc == nil || s.phase == phaseClosed {
		return
	}
	if s.phase == phaseDraining {
		s.endDraining(st)
		return
	}
	if s.wait == waitReplies && sc.owed.len() < maxOwed/2 {
		s.wait = waitNone
	}
	if s.wait == waitSettled && (sc.owed.len() == 0 || sc.copying == copyIn) {
		s.wait = waitNone
	}
	if s.wait == waitConfirmed && sc.owed.labels == 0 {
		s.wait = waitNone
	}
	if s.wait == waitNone && s.endLocal(st) {
		return
	}
	if s.leaveNow(st) {
		return
	}
	if s.wait == waitNone && s.phase == phaseRelay {
		s.resume(st)
		s.maybeDetach(st)
	}
}

// serverGone: the server connection is closed or broken. What the server
// said last has been forwarded.
func (s *Session) serverGone(st *step) {
	if s.sc == nil || s.phase == phaseClosed {
		return
	}
	s.sc.doubtful("closed by the server")
	if s.sc.fatal {
		s.end(st, endServerFault, nil)
		return
	}
	if s.survives() {
		s.goOn(st)
		return
	}
	s.end(st, endServerFault, &errServerLost)
}

// tick is called when the time of nextDeadline has come.
func (s *Session) tick(st *step) {
	at, e, why := s.nextDeadline()
	if at.IsZero() || st.now.Before(at) || s.phase == phaseClosed {
		return
	}
	if why == endUnknown {
		s.progress = instantOf(st.now) // once per timeout
		st.ask(cancelOwn{})
		return
	}
	if s.phase == phaseRelay && s.wait == waitServer {
		s.unserved(st, e)
		return
	}
	s.end(st, why, e)
}

// unserved answers the message that waits for a server connection with an
// error: none has come. The session goes on.
func (s *Session) unserved(st *step, e *clientError) {
	st.ask(stopWaiting{})
	if s.reopen != "" {
		s.end(st, endServerFault, e) // the client is in a transaction
		return
	}
	s.wait, s.inspected = waitNone, nil
	b := s.in.partial
	size := int(binary.BigEndian.Uint32(b[1:])) + 1
	failure := *e
	failure.severity = severityError
	s.in.partial = nil
	s.refuseWith(st, b[:min(size, len(b))], failure)
	if n := s.skip(b, size); n < len(b) {
		s.in.partial = b[n:]
	}
	s.resume(st)
}

// nextDeadline returns when the session ends if nothing happens; with
// endUnknown it is not the session that ends but the statement that runs.
func (s *Session) nextDeadline() (time.Time, *clientError, endReason) {
	switch s.phase {
	case phaseClosed:
		return time.Time{}, nil, 0
	case phasePrelude, phaseTLS, phaseToken, phaseVerifying:
		return s.deadline.time(), &errAuthTimeout, endAuthFailed
	case phaseDraining:
		return s.statementDeadline(), nil, endUnknown
	}
	if s.phase == phaseAttaching || s.wait == waitServer {
		return s.deadline.time(), &errQueue, endQueueTimeout
	}
	if s.wait == waitLabel {
		return s.deadline.time(), &errTenantContext, endServerFault
	}
	return s.idleDeadline()
}

// serverWaits reports whether the server waits for the client to end a
// transaction, a batch or a message.
func (s *Session) serverWaits() bool {
	if s.in.rest > 0 && !s.in.drop && s.sc.copying == copyNone {
		return !s.sc.owed.runs()
	}
	return s.sc.owed.len() == 0 && (s.sc.tx != txIdle || s.sc.unsynced || len(s.in.partial) > 0)
}

// statementDeadline is when the statement that runs is cancelled, zero for
// never.
func (s *Session) statementDeadline() time.Time {
	limit := s.env.limits().StatementTimeout
	if s.sc == nil || s.sc.owed.len() == 0 || limit <= 0 {
		return time.Time{}
	}
	since := s.progress.time()
	if sent := s.sc.owed.at(0).start; sent > since.UnixNano() {
		since = time.Unix(0, sent)
	}
	return since.Add(limit + statementGrace)
}

func (s *Session) idleDeadline() (time.Time, *clientError, endReason) {
	l := s.env.limits()
	if at := s.statementDeadline(); !at.IsZero() {
		return at, nil, endUnknown
	}
	if s.reopen != "" || s.sc != nil && s.serverWaits() {
		if l.IdleInTransaction > 0 {
			return s.activity.time().Add(l.IdleInTransaction), &errIdleInTransaction, endIdle
		}
		return time.Time{}, nil, 0
	}
	if l.ClientIdle > 0 && (s.sc == nil || s.sc.owed.len() == 0) {
		return s.activity.time().Add(l.ClientIdle), &errClientIdle, endIdle
	}
	return time.Time{}, nil, 0
}

// drain ends the session at its next transaction boundary, which may be now. A
// client that has left gets what it has asked for.
func (s *Session) drain(st *step) {
	switch {
	case s.phase == phaseDraining || s.phase == phaseClosed:
	case s.phase != phaseRelay:
		s.end(st, endDrained, &errDraining)
	default:
		s.leaving = true
		s.leaveNow(st)
	}
}

// leaveNow ends a session that is to end and is at a transaction boundary.
func (s *Session) leaveNow(st *step) bool {
	if !s.leaving || s.phase != phaseRelay || s.reopen != "" || s.sc != nil && (!s.sc.idle() || s.sc.unsynced) {
		return false
	}
	s.end(st, endDrained, &errDraining)
	return true
}
