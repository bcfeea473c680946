package proxy

import "sync"

// orgClients counts the sessions of each org, by the token of the connection.
// A session counts from its authentication on: one that waits without a server
// connection takes a place among limits.max_clients too.
type orgClients struct {
	mu sync.Mutex
	n  map[string]int
}

// enter counts a session of org; false if there are limit of them. Sessions
// without an org are those of the operator's own services.
func (o *orgClients) enter(org string, limit int) bool {
	if org == "" || limit <= 0 {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n[org] >= limit {
		return false
	}
	if o.n == nil {
		o.n = make(map[string]int)
	}
	o.n[org]++
	return true
}

func (o *orgClients) leave(org string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.n[org] > 1:
		o.n[org]--
	default: // also those that are not counted
		delete(o.n, org)
	}
}
