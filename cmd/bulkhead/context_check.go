package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// judgeContext proves, for each database and role of sessions, that the
// database believes a context with a signature of the key and none without.
func (c *catalogs) judgeContext(ctx context.Context, key *tenant.Key) error {
	roles := []string{c.cfg.Tenant.Role}
	if len(c.cfg.Tenant.Roles) > 0 {
		roles = nil
		for _, role := range c.cfg.Tenant.Roles {
			roles = append(roles, role)
		}
		slices.Sort(roles)
		roles = slices.Compact(roles)
	}
	for _, database := range c.databases() {
		for _, role := range roles {
			if err := c.probeContext(ctx, database, role, key); err != nil {
				return fmt.Errorf("database %s: %w", database, err)
			}
		}
	}
	return nil
}

// probeContext does what a server connection of a session does.
func (c *catalogs) probeContext(ctx context.Context, database, role string, key *tenant.Key) error {
	ctx, stop := context.WithTimeout(ctx, catalogTimeout)
	defer stop()
	conn, err := c.connect(ctx, database)
	if err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if role != "" {
		if _, err := conn.Exec(ctx, "SET ROLE "+pgx.Identifier{role}.Sanitize()); err != nil {
			return fmt.Errorf("act as %s: %w", role, err)
		}
	}
	mode := c.cfg.Tenant.ContextMode()
	probe := probeSigned
	if mode == config.ContextSealed {
		probe = probeSealed
	}
	become, err := probe(ctx, conn, database, probeOrg(c.cfg.Tenant.OrgType), key)
	if err != nil {
		return contextFinding(err, fmt.Sprintf("the database has no %s tenant context", mode), fmt.Sprintf(
			"run bulkhead harden with the context %s, with the login role and the roles of tenant.role and tenant.roles among the application's", mode))
	}
	if err := become(true); err != nil {
		return contextFinding(err, fmt.Sprintf("the database does not accept what key %d signs", key.ID()),
			"bulkhead key list shows the keys that it knows; compare the clocks of both hosts, and tenant.org_type with the type of the tenant's key")
	}
	if err := become(false); err == nil {
		return &exitError{code: exitFindings, err: fmt.Errorf(
			"the database believes a tenant context whose signature is wrong; run bulkhead harden with the context %s", mode)}
	}
	return nil
}

// probeSigned asks what a signature is bound to, and returns what becomes the
// org with a signature that is right or wrong.
func probeSigned(ctx context.Context, conn *pgx.Conn, _, org string, key *tenant.Key) (func(right bool) error, error) {
	var backend string
	if err := conn.QueryRow(ctx, "SELECT bulkhead.backend()", pgx.QueryExecModeExec).Scan(&backend); err != nil {
		return nil, err
	}
	return func(right bool) error {
		signed := org
		if !right {
			signed += "x"
		}
		return setContext(ctx, conn, org, key.SignBackend(backend, signed, "", time.Now().Add(time.Minute)))
	}, nil
}

// probeSealed is probeSigned for the sealed context.
func probeSealed(ctx context.Context, conn *pgx.Conn, database, org string, key *tenant.Key) (func(right bool) error, error) {
	var challenge int64
	if err := conn.QueryRow(ctx, "SELECT bulkhead.challenge()", pgx.QueryExecModeExec).Scan(&challenge); err != nil {
		return nil, err
	}
	return func(right bool) error {
		if right {
			signature := key.SignCheckout(database, challenge, org, "", time.Now().Add(time.Minute))
			if _, err := conn.Exec(ctx, "SELECT bulkhead.enter($1, '', $2)", pgx.QueryExecModeExec, org, signature); err != nil {
				return err
			}
		} else if err := conn.QueryRow(ctx, "SELECT bulkhead.challenge()", pgx.QueryExecModeExec).Scan(&challenge); err != nil {
			return err // what was sealed is gone with that
		}
		return setContext(ctx, conn, org, "")
	}, nil
}

// setContext sets a context and asks the database for its org.
func setContext(ctx context.Context, conn *pgx.Conn, org, signature string) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, false), pg_catalog.set_config($3, '', false), pg_catalog.set_config($4, $5, false)",
		pgx.QueryExecModeExec, tenant.OrgSetting, org, tenant.ClaimsSetting, tenant.SignatureSetting, signature)
	if err != nil {
		return err
	}
	var got string
	if err := conn.QueryRow(ctx, "SELECT bulkhead.org_id()::text", pgx.QueryExecModeExec).Scan(&got); err != nil {
		return err
	}
	if got != org {
		return errors.New("org_id() returns another org")
	}
	return nil
}

// probeOrg is an org of the configured form that is hardly anybody's.
func probeOrg(form config.OrgType) string {
	if form == config.OrgUUID {
		return "00000000-0000-0000-0000-000000000000"
	}
	return "0"
}

// contextFinding says what is wrong with the database's half.
func contextFinding(err error, what, todo string) error {
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		if pg.Code == "25006" {
			todo = "a hot standby cannot seal a context: use tenant.context: signed"
		}
		return &exitError{code: exitFindings, err: fmt.Errorf("%s: %s (SQLSTATE %s); %s", what, pg.Message, pg.Code, todo)}
	}
	return &exitError{code: exitUnreachable, err: fmt.Errorf("%s: %w", what, err)}
}
