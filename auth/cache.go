package auth

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// cache remembers verified tokens by the hash of the token, in two
// generations: when one is full, the older is dropped.
type cache struct {
	size int

	mu    sync.RWMutex
	young map[[sha256.Size]byte]*Identity
	old   map[[sha256.Size]byte]*Identity
	// generation counts how often the cache was cleared.
	generation uint64
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

// current returns the generation; ask before the keys are looked at.
func (c *cache) current() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.generation
}

// put remembers a token that was verified with the keys of a generation. If
// the keys have changed meanwhile it does nothing: the token may be signed
// with one that is gone.
func (c *cache) put(h [sha256.Size]byte, id *Identity, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]*Identity)
	}
	c.young[h] = id
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = make(map[[sha256.Size]byte]*Identity), nil
	c.generation++
}

// revoked is the list of revoked token ids, subjects and orgs.
type revoked struct {
	file string
	list atomic.Pointer[map[string]struct{}]

	mu   sync.Mutex // guards seen, and lets one reload at a time
	seen fs.FileInfo
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
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.file)
	if err != nil {
		return false, fmt.Errorf("read list: %w", err)
	}
	if sameFile(info, r.seen) {
		return false, nil
	}
	b, err := os.ReadFile(r.file)
	if err != nil {
		return false, fmt.Errorf("read list: %w", err)
	}
	list := make(map[string]struct{})
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		list[line] = struct{}{}
		// An org that is a uuid is compared in its canonical form.
		if lower := strings.ToLower(line); isUUID(lower) {
			list[lower] = struct{}{}
		}
	}
	r.list.Store(&list)
	r.seen = info
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
