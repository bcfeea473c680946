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
