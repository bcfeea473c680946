package loop

// pending holds what a socket did not take yet. Its memory comes from the loop
// and goes back there: a stream whose reader is the slower one stalls all the
// time.
type pending struct {
	bytes []byte
	sent  int // of bytes
}

const (
	// spareBytes is the size of a buffer that the loop keeps for a stall:
	// what is read at once.
	spareBytes = 64 << 10
	maxSpare   = 4 // buffers
)

func (p *pending) len() int { return len(p.bytes) - p.sent }

func (p *pending) rest() []byte { return p.bytes[p.sent:] }

// add copies b behind what is there.
func (p *pending) add(l *Loop, b []byte) {
	if p.bytes == nil && len(l.spare) > 0 {
		last := len(l.spare) - 1
		p.bytes, l.spare = l.spare[last], l.spare[:last]
	}
	if p.sent > 0 && len(p.bytes)+len(b) > cap(p.bytes) {
		p.bytes = p.bytes[:copy(p.bytes, p.rest())]
		p.sent = 0
	}
	p.bytes = append(p.bytes, b...)
}

// took notes that the socket has taken n bytes.
func (p *pending) took(l *Loop, n int) {
	if p.sent += n; p.sent == len(p.bytes) {
		p.drop(l)
	}
}

// drop forgets what is there. A buffer that grew large goes: one stall must not
// stay in memory for good.
func (p *pending) drop(l *Loop) {
	if c := cap(p.bytes); c >= spareBytes && c <= 2*spareBytes && len(l.spare) < maxSpare {
		l.spare = append(l.spare, p.bytes[:0])
	}
	*p = pending{}
}
