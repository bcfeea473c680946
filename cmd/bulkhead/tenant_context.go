package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/tenant"
)

// contextOptions are the flags of the command context.
type contextOptions struct {
	org, claims, key string
	backend, dsn     string
	database         string
	pid              int
	challenge        int64
	ttl              time.Duration
}

func newContextCommand() *cobra.Command {
	var o contextOptions
	cmd := &cobra.Command{
		Use:   "context --org ORG",
		Short: "Print the SET statements that make a session of psql one of an org",
		Long: `Print the statements that give a direct session, which does not come through the
proxy, the context of an org: for support and for looking at what a tenant sees.
With --key they are signed, for the one backend that --pid or --backend names;
whoever has the key can be every tenant, so this is for administrators. Without
--key they are for a database with the plain context.

In the session to be, "select bulkhead.backend()" shows what --backend takes, and
pg_backend_pid() what --pid takes; --pid needs --dsn to look the backend up. For a
sealed context, "select bulkhead.challenge()" shows what --challenge takes, with
--database; the statement that is printed counts once.`,
		Example: `  bulkhead context --org 42                                      # plain
  bulkhead context --org 42 --key signing.key --pid 4711 --dsn postgres://admin@db/app
  bulkhead context --org 42 --key signing.key --backend 'app|4711|local|0'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return printContext(cmd, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.org, "org", "", "org of the session")
	f.StringVar(&o.claims, "claims", "", "claims of the session, a JSON object")
	f.StringVar(&o.key, "key", "", "signing key file")
	f.StringVar(&o.backend, "backend", "", "what bulkhead.backend() returns in the session")
	f.Int64Var(&o.challenge, "challenge", 0, "what bulkhead.challenge() returned in the session, for a sealed context")
	f.StringVar(&o.database, "database", "", "name of the database, for --challenge")
	f.IntVar(&o.pid, "pid", 0, "process of the session on the server, looked up with --dsn")
	f.StringVar(&o.dsn, "dsn", "", "connection string of an administrator, for --pid")
	f.DurationVar(&o.ttl, "ttl", time.Hour, "for how long the signature is valid")
	_ = cmd.MarkFlagRequired("org")
	return cmd
}

func printContext(cmd *cobra.Command, o *contextOptions) error {
	if o.claims != "" && !json.Valid([]byte(o.claims)) {
		return usageErrorf("--claims is not JSON")
	}
	if o.key == "" {
		if o.backend != "" || o.pid != 0 || o.challenge != 0 {
			return usageErrorf("--backend, --pid and --challenge are for a signature: give --key as well")
		}
		printSets(cmd.OutOrStdout(), o, "")
		return nil
	}
	if err := o.oneBinding(); err != nil {
		return err
	}
	k, err := tenant.LoadKey(o.key)
	if err != nil {
		return usageErrorf("%w", err)
	}
	if o.ttl <= 0 {
		return usageErrorf("--ttl %s is in the past", o.ttl)
	}
	if o.pid != 0 {
		err := withAdmin(cmd.Context(), o.dsn, func(ctx context.Context, c *pgx.Conn) error {
			o.backend, err = backendOf(ctx, c, o.pid)
			return err
		})
		if err != nil {
			return err
		}
	}
	if o.challenge != 0 {
		signature := k.SignCheckout(o.database, o.challenge, o.org, o.claims, time.Now().Add(o.ttl))
		fmt.Fprintf(cmd.OutOrStdout(), "SELECT bulkhead.enter(%s, %s, %s);\n",
			tenant.QuoteLiteral(o.org), tenant.QuoteLiteral(o.claims), tenant.QuoteLiteral(signature))
		return nil
	}
	printSets(cmd.OutOrStdout(), o, k.SignBackend(o.backend, o.org, o.claims, time.Now().Add(o.ttl)))
	return nil
}

// oneBinding checks that the flags say what the signature is bound to, once.
func (o *contextOptions) oneBinding() error {
	given := 0
	for _, is := range []bool{o.backend != "", o.pid != 0, o.challenge != 0} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return usageErrorf("a signature is for one backend: give --backend or --pid, or --challenge")
	case (o.challenge != 0) != (o.database != ""):
		return usageErrorf("--challenge and --database belong together")
	}
	return nil
}

// backendOf names a backend as bulkhead.backend() does in it.
func backendOf(ctx context.Context, c *pgx.Conn, pid int) (string, error) {
	const sql = `select concat_ws('|', datname, pid, coalesce(host(client_addr), 'local'), case when client_addr is null then 0 else client_port end)
		from pg_catalog.pg_stat_activity where pid = $1 and datname is not null`
	var name string
	err := c.QueryRow(ctx, sql, pid).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", &exitError{code: exitFindings, err: fmt.Errorf("the server has no session with process %d", pid)}
	}
	return name, err
}

func printSets(w io.Writer, o *contextOptions, signature string) {
	set := func(name, value string) { fmt.Fprintf(w, "SET %s = %s;\n", name, tenant.QuoteLiteral(value)) }
	set(tenant.OrgSetting, o.org)
	if o.claims != "" || signature != "" {
		set(tenant.ClaimsSetting, o.claims)
	}
	if signature != "" {
		set(tenant.SignatureSetting, signature)
	}
}
