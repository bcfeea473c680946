package proxy

import (
	"github.com/pgbulkhead/bulkhead/policy"
)

// owedKind tells which reply the server owes, so when it is complete.
type owedKind uint8

// The kinds, by the message that was sent (PostgreSQL manual, Message Flow).
const (
	owedQuery    owedKind = iota + 1 // until ReadyForQuery
	owedParse                        // ParseComplete
	owedBind                         // BindComplete
	owedDescribe                     // RowDescription or NoData
	owedExecute                      // CommandComplete, EmptyQueryResponse or PortalSuspended
	owedClose                        // CloseComplete
	owedSync                         // ReadyForQuery
	owedCall                         // FunctionCallResponse, then ReadyForQuery
	// owedCopyEnd owes nothing: it marks where the client sent CopyDone or
	// CopyFail. What stands between a COPY FROM STDIN and its mark is read by
	// the server's COPY, which ignores Sync and Flush.
	owedCopyEnd
	// owedLabel are the replies to statements of Bulkhead's own that put the
	// tenant context on the server connection (label.go).
	owedLabel
	// owedLocal is a reply that Bulkhead gives itself when its turn has come.
	owedLocal
)

// owed is one reply that the server owes.
type owed struct {
	kind owedKind
	// own: the message was Bulkhead's own, nothing of its reply reaches the
	// client.
	own bool
	// hidden: Bulkhead's own message too, one that the client's next message
	// needs. Its success does not reach the client, its failure does: it is
	// that message's.
	hidden bool
	// failed: an ErrorResponse has come, ReadyForQuery has not.
	failed bool
	// told: of a Sync, the client has got an error of the batch that it ends.
	told bool
	// refusal, if set, is the error that the client gets in place of the
	// server's: the message was replaced by one that certainly fails.
	refusal *clientError
	// of is the prepared statement that the message names, if it has another
	// name on the server: errors that quote that one are put right.
	of *prepared
	// change is what the message does to the prepared statements, nil for
	// nothing. It is undone if the message fails or is never carried out.
	change *change
	// confirms is the type of the messages that confirm an owedLabel, and
	// left how many of them are to come.
	confirms byte
	// challenge: the first row of the reply is a challenge of the sealed
	// tenant context, and has not come yet.
	challenge bool
	// spent: a message behind it takes that challenge away.
	spent bool
	left  int
	// rows takes the rows of the reply to an own Query, nil for none.
	rows *stateRows
	// local is the reply of an owedLocal.
	local []byte
	// For metrics and traces of a Query or Execute; inspection is nil if the
	// statement is not known.
	inspection *policy.Inspection
	start      int64 // Unix time in nanoseconds when it was sent
	parent     *traceParent
}

// pipeline is the ordered queue of replies that a server connection owes. It
// serves pipelining, refusals and Bulkhead's own messages alike: what the
// server answers is forwarded, swallowed or replaced as its head says.
type pipeline struct {
	ring []owed // length is a power of two
	head int
	n    int
	// skipping: the server has failed a message of an extended query and
	// discards all until Sync, which has not been sent yet. What is sent
	// meanwhile is never answered.
	skipping bool
	labels   int // how many of them are an owedLabel
}

func (p *pipeline) len() int { return p.n }

// push notes that the reply o will be owed.
func (p *pipeline) push(o owed) {
	if p.skipping {
		if o.kind != owedSync {
			return
		}
		p.skipping = false
	}
	if o.kind == owedCopyEnd && (p.n == 0 || p.at(p.n-1).kind == owedCopyEnd) {
		return // a mark without anything before it marks nothing
	}
	if p.n == len(p.ring) {
		p.enlarge()
	}
	if o.kind == owedLabel {
		p.labels++
	}
	p.ring[(p.head+p.n)&(len(p.ring)-1)] = o
	p.n++
}

func (p *pipeline) enlarge() {
	ring := make([]owed, max(8, 2*len(p.ring)))
	for i := range p.n {
		ring[i] = *p.at(i)
	}
	p.ring, p.head = ring, 0
}

// runs reports whether a statement, or the end of a batch, is outstanding.
func (p *pipeline) runs() bool {
	for i := range p.n {
		switch p.at(i).kind {
		case owedQuery, owedExecute, owedSync, owedCall:
			return true
		}
	}
	return false
}

func (p *pipeline) at(i int) *owed { return &p.ring[(p.head+i)&(len(p.ring)-1)] }

// front returns the reply owed next, nil if none. Marks that have been
// reached are gone.
func (p *pipeline) front() *owed {
	for p.n > 0 && p.at(0).kind == owedCopyEnd {
		p.pop()
	}
	if p.n == 0 {
		return nil
	}
	return p.at(0)
}

func (p *pipeline) pop() {
	if p.at(0).kind == owedLabel {
		p.labels--
	}
	*p.at(0) = owed{}
	p.head = (p.head + 1) & (len(p.ring) - 1)
	p.n--
	if p.n == 0 && len(p.ring) > maxKeptOwed {
		p.ring, p.head = nil, 0
	}
}

// maxKeptOwed is the largest ring that an idle server connection keeps.
const maxKeptOwed = 64

// fail drops the head and all that the server discards after an error in an
// extended query: everything up to the next Sync. What the dropped messages
// would have changed is undone, the last first.
func (p *pipeline) fail(undo func(c *change, skipped bool)) {
	n := 0
	for n < p.n && p.at(n).kind != owedSync {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		if c := p.at(i).change; c != nil {
			undo(c, i > 0)
		}
	}
	for range n {
		p.pop()
	}
	p.skipping = p.n == 0
}

// copyIn drops what the COPY FROM STDIN at the head will read as its data:
// Syncs, which it ignores, up to the end of its data; or one other message,
// which it takes for an error and which is not answered by itself. done tells
// that the end is among what was sent.
func (p *pipeline) copyIn() (done bool) {
	keep := 1
	for i := 1; i < p.n; i++ {
		o := *p.at(i)
		if !done {
			done = o.kind != owedSync
			if o.kind == owedLabel {
				p.labels--
			}
			continue
		}
		*p.at(keep) = o
		keep++
	}
	for i := keep; i < p.n; i++ {
		*p.at(i) = owed{}
	}
	p.n = keep
	return done
}
