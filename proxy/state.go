package proxy

import (
	"encoding/binary"
	"slices"
	"strings"
	"unique"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// In transaction pooling a session takes along what it has SET, and keeps its
// server connection while it has state there that cannot be taken along. What
// of both there is, the server itself is asked, when a transaction has ended
// in which something of the kind was done: so rollback, SET LOCAL, savepoints
// and errors need no model of them here.

// pinReason says why a session in transaction pooling keeps its server
// connection between transactions.
type pinReason uint16

const (
	pinPrepared pinReason = 1 << iota
	pinTemp
	pinCursor
	pinListen
	pinLock
	pinSequence
	pinOther
	pinReasons
)

// pinning says what is noted when a text is sent that may create state.
var pinning = [...]struct {
	effect parser.EffectSet
	reason pinReason
}{
	{parser.EffectPrepare, pinPrepared},
	{parser.EffectTemp, pinTemp},
	{parser.EffectHoldCursor, pinCursor},
	{parser.EffectListen, pinListen},
	{parser.EffectSessionLock, pinLock},
	{parser.EffectSequenceState, pinSequence},
	{parser.EffectSeed | parser.EffectLoad | parser.EffectUnknown, pinOther},
}

const (
	// creating are the effects after which the server is asked.
	creating = parser.EffectPrepare | parser.EffectTemp | parser.EffectHoldCursor | parser.EffectListen | parser.EffectSessionLock |
		parser.EffectSetSession | parser.EffectReset
	// ending are the effects after which it is asked if there is anything
	// that could have ended.
	ending = parser.EffectDiscardAll | parser.EffectDiscard | parser.EffectDeallocate | parser.EffectDeallocateAll |
		parser.EffectResetAll | parser.EffectUnlisten | parser.EffectClose | parser.EffectCloseAll | parser.EffectUnlockAll |
		parser.EffectDrop | parser.EffectRole
)

// sessionState is what a session has on a server connection, or takes along.
type sessionState struct {
	state   clientSettings
	pin     pinReason
	touched bool // state and pin may have changed: the server must be asked
	// settled are the reasons that the server has confirmed.
	settled pinReason
	// onServer are the prepared statements that are on the server connection
	// under the client's own names, since a statement refers to them.
	onServer map[string]bool
	// byStatement are names that the client's statements (PREPARE, EXECUTE)
	// have used since the server connection is kept for such a statement.
	byStatement map[string]bool
	// byOrg is what the client's PREPARE statements do with the org, by the
	// name that they give: all of those that the server may have carried out.
	byOrg      map[string][]*policy.Inspection
	byOrgBytes int // of the texts, until all of them are gone
	// custom are the settings with a dot in their name that the client has
	// SET: the server shows them in no list.
	custom []string
	// sequences counts the transactions since the session has called nextval.
	sequences int
}

// note keeps what carrying out the text does to the session.
func (s *Session) note(ins *policy.Inspection) {
	e := &ins.Effects
	if e.Set == 0 {
		return
	}
	s.opens = opens(s.opens, ins)
	s.notePieces(e)
	for _, p := range pinning {
		if e.Has(p.effect) {
			s.pin |= p.reason
		}
	}
	if e.Has(parser.EffectSequenceState) {
		s.sequences = 0
	}
	if e.Has(parser.EffectPrepare) {
		if s.byStatement == nil {
			s.byStatement = make(map[string]bool)
		}
		for _, name := range e.Prepared {
			s.byStatement[name] = true
		}
	}
	s.notePrepares(ins)
	s.noteCustom(e)
	if e.Has(parser.EffectExecute) {
		for _, name := range e.Prepared {
			if p := s.named[name]; p != nil && !p.inspection.Effects.Has(parser.EffectExecute) {
				s.note(p.inspection)
			}
		}
	}
	if e.Has(creating) || e.Has(ending) && (s.pin != 0 || s.state != (clientSettings{})) {
		s.touched = true
	}
	if s.env.opts.Pool.Shared && e.Has(parser.EffectSeed|parser.EffectLoad) {
		s.sc.doubtful("it has what DISCARD ALL does not take away")
	}
	if e.Has(parser.EffectUnknown) && s.sc != nil {
		// Nobody has read what it did: what is left of it cannot be cleaned.
		s.sc.doubtful("it ran code that the guard could not read")
	}
}

// noteCustom keeps the names of custom settings that the text sets.
func (s *Session) noteCustom(e *parser.Effects) {
	if !s.pooling() || !e.Has(parser.EffectSetSession|parser.EffectReset) {
		return
	}
	for _, name := range e.Settings {
		if name == "" || strings.Contains(name, ".") && len(s.custom) >= maxCustomSettings {
			// The server could not be asked for it.
			s.pin |= pinOther
			s.sc.doubtful("it carries settings that cannot be known")
			return
		}
		if i, found := slices.BinarySearch(s.custom, name); !found && strings.Contains(name, ".") {
			s.custom = slices.Insert(s.custom, i, name)
		}
	}
}

// makeWay closes idle server connections in front of a statement that waits
// until nobody is connected to a database.
func (s *Session) makeWay(st *step, ins *policy.Inspection) {
	switch ins.Kind {
	case "CREATE DATABASE", "DROP DATABASE", "ALTER DATABASE":
		st.ask(closeIdle{})
	}
}

// keepObserved: a statement goes to the server that a rule would refuse, so
// that the session may have changed its tenant context, its role or more. The
// next session must not find that: this one keeps the server connection, which
// is cleaned when it ends. What is only read leaves nothing.
func (s *Session) keepObserved(d *policy.Decision) {
	switch d.Rule[:2] {
	case "G5", "G8":
	default:
		s.pin |= pinOther
	}
}

// maybeDetach gives the server connection back at a transaction boundary, in
// transaction pooling, unless the session left something on it.
func (s *Session) maybeDetach(st *step) {
	sc := s.sc
	if !s.pooling() && s.context.Org != "" || s.phase != phaseRelay || s.wait != waitNone || sc == nil || !sc.idle() || sc.unsynced {
		return
	}
	if len(s.in.partial) > 0 || s.in.rest > 0 {
		return
	}
	if s.touched {
		s.askState(st)
		return
	}
	s.endSequence()
	s.confirm(s.pin)
	if s.pin != 0 || s.holdsUnnamed() {
		return
	}
	if !s.pooling() {
		// A session without an org has nothing to keep a place in the pool for.
		s.releaseServer(st)
		return
	}
	s.endPortals()
	s.begun = ""
	st.ask(returnClean{sc: sc})
	s.sc = nil
}

// endSequence ends the pin of nextval: currval and lastval are right until
// the end of the transaction after it. Nobody could tell how long a client
// means to use them; an ORM that calls nextval for each key never does.
func (s *Session) endSequence() {
	if s.pin&pinSequence == 0 {
		return
	}
	if s.sequences++; s.sequences > sequenceTransactions {
		s.pin &^= pinSequence
	}
}

// sequenceTransactions is the number of transactions after nextval for which
// the server connection is kept.
const sequenceTransactions = 1

// confirm counts new reasons to keep the server connection.
func (s *Session) confirm(now pinReason) {
	for r := pinReason(1); r < pinReasons; r <<= 1 {
		if now&r != 0 && s.settled&r == 0 {
			s.env.metrics.pinned(r)
		}
	}
	s.settled = now
}

// clientSettings are the settings that a client has SET, by name: each name
// and value ends with a NUL. It is kept once for all sessions; the zero value
// means none.
type clientSettings = unique.Handle[string]

// stateSQL asks for the state of the session on the server: rows of a letter,
// a name and a value. All names are qualified, since the search_path is the
// client's.
var stateSQL = `SELECT 's', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session'
UNION ALL SELECT 'p', '', '' FROM pg_catalog.pg_prepared_statements WHERE NOT pg_catalog.starts_with(name, '` + statementPrefix + `')
UNION ALL SELECT 'c', '', '' FROM pg_catalog.pg_cursors WHERE is_holdable
UNION ALL SELECT 'l', '', '' FROM pg_catalog.pg_listening_channels()
UNION ALL SELECT 'k', '', '' FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
UNION ALL SELECT 't', '', '' FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
UNION ALL SELECT 't', '', '' FROM pg_catalog.pg_proc WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
UNION ALL SELECT 't', '', '' FROM pg_catalog.pg_type WHERE typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()`

// customSQL asks for custom settings, in the form of stateSQL.
func customSQL(names []string) string {
	var b strings.Builder
	for i, name := range names {
		b.WriteString([]string{"\nUNION ALL SELECT 's', n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest(ARRAY[", ", "}[min(i, 1)])
		b.WriteString(tenant.QuoteLiteral(name))
	}
	if b.Len() > 0 {
		b.WriteString("]) AS n WHERE pg_catalog.current_setting(n, true) IS NOT NULL")
	}
	return b.String()
}

// stateReasons are the letters of stateSQL.
var stateReasons = map[byte]pinReason{'p': pinPrepared, 'c': pinCursor, 'l': pinListen, 'k': pinLock, 't': pinTemp}

// askable are the reasons that the server is asked about.
const askable = pinPrepared | pinCursor | pinListen | pinLock | pinTemp

// maxStateRow bounds a row of the answer; a setting of the client's that is
// larger ends the server connection.
const maxStateRow = 1 << 20

// stateRows is the answer to stateSQL.
type stateRows struct {
	pins     pinReason
	settings []setting
}

// add reads the body of a DataRow.
func (r *stateRows) add(b []byte) error {
	if len(b) < 2 {
		return errFrame
	}
	b = b[2:]
	var columns [3]string
	for i := range columns {
		if len(b) < 4 {
			return errFrame
		}
		n := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if n > len(b) {
			return errFrame
		}
		if n > 0 {
			columns[i] = string(b[:n])
			b = b[n:]
		}
	}
	if columns[0] == "s" {
		r.settings = append(r.settings, setting{columns[1], columns[2]})
	} else if len(columns[0]) == 1 {
		r.pins |= stateReasons[columns[0][0]]
	}
	return nil
}

// askState asks the server what the session has there.
func (s *Session) askState(st *step) {
	s.wait = waitLabel
	s.deadline = instantOf(st.now.Add(s.env.limits().ServerResetTimeout))
	s.ownQuery(st, stateSQL+customSQL(s.custom), owed{kind: owedQuery, own: true, rows: &stateRows{}})
}

// stateKnown is called with the server's answer to askState.
func (s *Session) stateKnown(o *owed) {
	s.wait, s.touched = waitNone, false
	if o.failed {
		// It may have run into a statement_timeout of the client's. Without an
		// answer the session keeps its server connection.
		s.pin |= pinOther
		return
	}
	s.pin = s.pin&^askable | o.rows.pins
	if s.pin&pinPrepared == 0 {
		clear(s.onServer)
		clear(s.byStatement)
		s.forgetPrepares()
	}
	s.state = s.encode(o.rows.settings)
	s.sc.state = s.state
	if s.encoded && s.state != (clientSettings{}) && !isASCII([]byte(s.state.Value())) {
		s.pin |= pinOther // in which encoding they came is not known
	}
}

// encode returns the settings of the client's among those of the session.
func (s *Session) encode(settings []setting) clientSettings {
	slices.SortFunc(settings, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	settings = slices.CompactFunc(settings, func(a, b setting) bool { return a.name == b.name })
	var b []byte
	for _, v := range settings {
		isOurs := func(p tenant.Setting) bool { return strings.EqualFold(p.Name, v.name) }
		if strings.HasPrefix(v.name, "transaction_") || slices.ContainsFunc(s.context.PerUser, isOurs) || slices.ContainsFunc(s.context.Fixed, isOurs) {
			continue
		}
		b = append(append(append(append(b, v.name...), 0), v.value...), 0)
	}
	if len(b) == 0 {
		return clientSettings{}
	}
	return unique.Make(string(b))
}
