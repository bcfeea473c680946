package proxy

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/policy"
)

// attach decides what the authenticated session may connect to, and asks for
// a server connection that carries its tenant context.
func (s *Session) attach(st *step) {
	opts := s.env.opts
	if s.startup.database == "" {
		// PostgreSQL would fill in a default; deciding on the name that was
		// not sent would let it fill in another one than was checked.
		s.startup.database = opts.Server.Database
	}
	s.phase = phaseAttaching
	s.engine = opts.Engines[s.startup.database]
	switch {
	case s.engine != nil:
		s.admit(st)
	case opts.OpenDatabase != nil:
		s.deadline = st.now.Add(opts.Limits.QueueTimeout)
		st.ask(openDatabase{name: s.startup.database})
	default:
		s.end(st, endRefused, &errDatabase)
	}
}

// databaseOpened is the answer to openDatabase.
func (s *Session) databaseOpened(st *step, engine *policy.Engine, e *clientError) {
	switch {
	case s.phase != phaseAttaching || s.engine != nil:
	case e != nil:
		s.end(st, endRefused, e)
	default:
		s.engine = engine
		s.admit(st)
		if s.phase == phaseRelay {
			s.resume(st)
		}
	}
}

// admit judges the startup parameters, and asks for a server connection.
func (s *Session) admit(st *step) {
	if d := s.startupDecision(); d.Action != policy.Allow {
		s.record(st, d, nil, policy.Startup, nil)
		if d.Action == policy.Block {
			e := fromDecision(&d).fatal()
			s.end(st, endRefused, &e)
			return
		}
	}
	s.key = makeKey(s.context, &s.startup)
	if s.env.opts.Pool.Transaction {
		if p := s.env.recent.get(s.key); p != nil {
			s.welcome(st, p)
			return
		}
	}
	s.borrow(st)
}

// startupDecision applies the settings rules to the startup parameters: they
// are a SET in another costume.
func (s *Session) startupDecision() policy.Decision {
	switch strings.ToLower(s.startup.replication) {
	case "", "false", "off", "no", "0":
	default:
		return s.engine.Replication()
	}
	var observed policy.Decision
	for _, p := range s.startup.settings {
		d := s.engine.StartupParameter(p.name, p.value)
		if d.Action == policy.Block {
			return d
		}
		if d.Action == policy.Observe {
			observed = d
		}
	}
	return observed
}

func (s *Session) borrow(st *step) {
	s.deadline = st.now.Add(s.env.opts.Limits.QueueTimeout)
	st.ask(borrowServer{})
}

// serverBorrowed is the answer to borrowServer.
func (s *Session) serverBorrowed(st *step, sc *serverConn, e *clientError) {
	waiting := s.phase == phaseAttaching || s.phase == phaseRelay && s.wait == waitServer
	switch {
	case !waiting && sc != nil:
		st.ask(returnClean{sc: sc})
		return
	case !waiting:
		return
	case e != nil:
		s.end(st, endServerFault, e)
		return
	}
	s.sc = sc
	if s.phase == phaseAttaching && sc.state == (clientSettings{}) {
		s.env.recent.put(s.key, sc.params)
	}
	if sc.label != s.context.Label || sc.state != s.state {
		s.setLabel(st, s.adoptSQL(sc.state))
		return
	}
	s.attached(st)
	if s.phase == phaseRelay {
		s.resume(st)
	}
}

// attached goes on once the server connection carries the session's context.
func (s *Session) attached(st *step) {
	if s.phase == phaseAttaching {
		s.welcome(st, s.sc.params)
		s.maybeDetach(st)
	}
	s.wait = waitNone
}

// setLabel sends the per-user settings to the server connection, and with them
// what the client has SET. Nothing of the client goes there before the server
// has confirmed them.
func (s *Session) setLabel(st *step, sql string) {
	s.sc.label = labelUnknown
	s.wait = waitLabel
	s.deadline = st.now.Add(s.env.opts.Limits.ServerResetTimeout)
	s.ownQuery(st, sql, owed{kind: owedQuery, own: true})
}

// ownQuery sends a Query of Bulkhead's own; o is what is owed for it.
func (s *Session) ownQuery(st *step, sql string, o owed) {
	st.toServer.add(message(st.toServer.grow(), 'Q', sql))
	s.sc.owed.push(o)
	s.sc.known.unnamed = unnamedID{} // a simple Query destroys it
}

// labelUnknown is the label of a server connection whose per-user settings
// are being changed. It equals no session's.
const labelUnknown = "?"

// labelSet is called with the server's answer to setLabel.
func (s *Session) labelSet(st *step, failed bool) {
	if failed {
		s.sc.doubtful("the tenant context could not be set")
		s.end(st, endServerFault, &errTenantContext)
		return
	}
	s.sc.label, s.sc.state = s.context.Label, s.state
	s.attached(st)
}

// welcome completes the startup: the client may now send queries.
func (s *Session) welcome(st *step, params map[string]string) {
	b := authRequest(st.toClient.grow(), authOK)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		var at int
		b, at = begin(b, 'S')
		b = append(append(b, name...), 0)
		b = append(append(b, params[name]...), 0)
		b = finish(b, at)
	}
	var pid uint32
	if s.sc != nil && !s.env.opts.Pool.Transaction {
		pid = s.sc.pid // drivers compare it with pg_backend_pid()
	}
	s.cancel = newCancelKey(pid, s.startup.version)
	st.ask(registerKey{key: s.cancel})
	var at int
	b, at = begin(b, 'K')
	b = binary.BigEndian.AppendUint32(b, s.cancel.pid)
	b = append(b, s.cancel.secret...)
	b = finish(b, at)
	st.toClient.add(readyForQuery(b, txIdle))
	s.phase, s.wait = phaseRelay, waitNone
	s.activity = st.now
}
