package proxy

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// clientMessage handles the message at the start of b, or the next part of
// one that is passed through. It returns how many bytes of b it has used; 0
// means that it needs more of the message, or that the session waits.
func (s *Session) clientMessage(st *step, b []byte) int {
	if s.in.rest > 0 {
		n := min(s.in.rest, len(b))
		if !s.in.drop {
			st.toServer.forward(b[:n])
		}
		s.in.rest -= n
		return n
	}
	if len(b) < 5 {
		return 0
	}
	size := int(binary.BigEndian.Uint32(b[1:])) + 1
	if size < 5 || size > maxMessage {
		return s.violation(st, len(b))
	}
	if s.sc != nil && s.sc.copying == copyIn && bytes.IndexByte(copyMessages, b[0]) < 0 {
		// The COPY would take it for an error, unless it has failed already:
		// which reply belongs to which message could not be told.
		return s.violation(st, len(b))
	}
	if e := s.held; e != nil {
		s.held = nil
		s.refuseWith(st, b[:min(size, len(b))], *e)
		return s.skip(b, size)
	}
	if s.reopen != "" && s.sc == nil && bytes.IndexByte(inTransaction, b[0]) >= 0 && !s.serverNeeded(st) {
		return 0
	}
	switch b[0] {
	case 'Q', 'P':
		return s.textMessage(st, b, size)
	case 'B':
		return s.bindMessage(st, b, size)
	case 'D', 'C', 'E':
		return s.namedMessage(st, b, size)
	case 'S', 'H':
		return s.syncMessage(st, b, size)
	case 'd', 'c', 'f':
		return s.copyMessage(st, b, size)
	case 'F':
		return s.functionCall(st, b, size)
	case 'X':
		s.terminate(st)
		return len(b)
	default:
		// Among them the messages that belong to authentication ('p').
		return s.violation(st, len(b))
	}
}

// copyMessages are the messages that have a meaning while the server reads the
// data of a COPY.
var copyMessages = []byte("dcfHSX")

// inTransaction are the messages for which a transaction that was begun for
// the client alone is begun on the server. A text is looked at first.
var inTransaction = []byte("BDCEF")

// maxMessage is the largest message that PostgreSQL takes (MaxAllocSize).
const maxMessage = 1<<30 - 1

// violation ends the session: what follows cannot be framed or has no meaning
// in this phase.
func (s *Session) violation(st *step, n int) int {
	s.end(st, endProtocol, &errProtocol)
	return n
}

// serverNeeded makes sure that there is a server connection, or asks for one;
// then the message stays where it is until it has come.
func (s *Session) serverNeeded(st *step) bool {
	switch {
	case s.sc == nil:
		s.wait = waitServer
		s.borrow(st)
		return false
	case s.sc.owed.len() >= maxOwed:
		s.wait = waitReplies
		return false
	}
	return !s.renewSignature(st)
}

// send forwards a whole message and notes what is owed for it.
func (s *Session) send(st *step, msg []byte, o owed) {
	s.sc.owed.push(o)
	st.toServer.forward(msg)
}

// textMessage handles Query and Parse: the messages that carry SQL.
func (s *Session) textMessage(st *step, b []byte, size int) int {
	extended := b[0] == 'P'
	if s.skipping || extended && s.serverSkips() {
		return s.skip(b, size)
	}
	if size > s.env.limits().MaxStatementBytes+maxBindNames {
		if s.reopen != "" && !s.serverNeeded(st) {
			return 0
		}
		d := s.engine.TooLarge()
		return s.refuseStream(st, b, size, &d, protocolOf(extended))
	}
	if len(b) < size {
		return s.awaitRest(st, b, size)
	}
	msg := b[:size]
	name, text, ok := splitText(msg)
	if ok && s.inspected == nil {
		if id, is := s.changesIdentity(text, extended); is {
			return s.identityText(st, msg, name, text, id)
		}
	}
	if s.reopen != "" && !s.serverNeeded(st) {
		return 0
	}
	if n, within := s.boundary(st, b); !within {
		return n
	}
	if !ok {
		return s.refuseMalformed(st, msg, errMessageFormat)
	}
	reading, known := s.reading(text)
	if !known && s.inspected == nil && s.refuseAmbiguous(st, msg) {
		return len(msg)
	}
	ins := s.inspect(st, reading, extended)
	if ins == nil {
		return 0 // it waits
	}
	if s.outlives(ins) {
		s.end(st, endExpired, &errExpired)
		return len(b)
	}
	d := s.decide(ins)
	if e := s.unsupported(ins, extended, len(text)); e != nil && d.Action != policy.Block {
		return s.refuseMalformed(st, msg, *e)
	}
	if d.Action != policy.Block && (!s.serverNeeded(st) || extended && !s.settledName(st, name, true) || !s.settledNames(st, ins.Effects.Prepared)) {
		s.inspected = ins
		return 0
	}
	return s.carryText(st, msg, name, text, ins, &d)
}

// awaitRest holds the beginning of a Query or Parse until the rest has come.
func (s *Session) awaitRest(st *step, b []byte, size int) int {
	if size <= inlineInspect || s.mayHold(size) {
		return 0
	}
	if s.reopen != "" && !s.serverNeeded(st) {
		return 0
	}
	s.refuseWith(st, b[:min(5, len(b))], errHeld)
	return s.skip(b, size)
}

// carryText does what was decided about a Query or Parse.
func (s *Session) carryText(st *step, msg, name, text []byte, ins *policy.Inspection, d *policy.Decision) int {
	extended := msg[0] == 'P'
	if d.Action != policy.Allow {
		s.record(st, *d, ins, protocolOf(extended), text)
	}
	switch {
	case d.Action == policy.Block:
		return s.refuse(st, msg, d)
	case d.Action == policy.Observe:
		s.keepObserved(d)
	}
	s.encoded = s.encoded || ins.Encoding
	if s.notePrepares(ins); len(ins.Prepares) > 0 {
		s.holdPrepares(len(text))
	}
	if extended {
		s.sendParse(st, msg, name, text, ins)
	} else {
		s.sendQuery(st, msg, text, ins)
	}
	return len(msg)
}

// decide is the rules' decision on a text for the identity in force.
func (s *Session) decide(ins *policy.Inspection) policy.Decision {
	d := ins.ForOrg(s.engine, s.context.Org)
	if len(ins.Executes) > 0 && d.Action != policy.Block {
		d = s.decideExecute(ins, d)
	}
	if s.changesPieces(ins) {
		d = stricter(d, s.engine.Changing())
	}
	switch {
	case d.Action == policy.Block:
	case s.context.Org == "" && !ins.Tenantless:
		return s.engine.NoOrg()
	case !slices.Contains(ins.Settings, parser.IdentityToken):
	case d.Action == policy.Observe:
		d.Action = policy.Block // what may hold a token goes nowhere
	case s.engine.Observes("G201") || ins.Effects.Has(parser.EffectUnknown):
		return s.engine.TokenStays() // the rule that would refuse it is off
	}
	return d
}

// unsupported is why a text that no rule refuses cannot be carried out here.
func (s *Session) unsupported(ins *policy.Inspection, extended bool, size int) *clientError {
	switch {
	case ins.ResetsInside && (s.env.opts.Pool.Shared || s.env.opts.Signing.enabled()):
		return &errResetInside
	case extended && s.losesChallenge(ins):
		return &errDiscardSealed
	case len(ins.Prepares) > 0 && !s.mayPrepare(ins, size):
		return &errStatements
	}
	return s.unfit(ins)
}

func protocolOf(extended bool) policy.Protocol {
	if extended {
		return policy.Extended
	}
	return policy.Simple
}

// splitText returns the SQL text of a Query or Parse, without its NUL, and
// the name of the prepared statement. What the server would find malformed is
// not ok.
func splitText(msg []byte) (name, text []byte, ok bool) {
	body := msg[5:]
	if msg[0] == 'Q' {
		i := bytes.IndexByte(body, 0)
		return nil, body[:max(i, 0)], i >= 0 && i == len(body)-1
	}
	name, rest, ok := bytes.Cut(body, []byte{0})
	if !ok {
		return nil, nil, false
	}
	text, types, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(types) < 2 || len(types) != 2+4*int(binary.BigEndian.Uint16(types)) {
		return nil, nil, false
	}
	return name, text, true
}

func (s *Session) sendQuery(st *step, msg, text []byte, ins *policy.Inspection) {
	if s.sc.unsynced {
		// An extended query was left without Sync. PostgreSQL 18 may then
		// fail a statement that comes later (shared attacks, last fact).
		s.sc.doubtful("a Query came before the Sync of an extended query")
	}
	was := s.saveUnnamed()
	s.forgetUnnamed() // a simple Query destroys the unnamed statement
	s.passEnd(ins)
	begin := ""
	if ins.Begins {
		begin = s.beginText(text)
	}
	s.noteBegin(begin)
	s.ran = false
	if s.pooling() {
		s.materialise(st, ins.Effects.Prepared, true)
	}
	s.note(ins)
	s.makeWay(st, ins)
	o := owed{kind: owedQuery, inspection: ins, start: st.now.UnixNano(), change: was}
	if s.env.tracing() {
		o.parent = parentOf(text)
	}
	s.send(st, msg, o)
	s.sent++
	if s.settles(ins) || s.isLocal() && ins.Ends {
		s.wait = waitSettled
	}
	if s.losesChallenge(ins) {
		s.sc.loseChallenge()
	}
	if s.resetsLabel(ins) {
		s.relabel, s.wait = true, waitReset
	}
}

// namedMessage handles Describe, Close and Execute.
func (s *Session) namedMessage(st *step, b []byte, size int) int {
	if size > maxNamedMessage {
		return s.violation(st, len(b))
	}
	if len(b) < size {
		return 0
	}
	if s.skipping || s.serverSkips() {
		return size
	}
	msg := b[:size]
	if size > 6 {
		if n, ours := s.identityNamed(st, msg); ours {
			return n
		}
	}
	if n, ok := s.boundary(st, b); !ok {
		return n
	}
	if b[0] == 'E' {
		return s.executeMessage(st, msg)
	}
	if size < 7 || bytes.IndexByte(msg[6:], 0) != size-7 {
		if !s.serverNeeded(st) {
			return 0
		}
		return s.refuseMalformed(st, msg, errMessageFormat)
	}
	what, name := msg[5], msg[6:size-1]
	if what == 'S' && !s.settledName(st, name, false) {
		return 0
	}
	if b[0] == 'C' && what == 'S' && s.pooling() && s.closeStatement(st, name) {
		return size
	}
	if !s.serverNeeded(st) {
		return 0
	}
	if b[0] == 'C' {
		c := s.closeNamed(what, name)
		s.sc.unsynced = true
		s.send(st, msg, owed{kind: owedClose, change: c})
		return size
	}
	s.describe(st, msg, what, name)
	return size
}

// describe forwards a Describe.
func (s *Session) describe(st *step, msg []byte, what byte, name []byte) {
	o := owed{kind: owedDescribe}
	if what != 'S' {
		s.sc.unsynced = true
		s.send(st, msg, o)
		return
	}
	p := s.lookup(name)
	there := s.ensure(st, string(name), p)
	s.sc.unsynced = true
	if there == "" {
		s.send(st, msg, o)
		return
	}
	o.of = p
	out, at := begin(st.toServer.grow(), 'D')
	out = append(append(append(out, 'S'), there...), 0)
	st.toServer.add(finish(out, at))
	s.sc.owed.push(o)
}

// executeMessage handles Execute.
func (s *Session) executeMessage(st *step, msg []byte) int {
	if !s.serverNeeded(st) {
		return 0
	}
	if s.refusedExecute(st, msg) {
		return len(msg)
	}
	s.sc.unsynced = true
	o := s.execute(st, msg[5:])
	s.send(st, msg, o)
	if risk, discards := s.labelAtRisk(o.inspection); risk {
		s.relabelBehind(st, discards)
	}
	if o.inspection != nil && s.settles(o.inspection) {
		st.toServer.add(append(st.toServer.grow(), 'H', 0, 0, 0, 4))
		s.wait = waitSettled
	}
	return len(msg)
}

// syncMessage handles Sync and Flush.
func (s *Session) syncMessage(st *step, b []byte, size int) int {
	if size != 5 {
		return s.violation(st, len(b))
	}
	flush := b[0] == 'H'
	switch {
	case flush && (s.skipping || s.sc == nil):
		return size
	case s.skipping || s.sc == nil:
		s.skipping = false
		if s.reopen == "" {
			s.endPortals() // of statements that were answered without the server
		}
		st.toClient.add(readyForQuery(st.toClient.grow(), s.txStatus()))
		return size
	case flush:
		st.toServer.forward(b[:size])
		return size
	case s.sc.copying == copyIn:
		// The server's COPY reads and ignores it.
		s.sc.syncInCopy = true
		st.toServer.forward(b[:size])
		return size
	}
	if !s.serverNeeded(st) {
		return 0
	}
	s.sc.unsynced, s.ran = false, false
	s.send(st, b[:size], owed{kind: owedSync})
	s.sent++
	if s.ending {
		s.wait = waitSettled
	}
	return size
}

// copyMessage handles CopyData, CopyDone and CopyFail. Outside of a COPY the
// server ignores them.
func (s *Session) copyMessage(st *step, b []byte, size int) int {
	drop := s.sc == nil
	if b[0] != 'd' && !drop {
		if s.sc.copying == copyIn {
			s.sc.copying = copyNone
		} else {
			s.sc.owed.push(owed{kind: owedCopyEnd})
		}
	}
	n := min(size, len(b))
	if !drop {
		st.toServer.forward(b[:n])
	}
	s.in.rest, s.in.drop = size-n, drop
	return n
}

// functionCall handles FunctionCall: it calls any function by its OID, without
// SQL that could be inspected, so it is refused unless its rule only observes.
func (s *Session) functionCall(st *step, b []byte, size int) int {
	if s.skipping {
		return s.skip(b, size)
	}
	if n, ok := s.boundary(st, b); !ok {
		return n
	}
	var oid uint32
	if len(b) < 9 && size >= 9 {
		return 0
	}
	if size >= 9 {
		oid = binary.BigEndian.Uint32(b[5:])
	}
	d := s.engine.FunctionCall(oid)
	if s.context.Org == "" && d.Action != policy.Block {
		d = s.engine.NoOrg()
	}
	if d.Action == policy.Block {
		return s.refuseStream(st, b, size, &d, policy.Fastpath)
	}
	if !s.serverNeeded(st) {
		return 0
	}
	if d.Action == policy.Observe {
		s.record(st, d, nil, policy.Fastpath, nil)
	}
	if !largeObjectCall(oid) {
		s.note(&unknownCall)
	}
	if s.sc.unsynced {
		s.sc.doubtful("a FunctionCall came before the Sync of an extended query") // as for a Query
	}
	n := min(size, len(b))
	s.sc.owed.push(owed{kind: owedCall})
	s.sent++
	st.toServer.forward(b[:n])
	s.in.rest, s.in.drop = size-n, false
	return n
}

// unknownCall stands for a function of which only the OID is known.
var unknownCall = policy.Inspection{Effects: parser.Effects{Set: parser.EffectUnknown}}

// largeObjectCall reports whether the function is one of those with which
// drivers read and write large objects by FunctionCall: they leave nothing
// behind that outlives the transaction. Their OIDs are PostgreSQL's own and
// never change.
func largeObjectCall(oid uint32) bool {
	switch oid {
	case 715, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172:
		return true
	}
	return false
}

// terminate: the client leaves in order. What it sent before is carried out.
func (s *Session) terminate(st *step) {
	if s.sc == nil || s.sc.owed.len() == 0 {
		s.leave(st, endClientLeft)
		st.ask(closeClient{})
		return
	}
	s.phase, s.deadline = phaseDraining, 0
	s.endDraining(st)
}

// endDraining ends the session of a client that has left once nothing more can
// come of what it has sent: the server waits for the end of a batch or of the
// data of a COPY.
func (s *Session) endDraining(st *step) {
	if s.sc.owed.len() == 0 || s.sc.unsynced || s.sc.copying == copyIn {
		s.leave(st, endClientLeft)
		st.ask(closeClient{})
	}
}

// skip drops a message of any size, as the server does after an error until
// the Sync.
func (s *Session) skip(b []byte, size int) int {
	n := min(size, len(b))
	s.in.rest, s.in.drop = size-n, true
	return n
}
