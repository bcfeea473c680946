package proxy

import "context"

// cancel cancels what runs for the session that has the connection, and then
// calls done. One CancelRequest at a time is on its way to a server
// connection, and all that are asked for meanwhile are one more: a client
// cannot make a storm of connections to the server of them.
func (l *serverLink) cancel(done func()) {
	if l.cancelling {
		l.cancels = append(l.cancels, done)
		return
	}
	l.cancelling = true
	background(func() {
		l.sendCancel()
		l.loop.Post(func() {
			done()
			l.cancelled()
		})
	}, l.srv.workers.cancel)
}

// sendCancel sends a CancelRequest and waits until the server has got it.
func (l *serverLink) sendCancel() {
	ctx, stop := context.WithTimeout(l.srv.ctx, cancelTimeout)
	defer stop()
	if err := l.sc.cancel(ctx); err != nil {
		l.srv.log.Warn("cancel request failed", "server_pid", l.sc.pid, "error", err)
	}
}

func (l *serverLink) cancelled() {
	l.cancelling = false
	waiting := l.cancels
	l.cancels = nil
	done := func() {
		for _, f := range waiting {
			f()
		}
	}
	if len(waiting) > 0 && l.holder != nil && l.sc.owed.len() > 0 {
		l.cancel(done)
		return
	}
	done()
	if f := l.waiting; f != nil {
		l.waiting = nil
		f()
	}
}
