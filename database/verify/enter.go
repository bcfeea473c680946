package verify

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// sealed reports whether bulkhead.org_id() trusts what was proven by the answer
// to a challenge.
func sealed(s *inventory.Snapshot) bool {
	for _, f := range s.Functions {
		if f.Schema == inventory.OwnSchema && f.Name == "org_id" {
			return f.SecurityDefiner && strings.Contains(f.Source, "bulkhead.seal")
		}
	}
	return false
}

// enters reports whether sessions past the proxy have to answer a challenge to
// get their context.
func (o *Options) enters() bool { return o.sealed && o.SigningKey != nil }

// become gives a session another context, as the proxy does at a checkout.
// What the database refuses, an answer that has expired or is not for this org,
// leaves the session with the settings and without a seal.
func (s *session) become(ctx context.Context, o *Options, side Side, c Context) error {
	list := o.contextSettings(side, notNone(c), s.backend)
	if c == None || c == Empty {
		list = o.contextSettings(side, Empty, "")
	}
	if err := s.exec(ctx, strings.ReplaceAll(setLocal(list), ", true)", ", false)")); err != nil {
		return err
	}
	if !o.enters() || c == None || c == Empty {
		return nil
	}
	database, challenge, err := s.challenge(ctx)
	if err != nil {
		return err
	}
	org, claims := signedPart(list)
	enter := enterSQL(org, claims, o.SigningKey.SignCheckout(database, challenge, signedOrg(c, org), claims, expiry(c)))
	if c == Same || c == Other {
		return s.exec(ctx, enter)
	}
	return s.execRefused(ctx, enter)
}

// challenge asks for what an answer must be signed for.
func (s *session) challenge(ctx context.Context) (database string, challenge int64, err error) {
	o := s.send(ctx, Simple, request{sql: "SELECT current_database(), bulkhead.challenge()"})
	switch {
	case o.err != nil:
		return "", 0, fmt.Errorf("ask for a challenge: %w", o.err)
	case o.broken != nil:
		return "", 0, o.broken
	case len(o.rows) != 1:
		return "", 0, fmt.Errorf("ask for a challenge: %d rows", len(o.rows))
	}
	challenge, err = strconv.ParseInt(o.rows[0][1], 10, 64)
	return o.rows[0][0], challenge, err
}

func enterSQL(org, claims, signature string) string {
	return "SELECT bulkhead.enter(" + literal(org) + ", " + literal(claims) + ", " + literal(signature) + ")"
}

// execRefused runs what will be refused, so that a transaction goes on.
func (s *session) execRefused(ctx context.Context, sql string) error {
	const savepoint = "bulkhead_refused"
	inside := s.conn.TxStatus() == 'T'
	if inside {
		if err := s.exec(ctx, "SAVEPOINT "+savepoint); err != nil {
			return err
		}
	}
	if err := s.exec(ctx, sql); err != nil && s.conn.IsClosed() {
		return err
	}
	if inside {
		return s.exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint+"; RELEASE SAVEPOINT "+savepoint)
	}
	return nil
}

// signedPart is what a signature covers.
func signedPart(settings []setting) (org, claims string) {
	for _, s := range settings {
		switch s.name {
		case tenant.OrgSetting:
			org = s.value
		case tenant.ClaimsSetting:
			claims = s.value
		}
	}
	return org, claims
}

// signedOrg is the org that a signature is made for: of garbage another one.
func signedOrg(c Context, org string) string {
	if c == Garbage {
		return org + "-of-another"
	}
	return org
}

// signatureTime is how long signatures of probes are valid.
const signatureTime = time.Hour

// expiry is when a signature of a context ends.
func expiry(c Context) time.Time {
	if c == Expired {
		return time.Now().Add(-signatureTime)
	}
	return time.Now().Add(signatureTime)
}
