package proxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
)

// cancelKey is what a client sends in a CancelRequest: BackendKeyData's
// process id and secret. In session pooling the id is that of the real server
// process; the secret is always Bulkhead's own.
type cancelKey struct {
	pid    uint32
	secret string
}

// Secrets have 4 bytes in protocol 3.0 and may have up to 256 in 3.2.
const (
	secretBytes30 = 4
	secretBytes32 = 32
)

func newCancelKey(pid, version uint32) cancelKey {
	n := secretBytes30
	if version >= version32 {
		n = secretBytes32
	}
	b := make([]byte, n+4)
	rand.Read(b) // never fails
	if pid == 0 {
		// Made up. Real ids on Linux are below 1<<22.
		pid = binary.BigEndian.Uint32(b[n:])&0x3fffffff | 1<<30
	}
	return cancelKey{pid: pid, secret: string(b[:n])}
}

// wire returns the key as CancelRequest carries it.
func (k cancelKey) wire() string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], k.pid)
	return string(b[:]) + k.secret
}

// cancelRegistry finds the session that owns a key.
type cancelRegistry struct {
	mu   sync.Mutex
	keys map[string]*clientLink
}

func (r *cancelRegistry) put(k cancelKey, c *clientLink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[k.wire()] = c
}

func (r *cancelRegistry) remove(k cancelKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, k.wire())
}

func (r *cancelRegistry) find(wire string) *clientLink {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[wire]
}

// canceller sends a CancelRequest for a server connection, over a connection
// of its own to the same server. It returns when the server has closed that
// connection, so when the signal has been sent.
type canceller func(ctx context.Context) error
