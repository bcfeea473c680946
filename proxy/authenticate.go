package proxy

import (
	"bytes"
	"encoding/binary"

	"github.com/pgbulkhead/bulkhead/auth"
)

// Authentication request codes (PostgreSQL manual, Message Formats).
const (
	authOK            = 0
	authCleartext     = 3
	authSASL          = 10
	authSASLContinue  = 11
	mechanismOAuth    = "OAUTHBEARER"
	maxSASLMechanisms = 64
)

func authRequest(b []byte, code uint32) []byte {
	b, at := begin(b, 'R')
	return finish(binary.BigEndian.AppendUint32(b, code), at)
}

// askToken asks the client for its token, or takes the sidecar's own.
func (s *Session) askToken(st *step) {
	b := s.startup.negotiate(st.toClient.grow())
	s.phase = phaseToken
	switch {
	case s.env.opts.TokenSource != nil:
		st.toClient.add(b)
		token, err := s.env.opts.TokenSource.Token()
		if err != nil {
			s.env.log.Error("token_file cannot be read", "error", err)
			s.authFailed(st, auth.ReasonOf(err))
			return
		}
		s.verify(st, token)
	case s.env.opts.OAuthBearer:
		var at int
		b, at = begin(b, 'R')
		b = binary.BigEndian.AppendUint32(b, authSASL)
		b = append(append(b, mechanismOAuth...), 0, 0)
		st.toClient.add(finish(b, at))
	default:
		st.toClient.add(authRequest(b, authCleartext))
	}
}

// tokenMessage handles the client's answer to askToken.
func (s *Session) tokenMessage(st *step, b []byte) int {
	if len(b) < 5 {
		return 0
	}
	size := int(binary.BigEndian.Uint32(b[1:])) + 1
	bound := s.env.limits().MaxTokenBytes + maxSASLMechanisms + 16
	if b[0] != 'p' || size < 6 || size > bound {
		s.authFailed(st, auth.ReasonTooLarge)
		return len(b)
	}
	if len(b) < size {
		return 0
	}
	body := b[5:size]
	if s.env.opts.OAuthBearer {
		s.bearerMessage(st, body)
		return size
	}
	token, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || len(rest) != 0 || len(token) == 0 {
		s.authFailed(st, auth.ReasonMalformed)
		return len(b)
	}
	s.verify(st, token)
	return size
}

// bearerMessage handles SASLInitialResponse and SASLResponse of OAUTHBEARER
// (RFC 7628). A client that does not know where to get a token sends an empty
// one, is told, answers with a single ^A and is then refused.
func (s *Session) bearerMessage(st *step, body []byte) {
	if len(body) == 1 && body[0] == 1 {
		s.authFailed(st, auth.ReasonMalformed)
		return
	}
	mechanism, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || string(mechanism) != mechanismOAuth || len(rest) < 4 {
		s.authFailed(st, auth.ReasonMalformed)
		return
	}
	if n := binary.BigEndian.Uint32(rest); int64(n) != int64(len(rest)-4) {
		s.authFailed(st, auth.ReasonMalformed)
		return
	}
	token, err := auth.ParseBearer(rest[4:])
	if err != nil {
		s.authFailed(st, auth.ReasonMalformed)
		return
	}
	if len(token) == 0 {
		b, at := begin(st.toClient.grow(), 'R')
		b = binary.BigEndian.AppendUint32(b, authSASLContinue)
		b = append(b, s.env.changeable().OAuthFailure...)
		st.toClient.add(finish(b, at))
		return
	}
	s.verify(st, token)
}

// verify asks for a verdict on the token; from the cache at once.
func (s *Session) verify(st *step, token []byte) {
	if len(token) > s.env.limits().MaxTokenBytes {
		s.authFailed(st, auth.ReasonTooLarge)
		return
	}
	if id, err, known := s.env.opts.Verifier.Cached(token); known {
		s.verified(st, id, err)
		return
	}
	if wait := s.env.opts.Throttle.Allow(s.client.throttle, st.now); wait > 0 {
		s.env.metrics.authFailed("throttled")
		s.end(st, endAuthFailed, &errAuthBusy)
		return
	}
	s.phase = phaseVerifying
	st.ask(verifyToken{token: append([]byte(nil), token...)})
}

// tokenVerified is the answer to verifyToken.
func (s *Session) tokenVerified(st *step, id *auth.Identity, err error) {
	if s.phase == phaseRelay && s.wait == waitToken {
		s.verdict, s.wait = &verdict{id, err}, waitNone
		s.resume(st)
		s.maybeDetach(st)
		return
	}
	if s.phase != phaseVerifying {
		return
	}
	s.verified(st, id, err)
	if s.phase == phaseRelay {
		s.resume(st)
	}
}

func (s *Session) verified(st *step, id *auth.Identity, err error) {
	if err != nil {
		s.env.log.Warn("authentication failed", "session", s.id, "client_addr", s.client.addr, "reason", auth.ReasonOf(err))
		s.authFailed(st, auth.ReasonOf(err))
		return
	}
	s.env.opts.Throttle.Succeeded(s.client.throttle)
	st.ask(authenticated{})
	s.identity = id
	ctx, err := s.env.contexts.resolve(s.env.opts.Resolver, id)
	if err != nil {
		s.env.metrics.authFailed("tenant")
		s.env.log.Warn("token maps to no tenant", "session", s.id, "client_addr", s.client.addr, "error", err)
		s.end(st, endAuthFailed, &errTenant)
		return
	}
	s.context = ctx
	s.attach(st)
}

// makeRoom ends a session that has not authenticated yet, for another client.
func (s *Session) makeRoom(st *step) {
	if s.phase < phaseAttaching {
		s.end(st, endRefused, &errTooManyClients)
	}
}

// authFailed ends the session. The client learns nothing of the reason; the
// log does.
func (s *Session) authFailed(st *step, why auth.Reason) {
	s.env.metrics.authFailed(string(why))
	s.env.opts.Throttle.Failed(s.client.throttle, st.now)
	s.end(st, endAuthFailed, &errAuth)
}
