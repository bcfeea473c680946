package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/config"
)

// selectionFlags are the flags of every command of the schema half: where the
// database is, and what the operator knows about it.
type selectionFlags struct {
	dsn           string
	config        string
	appRoles      []string
	rootTable     string
	globalTables  []string
	tenantColumns []string
}

// register adds the flags to a command.
func (f *selectionFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dsn, "dsn", "", "connection string of the database (default: server.dsn of --config, else the PG... variables)")
	flags.StringVar(&f.config, "config", "", "configuration `FILE`")
	flags.StringArrayVar(&f.appRoles, "app-role", nil, "`ROLE` that the application logs in or runs as; may be repeated; in double quotes if it holds a comma")
	flags.StringVar(&f.rootTable, "root-table", "", "the `TABLE` of tenants")
	flags.StringArrayVar(&f.globalTables, "global-table", nil, "`TABLE` that belongs to no tenant; may be repeated")
	flags.StringArrayVar(&f.tenantColumns, "tenant-column", nil, "`NAME` of columns that carry the tenant's key; may be repeated")
}

// load reads the configuration, if one is named: no environment variable
// counts without, so that a proxy's do not leak in.
func (f *selectionFlags) load() (*config.Config, error) {
	if f.config == "" {
		return config.Default(), nil
	}
	c, err := config.LoadSchema(f.config, os.Environ())
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return c, nil
}

// selection is what flags say, else the configuration. Of a proxy's
// configuration the login role and the roles of sessions are the application.
func (f *selectionFlags) selection(c *config.Config) inventory.Selection {
	s := inventory.Selection{
		AppRoles: splitNames(f.appRoles), RootTable: f.rootTable, GlobalTables: splitNames(f.globalTables), TenantColumns: splitNames(f.tenantColumns),
	}
	if len(s.AppRoles) == 0 {
		s.AppRoles = c.Audit.AppRoles
	}
	if len(s.AppRoles) == 0 {
		s.AppRoles = proxyRoles(c)
	}
	if s.RootTable == "" {
		s.RootTable = c.Audit.RootTable
	}
	if len(s.GlobalTables) == 0 {
		s.GlobalTables = c.Audit.GlobalTables
	}
	if len(s.TenantColumns) == 0 && f.config != "" && c.Given("tenant.columns") {
		s.TenantColumns = c.Tenant.Columns
	}
	return s
}

// splitNames splits values such as a,b at commas, those in double quotes
// aside.
func splitNames(values []string) []string {
	var names []string
	for _, value := range values {
		quoted := false
		for name := range strings.FieldsFuncSeq(value, func(r rune) bool {
			if r == '"' {
				quoted = !quoted
			}
			return r == ',' && !quoted
		}) {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// proxyRoles are the roles that the proxy of a configuration uses.
func proxyRoles(c *config.Config) []string {
	if !c.Server.DSN.IsSet() {
		return nil
	}
	parsed, err := pgx.ParseConfig(c.Server.DSN.Reveal())
	if err != nil {
		return nil // connecting says so
	}
	roles := []string{parsed.User}
	if c.Tenant.Role != "" {
		roles = append(roles, c.Tenant.Role)
	}
	for _, role := range c.Tenant.Roles {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// connection says how to connect. Errors do not show the string: it may hold
// a password.
func (f *selectionFlags) connection(c *config.Config) (*pgx.ConnConfig, error) {
	dsn := f.dsn
	if dsn == "" && c.Server.DSN.IsSet() {
		var err error
		if dsn, err = serverDSN(c); err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: errors.New("--dsn: not a connection string that libpq takes")}
	}
	if f.dsn == "" && c.Server.PasswordFile != "" {
		password, err := os.ReadFile(string(c.Server.PasswordFile))
		if err != nil {
			return nil, usageErrorf("server.password_file: %w", err)
		}
		cfg.Password = strings.TrimSuffix(strings.TrimSuffix(string(password), "\n"), "\r")
	}
	cfg.RuntimeParams["application_name"] = "bulkhead"
	return cfg, nil
}
