package proxy

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// The label of a server connection is what of the tenant context is not in its
// startup packet: settings that differ between users of one org; where
// connections are shared between orgs, all of them and the role.
//
// It is put on in front of the client's first message, in one piece with it.
// What makes that sound is the extended protocol: after an error the server
// discards everything up to the next Sync (PostgreSQL manual, Message Flow),
// simple queries included. So the label goes as Parse, Bind and Execute without
// a Sync, in a transaction of its own that a COMMIT ends, the client's message
// follows, and what the client sends after its first Query or Sync is held
// back until the server has confirmed the label. If anything of the label
// fails, nothing of the client is carried out, and the connection is closed.

// labelUnknown is the label of a server connection that may have lost its
// label. It equals no session's.
const labelUnknown = "?"

// labelStatements returns what brings the server connection to the session's
// label and to what its client has SET; nothing if it carries both. proves says
// that a challenge is answered among it.
func (s *Session) labelStatements(now time.Time) (sql []string, proves bool) {
	sc := s.sc
	moved := s.moved()
	if sc.label == s.context.Label && sc.state == s.state && !moved && !s.signatureDue(now) {
		return nil, false
	}
	from := sc.state
	if moved {
		// Everything that a session can leave behind goes, whether or not
		// anybody knows of it.
		sql = append(sql, "DISCARD ALL")
		from = clientSettings{}
	}
	sql = append(sql, s.beginSQL()...)
	if from != s.state && from != (clientSettings{}) {
		sql = append(sql, "RESET ALL")
	}
	s.sign(now)
	sql = append(sql, s.labelSQL()...)
	if proves = s.proves(); proves {
		sql = append(sql, s.enterSQL(now))
	}
	if from != s.state && s.state != (clientSettings{}) {
		sql = append(sql, stateSettingSQL(s.state))
	}
	return append(sql, "COMMIT"), proves
}

// stateSettingSQL returns the SELECT that sets the client's settings. SET
// would read a list, such as search_path, as one name.
func stateSettingSQL(state clientSettings) string {
	var b strings.Builder
	separator := "SELECT "
	for rest := []byte(state.Value()); len(rest) > 0; separator = ", " {
		name, after, _ := bytes.Cut(rest, []byte{0})
		var value []byte
		value, rest, _ = bytes.Cut(after, []byte{0})
		b.WriteString(separator + "pg_catalog.set_config(" + tenant.QuoteLiteral(string(name)) + ", " + tenant.QuoteLiteral(string(value)) + ", false)")
	}
	return b.String()
}

// putLabel labels a server connection that has just been borrowed, and begins
// the transaction that the client is in. With ahead, the client's message may
// follow at once; else the session waits, which putLabel reports.
func (s *Session) putLabel(st *step, ahead bool) (waits bool) {
	if moved := s.moved(); s.env.opts.Signing.Sealed && (moved || s.sc.challenge == 0) {
		s.askChallenge(st, moved)
		return true
	}
	sql, proves := s.labelStatements(st.now)
	if len(sql) > 0 && sql[0] == "DISCARD ALL" {
		s.sc.known.clear()
	}
	if s.reopen != "" {
		sql = append(sql, s.reopen)
		s.begun, s.reopen = s.reopen, ""
		s.sc.tx = txOpen
	}
	if len(sql) == 0 {
		return false
	}
	s.sc.org, s.sc.label, s.sc.state = orgMark(s.context), s.context.Label, s.state
	s.sendLabel(st, sql, proves)
	if !ahead {
		s.awaitLabel(st)
	}
	return !ahead
}

// moved reports whether the server connection served another org before.
func (s *Session) moved() bool { return s.sc.org != "" && s.sc.org != orgMark(s.context) }

// orgMark is what a server connection remembers of the org that it serves.
func orgMark(c *tenant.Context) string {
	if c.Org == "" {
		return "\x00" // a session that has not picked one leaves things too
	}
	return c.Org
}

// sendLabel sends statements without a Sync behind them; the label is
// confirmed when the server has carried out the last. With challenge, their
// first row is one.
func (s *Session) sendLabel(st *step, sql []string, challenge bool) {
	out := st.toServer.grow()
	for _, text := range sql {
		out = appendStatement(out, "", text)
	}
	st.toServer.add(out)
	s.sc.owed.push(owed{kind: owedLabel, own: true, challenge: challenge, confirms: 'C', left: len(sql), start: st.now.UnixNano()})
	s.sc.known.unnamed = unnamedID{}
}

// appendStatement appends a statement in the extended protocol, by a prepared
// statement and a portal of the name.
func appendStatement(b []byte, name, sql string) []byte {
	b, at := begin(b, 'P')
	b = append(append(b, name...), 0)
	b = append(append(b, sql...), 0)
	b = finish(append(b, 0, 0), at)
	b, at = begin(b, 'B')
	b = append(append(b, name...), 0)
	b = append(append(b, name...), 0)
	b = finish(append(b, 0, 0, 0, 0, 0, 0), at)
	b, at = begin(b, 'E')
	b = append(append(b, name...), 0)
	return finish(append(b, 0, 0, 0, 0), at)
}

func appendClose(b []byte, what byte, name string) []byte {
	b, at := begin(b, 'C')
	b = append(b, what)
	return finish(append(append(b, name...), 0), at)
}

// awaitLabel ends a label with a Sync and waits until it is confirmed.
func (s *Session) awaitLabel(st *step) {
	s.wait = waitLabel
	s.deadline = instantOf(st.now.Add(s.env.limits().ServerResetTimeout))
	st.toServer.add(append(st.toServer.grow(), 'S', 0, 0, 0, 4))
	s.sc.owed.push(owed{kind: owedSync, own: true})
}

// relabelNow puts the label on again after a text that may have taken it away
// has been carried out. In a transaction it belongs to that: if it is rolled
// back, so is the loss of the label.
func (s *Session) relabelNow(st *step) {
	if s.env.opts.Signing.Sealed && s.sc.challenge == 0 {
		if s.sc.tx == txIdle {
			s.askChallenge(st, false)
		}
		return // else at the end of the transaction (renewSignature)
	}
	sql := s.labelSQL()
	if s.sc.tx == txIdle {
		sql = slices.Concat([]string{"BEGIN"}, sql, []string{"COMMIT"})
	}
	s.sendLabel(st, sql, false)
	s.awaitLabel(st)
}

// relabelBehind puts the label on again behind an Execute that may take it
// away, before anything else of the same pipeline. DISCARD ALL commits by
// itself; then so must the label. The client goes on to use its unnamed
// statement and portal, so the label has names of its own.
func (s *Session) relabelBehind(st *step, discards bool) {
	sql := s.labelSQL()
	if discards {
		sql = slices.Concat([]string{"BEGIN"}, sql, []string{"COMMIT"})
	}
	out := st.toServer.grow()
	for _, text := range sql {
		out = appendStatement(out, labelName, text)
		out = appendClose(out, 'P', labelName)
		out = appendClose(out, 'S', labelName)
	}
	st.toServer.add(out)
	s.sc.owed.push(owed{kind: owedLabel, own: true, confirms: '3', left: 2 * len(sql), start: st.now.UnixNano()})
}

// labelName is a name of a prepared statement that nobody has.
var labelName = statementPrefix + "label"

// holdBack stops the client behind a Query or Sync while a label is not
// confirmed: up to there the server discards everything if the label fails.
// typ is the type of the message that was handled.
func (s *Session) holdBack(typ byte) {
	if s.wait != waitNone || s.sc == nil || s.sc.owed.labels == 0 || s.phase != phaseRelay {
		return
	}
	switch typ {
	case 'Q', 'F', 'S':
		s.wait = waitConfirmed
	}
}

// labelCancelled answers for what the client has sent behind a label that was
// cancelled: the cancel was meant for that, which is not carried out. It is not
// if the session has anything on the server connection, which is lost.
func (s *Session) labelCancelled(st *step) bool {
	sc := s.sc
	if !s.pooling() || s.phase != phaseRelay || sc.tx != txIdle || s.pin != 0 || s.isLocal() {
		return false
	}
	ended := false
	for i := sc.owed.len() - 1; i >= 0; i-- {
		o := sc.owed.at(i)
		ended = ended || !o.own && (o.kind == owedQuery || o.kind == owedSync)
		if o.change != nil {
			s.undo(o.change, true)
		}
	}
	held := s.wait == waitLabel // the client's message was not sent yet, and goes to another server connection
	s.stopWait()
	s.sealing, s.relabel = false, false
	s.in.drop = s.in.rest > 0 // of a message whose beginning went to that server connection
	if !held {
		st.toClient.add(errCancelled.appendTo(st.toClient.grow()))
		if ended {
			st.toClient.add(readyForQuery(st.toClient.grow(), txIdle))
		}
		s.skipping = !ended
	}
	s.releaseServer(st)
	s.resume(st)
	return true
}

// resetsLabel reports whether the text may take the label away.
func (s *Session) resetsLabel(ins *policy.Inspection) bool {
	if len(s.context.PerUser) == 0 {
		return false
	}
	if ins.Effects.Has(parser.EffectResetAll | parser.EffectDiscardAll) {
		return true
	}
	if s.env.opts.Pool.Shared && ins.Effects.Has(parser.EffectRole|parser.EffectUnknown) || s.losesChallenge(ins) {
		return true
	}
	if !ins.Effects.Has(parser.EffectReset) {
		return false
	}
	for _, p := range s.context.PerUser {
		if slices.Contains(ins.Effects.Settings, p.Name) {
			return true
		}
	}
	return slices.Contains(ins.Effects.Settings, "") // a name that is not known
}
