package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

// schemaFlags are the flags by which the commands of the schema half find the
// database and learn what it is about.
type schemaFlags struct {
	dsn, config                       string
	appRoles, globalTables, tenantCol []string
	rootTable                         string
}

func (f *schemaFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dsn, "dsn", "", "connection string of an administrator; without it server.dsn of --config, else the PG variables")
	flags.StringVar(&f.config, "config", "", "configuration of the proxy: what it says about tenants need not be said again")
	flags.StringArrayVar(&f.appRoles, "app-role", nil, "role that the application logs in or runs as; several times, or separated by commas")
	flags.StringVar(&f.rootTable, "root-table", "", "the table of tenants")
	flags.StringArrayVar(&f.globalTables, "global-table", nil, "table that belongs to no tenant; several times, or separated by commas")
	flags.StringArrayVar(&f.tenantCol, "tenant-column", nil, "name of columns that carry the tenant's key; several times, or separated by commas")
}

// selection is what flags and configuration say; flags win.
func (f *schemaFlags) selection(c *config.Config) inventory.Selection {
	sel := inventory.Selection{
		AppRoles: splitList(f.appRoles), RootTable: f.rootTable, GlobalTables: splitList(f.globalTables), TenantColumns: splitList(f.tenantCol),
	}
	if c == nil {
		return sel
	}
	if len(sel.AppRoles) == 0 {
		sel.AppRoles = sessionRoles(c)
	}
	if len(sel.TenantColumns) == 0 {
		sel.TenantColumns = c.Tenant.Columns
	}
	return sel
}

// sessionRoles are the roles that the proxy's sessions run as.
func sessionRoles(c *config.Config) []string {
	var roles []string
	if cfg, err := pgx.ParseConfig(c.Server.DSN.Reveal()); err == nil && cfg.User != "" {
		roles = append(roles, cfg.User)
	}
	if c.Tenant.Role != "" {
		roles = append(roles, c.Tenant.Role)
	}
	for _, r := range c.Tenant.Roles {
		roles = append(roles, r)
	}
	return roles
}

// splitList splits at commas outside of double quotes, which belong to names.
func splitList(values []string) []string {
	var out []string
	for _, v := range values {
		start, quoted := 0, false
		for i := 0; i <= len(v); i++ {
			if i < len(v) && v[i] == '"' {
				quoted = !quoted
			}
			if i == len(v) || v[i] == ',' && !quoted {
				if s := strings.TrimSpace(v[start:i]); s != "" {
					out = append(out, s)
				}
				start = i + 1
			}
		}
	}
	return out
}

// load reads the configuration, if one is named.
func (f *schemaFlags) load() (*config.Config, error) {
	if f.config == "" {
		return nil, nil
	}
	c, err := config.Load(f.config, os.Environ())
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return c, nil
}

// connect connects to the database, which it is told in clear words if it
// cannot.
func (f *schemaFlags) connect(ctx context.Context, c *config.Config) (*pgx.Conn, error) {
	dsn := f.dsn
	if dsn == "" && c != nil {
		var err error
		if dsn, err = serverDSN(c); err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, usageErrorf("--dsn: not a connection string that libpq takes")
	}
	cfg.RuntimeParams["application_name"] = "bulkhead"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("connect to the database: %w", err)}
	}
	return conn, nil
}

// schemaError gives an error of the schema half its exit code.
func schemaError(err error) error {
	var selection *inventory.SelectionError
	if errors.As(err, &selection) {
		return &exitError{code: exitUsage, err: err}
	}
	return err
}
