package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/tenant"
)

// SigningOptions turn the signed tenant context on: the database believes the
// org and the claims of a session only with a signature that is bound to its
// server connection (database/context).
//
// The signature is a part of the label. What it is bound to is asked once for
// each server connection, after the login; so a signature costs a round trip
// for a connection and none for a transaction.
type SigningOptions struct {
	// Key returns the key in force; nil turns signing off. It is called on the
	// loops and must not block.
	Key func() *tenant.Key
	// TTL is for how long a signature is valid; 0: for as long as a server
	// connection lives, an hour at most. It is made anew at the first
	// transaction boundary in the second half of that time.
	TTL time.Duration
	// Sealed: the database asks for the signature once, as the answer to a
	// challenge (seal.go).
	Sealed bool
}

// enabled reports whether the database asks for signatures in any form.
func (o *SigningOptions) enabled() bool { return o.Key != nil }

// standing reports whether a signature stands in a setting all the time.
func (o *SigningOptions) standing() bool { return o.Key != nil && !o.Sealed }

// maxSignatureTTL bounds the life of a signature where server connections have
// none, or a long one.
const maxSignatureTTL = time.Hour

// minSignatureTTL leaves room for clocks that differ: expiry counts in whole
// seconds of the server's clock.
const minSignatureTTL = 10 * time.Second

// signatureTTL returns the life of a signature: that of a server connection,
// at most.
func signatureTTL(maxLifetime time.Duration) time.Duration {
	if maxLifetime > 0 {
		return max(minSignatureTTL, min(maxLifetime, maxSignatureTTL))
	}
	return maxSignatureTTL
}

// signature is what a server connection carries of a signature.
type signature struct {
	setting tenant.Setting
	key     *tenant.Key
	label   string    // of the context that was signed
	renew   time.Time // from when on it is made anew
}

// signatureDue reports that the server connection needs a new signature: there
// is none, it is for another context, its key was replaced, or it is getting
// old.
func (s *Session) signatureDue(now time.Time) bool {
	o := &s.env.opts.Signing
	if !o.standing() {
		return o.Sealed && s.sc.challenge == 0
	}
	have := &s.sc.signature
	return have.key != o.Key() || have.label != s.context.Label || !now.Before(have.renew)
}

// labelSQL returns the statements that set the label, with the signature that
// the server connection was given. To give it another one there is sign, which
// must come before, outside of transactions: one that is rolled back brings
// back what was set before it.
func (s *Session) labelSQL() []string {
	sql := s.context.LabelSQL()
	if !s.env.opts.Signing.standing() {
		return sql
	}
	return append(sql[:len(sql):len(sql)], tenant.SetSQL(s.sc.signature.setting))
}

// sign makes a signature for the server connection if one is due.
func (s *Session) sign(now time.Time) {
	o := &s.env.opts.Signing
	if !o.standing() || !s.signatureDue(now) {
		return
	}
	key := o.Key()
	s.sc.signature = signature{
		setting: s.context.Sign(key, s.sc.backend, now.Add(o.TTL)),
		key:     key, label: s.context.Label, renew: now.Add(o.TTL / 2),
	}
}

// renewSignature makes the signature of a server connection anew that the
// session keeps between transactions. It reports whether the session has to
// wait for it.
func (s *Session) renewSignature(st *step) bool {
	if s.phase != phaseRelay || s.sc.unsynced || !s.sc.idle() || !s.signatureDue(st.now) {
		return false
	}
	return s.putLabel(st, false)
}

// errNotSigned says that the database lacks what signing needs.
var errNotSigned = errors.New("the database does not know the tenant context of tenant.context: run bulkhead harden with it, " +
	"with the login role and the roles of tenant.role and tenant.roles among those of the application")

// backendOf asks a new server connection what a signature is bound to.
func backendOf(ctx context.Context, c *pgconn.PgConn) (string, error) {
	return askLogin(ctx, c, "SELECT bulkhead.backend()")
}

// askLogin returns the one value that the statements return.
func askLogin(ctx context.Context, c *pgconn.PgConn, sql string) (string, error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		return "", fmt.Errorf("%w (SQLSTATE %s): %w", errNotSigned, pg.Code, err)
	}
	if err != nil {
		return "", fmt.Errorf("ask what a signature is bound to: %w", err)
	}
	for _, r := range results {
		if len(r.Rows) == 1 && len(r.Rows[0]) == 1 && len(r.Rows[0][0]) > 0 {
			return string(r.Rows[0][0]), nil
		}
	}
	return "", fmt.Errorf("%w (no row)", errNotSigned)
}
