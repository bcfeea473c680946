package proxy

import (
	"strconv"
	"strings"
	"sync"
	"unique"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// poolKey names server connections that are alike: logged in for the same
// org's context, database and startup parameters. org is whose share of the
// pool a connection counts in. RESET ALL and DISCARD ALL
// return such a connection to exactly these.
type poolKey struct {
	org string
	// start identifies context, database and parameters; where connections are
	// shared between orgs, it is the same for all of them. It is kept once for
	// all sessions.
	start unique.Handle[string]
}

func makeKey(c *tenant.Context, p *startupParams) poolKey {
	var b strings.Builder
	write := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	write(c.Key)
	write(p.database)
	for _, s := range p.settings {
		write(s.name)
		write(s.value)
	}
	return poolKey{org: c.Org, start: unique.Make(b.String())}
}

// contexts remembers the tenant contexts of identities, which sessions with one
// token share, and what was picked of those that grant several orgs. It is
// bounded: what falls out is made again.
type contexts struct {
	mu     sync.Mutex
	known  map[*auth.Identity]*tenant.Context
	picked map[pick]*auth.Identity
	nobody *tenant.Context
}

// pick is an org picked by the holder of a token.
type pick struct {
	by  *auth.Identity
	org string
}

const maxContexts = 4096

// resolve returns the context of an identity.
func (c *contexts) resolve(r *tenant.Resolver, id *auth.Identity) (*tenant.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id.Org == "" {
		if c.nobody == nil {
			c.nobody = r.Nobody()
		}
		return c.nobody, nil
	}
	if ctx := c.known[id]; ctx != nil {
		return ctx, nil
	}
	ctx, err := r.Resolve(tenant.Claims{Org: id.Org, Subject: id.Subject, Role: id.Role, JSON: id.Claims})
	if err != nil {
		return nil, err
	}
	if len(c.known) >= maxContexts || c.known == nil {
		c.known = make(map[*auth.Identity]*tenant.Context)
	}
	c.known[id] = ctx
	return ctx, nil
}

// pick returns the identity of one that grants several orgs, for that org; nil
// if it does not grant it.
func (c *contexts) pick(v *auth.Verifier, by *auth.Identity, org string) *auth.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := pick{by, org}
	if id := c.picked[key]; id != nil {
		return id
	}
	id, ok := v.Pick(by, org)
	if !ok {
		return nil
	}
	if len(c.picked) >= maxContexts || c.picked == nil {
		c.picked = make(map[pick]*auth.Identity)
	}
	c.picked[key] = id
	return id
}

// recentParams remembers the parameter statuses that the server reported for
// a key, so that a session in transaction pooling can start without a server
// connection. It is bounded: what falls out is learnt again.
type recentParams struct {
	mu   sync.Mutex
	keys map[unique.Handle[string]]map[string]string
}

const maxRecentParams = 4096

func (r *recentParams) get(k poolKey) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[k.start]
}

// forget lets the next session learn again: the server has refused such a one.
func (r *recentParams) forget(k poolKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, k.start)
}

func (r *recentParams) put(k poolKey, params map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.keys[k.start]; ok {
		return
	}
	if len(r.keys) >= maxRecentParams {
		clear(r.keys)
	}
	fixed := make(map[string]string, len(params))
	for n, v := range params {
		fixed[n] = v
	}
	r.keys[k.start] = fixed
}
