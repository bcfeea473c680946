package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/pgbulkhead/bulkhead/proxy/loop"
)

// A storm of CancelRequests for one session becomes two to the server: the one
// that is on its way, and one for all that came meanwhile.
func TestServerLink_CancelStorm(t *testing.T) {
	l, err := loop.New(loop.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.Run() }()
	t.Cleanup(func() { l.Stop(); <-ended })

	const storm = 100
	var sent, done atomic.Int64
	asked, all := make(chan struct{}), make(chan struct{})
	sc := &serverConn{cancel: func(context.Context) error {
		sent.Add(1)
		<-asked
		return nil
	}}
	sc.owed.push(owed{kind: owedQuery})
	link := &serverLink{
		srv:  &Server{workers: newWorkers(), ctx: t.Context(), log: slog.New(slog.DiscardHandler)},
		loop: &loopState{Loop: l}, sc: sc, holder: &clientLink{},
	}
	l.Post(func() {
		for range storm {
			link.cancel(func() {
				if done.Add(1) == storm {
					close(all)
				}
			})
		}
		close(asked)
	})
	<-all
	if n := sent.Load(); n != 2 {
		t.Errorf("%d CancelRequests to the server, want 2", n)
	}
}
