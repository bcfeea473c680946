package inventory

// Kind is pg_class.relkind.
type Kind byte

// The kinds of relations that a snapshot holds.
const (
	Table             Kind = 'r'
	PartitionedTable  Kind = 'p'
	View              Kind = 'v'
	MaterializedView  Kind = 'm'
	ForeignTable      Kind = 'f'
	Sequence          Kind = 'S'
	partitionedIndex  Kind = 'I'
	relationKinds          = "rpvmfS"
	ownedSequenceType      = "ai" // pg_depend.deptype of a sequence that belongs to a column
)

// String names the kind as messages do.
func (k Kind) String() string {
	switch k {
	case Table:
		return "table"
	case PartitionedTable:
		return "partitioned table"
	case View:
		return "view"
	case MaterializedView:
		return "materialized view"
	case ForeignTable:
		return "foreign table"
	case Sequence:
		return "sequence"
	}
	return "relation"
}

// Keyword is what ALTER and DROP call the kind.
func (k Kind) Keyword() string {
	switch k {
	case View:
		return "VIEW"
	case MaterializedView:
		return "MATERIALIZED VIEW"
	case ForeignTable:
		return "FOREIGN TABLE"
	case Sequence:
		return "SEQUENCE"
	}
	return "TABLE"
}

// Relation is a table, partitioned table, view, materialized view, foreign
// table or sequence.
type Relation struct {
	Schema, Name string
	Owner        string
	Kind         Kind
	Persistence  byte   // pg_class.relpersistence: p, u
	Extension    string // that it belongs to, "" for none
	// RowSecurity is ENABLE, Force is FORCE ROW LEVEL SECURITY.
	RowSecurity, Force bool
	Options            []string // pg_class.reloptions, name=value
	Rows               float64  // pg_class.reltuples: -1 or 0 where never analysed
	Grants             []Grant
	// DefaultGrants says that no access list is stored: Grants are the
	// owner's defaults.
	DefaultGrants bool

	Columns     []*Column
	Constraints []*Constraint
	Indexes     []*Index
	Policies    []*Policy
	Triggers    []*Trigger
	Rules       []*Rule // without the one that makes a view

	// Parents are the partitioned table, or the inheritance parents;
	// Children the other way round.
	Parents, Children []*Relation
	IsPartition       bool
	PartitionKey      string // of a partitioned table: LIST (org_id)
	PartitionBound    string // of a partition: FOR VALUES IN (...)

	Definition string // of a view or materialized view
	Uses       Uses   // of a view or materialized view, and of rules
	// Populated is false for a materialized view WITH NO DATA.
	Populated     bool
	ForeignServer string  // of a foreign table
	OwnedBy       *Column // of a sequence: the serial or identity column

	oid uint32
}

// Object spells the relation as reports do: schema.table.
func (r *Relation) Object() string { return Quote(r.Schema) + "." + Quote(r.Name) }

// SQL is the qualified, quoted name for statements.
func (r *Relation) SQL() string { return r.Object() }

// HoldsRows reports whether the relation is a table of some sort, whose rows
// may be tenants'.
func (r *Relation) HoldsRows() bool {
	return r.Kind == Table || r.Kind == PartitionedTable || r.Kind == ForeignTable
}

// TakesPolicies reports whether row security can be turned on.
func (r *Relation) TakesPolicies() bool { return r.Kind == Table || r.Kind == PartitionedTable }

// Column returns the column of that name, or nil.
func (r *Relation) Column(name string) *Column {
	for _, c := range r.Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// PrimaryKey returns the primary key, or nil.
func (r *Relation) PrimaryKey() *Constraint {
	for _, c := range r.Constraints {
		if c.Kind == PrimaryKey {
			return c
		}
	}
	return nil
}

// Option returns the value of a storage parameter or view option.
func (r *Relation) Option(name string) (value string, ok bool) {
	for _, o := range r.Options {
		if v, found := cutOption(o, name); found {
			return v, true
		}
	}
	return "", false
}

// SecurityInvoker reports whether a view runs with the rights of whoever reads
// it (15+). The option is stored as it was written: true, on, 1, yes.
func (r *Relation) SecurityInvoker() bool {
	v, ok := r.Option("security_invoker")
	return ok && isTrue(v)
}

// Column is one column of a relation.
type Column struct {
	Relation *Relation
	Name     string
	Number   int
	Type     string // with its modifiers, as format_type writes it: character varying(20)
	BaseType string // without: character varying
	Category byte   // pg_type.typtype: b base, e enum, d domain, c composite, r range
	NotNull  bool
	// NotNullUnchecked says that rows from before may be NULL (18+: NOT NULL
	// NOT VALID).
	NotNullUnchecked bool
	Default          string // expression, "" for none
	DefaultUses      Uses
	Identity         byte // a, d, or 0
	Generated        byte // s stored, v virtual, or 0
	Collation        string
	Inherited        bool    // from a parent, and not declared here as well
	Grants           []Grant // column privileges, without those of the table
}

// Object spells the column as reports do: schema.table.column.
func (c *Column) Object() string { return c.Relation.Object() + "." + Quote(c.Name) }

// ConstraintKind is pg_constraint.contype.
type ConstraintKind byte

// The kinds of constraints.
const (
	PrimaryKey ConstraintKind = 'p'
	Unique     ConstraintKind = 'u'
	ForeignKey ConstraintKind = 'f'
	Check      ConstraintKind = 'c'
	Exclusion  ConstraintKind = 'x'
	NotNull    ConstraintKind = 'n' // in the catalogue from 18 on
)

// Constraint is a constraint of a table.
type Constraint struct {
	Relation   *Relation
	Name       string
	Kind       ConstraintKind
	Columns    []*Column // nil entries never; none for an expression
	Validated  bool
	Enforced   bool // false only by NOT ENFORCED (18+)
	Deferrable bool
	// Inherited says that it comes from a parent's constraint: of a partition,
	// or by inheritance.
	Inherited  bool
	Definition string

	// Of a foreign key:
	References        *Relation // nil if it is not in the snapshot
	ReferencedColumns []*Column
	OnUpdate          Action
	OnDelete          Action
	SetNullColumns    []*Column // 15+: ON DELETE SET NULL (columns); none means all
}

// Object spells the constraint as reports do: schema.table:name.
func (c *Constraint) Object() string { return c.Relation.Object() + ":" + c.Name }

// Action is what a foreign key does when the row that it references goes.
type Action byte

// The actions.
const (
	NoAction   Action = 'a'
	Restrict   Action = 'r'
	Cascade    Action = 'c'
	SetNull    Action = 'n'
	SetDefault Action = 'd'
)

// SQL is the action in a foreign key.
func (a Action) SQL() string {
	switch a {
	case Restrict:
		return "RESTRICT"
	case Cascade:
		return "CASCADE"
	case SetNull:
		return "SET NULL"
	case SetDefault:
		return "SET DEFAULT"
	}
	return "NO ACTION"
}

// Index is an index of a table.
type Index struct {
	Relation *Relation
	Name     string // in the schema of the table
	Method   string // btree, gin, ...
	Keys     []IndexKey
	Included []*Column
	Unique   bool
	Primary  bool
	// Exclusion says that it serves an exclusion constraint.
	Exclusion  bool
	Valid      bool // and ready: queries use it
	Predicate  string
	Constraint *Constraint // that it serves, or nil
	Inherited  bool        // part of an index of the partitioned table
	Definition string
}

// Object spells the index as reports do: schema.table:name.
func (i *Index) Object() string { return i.Relation.Object() + ":" + i.Name }

// IndexKey is one key of an index.
type IndexKey struct {
	Column     *Column // nil for an expression
	Expression string  // as it is written, also for a column
	Class      string  // operator class
	// Leakproof says that all search operators of the class are (those between
	// values of one type, where it has some): only then the index serves a
	// query on a table with row security. A policy's own condition may always
	// use it.
	Leakproof bool
}

// Policy is a row security policy.
type Policy struct {
	Relation   *Relation
	Name       string
	Command    byte // pg_policy.polcmd: * a r w d
	Permissive bool
	Roles      []string // Public, or roles
	Using      string   // expression, "" for none
	Check      string   // WITH CHECK, "" for none
	Uses       Uses
}

// Object spells the policy as reports do: schema.table:name.
func (p *Policy) Object() string { return p.Relation.Object() + ":" + p.Name }

// CommandName is the command as CREATE POLICY writes it.
func (p *Policy) CommandName() string {
	switch p.Command {
	case 'r':
		return "SELECT"
	case 'a':
		return "INSERT"
	case 'w':
		return "UPDATE"
	case 'd':
		return "DELETE"
	}
	return "ALL"
}

// Trigger is a trigger that somebody made.
type Trigger struct {
	Relation   *Relation
	Name       string
	Function   *Function // nil if it is the server's own
	Enabled    byte      // pg_trigger.tgenabled: O, D, R, A
	Inherited  bool      // from the partitioned table
	Definition string
}

// Object spells the trigger as reports do: schema.table:name.
func (t *Trigger) Object() string { return t.Relation.Object() + ":" + t.Name }

// Rule is a rewrite rule, those of views aside.
type Rule struct {
	Relation   *Relation
	Name       string
	Event      byte // pg_rewrite.ev_type: 1 SELECT, 2 UPDATE, 3 INSERT, 4 DELETE
	Instead    bool
	Enabled    byte
	Definition string
	Uses       Uses
}

// Object spells the rule as reports do: schema.table:name.
func (r *Rule) Object() string { return r.Relation.Object() + ":" + r.Name }

// Uses is what an expression, view or rule depends on (pg_depend). The
// server's own objects are not recorded there.
type Uses struct {
	Relations []*Relation
	Columns   []*Column
	Functions []*Function
}
