package context

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// KeyInfo is what is shown of a signing key.
type KeyInfo struct {
	ID       int
	Created  time.Time
	NotAfter *time.Time // nil: it has no end
}

// Ended reports whether the key counts no more.
func (k *KeyInfo) Ended(now time.Time) bool { return k.NotAfter != nil && !k.NotAfter.After(now) }

// ErrNoKeys is returned for a database without the table of keys.
var ErrNoKeys = errors.New("the database has no signed tenant context: run bulkhead harden with the context signed or sealed first")

// AddKey makes a key known to the database. A key that is given another number
// than one that exists is refused by it.
func AddKey(ctx context.Context, c *pgx.Conn, id int, secret []byte) error {
	return administer(ctx, c, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select bulkhead.add_key($1, $2)", id, secret)
		return err
	})
}

// RetireKey ends a key after a grace period. It reports whether there is such
// a key. An end that has been set is never put off.
func RetireKey(ctx context.Context, c *pgx.Conn, id int, grace time.Duration) (found bool, err error) {
	err = administer(ctx, c, func(tx pgx.Tx) error {
		const exists = "select exists (select from bulkhead.keys() where kid = $1)"
		if err := tx.QueryRow(ctx, exists, id).Scan(&found); err != nil || !found {
			return err
		}
		_, err := tx.Exec(ctx, "select bulkhead.retire_key($1, $2)", id, grace)
		return err
	})
	return found, err
}

// Keys returns the keys that the database knows, by their numbers.
func Keys(ctx context.Context, c *pgx.Conn) (out []KeyInfo, err error) {
	err = administer(ctx, c, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "select kid, created_at, not_after from bulkhead.keys()")
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[KeyInfo])
		return err
	})
	return out, err
}

// silence keeps the parameters of what follows, a key among them, out of the
// server's log. Who may not set these is told nothing: with the server's
// default settings no parameters are logged.
const silence = `set local log_statement = none; set local log_min_duration_statement = -1; set local log_min_duration_sample = -1;
	set local log_min_error_statement = panic; set local log_parameter_max_length = 0; set local log_duration = off`

// administer runs f with the rights of the owner: those of a superuser or of a
// member, or those of a role that may make itself a member, for the time of
// the transaction.
func administer(ctx context.Context, c *pgx.Conn, f func(pgx.Tx) error) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	o := Options{}
	var direct bool
	const who = `select current_setting('server_version_num')::int, rolsuper,
		exists (select from pg_catalog.pg_roles where rolname = '` + Owner + `' and pg_catalog.pg_has_role(oid, 'usage'))
		from pg_catalog.pg_roles where rolname = current_user`
	if err := tx.QueryRow(ctx, who).Scan(&o.Version, &o.Superuser, &direct); err != nil {
		return fmt.Errorf("read the role: %w", err)
	}
	switch {
	case o.Superuser:
		if _, err := tx.Exec(ctx, silence, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("keep the key out of the server's log: %w", err)
		}
	case !direct:
		if _, err := tx.Exec(ctx, membership(&o, true).SQL); err != nil {
			return explainKeys(err)
		}
	}
	if err := f(tx); err != nil {
		return explainKeys(err)
	}
	if !o.Superuser && !direct {
		if _, err := tx.Exec(ctx, membership(&o, false).SQL); err != nil {
			return fmt.Errorf("end the membership in %s: %w", Owner, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// explainKeys adds what to do to the errors that have a remedy.
func explainKeys(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "3F000", "42883", "42P01", "42704": // schema, function, table, role
		return fmt.Errorf("%w (SQLSTATE %s)", ErrNoKeys, pg.Code)
	case "42501":
		return fmt.Errorf("the role may not manage signing keys: connect as a superuser, or as the role that installed the context: %w", err)
	case "23505":
		return fmt.Errorf("the database knows a key of this number already: %w", err)
	}
	return err
}
