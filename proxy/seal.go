package proxy

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// The sealed tenant context: the database gives a challenge, and believes a
// context once the answer was signed. The answer is a part of the label, and
// its row is the challenge of the next label; so it needs no round trip. What
// was proven is held by sequences of the session. DISCARD ALL and DISCARD
// SEQUENCES take them away: then a new challenge is asked for first, which is
// one round trip.

// answerTTL is for how long the answer to a challenge counts: it is used at
// once, and only once.
const answerTTL = time.Minute

// challengeSQL asks for a challenge although the client may have made
// transactions read only: the function writes, to sequences.
const challengeSQL = "BEGIN READ WRITE; " + askChallengeSQL + "; COMMIT"

const askChallengeSQL = "SELECT bulkhead.challenge()"

// challengeOf asks a new server connection for its first challenge.
func challengeOf(ctx context.Context, c *pgconn.PgConn) (int64, error) {
	text, err := askLogin(ctx, c, challengeSQL)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// proves reports whether the label answers a challenge. A session that has
// picked no org has nothing to prove.
func (s *Session) proves() bool { return s.env.opts.Signing.Sealed && s.context.Org != "" }

// enterSQL returns the statement that answers the challenge, which is used up
// by that.
func (s *Session) enterSQL(now time.Time) string {
	challenge := s.sc.challenge
	s.sc.challenge = 0
	return s.context.EnterSQL(s.env.opts.Signing.Key(), s.startup.database, challenge, now.Add(answerTTL))
}

// beginSQL begins the transaction of a label.
func (s *Session) beginSQL() []string {
	if !s.env.opts.Signing.Sealed {
		return []string{"BEGIN"}
	}
	sql := []string{"BEGIN READ WRITE"}
	// Before 15 there are no unlogged sequences: a checkout need not wait for
	// the log.
	if v := s.sc.params["server_version"]; strings.HasPrefix(v, "13.") || strings.HasPrefix(v, "14.") {
		sql = append(sql, "SET LOCAL synchronous_commit TO off")
	}
	return sql
}

// askChallenge asks for a challenge, and for a label behind it (ready). Where
// the server connection has served another org, everything of that goes first.
func (s *Session) askChallenge(st *step, moved bool) {
	sql := append(s.beginSQL(), askChallengeSQL, "COMMIT")
	if moved {
		sql = append([]string{"DISCARD ALL"}, sql...)
		s.sc.known.clear()
		s.sc.org, s.sc.state = "", clientSettings{}
	}
	s.sc.label = labelUnknown
	s.sealing = true
	s.sendLabel(st, sql, true)
	s.awaitLabel(st)
}

// losesChallenge reports whether a text takes the session's sequences away.
func (s *Session) losesChallenge(ins *policy.Inspection) bool {
	return s.env.opts.Signing.Sealed && ins.Effects.Has(parser.EffectDiscardAll|parser.EffectDiscard)
}

// loseChallenge: a text is sent that takes the challenge away, also one that a
// label in front of it is still to bring.
func (sc *serverConn) loseChallenge() {
	sc.challenge = 0
	for i := range sc.owed.len() {
		if o := sc.owed.at(i); o.challenge {
			o.spent = true
		}
	}
}

// maxChallengeRow bounds the row of a challenge.
const maxChallengeRow = 64

// challengeRow reads the body of a DataRow with one number.
func challengeRow(b []byte) (int64, error) {
	if len(b) < 6 || binary.BigEndian.Uint16(b) != 1 || int(binary.BigEndian.Uint32(b[2:])) != len(b)-6 {
		return 0, errFrame
	}
	n, err := strconv.ParseInt(string(b[6:]), 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: no challenge", errLabel)
	}
	return n, nil
}
