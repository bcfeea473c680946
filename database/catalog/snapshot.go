package catalog

import (
	"time"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Options say what to look for.
type Options struct {
	// TenantColumns are the names of columns that carry the org. They are
	// compared without regard to case and underscores.
	TenantColumns []string
	// Role is the role that sessions run as, "" for the login role.
	Role string
	// Roles are more such roles: the targets of tenant.roles.
	Roles []string
}

// Snapshot is a database's catalogue at one moment, temporary objects and the
// server's own schemas left out. It is read only.
type Snapshot struct {
	TakenAt       time.Time
	ServerVersion int    // server_version_num: 150018
	Database      string // that it describes
	LoginRole     string // session_user of the connection
	SessionRoles  []string
	Roles         []Role
	Relations     []Relation
	Functions     []Function
	Types         []parser.Name
}

// Role is a role that sessions may run as or become, or that owns something.
type Role struct {
	Name       string
	Superuser  bool
	BypassRLS  bool
	CreateRole bool
	Replicate  bool
	// Inherits are the owners whose privileges it has, itself included.
	Inherits []string
	// Reachable is how the login role gets here: "" if it cannot, else
	// "login", "inherits" or "set role".
	Reachable string
}

// Relation is a table, view, materialized view, sequence, foreign table or
// composite type.
type Relation struct {
	Schema, Name string
	Kind         byte // pg_class.relkind
	Owner        string
	Reachable    bool // some session role has USAGE on the schema and a privilege on it
	RowSecurity  bool
	Force        bool
	Columns      []string // their names, in order
	TenantColumn string   // the column that carries the org
	OrgKey       string   // of the table of orgs: the key that such columns reference
	TenantPath   string   // "order_lines -> orders" for what belongs to tenants by foreign keys
	Parent       string   // schema.name of the partitioned table or inheritance parent
	Invoker      bool     // security_invoker
	Uses         []parser.Name
	Definition   *Body // of a view or materialized view
	oid, parent  uint32
}

// Function is a function, procedure, aggregate or window function.
type Function struct {
	Schema, Name    string
	Owner           string
	Language        string
	Extension       string
	Volatility      byte // i, s, v
	SecurityDefiner bool
	Trigger         bool // returns trigger or event_trigger
	Aggregate       bool
	RowArgument     bool // may be called with one row: (row).name
	OneArgument     bool // may be called with one argument: (expression).name
	Settings        []string
	Body            *Body // nil for C, internal and aggregates
}

// Body is code as far as it could be read.
type Body struct {
	Batch        *parser.Batch // facts of SQL
	Words, Calls []string      // identifiers of other code, and those before an opening parenthesis
	Unreadable   string        // why there is neither
}
