package proxy

import "time"

// Changeable are the options that may change while the server runs.
type Changeable struct {
	Limits Limits
	// Pool: all but Transaction and Shared.
	Pool         PoolOptions
	TLS          TLSOptions
	SlowQuery    time.Duration
	OAuthFailure []byte
}

// Changeable returns the part of the options that may change.
func (o *Options) Changeable() *Changeable {
	return &Changeable{Limits: o.Limits, Pool: o.Pool, TLS: o.TLS, SlowQuery: o.SlowQuery, OAuthFailure: o.OAuthFailure}
}

// Reconfigure puts other options in force, for sessions that there are too.
// Any goroutine may call it.
func (s *Server) Reconfigure(c *Changeable) {
	before := s.env.changeable()
	s.env.now.Store(c)
	// The server connections that there are were given the old default.
	s.pool.configure(c.Pool, c.Limits.StatementTimeout != before.Limits.StatementTimeout)
	s.loops[0].Post(func() { s.pool.sweep(s.loops[0].Now()) })
}

// changeable are the options in force.
func (e *environment) changeable() *Changeable {
	if c := e.now.Load(); c != nil {
		return c
	}
	return e.opts.Changeable()
}

func (e *environment) limits() *Limits { return &e.changeable().Limits }

// configure changes the bounds. With anew, server connections that are there
// now serve nobody after their present client.
func (p *pool) configure(o PoolOptions, anew bool) {
	p.mu.Lock()
	o.Transaction, o.Shared = p.opts.Transaction, p.opts.Shared
	p.opts = o
	if anew {
		p.epoch++
	}
	var out outcome
	p.serve(&out)
	p.mu.Unlock()
	p.carryOut(out, nil)
}
