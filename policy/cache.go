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
	young, old map[string]*Inspection
	bytes      int // of the young generation
	maxEntries int // per generation
	maxBytes   int // per generation
	door       []uint64
}

func newCache(entries int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	perShard := max(entries/cacheShards/2, 1)
	for i := range c.shards {
		s := &c.shards[i]
		s.young = make(map[string]*Inspection)
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
	i, ok := s.young[string(text)]
	aged := false
	if !ok {
		i, ok = s.old[string(text)]
		aged = ok
	}
	s.mu.RUnlock()
	if aged && s.mu.TryLock() { // a busy lock may promote it the next time
		s.promote(text, i)
		s.mu.Unlock()
	}
	return i, ok
}

// promote moves an entry of the old generation to the young one. The key's
// memory is that of the entry's own text, never of the caller's buffer.
func (s *cacheShard) promote(text []byte, i *Inspection) {
	if s.old[string(text)] != i {
		return
	}
	delete(s.old, i.source)
	s.put(i.source, i)
}

// store keeps the inspection of its text, if the text may be kept.
func (c *cache) store(i *Inspection) {
	if len(i.source) > maxCachedText {
		return
	}
	h := maphash.String(c.seed, i.source)
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
	s.put(i.source, i)
}

func (s *cacheShard) put(text string, i *Inspection) {
	if _, ok := s.young[text]; !ok {
		s.bytes += textCopies*len(text) + entryOverhead
	}
	s.young[text] = i
	if len(s.young) >= s.maxEntries || s.bytes >= s.maxBytes {
		s.old, s.young, s.bytes = s.young, make(map[string]*Inspection, s.maxEntries), 0
	}
}

// clear forgets everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.young, s.old, s.bytes = make(map[string]*Inspection), nil, 0
		s.mu.Unlock()
	}
}
