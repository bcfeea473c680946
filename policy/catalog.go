package policy

import (
	"time"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Catalog is a snapshot of a database's catalogue as far as rules need it. It
// is never changed after it was given to an [Engine]. Names are as the server
// stores them. Temporary objects, pg_catalog, information_schema and
// pg_toast are not in it.
type Catalog struct {
	// TakenAt is when the snapshot began, by this machine's clock: a name that
	// it does not know counts as missing only for a short while.
	TakenAt time.Time
	// SessionRoles are the roles that statements of clients run as: the login
	// role or the tenant role, and each role of tenant.roles.
	SessionRoles []string
	Roles        []CatalogRole // session roles and owners of what is below
	Relations    []CatalogRelation
	Functions    []CatalogFunction
	// Types can be called like functions: mytype('x') is a cast.
	Types []parser.Name
}

// CatalogRole is a role as far as row security depends on it.
type CatalogRole struct {
	Name string
	// Bypasses is true for a superuser and for BYPASSRLS.
	Bypasses bool
	// Inherits are the roles whose privileges it has, itself included: it is
	// an owner of what they own.
	Inherits []string
}

// RelationKind is pg_class.relkind.
type RelationKind byte

// The kinds.
const (
	KindTable       RelationKind = 'r'
	KindPartitioned RelationKind = 'p'
	KindView        RelationKind = 'v'
	KindMatview     RelationKind = 'm'
	KindForeign     RelationKind = 'f'
	KindSequence    RelationKind = 'S'
	KindComposite   RelationKind = 'c'
)

// CatalogRelation is a table, view, sequence or the like.
type CatalogRelation struct {
	Schema, Name string
	Kind         RelationKind
	Owner        string
	// Reachable is false if no session role has USAGE on the schema and some
	// privilege on the relation: the server refuses every access itself.
	Reachable        bool
	RowSecurity      bool // ENABLE ROW LEVEL SECURITY
	ForceRowSecurity bool
	// TenantColumn is the column that carries the org, "" if there is none.
	TenantColumn string
	// OrgKey is the key of the table of orgs, which columns that carry the org
	// reference; "" for other tables.
	OrgKey string
	// Columns are the names of its columns in their order.
	Columns []string
	// TenantPath tells how a relation without a tenant column belongs to a
	// tenant, for people: "order_items -> orders"; "" if it does not.
	TenantPath string
	// Parent is the partitioned table or inheritance parent, "" if none.
	Parent string
	// SecurityInvoker is the view option of PostgreSQL 15.
	SecurityInvoker bool
	// Uses are the relations that the rules of a view, materialized view or
	// table with rewrite rules name.
	Uses []parser.Name
	// Definition is the query of a view or materialized view.
	Definition *CatalogBody
}

// CatalogFunction is a function, procedure or aggregate. Overloads are
// separate entries.
type CatalogFunction struct {
	Schema, Name    string
	Language        string // "sql", "plpgsql", "c", "internal", ...
	Extension       string // that owns it, "" if none
	SecurityDefiner bool
	Trigger         bool // returns trigger or event_trigger: cannot be called
	// RowArgument is true if it may be called with one row as its argument,
	// and so by attribute notation: (row).name.
	RowArgument bool
	// OneArgument is true if it may be called with one argument of whatever
	// type, and so by the same notation: (expression).name.
	OneArgument bool
	Settings    []string // names of the settings of its SET clauses
	Body        *CatalogBody
}

// CatalogBody is the code of a function or view as far as it could be read.
type CatalogBody struct {
	// Batch holds the facts of SQL code, nil if there is none.
	Batch *parser.Batch
	// Words are the identifiers and keywords of procedural code, in lower
	// case unless quoted, in order; a word before an opening parenthesis is
	// in Calls too.
	Words, Calls []string
	// Unreadable says why neither could be made, "" if one was.
	Unreadable string
}
