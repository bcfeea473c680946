package policy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLookupRunsOneAtATimeAndSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, running atomic.Int32
		l := &lookup{now: time.Now, fetch: func(context.Context) (*Catalog, error) {
			if running.Add(1) > 1 {
				t.Error("two lookups at once")
			}
			time.Sleep(time.Second) // the bubble's clock, not ours
			running.Add(-1)
			calls.Add(1)
			return &Catalog{}, nil
		}}
		flood := func() {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { l.refresh(t.Context(), func(*Catalog) {}) })
			}
			wg.Wait()
		}
		flood()
		flood()
		if got := calls.Load(); got != 1 {
			t.Errorf("lookups: got %d, want 1", got)
		}
		time.Sleep(freshFactor*time.Second + time.Millisecond)
		flood()
		if got := calls.Load(); got != 2 {
			t.Errorf("lookups after the snapshot aged: got %d, want 2", got)
		}
	})
}

func TestLookupFailureIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := errors.New("down")
		l := &lookup{now: time.Now, fetch: func(context.Context) (*Catalog, error) { return nil, fail }}
		k := newKnown(&Catalog{}, &compiledOptions{})
		l.refresh(t.Context(), func(*Catalog) { t.Error("a failed lookup was used") })
		if l.fresh(k) {
			t.Error("after a failed lookup an old snapshot counts as fresh")
		}
	})
}

func TestLookupEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l := &lookup{now: time.Now, fetch: func(context.Context) (*Catalog, error) { <-release; return &Catalog{}, nil }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.refresh(ctx, func(*Catalog) {})
		if ctx.Err() == nil {
			t.Error("refresh returned before the lookup ended and before its context did")
		}
		close(release)
	})
}

func TestFreshEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *known
		l := &lookup{now: time.Now, fetch: func(context.Context) (*Catalog, error) { return &Catalog{TakenAt: time.Now()}, nil }}
		l.refresh(t.Context(), func(c *Catalog) { k = newKnown(c, &compiledOptions{}) })
		if !l.fresh(k) {
			t.Fatal("a snapshot just taken is not fresh")
		}
		time.Sleep(freshFor)
		if l.fresh(k) {
			t.Errorf("a snapshot of %v ago is fresh", freshFor)
		}
	})
}

// A name that an old snapshot does not know is looked up before DROP TABLE of
// it is refused: Sequel and many applications drop a temporary table, if there
// is one, before they create it.
func TestDropOfUnknownTableIsLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Options{Lookup: func(context.Context) (*Catalog, error) {
			return &Catalog{TakenAt: time.Now(), Relations: []CatalogRelation{{Schema: "public", Name: "countries", Kind: KindTable}}}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]Action{
			"DROP TABLE IF EXISTS my_import": Allow, "TRUNCATE my_import": Allow, "ANALYZE my_import": Allow, "DROP TABLE IF EXISTS countries": Block,
		} {
			e.SetCatalog(&Catalog{TakenAt: time.Now()})
			time.Sleep(2 * freshFor)
			if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != want {
				t.Errorf("%s: got %v %s %q, want %v", text, d.Action, d.Rule, d.Reason, want)
			}
		}
	})
}
