package proxy

import "time"

// A client that goes in the middle of something leaves a server process that
// does not notice it before it has finished. Such a connection is abandoned: it
// is told that no more will come, and keeps its place in the pool until the
// server has closed it. Else a client could run any number of statements at a
// time, beyond every limit of the pool, by leaving each of them.

// How long the statements of a client that is gone may go on, how often they
// are cancelled after that, and when their server process is given up.
const (
	abandonedGrace = 5 * time.Second
	abandonedRetry = time.Second
	abandonedLimit = time.Minute
)

// abandon waits for the server to finish what the client has sent.
func (l *serverLink) abandon() {
	l.state.set(linkAbandoned)
	l.conn.CloseWrite()
	end := l.loop.Now().Add(abandonedLimit)
	l.timer = l.loop.NewTimer(func() {
		switch {
		case l.state.get() != linkAbandoned:
		case l.loop.Now().After(end):
			l.discard("it does not end what its client has left")
		default:
			l.cancelAbandoned()
		}
	})
	l.timer.Reset(l.loop.Now().Add(abandonedGrace))
}

// cancelAbandoned cancels what runs. More may stand behind it in the pipeline,
// so it is repeated.
func (l *serverLink) cancelAbandoned() {
	l.cancel(func() {
		if l.state.get() == linkAbandoned {
			l.timer.Reset(l.loop.Now().Add(abandonedRetry))
		}
	})
}
