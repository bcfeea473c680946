package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// message handles the message at the start of b, of the given size with its
// type byte and length. It returns how many bytes of b it has used, 0 if it
// needs more of the message.
func (sc *serverConn) message(st *step, b []byte, size int, r replies) (int, error) {
	typ := b[0]
	if bound := whole(typ); bound > 0 {
		if size > bound {
			return 0, fmt.Errorf("%w: type %q, %d bytes", errFrame, typ, size)
		}
		if len(b) < size {
			return 0, nil
		}
	}
	pass := true
	var err error
	switch typ {
	case 'A':
		return sc.notification(st, b, size, r)
	case 'D', 'd', 'c', 'N', 't':
		pass = !sc.swallowing()
		if o := sc.owed.front(); typ == 'D' && o != nil && o.rows != nil {
			if size > maxStateRow {
				return 0, fmt.Errorf("%w: type %q, %d bytes", errFrame, typ, size)
			}
			if len(b) < size {
				return 0, nil
			}
			err = o.rows.add(b[5:size])
		} else if typ == 'D' && o != nil && o.challenge {
			if size > maxChallengeRow {
				return 0, fmt.Errorf("%w: type %q, %d bytes", errFrame, typ, size)
			}
			if len(b) < size {
				return 0, nil
			}
			o.challenge = false
			if sc.challenge, err = challengeRow(b[5:size]); o.spent {
				sc.challenge = 0
			}
		}
	case 'S':
		pass, err = sc.parameterStatus(st, b[5:size], r)
	case 'E':
		if len(b) < min(size, maxErrorResponse) {
			return 0, nil
		}
		pass, err = sc.errorResponse(st, b[:min(size, maxErrorResponse)], size <= maxErrorResponse, r)
	case 'Z':
		pass, err = sc.readyForQuery(st, b[5:size], r)
	case 'G':
		pass, err = sc.copyInResponse()
	case 'H':
		pass, err = sc.inReplyTo(owedQuery, owedExecute)
	default:
		pass, err = sc.completion(st, typ, r)
	}
	if err != nil {
		return 0, err
	}
	n := min(size, len(b))
	if pass {
		st.toClient.forward(b[:n])
	}
	sc.frame.rest, sc.frame.drop = size-n, !pass
	sc.answerLocally(st)
	return n, nil
}

// answerLocally gives the replies of Bulkhead itself whose turn it is.
func (sc *serverConn) answerLocally(st *step) {
	if sc.frame.rest > 0 {
		return // in the middle of the server's
	}
	for o := sc.owed.front(); o != nil && o.kind == owedLocal; o = sc.owed.front() {
		st.toClient.write(o.local)
		sc.owed.pop()
	}
}

// notification forwards a NotificationResponse, which is never a reply's part.
// If the client itself has notified, it finds its own process id in it, also
// where that is made up.
func (sc *serverConn) notification(st *step, b []byte, size int, r replies) (int, error) {
	const head = 5 + 4 // up to the process id
	if len(b) < min(size, head) {
		return 0, nil
	}
	n := min(size, len(b))
	rest := b[:n]
	if id := r.clientPID(); id != 0 && size >= head && binary.BigEndian.Uint32(b[5:]) == sc.pid {
		st.toClient.add(binary.BigEndian.AppendUint32(append(st.toClient.grow(), b[:5]...), id))
		rest = b[head:n]
	}
	st.toClient.forward(rest)
	sc.frame.rest, sc.frame.drop = size-n, false
	sc.answerLocally(st)
	return n, nil
}

// swallowing tells whether a message that ends nothing belongs to a reply
// that the client must not see.
func (sc *serverConn) swallowing() bool {
	o := sc.owed.front()
	return o != nil && (o.own || o.hidden)
}

// inReplyTo reports whether the head is one of the given kinds, and whether
// the client is to see the message.
func (sc *serverConn) inReplyTo(kinds ...owedKind) (pass bool, err error) {
	if o := sc.owed.front(); o != nil {
		for _, k := range kinds {
			if o.kind == k {
				return !o.own, nil
			}
		}
	}
	return false, errUnexpected
}

// completion handles the messages that complete a reply of the extended
// protocol, or are a part of the reply to a Query.
func (sc *serverConn) completion(st *step, typ byte, r replies) (pass bool, err error) {
	o := sc.owed.front()
	if o == nil {
		return false, errUnexpected
	}
	pass = !o.own && !o.hidden
	if o.kind == owedQuery {
		switch typ {
		case 'C', 'T', 'I':
			return pass, nil
		}
		return false, errUnexpected
	}
	if o.kind == owedLabel {
		return false, sc.labelReply(o, typ)
	}
	var completes bool
	switch typ {
	case '1':
		completes = o.kind == owedParse
	case '2':
		completes = o.kind == owedBind
	case '3':
		completes = o.kind == owedClose
	case 'T', 'n':
		completes = o.kind == owedDescribe
	case 'C', 'I', 's':
		completes = o.kind == owedExecute
	case 'V':
		if o.kind != owedCall {
			return false, errUnexpected
		}
		return pass, nil
	}
	if !completes || o.refusal != nil {
		return false, errUnexpected
	}
	done := *o
	sc.copying = copyNone
	sc.owed.pop()
	if done.kind == owedExecute {
		r.executed(st, &done)
	}
	return pass, nil
}

// labelReply handles a part of the reply to a label.
func (sc *serverConn) labelReply(o *owed, typ byte) error {
	switch typ {
	case '1', '2', '3', 'C':
	default:
		return errUnexpected
	}
	if typ != o.confirms {
		return nil
	}
	if o.left--; o.left > 0 {
		return nil
	}
	if o.challenge {
		return fmt.Errorf("%w: no challenge", errLabel)
	}
	sc.owed.pop()
	return nil
}

func (sc *serverConn) copyInResponse() (pass bool, err error) {
	if pass, err = sc.inReplyTo(owedQuery, owedExecute); err != nil {
		return false, err
	}
	if !sc.owed.copyIn() {
		sc.copying, sc.syncInCopy = copyIn, false
	}
	return pass, nil
}

func (sc *serverConn) parameterStatus(st *step, body []byte, r replies) (pass bool, err error) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	value, end, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(end) != 0 {
		return false, errFrame
	}
	if err := r.parameter(st, string(name), string(value)); err != nil {
		return false, err
	}
	o := sc.owed.front()
	return o == nil || !o.own && !o.hidden, nil
}

// errorResponse decides whose error the client sees. b is the message, or the
// beginning of one that is too large to be held.
func (sc *serverConn) errorResponse(st *step, b []byte, whole bool, r replies) (pass bool, err error) {
	severity, code := errorFields(b[5:])
	if severity != severityError {
		// FATAL or PANIC: the server ends the connection, whatever was asked.
		sc.doubtful("the server ended it: " + code)
		if r.survives() {
			sc.ended = code
			return false, nil
		}
		sc.fatal = true
		return true, nil
	}
	o := sc.owed.front()
	if o == nil {
		return false, errUnexpected
	}
	if o.kind == owedLabel {
		// Nothing of the client behind it is carried out, and nothing ever
		// will be on this connection.
		if code == codeCancelled {
			return false, errLabelCancelled
		}
		return false, fmt.Errorf("%w: SQLSTATE %s", errLabel, code)
	}
	if sc.copying == copyIn {
		sc.copying = copyNone
		if sc.syncInCopy {
			// Whether the COPY read that Sync or the server answers it
			// depends on when the COPY failed.
			sc.doubtful("a COPY FROM STDIN failed with a Sync among its data")
		}
	}
	r.failed(st, o, code)
	pass = !o.own
	switch {
	case !pass:
	case o.refusal != nil:
		st.toClient.add(o.refusal.appendTo(st.toClient.grow()))
		pass = false
	case o.of != nil && whole:
		st.toClient.add(quoteAsClient(st.toClient.grow(), b, o.of.name))
		pass = false
	}
	switch o.kind {
	case owedQuery, owedCall, owedSync:
		o.failed = true
	default:
		sc.owed.fail(func(c *change, skipped bool) {
			sc.known.undo(c)
			r.undo(c, skipped)
		})
		if end := sc.owed.front(); end != nil {
			end.told = true
		}
	}
	return pass, nil
}

// errorFields returns the untranslated severity and the SQLSTATE of the body
// of an ErrorResponse.
func errorFields(body []byte) (severity, code string) {
	for len(body) > 1 && body[0] != 0 {
		value, rest, ok := bytes.Cut(body[1:], []byte{0})
		if !ok {
			break
		}
		switch body[0] {
		case 'V':
			severity = string(value)
		case 'C':
			code = string(value)
		}
		body = rest
	}
	return severity, code
}

func (sc *serverConn) readyForQuery(st *step, body []byte, r replies) (pass bool, err error) {
	if len(body) != 1 {
		return false, errFrame
	}
	o := sc.owed.front()
	if o == nil {
		return false, errUnexpected
	}
	switch o.kind {
	case owedQuery, owedSync, owedCall:
	default:
		return false, errUnexpected
	}
	if o.refusal != nil && !o.failed {
		// The message that had to fail did not: what the server made of it
		// is not known.
		return false, errUnexpected
	}
	switch body[0] {
	case txIdle, txOpen, txFailed:
		sc.tx = body[0]
	default:
		return false, errFrame
	}
	sc.copying = copyNone
	pass = !o.own
	done := *o
	sc.owed.pop()
	r.ready(st, &done)
	return pass, nil
}
