package proxy

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
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
		s.deadline = instantOf(st.now.Add(s.env.limits().QueueTimeout))
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
	s.encoded = slices.ContainsFunc(s.startup.settings, func(p setting) bool {
		return p.name == "client_encoding" && policy.ByteEncoding(p.value)
	})
	if d := s.startupDecision(); d.Action != policy.Allow {
		s.record(st, d, nil, policy.Startup, nil)
		if d.Action == policy.Block {
			e := fromDecision(&d).fatal()
			s.end(st, endRefused, &e)
			return
		}
	}
	if s.share = s.env.orgs.enter(s.identity.Org, s.env.limits().MaxClientsPerOrg); s.share == nil {
		s.end(st, endRefused, &errTooManyOrgClients)
		return
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
	switch strings.ToLower(s.startup.unusual().replication) {
	case "", "false", "off", "no", "0":
	default:
		return s.engine.Replication()
	}
	var observed policy.Decision
	for _, p := range s.startup.settings {
		d := s.engine.StartupParameter(p.name, p.value)
		if d.Action == policy.Allow {
			d = s.engine.StartupOrg(p.name, p.value, s.context.Org)
		}
		if d.Action == policy.Block {
			return d
		}
		if d.Action == policy.Observe && p.name == parser.IdentityToken {
			d.Action = policy.Block // what may hold a token goes nowhere
			return d
		}
		if d.Action == policy.Observe {
			observed = d
		}
	}
	return observed
}

func (s *Session) borrow(st *step) {
	s.deadline = instantOf(st.now.Add(s.env.limits().QueueTimeout))
	st.ask(borrowServer{})
}

// serverBorrowed is the answer to borrowServer.
func (s *Session) serverBorrowed(st *step, sc *serverConn, e *clientError) {
	waiting := s.phase == phaseAttaching || s.phase == phaseRelay && s.wait == waitServer
	switch {
	case sc != nil && (!waiting || sc.key.start != s.key.start):
		// It comes from a request that was given up; the session may have
		// changed its identity since, and then it is not for this one.
		st.ask(returnClean{sc: sc})
		return
	case !waiting:
		return
	case e != nil && s.phase == phaseRelay:
		s.unserved(st, e)
		return
	case e != nil:
		s.end(st, endServerFault, e)
		return
	}
	s.sc, s.served = sc, false
	s.settle()
	// What another client has SET there must not be told as the server's own
	// parameters: then the label, which resets it, comes first.
	asLoggedIn := sc.state == (clientSettings{})
	if s.phase == phaseAttaching && asLoggedIn {
		s.env.recent.put(s.key, sc.params)
	}
	if s.phase == phaseAttaching && s.pooling() && asLoggedIn {
		s.attached(st) // what the client sends first may need another label
		return
	}
	if s.putLabel(st, s.mayFollow()) {
		return
	}
	s.attached(st)
	if s.phase == phaseRelay {
		s.resume(st)
	}
}

// mayFollow reports whether the message that waits for the server connection
// may be sent behind a label that is not confirmed. One that is sent behind a
// Sync of Bulkhead's own may not (materialise). Nor may it if settings of
// clients change: the server would report them (ParameterStatus) in its reply
// to the client, who knows them already.
func (s *Session) mayFollow() bool {
	return s.phase == phaseRelay && !s.aborted && s.sc.state == s.state && (s.inspected == nil || len(s.inspected.Effects.Prepared) == 0)
}

// attached goes on once the server connection carries the session's context.
func (s *Session) attached(st *step) {
	if s.phase == phaseAttaching {
		s.welcome(st, s.sc.params)
		s.maybeDetach(st)
	}
	s.wait = waitNone
}

// ownQuery sends a Query of Bulkhead's own; o is what is owed for it.
func (s *Session) ownQuery(st *step, sql string, o owed) {
	if s.sc.owed.labels > 0 {
		panic("proxy: a Query of our own behind a label that is not confirmed") // it would run if the label fails
	}
	st.toServer.add(message(st.toServer.grow(), 'Q', sql))
	s.sc.owed.push(o)
	s.sc.known.unnamed = unnamedID{} // a simple Query destroys it
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
	s.activity = instantOf(st.now)
}
