package harden

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// The roles that harden makes. None can log in.
const (
	// tablesRole owns what the application's role owned.
	tablesRole = "bulkhead_tables"
	// viewsRole owns views that cannot run as whoever reads them. It owns no
	// table, so row security binds it.
	viewsRole = "bulkhead_views"
	// readerRole owns the functions that follow a reference where a policy
	// cannot: it bypasses row security, may read those tables alone, and its
	// functions answer for the tenant of the session only.
	readerRole = "bulkhead_reader"
)

// quarantineSchema is where an operator may set rows aside that a constraint
// would not take. The application has no rights there.
const quarantineSchema = "bulkhead_quarantine"

// own reports whether a schema is Bulkhead's.
func own(schema string) bool { return schema == inventory.OwnSchema || schema == quarantineSchema }

// ourRoles are all roles of Bulkhead.
var ourRoles = []string{dbcontext.Owner, tablesRole, viewsRole, readerRole}

// Build reads the database and works out what has to be done. It writes
// nothing.
func Build(ctx context.Context, conn *pgx.Conn, o Options) (*Plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the plan: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written: a failure means a dead connection
	p, err := newPlanner(ctx, tx, &o)
	if err != nil {
		return nil, err
	}
	if err := p.run(); err != nil {
		return nil, err
	}
	if err := p.fingerprints(ctx, tx); err != nil {
		return nil, err
	}
	return &p.plan, nil
}

// planner makes a plan. Each of its parts reads the snapshot and the world,
// adds steps, and leaves the world as the steps leave the database.
type planner struct {
	o     *Options
	s     *inventory.Snapshot
	m     *inventory.Model
	w     *world
	plan  Plan
	phase Phase
	group string

	keyType string // of bulkhead.org_id()
	// comments are those of our policies and functions, by object: they carry
	// the digest of the definition.
	comments  map[string]string
	installed *dbcontext.Installed // schema bulkhead

	// The application after the roles phase: the memberships that it ends, the
	// roles that sessions can then run as, and all whose privileges they have.
	ended    map[*inventory.Membership]bool
	runAs    []*inventory.Role
	appRoles map[string]bool
	inherits map[*inventory.Role]map[string]bool

	edges map[*inventory.Relation][]*inventory.Relation // policies that read other tables
	bad   []string                                      // links that cannot be followed
	// denormals are the tables of Options.Denormalise that need something.
	denormals []*denormal
	madeRole  map[string]bool
	views     map[*inventory.Relation]bool // that read tenants' rows
	around    map[*inventory.Relation]bool // of these, those that row security cannot bind
}

func newPlanner(ctx context.Context, tx pgx.Tx, o *Options) (*planner, error) {
	s, err := inventory.Read(ctx, tx)
	if err != nil {
		return nil, err
	}
	if s.Server.InRecovery {
		return nil, errors.New("the server is a standby: plan on the primary")
	}
	m, err := inventory.Resolve(s, o.Selection)
	if err != nil {
		return nil, err
	}
	p := &planner{
		o: o, s: s, m: m, madeRole: make(map[string]bool),
		plan: Plan{Database: s.Database, Steps: []Step{}, Warnings: []Warning{}},
	}
	if p.w, err = readWorld(ctx, tx); err != nil {
		return nil, err
	}
	if p.comments, err = readComments(ctx, tx); err != nil {
		return nil, err
	}
	if p.installed, err = dbcontext.Read(ctx, tx); err != nil {
		return nil, err
	}
	if len(m.AppRoles) == 0 {
		return nil, &inventory.SelectionError{Problems: []string{"no role of the application was found: name it with --app-role"}}
	}
	if !slices.ContainsFunc(m.Tenancies(), (*inventory.Tenancy).Tenant) {
		return nil, &inventory.SelectionError{Problems: []string{
			"no table of tenants was found: name it with --root-table, or the columns that carry the tenant with --tenant-column",
		}}
	}
	for _, name := range o.KeepFunctions {
		if !slices.ContainsFunc(s.Functions, func(f *inventory.Function) bool { return named(f, name) }) {
			return nil, &inventory.SelectionError{Problems: []string{fmt.Sprintf("there is no function %s to keep: write schema.name", name)}}
		}
	}
	for _, r := range m.AppRoles {
		p.plan.AppRoles = append(p.plan.AppRoles, r.Name)
	}
	return p, nil
}

// run makes the parts of the plan in the order in which they are applied.
// Which memberships end is worked out first: what the application keeps
// depends on it.
func (p *planner) run() error {
	p.application()
	if err := p.denormalised(); err != nil {
		return err
	}
	p.readers()
	for _, phase := range Phases() {
		if !slices.Contains(p.o.phases(), phase) {
			continue
		}
		p.phase = phase
		switch phase {
		case Main:
			if err := p.main(); err != nil {
				return err
			}
		case Roles:
			p.roleGraph()
		case Integrity:
			p.integrity()
		}
	}
	p.warnings()
	return nil
}

func (p *planner) main() error {
	if err := p.tenantContext(); err != nil {
		return err
	}
	p.denormalise()
	p.ownership()
	p.keepMemberships()
	if err := p.floors(); err != nil {
		return err
	}
	p.grants()
	p.viewOwners()
	p.boundByRules()
	p.functions()
	p.defaultPrivileges()
	return nil
}

func (p *planner) fingerprints(ctx context.Context, tx pgx.Tx) error {
	database, err := DatabaseState(ctx, tx)
	if err != nil {
		return err
	}
	roles, err := RolesState(ctx, tx, p.plan.AppRoles)
	if err != nil {
		return err
	}
	p.plan.Fingerprint, p.plan.RolesFingerprint = database.Fingerprint(), roles.Fingerprint()
	return nil
}

// add adds a step to the phase and group that are being planned.
func (p *planner) add(s Step) {
	s.Phase, s.group = p.phase, p.group
	if s.Lock == "" {
		s.Lock = noLock
	}
	p.plan.Steps = append(p.plan.Steps, s)
}

func (p *planner) warn(object, title, detail string) {
	p.plan.Warnings = append(p.plan.Warnings, Warning{Object: object, Title: title, Detail: detail})
}

// in groups the steps that f adds: with --per-table they are one transaction.
func (p *planner) in(group string, f func()) {
	old := p.group
	p.group = group
	f()
	p.group = old
}

// accessExclusive is the lock of what stops all traffic on a relation until
// the transaction ends.
func accessExclusive(r *inventory.Relation) string { return "ACCESS EXCLUSIVE on " + r.Object() }

// makeRole adds the step that creates one of our roles, once, if the cluster
// lacks it. Another database of the cluster may still use the role when this
// one is rolled back.
func (p *planner) makeRole(name, attributes, reason string) {
	if p.madeRole[name] || p.s.Role(name) != nil {
		return
	}
	p.madeRole[name] = true
	p.add(Step{SQL: createRole(name, attributes), Inverse: dropRole(name), Reason: reason, Object: "role:" + name})
}

// joined runs f, whose steps give things in a schema (or, without one, others)
// to one of our roles. Who is no superuser must be a member of that role for
// it, and the role must have CREATE on the schema.
func (p *planner) joined(role, schema string, f func()) {
	if p.s.Login.Superuser {
		f()
		return
	}
	grant, revoke := "grant "+role+" to current_user", "revoke "+role+" from current_user"
	if p.s.Server.Major() >= version16 {
		grant += " with inherit true, set true"
	}
	if schema != "" {
		on := " create on schema " + inventory.Quote(schema)
		grant, revoke = joinSQL(grant, "grant"+on+" to "+role), joinSQL("revoke"+on+" from "+role, revoke)
	}
	const reason = "only who may act as the new owner can give it something; no superuser runs this"
	p.add(Step{SQL: grant, Inverse: revoke, Reason: reason, Object: "role:" + role})
	f()
	p.add(Step{SQL: revoke, Inverse: grant, Reason: "for that long only", Object: "role:" + role})
}

func createRole(name, attributes string) string {
	return `do $bulkhead$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = '` + name + `') then
    create role ` + name + " " + attributes + `;
  end if;
end
$bulkhead$`
}

func dropRole(name string) string {
	return `do $bulkhead$
begin
  if not exists (select from pg_catalog.pg_shdepend d join pg_catalog.pg_roles r on r.oid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and r.rolname = '` + name + `') then
    drop role if exists ` + name + `;
  end if;
end
$bulkhead$`
}

const commentsQuery = `
select n.nspname::text, c.relname::text, p.polname::text, d.description
from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_description d on d.classoid = 'pg_policy'::regclass and d.objoid = p.oid
union all
select n.nspname::text, f.proname::text, null, d.description
from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
join pg_catalog.pg_description d on d.classoid = 'pg_proc'::regclass and d.objoid = f.oid
where n.nspname = 'bulkhead'`

func readComments(ctx context.Context, q querier) (map[string]string, error) {
	rows, err := q.Query(ctx, commentsQuery)
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	comments := make(map[string]string)
	var schema, name, text string
	var policy *string
	_, err = pgx.ForEachRow(rows, []any{&schema, &name, &policy, &text}, func() error {
		object := inventory.Quote(schema) + "." + inventory.Quote(name)
		if policy != nil {
			object += ":" + *policy
		}
		comments[object] = text
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	return comments, nil
}
