package auth

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// cache remembers verified tokens by the hash of the token, in two
// generations: when one is full, the older is dropped.
type cache struct {
	size int

	mu    sync.RWMutex
	young map[[sha256.Size]byte]*Identity
	old   map[[sha256.Size]byte]*Identity
}

func newCache(size int) *cache {
	return &cache{size: max(1, size/2), young: make(map[[sha256.Size]byte]*Identity)}
}

func (c *cache) get(h [sha256.Size]byte) *Identity {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if id := c.young[h]; id != nil {
		return id
	}
	return c.old[h]
}

func (c *cache) put(h [sha256.Size]byte, id *Identity, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]*Identity)
	}
	c.young[h] = id
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = make(map[[sha256.Size]byte]*Identity), nil
}

// revoked is the list of revoked token ids, subjects and orgs.
type revoked struct {
	file string
	seen time.Time
	list atomic.Pointer[map[string]struct{}]
}

func newRevoked(file string) (*revoked, error) {
	r := &revoked{file: file}
	r.list.Store(&map[string]struct{}{})
	if file == "" {
		return r, nil
	}
	_, err := r.reload()
	return r, err
}

// reload reads the file if it has changed.
func (r *revoked) reload() (changed bool, err error) {
	if r.file == "" {
		return false, nil
	}
	info, err := os.Stat(r.file)
	if err != nil {
		return false, fmt.Errorf("read list: %w", err)
	}
	if info.ModTime().Equal(r.seen) {
		return false, nil
	}
	f, err := os.Open(r.file)
	if err != nil {
		return false, fmt.Errorf("read list: %w", err)
	}
	defer f.Close()
	list := make(map[string]struct{})
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line != "" && !strings.HasPrefix(line, "#") {
			list[line] = struct{}{}
		}
	}
	r.list.Store(&list)
	r.seen = info.ModTime()
	return true, nil
}

func (r *revoked) has(id *Identity) bool {
	list := *r.list.Load()
	if len(list) == 0 {
		return false
	}
	for _, s := range [...]string{id.TokenID, id.Subject, id.Org} {
		if _, ok := list[s]; ok && s != "" {
			return true
		}
	}
	return false
}
