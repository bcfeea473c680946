package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"unique"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// statementKey is what makes two prepared statements the same: the text, the
// types that Parse declares, and the client's settings under which the names
// in it were resolved. session is 0, or the one session whose settings are
// not known at the moment.
type statementKey struct {
	text, types string
	state       clientSettings
	session     uint64
}

// statementID is a statementKey that is kept once for all sessions.
type statementID = unique.Handle[statementKey]

// serverStatements are the prepared statements on a server connection in
// transaction pooling. They are shared between the sessions that come by, so
// they have names of the connection's. The least recently used make room.
type serverStatements struct {
	byID map[statementID]*serverStatement
	// unnamed is whose unnamed statement the connection has, the zero value
	// if nobody's for certain.
	unnamed unnamedID
	made    uint64
	clock   uint64
	bytes   int // of their texts
}

type serverStatement struct {
	name string
	used uint64
	// by and at are the session that has it prepared, and its batch.
	by, at uint64
	// stale: it must be prepared anew before its next use.
	stale bool
}

// unnamedID tells unnamed statements apart: the session, and how many it had
// made.
type unnamedID struct{ session, n uint64 }

// What may be prepared on one server connection: the server holds far more of
// each than its text.
const (
	maxServerStatements     = 256
	maxServerStatementBytes = 4 << 20
)

// statementPrefix begins the names of prepared statements on the server. A
// client cannot guess it, so its own PREPARE or EXECUTE meets none of them.
var statementPrefix = func() string {
	var b [8]byte
	rand.Read(b[:])
	return "bulkhead_" + hex.EncodeToString(b[:]) + "_"
}()

// use returns the name of a statement that is ready to be used, "" if it must
// be prepared first.
func (k *serverStatements) use(id statementID) string {
	s := k.byID[id]
	if s == nil || s.stale {
		return ""
	}
	k.clock++
	s.used = k.clock
	return s.name
}

// add notes that a statement is being prepared and returns its name. drop are
// the statements that must be closed before: an older version of it, and those
// that make room.
func (k *serverStatements) add(id statementID) (name string, drop []*change) {
	if k.byID == nil {
		k.byID = make(map[statementID]*serverStatement)
	}
	size := len(id.Value().text)
	if old := k.byID[id]; old != nil {
		drop = append(drop, &change{id: id, closed: old.name})
		k.forget(id)
	}
	for len(k.byID) > 0 && (len(k.byID) >= maxServerStatements || k.bytes+size > maxServerStatementBytes) {
		c := k.oldest()
		k.forget(c.id)
		drop = append(drop, c)
	}
	k.made++
	k.clock++
	name = statementPrefix + strconv.FormatUint(k.made, 36)
	k.keep(id, &serverStatement{name: name, used: k.clock})
	return name, drop
}

func (k *serverStatements) keep(id statementID, s *serverStatement) {
	k.byID[id] = s
	k.bytes += len(id.Value().text)
}

func (k *serverStatements) forget(id statementID) {
	delete(k.byID, id)
	k.bytes -= len(id.Value().text)
}

func (k *serverStatements) oldest() *change {
	c := &change{}
	least := k.clock + 1
	for id, s := range k.byID {
		if s.used < least {
			c.id, c.closed, least = id, s.name, s.used
		}
	}
	return c
}

// doubt: the server did not know a statement, or could not use it any more.
func (k *serverStatements) doubt() {
	for _, s := range k.byID {
		s.stale = true
	}
	k.unnamed = unnamedID{}
}

// clear notes that the server has dropped them all.
func (k *serverStatements) clear() {
	clear(k.byID)
	k.bytes = 0
	k.unnamed = unnamedID{}
}

// change is what a message does to prepared statements: to those of the
// session (name, and now for a Parse or before for a Close) and to those of
// the server connection (id, and prepared or closed for the name there).
type change struct {
	name        string
	now, before *prepared
	absent      bool // now is absent again

	// was is the unnamed statement before the message.
	was *unnamedState
	// there: also under that name on the server connection.
	there bool

	id               statementID
	prepared, closed string
}

// unnamedParse is the change by a client's Parse of the unnamed statement, and
// hiddenParse that by one of Bulkhead's. Their connection has no unnamed
// statement for certain if they fail.
var unnamedParse, hiddenParse change

// undo takes back a change: its message has failed or is never carried out.
func (k *serverStatements) undo(c *change) {
	switch {
	case c.prepared != "":
		if s := k.byID[c.id]; s != nil && s.name == c.prepared {
			k.forget(c.id)
		}
	case c.closed != "":
		if k.byID[c.id] == nil {
			k.keep(c.id, &serverStatement{name: c.closed, used: k.clock})
		}
	case c.name == "" && !c.absent:
		k.unnamed = unnamedID{}
	}
}

// undo implements replies.
func (s *Session) undo(c *change, skipped bool) {
	switch {
	case c.absent:
		c.now.absent = true
	case (c == &unnamedParse || c.was != nil) && s.unnamedAt > s.answered+1:
		s.unnamedLost = s.unnamedAt // another has taken its place in a later batch
	case c.was != nil && skipped && s.unnamedLost != s.unnamedAt:
		s.statement, s.message, s.unnamed = c.was.statement, c.was.message, c.was.id
	case c == &unnamedParse || c.was != nil:
		// The server drops the old one before it reads the new one.
		s.statement, s.message = nil, s.message[:0]
	case c == &hiddenParse:
	case c.now != nil:
		c.now.gone = true
		if s.named[c.name] == c.now {
			s.setNamed(c.name, nil)
			if c.there {
				delete(s.onServer, c.name)
			}
		}
	case c.before != nil && c.before.gone:
	case c.before != nil && c.name != "" && s.named[c.name] == nil:
		s.setNamed(c.name, c.before)
		if c.there {
			s.keepOnServer(c.name)
		}
	case c.now == nil && c.before == nil:
		delete(s.onServer, c.name)
	}
}

// ensure makes sure that the server connection has the statement p, and those
// that p names. It returns the name of p there, "" if it is the client's, name.
func (s *Session) ensure(st *step, name string, p *prepared) string {
	if p == nil {
		return ""
	}
	if !p.exists() {
		return s.ensureMissing(st, p)
	}
	if !s.pooling() {
		if p.absent {
			// The session has changed its server connection with its identity.
			p.absent = false
			s.parseAs(st, name, p.id.Value(), owed{kind: owedParse, hidden: true, change: &change{now: p, absent: true}})
		}
		return ""
	}
	if s.onServer[p.name] && s.named[p.name] == p {
		return ""
	}
	s.materialise(st, p.inspection.Effects.Prepared, false)
	if p == s.statement {
		if known := &s.sc.known; known.unnamed != s.unnamed {
			known.unnamed = s.unnamed
			s.sc.unsynced = true
			s.send(st, s.message, owed{kind: owedParse, hidden: true, change: &hiddenParse})
		}
		return ""
	}
	if name := s.sc.known.use(p.id); name != "" {
		return name
	}
	return s.prepare(st, p.id, owed{kind: owedParse, hidden: true, change: &change{}})
}

// ensureMissing makes sure that the server has no such statement.
func (s *Session) ensureMissing(st *step, p *prepared) string {
	if p.name != "" {
		return statementPrefix // nothing has this name
	}
	s.sc.known.unnamed = unnamedID{}
	s.sc.unsynced = true
	st.toServer.add(append(st.toServer.grow(), 'C', 0, 0, 0, 6, 'S', 0))
	s.sc.owed.push(owed{kind: owedClose, own: true})
	return ""
}

// prepare sends the Parse of a statement under a new name of the server
// connection, and returns the name. o is what is owed for it.
func (s *Session) prepare(st *step, id statementID, o owed) string {
	name, drop := s.sc.known.add(id)
	s.sc.known.byID[id].by, s.sc.known.byID[id].at = s.id, s.batch()
	for _, c := range drop {
		st.toServer.add(appendClose(st.toServer.grow(), 'S', c.closed))
		s.sc.owed.push(owed{kind: owedClose, own: true, change: c})
	}
	o.change.id, o.change.prepared = id, name
	s.parseAs(st, name, id.Value(), o)
	return name
}

// parseAs sends a Parse.
func (s *Session) parseAs(st *step, name string, key statementKey, o owed) {
	out, at := begin(st.toServer.grow(), 'P')
	out = append(append(out, name...), 0)
	out = append(append(out, key.text...), 0)
	st.toServer.add(finish(append(out, key.types...), at))
	s.sc.owed.push(o)
	s.sc.unsynced = true
}

// materialise gives statements that the session has prepared by a message of
// the protocol their own names on the server connection, since a statement
// (EXECUTE, DEALLOCATE, PREPARE) refers to them by these. What the server
// says of it is of no interest: the statement itself will fail as it should.
// With sync, a Sync ends them: a Query follows.
func (s *Session) materialise(st *step, names []string, sync bool) {
	sent := false
	for _, name := range names {
		p := s.named[name]
		if p == nil || p.identity != nil || s.onServer[name] {
			continue
		}
		s.keepOnServer(name)
		s.noteClose([]byte(name)) // from here on it may be there under two names, or not
		s.parseAs(st, name, p.id.Value(), owed{kind: owedParse, own: sync, hidden: true, change: &change{name: name}})
		sent = true
	}
	if sent && sync {
		if s.sc.owed.labels > 0 {
			panic("proxy: a Sync of our own behind a label that is not confirmed")
		}
		st.toServer.add(append(st.toServer.grow(), 'S', 0, 0, 0, 4))
		s.sc.owed.push(owed{kind: owedSync, own: true})
		s.sc.unsynced = false
	}
}

// keepOnServer notes that the server connection has a statement under the
// client's name.
func (s *Session) keepOnServer(name string) {
	if s.onServer == nil {
		s.onServer = make(map[string]bool)
	}
	s.onServer[name] = true
	s.pin |= pinPrepared
	s.touched = true
}

// quoteAsClient puts the client's name of a statement in the place of the
// server's in an ErrorResponse, which is appended to b.
func quoteAsClient(b, msg []byte, name string) []byte {
	b, at := begin(b, 'E')
	for rest := msg[5:]; ; {
		i := bytes.Index(rest, []byte(statementPrefix))
		if i < 0 {
			return finish(append(b, rest...), at)
		}
		b = append(append(b, rest[:i]...), name...)
		rest = rest[i+len(statementPrefix):]
		rest = bytes.TrimLeft(rest, "0123456789abcdefghijklmnopqrstuvwxyz")
	}
}

// carriedOut is called when the server has carried out a text.
func (s *Session) carriedOut(ins *policy.Inspection) {
	if ins == nil {
		return
	}
	for _, name := range ins.Effects.Deallocated {
		s.setNamed(name, nil)
		delete(s.onServer, name)
		delete(s.byStatement, name)
		delete(s.byOrg, name)
	}
	if ins.Effects.Has(parser.EffectDiscardAll | parser.EffectDeallocateAll) {
		s.forgetNamed()
		clear(s.onServer)
		clear(s.byStatement)
		s.forgetPrepares()
		s.sc.known.clear()
	}
}

// settles reports whether the session must know how a text ended before it
// reads on: what comes next may use a prepared statement of that name.
func (s *Session) settles(ins *policy.Inspection) bool {
	return ins.Effects.Has(parser.EffectPrepare | parser.EffectDeallocate | parser.EffectDeallocateAll | parser.EffectDiscardAll)
}
