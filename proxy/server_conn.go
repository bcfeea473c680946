package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Transaction status as ReadyForQuery reports it.
const (
	txIdle   = 'I'
	txOpen   = 'T'
	txFailed = 'E'
)

// copyState of a server connection, as far as the server has told.
type copyState uint8

const (
	copyNone copyState = iota
	copyIn             // CopyInResponse has come, the end of the data was not sent
)

// serverConn is the state of one server connection: what was asked on it,
// what it has answered. Like a session it does no I/O. It belongs to one
// session at a time, or to the pool, and is owned by one loop.
type serverConn struct {
	// Immutable after login.
	key     poolKey
	pid     uint32
	secret  []byte
	cancel  canceller
	backend string // what a signature is bound to; "" unless contexts are signed
	// encoding is the client_encoding that the client's startup packet asked
	// for, in the server's spelling; "" if it did not.
	encoding string

	// Owned by the loop.
	params    map[string]string // ParameterStatus, in the server's spelling
	org       string            // that it has last served; "" none since it was logged in or cleaned
	label     string            // of the settings that it was given after login; "" none
	signature signature         // that it carries
	challenge int64             // of the sealed tenant context, that the next label answers; 0 none
	state     clientSettings    // the client's settings that it carries
	known     serverStatements  // what is prepared on it, in transaction pooling
	owed      pipeline
	tx        byte
	copying   copyState
	// syncInCopy: a Sync was sent while the server read the data of a COPY.
	syncInCopy bool
	frame      frame
	// unsynced: messages of the extended protocol were sent since the last
	// Sync.
	unsynced bool
	// fatal: the server has said that it ends the connection, and the client
	// was told in the server's words.
	fatal bool
	// ended is set instead if the session outlives that: the SQLSTATE.
	ended string
	// doubt, if not empty, says why the connection must not be used again.
	doubt string
	// link is the driver's end of it.
	link *serverLink
}

// frame is where the reader of a stream of messages stands.
type frame struct {
	// partial holds the beginning of a message that is needed whole.
	partial []byte
	// rest counts the bytes of a body that are still to come and are passed
	// through, or dropped if drop is set.
	rest int
	drop bool
}

var (
	errLabel = errors.New("the tenant context could not be set")
	// errLabelCancelled: a CancelRequest for the client's statement, or its
	// statement_timeout, has hit the label in front of it.
	errLabelCancelled = fmt.Errorf("%w: cancelled", errLabel)
	errFrame          = errors.New("server sent a message with an invalid length")
	errUnexpected     = errors.New("server sent a message that is not owed")
)

// idle reports that nothing is owed and no transaction is open.
func (sc *serverConn) idle() bool {
	return sc.owed.len() == 0 && sc.tx == txIdle && sc.copying == copyNone &&
		sc.frame.rest == 0 && len(sc.frame.partial) == 0 && !sc.owed.skipping
}

// midMessage reports whether the client has got a part of a message.
func (sc *serverConn) midMessage() bool { return sc.frame.rest > 0 && !sc.frame.drop }

// doubtful notes why the connection must not be used again.
func (sc *serverConn) doubtful(why string) {
	if sc.doubt == "" {
		sc.doubt = why
	}
}

// replies is told what a server connection has answered. A session is one; a
// connection that is being cleaned has another.
type replies interface {
	// ready: a ReadyForQuery has ended the reply o.
	ready(st *step, o *owed)
	// executed: the server has completed the Execute o.
	executed(st *step, o *owed)
	// undo: the message that was to make the change c has failed, or the
	// server skips it.
	undo(c *change, skipped bool)
	// failed: the server answered o with an error, SQLSTATE code.
	failed(st *step, o *owed, code string)
	// survives: the session goes on without the server connection, so that the
	// client need not know how that has ended.
	survives() bool
	// clientPID is the process id that the client takes for its own, 0 if
	// there is no client.
	clientPID() uint32
	// parameter: the server reported a setting.
	parameter(st *step, name, value string) error
}

// receive reads a chunk that the server sent. What the client is to see goes
// to st.toClient. An error means that the connection is of no further use.
func (sc *serverConn) receive(st *step, b []byte, r replies) error {
	f := &sc.frame
	if len(f.partial) > 0 {
		f.partial = append(f.partial, b...)
		b, f.partial = f.partial, nil
	}
	for len(b) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(b))
			if !f.drop {
				st.toClient.forward(b[:n])
			}
			f.rest -= n
			b = b[n:]
			sc.answerLocally(st)
			continue
		}
		if len(b) < 5 {
			break
		}
		size := int(binary.BigEndian.Uint32(b[1:])) + 1
		if size < 5 || size < 0 {
			return errFrame
		}
		n, err := sc.message(st, b, size, r)
		if err != nil {
			return err
		}
		if n == 0 {
			break // more of this message is needed
		}
		b = b[n:]
	}
	if len(b) > 0 {
		f.partial = append([]byte(nil), b...)
	}
	return nil
}

// whole tells for which messages the body is needed, with its bound.
func whole(typ byte) int {
	switch typ {
	case 'S':
		return maxParameterStatus
	case 'Z', '1', '2', '3', 'n', 's', 'I':
		return 16
	}
	return 0
}

// setParameter notes a ParameterStatus. Under some settings the server would
// read a statement differently from how it was inspected.
func (sc *serverConn) setParameter(name, value string) error {
	sc.params[name] = value
	if safe, ok := safeReading[name]; ok && value != safe {
		return errUnsafeParameter
	}
	return nil
}

// readsSafely reports whether the server reads a text as the guard does. An
// encoding that the startup packet asked for is that of all sessions that may
// have the connection.
func (sc *serverConn) readsSafely() bool {
	for name, safe := range safeReading {
		if name == "client_encoding" && sc.encoding != "" {
			safe = sc.encoding
		}
		if value, ok := sc.params[name]; ok && value != safe {
			return false
		}
	}
	return true
}
