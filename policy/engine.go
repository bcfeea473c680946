package policy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Engine runs the rules. It is safe for several goroutines.
type Engine struct {
	lookup *lookup // its fetch is nil if there is none

	// known is what is known of the database, with the options in force.
	// changing is held while one of both is replaced.
	known    atomic.Pointer[known]
	changing sync.Mutex
	cache    *cache // by exact text
	shapes   *cache // by shape, for decisions that read no constant
}

// New makes an Engine. It fails if the options name a rule, a mode or an org
// type that does not exist.
func New(o Options) (*Engine, error) {
	c, err := compile(o)
	if err != nil {
		return nil, err
	}
	entries := o.CacheEntries
	if entries == 0 {
		entries = defaultCacheEntries
	}
	e := &Engine{
		lookup: &lookup{fetch: o.Lookup, now: time.Now},
		cache:  newCache(entries),
		shapes: newCache(entries),
	}
	e.known.Store(newKnown(o.Catalog, c))
	return e, nil
}

// SetCatalog replaces the snapshot and drops all cached decisions. A nil
// catalogue makes every name that is not PostgreSQL's own unknown.
func (e *Engine) SetCatalog(c *Catalog) {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.replace(newKnown(c, e.options()))
}

// SetOptions puts other options in force, with the snapshot that there is, and
// drops all cached decisions. Lookup, Catalog and CacheEntries stay as they
// are. It fails like New, and then changes nothing.
func (e *Engine) SetOptions(o Options) error {
	c, err := compile(o)
	if err != nil {
		return err
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	k := e.known.Load()
	if k.absent {
		e.replace(newKnown(nil, c))
	} else {
		e.replace(newKnown(k.catalog, c))
	}
	return nil
}

func (e *Engine) replace(k *known) {
	e.known.Store(k)
	e.cache.clear()
	e.shapes.clear()
}

// options are those in force.
func (e *Engine) options() *compiledOptions { return e.known.Load().options }

// Cached returns the inspection of a text that was inspected before, or of
// one that differs in constants alone where none of them matters. It does not
// allocate for texts of up to maxStackShape bytes and does not keep text. The
// protocol does not change what the rules say; it is there so that it may.
func (e *Engine) Cached(text []byte, _ Protocol) (*Inspection, bool) {
	if i, ok := e.cache.load(text); ok && i.known == e.known.Load() {
		return i, true
	}
	if len(text) > maxCachedText {
		return nil, false
	}
	var room [maxStackShape]byte
	shape, ok := parser.AppendShape(room[:0], text)
	if !ok {
		return nil, false
	}
	if i, ok := e.shapes.load(shape); ok && i.known == e.known.Load() {
		return i, true
	}
	return nil, false
}

// maxStackShape is the size of a shape that needs no memory from the heap.
const maxStackShape = 1 << 10

// TryInspect is Inspect for a caller that must not wait: ok is false if a
// fresh snapshot of the catalogue would be needed.
func (e *Engine) TryInspect(text string, _ Protocol) (i *Inspection, ok bool) {
	i = e.inspect(text)
	if e.wantsLookup(i) {
		return nil, false
	}
	e.keep(i)
	return i, true
}

// Inspect guards, parses and judges a text, and keeps the outcome for Cached.
// It may wait for a fresh snapshot of the catalogue until ctx ends; then what
// is unknown is refused.
func (e *Engine) Inspect(ctx context.Context, text string, _ Protocol) *Inspection {
	i := e.inspect(text)
	if e.wantsLookup(i) {
		e.lookup.refresh(ctx, e.SetCatalog)
		i = e.inspect(text)
	}
	e.keep(i)
	return i
}

func (e *Engine) wantsLookup(i *Inspection) bool {
	return i.unknown && e.lookup.fetch != nil && e.lookup.due(i.known)
}

// keep caches an inspection, unless it holds only for a short while.
func (e *Engine) keep(i *Inspection) {
	if i.unknown || len(i.source) > maxCachedText {
		return
	}
	text := unsafe.Slice(unsafe.StringData(i.source), len(i.source)) // only read
	if i.anyConstant {
		var room [maxStackShape]byte
		if shape, ok := parser.AppendShape(room[:0], text); ok {
			e.shapes.store(shape, i)
			return
		}
	}
	e.cache.store(text, i)
}
