package context

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Querier is what [Read] needs of a connection or transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Installed is what a database holds of the context.
type Installed struct {
	// Objects are the relations and functions of the schema bulkhead, as
	// findings spell them. Others than the context's may be among them.
	Objects map[string]Object
	// Schema and Owner say whether the schema and the role exist.
	Schema, Owner bool
	// Usage are the roles that hold USAGE on the schema.
	Usage []string
}

// Object is a relation or function of the schema bulkhead.
type Object struct {
	Owner string
	// Holders are the roles, other than the owner, that hold a privilege on
	// it; public stands for everybody.
	Holders []string
	// Function is set for functions, Definition is what creates it again.
	Function   *Function
	Definition string
}

const readFunctions = `
select p.proname::text, pg_catalog.pg_get_function_identity_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid),
  l.lanname::text, p.prosrc, case p.provolatile when 'v' then 'volatile' when 's' then 'stable' else 'immutable' end,
  case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end, p.prosecdef,
  coalesce(pg_catalog.array_to_string(p.proconfig, ';'), ''), pg_catalog.pg_get_userbyid(p.proowner)::text,
  case when p.prokind in ('f', 'p') then pg_catalog.pg_get_functiondef(p.oid) else '' end,
  array(select distinct case x.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end
    from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as x where x.grantee <> p.proowner order by 1)
from pg_catalog.pg_proc as p join pg_catalog.pg_language as l on l.oid = p.prolang
where p.pronamespace = (select oid from pg_catalog.pg_namespace where nspname = 'bulkhead')`

const readRelations = `
select 'bulkhead.' || pg_catalog.quote_ident(c.relname), pg_catalog.pg_get_userbyid(c.relowner)::text,
  array(select distinct case x.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end
    from pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) as x
    where x.grantee <> c.relowner order by 1)
from pg_catalog.pg_class as c
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = 'bulkhead')`

const readSchema = `
select exists (select from pg_catalog.pg_namespace where nspname = 'bulkhead'), exists (select from pg_catalog.pg_roles where rolname = '` + Owner + `'),
  array(select distinct case x.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end
    from pg_catalog.pg_namespace as n, pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) as x
    where n.nspname = 'bulkhead' and x.privilege_type = 'USAGE' order by 1)`

// Read returns what is installed. It only reads, and needs no privilege.
func Read(ctx context.Context, q Querier) (*Installed, error) {
	in := &Installed{Objects: make(map[string]Object)}
	err := each(ctx, q, readSchema, func(rows pgx.Rows) error {
		return rows.Scan(&in.Schema, &in.Owner, &in.Usage)
	})
	if err != nil {
		return nil, fmt.Errorf("read the schema bulkhead: %w", err)
	}
	err = each(ctx, q, readRelations, func(rows pgx.Rows) error {
		var name string
		var o Object
		err := rows.Scan(&name, &o.Owner, &o.Holders)
		in.Objects[name] = o
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the relations of bulkhead: %w", err)
	}
	err = each(ctx, q, readFunctions, func(rows pgx.Rows) error {
		f, o, config := &Function{}, Object{}, ""
		err := rows.Scan(&f.Name, &f.Arguments, &f.Returns, &f.Language, &f.Body, &f.Volatile, &f.Parallel, &f.Definer,
			&config, &o.Owner, &o.Definition, &o.Holders)
		f.Path, f.config = config == searchPath, config
		o.Function = f
		in.Objects[f.Object()] = o
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the functions of bulkhead: %w", err)
	}
	return in, nil
}

const searchPath = "search_path=pg_catalog, pg_temp"

func each(ctx context.Context, q Querier, sql string, row func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Options returns the options that the installed context was made with, apart
// from who runs it. ok is false if org_id() is none that was shipped.
func (in *Installed) Options() (o Options, ok bool) {
	org := in.Objects["bulkhead.org_id()"].Function
	if org == nil {
		return o, false
	}
	for _, mode := range []Mode{Plain, Signed, Sealed} {
		for _, missing := range []bool{false, true} {
			o := Options{Mode: mode, KeyType: org.Returns, MissingError: missing}
			if _, err := typeName(o.KeyType); err != nil {
				return o, false
			}
			if functionsOf(&o)[0].equal(org) {
				return o, true
			}
		}
	}
	return o, false
}

// equal reports that a function of the database is f, in everything that
// changes what it does.
func (f *Function) equal(have *Function) bool {
	config := ""
	if f.Path {
		config = searchPath
	}
	return have != nil && f.Object() == have.Object() && f.Returns == have.Returns && f.Language == have.Language &&
		f.Body == have.Body && f.Volatile == have.Volatile && f.Parallel == have.Parallel && f.Definer == have.Definer && config == have.config
}

// Change is a way in which an installed context differs from what was shipped.
type Change struct{ Object, Detail string }

// Changes compares what is installed with what options o would install. An
// installation of another mode differs in its functions.
func (in *Installed) Changes(o Options) (out []Change) {
	for _, f := range functionsOf(&o) {
		have, ok := in.Objects[f.Object()]
		switch {
		case !ok:
			out = append(out, Change{f.Object(), "is missing"})
			continue
		case !f.equal(have.Function):
			out = append(out, Change{f.Object(), "its definition is not the one that was shipped"})
		}
		if have.Owner != Owner {
			out = append(out, Change{f.Object(), "belongs to " + have.Owner})
		}
		if !f.callable && len(have.Holders) > 0 {
			out = append(out, Change{f.Object(), "may be called by " + strings.Join(have.Holders, ", ")})
		}
	}
	for _, name := range relationsOf(&o) {
		have, ok := in.Objects[name]
		switch {
		case !ok:
			out = append(out, Change{name, "is missing"})
		case have.Owner != Owner:
			out = append(out, Change{name, "belongs to " + have.Owner})
		case len(have.Holders) > 0:
			out = append(out, Change{name, "privileges are held by " + strings.Join(have.Holders, ", ")})
		}
	}
	return out
}

// relationsOf returns the relations of a mode.
func relationsOf(o *Options) []string {
	var out []string
	if o.Mode != Plain {
		out = append(out, "bulkhead.signing_key")
	}
	if o.Mode == Sealed {
		out = append(out, "bulkhead.seal", "bulkhead.slot")
	}
	return out
}

// Update returns the statements that lead from what is installed to what the
// options say: nothing if it is so already. A change of the mode replaces the
// functions under the policies that call them; keys stay. What another mode
// has left over does no harm and stays, too.
func (in *Installed) Update(o Options) ([]Statement, error) {
	o.OwnerExists = in.Owner
	if !in.Schema {
		return Install(o)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	key, _ := typeName(o.KeyType)
	if org := in.Objects["bulkhead.org_id()"].Function; org != nil && org.Returns != key {
		return nil, fmt.Errorf("bulkhead.org_id() is installed for tenant keys of type %s, not %s: roll the context back first", org.Returns, key)
	}
	var inner builder
	inner.update(&o, in)
	if len(inner.out) == 0 {
		return nil, nil
	}
	var b builder
	b.owner(&o)
	b.asOwner(func() { b.out = append(b.out, inner.out...) })
	b.leave(&o)
	return b.out, nil
}

func (b *builder) update(o *Options, in *Installed) {
	if _, ok := in.Objects["bulkhead.signing_key"]; !ok {
		b.keys(o)
	}
	if _, ok := in.Objects["bulkhead.slot"]; !ok {
		b.sequences(o)
	}
	functions := functionsOf(o)
	for _, f := range functions {
		have, ok := in.Objects[f.Object()]
		switch {
		case !ok:
			b.function(f)
		case !f.equal(have.Function):
			b.add(Statement{
				SQL: f.create("create or replace function "), Inverse: strings.TrimSpace(have.Definition),
				Reason: f.reason, Object: f.Object(),
			})
		}
	}
	for _, s := range grantsOf(o, functions) {
		if !in.grants(s) {
			b.add(s.Statement)
		}
	}
}

// grants reports that a role holds already what s would give.
func (in *Installed) grants(s grant) bool {
	if s.Object == "schema:bulkhead" {
		return slices.Contains(in.Usage, s.role)
	}
	return slices.Contains(in.Objects[s.Object].Holders, s.role)
}
