package policy

import (
	"hash/maphash"
	"sync"
)

// maxCachedText bounds the texts that are cached, in bytes: longer ones are
// rarely sent twice in the same words.
const maxCachedText = 8 << 10

// What an entry costs: its text, the redacted text and the names in it, and a
// guess of the rest in bytes.
const (
	textCopies    = 3
	entryOverhead = 1 << 10
)

// cacheShards spreads the locks; cachedBytesPerEntry turns the bound on
// entries into one on bytes.
const (
	cacheShards         = 16
	cachedBytesPerEntry = 4 << 10
	doorSlots           = 1 << 10
)

// cache maps exact texts to inspections. Each shard keeps two generations: an
// entry that is used moves to the young one; when the young one is full the
// old one is dropped and the young one takes its place.
//
// One tenant must not be able to push out everybody's entries by sending
// texts that nobody else sends. So once the first generation has filled up, a
// text is kept only at its second sighting, and entries in use survive as
// long as they are used once per generation. A tenant that sends many texts
// twice can still shorten the life of entries that are hardly used.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu         sync.RWMutex
	young, old map[string]cached
	bytes      int // of the young generation
	maxEntries int // per generation
	maxBytes   int // per generation
	door       []uint64
}

// cached is an entry, with its key: the exact text, or the shape.
type cached struct {
	key        string
	inspection *Inspection
}

func newCache(entries int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	perShard := max(entries/cacheShards/2, 1)
	for i := range c.shards {
		s := &c.shards[i]
		s.young = make(map[string]cached)
		s.maxEntries = perShard
		s.maxBytes = perShard * cachedBytesPerEntry
		s.door = make([]uint64, doorSlots)
	}
	return c
}

// load returns the inspection of text. It does not allocate.
func (c *cache) load(text []byte) (*Inspection, bool) {
	if len(text) > maxCachedText {
		return nil, false
	}
	s := &c.shards[maphash.Bytes(c.seed, text)%cacheShards]
	s.mu.RLock()
	entry, ok := s.young[string(text)]
	aged := false
	if !ok {
		entry, ok = s.old[string(text)]
		aged = ok
	}
	s.mu.RUnlock()
	if aged && s.mu.TryLock() { // a busy lock may promote it the next time
		s.promote(entry)
		s.mu.Unlock()
	}
	return entry.inspection, ok
}

// promote moves an entry of the old generation to the young one.
func (s *cacheShard) promote(e cached) {
	if s.old[e.key] != e {
		return
	}
	delete(s.old, e.key)
	s.put(e)
}

// store keeps an inspection under a text, if the text may be kept. It copies
// the text only then.
func (c *cache) store(text []byte, i *Inspection) {
	if len(text) > maxCachedText {
		return
	}
	h := maphash.Bytes(c.seed, text)
	s := &c.shards[h%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old != nil { // under pressure: only at the second sighting
		slot := &s.door[(h/cacheShards)%doorSlots]
		if *slot != h {
			*slot = h
			return
		}
	}
	s.put(cached{string(text), i})
}

func (s *cacheShard) put(e cached) {
	if _, ok := s.young[e.key]; !ok {
		s.bytes += textCopies*len(e.key) + entryOverhead
	}
	s.young[e.key] = e
	if len(s.young) >= s.maxEntries || s.bytes >= s.maxBytes {
		s.old, s.young, s.bytes = s.young, make(map[string]cached, s.maxEntries), 0
	}
}

// clear forgets everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.young, s.old, s.bytes = make(map[string]cached), nil, 0
		s.mu.Unlock()
	}
}
