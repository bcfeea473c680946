package proxy

import (
	"sync"
	"sync/atomic"
)

// orgClients are the sessions of each org, by the token of the connection. A
// session counts from its authentication on: one that waits without a server
// connection takes a place among limits.max_clients too.
type orgClients struct {
	mu sync.Mutex
	of map[string]*orgShare
}

// orgShare is one org's part of what all orgs share.
type orgShare struct {
	org      string
	clients  int           // guarded by orgClients.mu
	held     atomic.Int64  // bytes; see held.go
	inspects chan struct{} // its inspections of large texts at a time
}

// enter counts a session of org; nil if there are limit of them. Sessions
// without an org are those of the operator's own services, and not limited.
func (o *orgClients) enter(org string, limit int) *orgShare {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.of[org]
	if s == nil {
		s = &orgShare{org: org, inspects: make(chan struct{}, inspectsPerOrg)}
		if o.of == nil {
			o.of = make(map[string]*orgShare)
		}
		o.of[org] = s
	}
	if org != "" && s.clients >= limit {
		return nil
	}
	s.clients++
	return s
}

func (o *orgClients) leave(s *orgShare) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.clients--; s.clients == 0 {
		delete(o.of, s.org)
	}
}
