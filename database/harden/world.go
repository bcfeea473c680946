package harden

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// world is the state that the plan has reached: it begins as what was read, and
// every step changes it. So each part of the plan is made for the state that
// the parts before it leave, and a second plan finds nothing to do.
type world struct {
	owners map[string]string // by the key of a securable
	lists  map[string]*acl
}

// The keys of securables.
func relationKey(r *inventory.Relation) string { return "r" + r.Object() }
func columnKey(c *inventory.Column) string     { return "a" + c.Object() }
func functionKey(f *inventory.Function) string { return "f" + f.Object() }
func schemaKey(name string) string             { return "n" + name }
func defaultKey(d *inventory.DefaultPrivilege) string {
	return "d" + string(d.Kind) + d.Owner + "\x00" + d.Schema
}

const databaseKey = "db"

// accessLists reads every access list in its stored order, which no snapshot
// keeps; one that is not stored is written out with its defaults, as GRANT
// does when it first touches one.
const accessLists = `
select x.kind, x.schema::text, x.name::text, x.extra::text, x.owner::text, pg_get_userbyid(e.grantor)::text,
	case e.grantee when 0 then 'public' else pg_get_userbyid(e.grantee)::text end, e.privilege_type, e.is_grantable
from (
	select 'r' as kind, n.nspname as schema, c.relname as name, ''::text as extra, pg_get_userbyid(c.relowner) as owner,
		coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner)) as list
	from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
	union all
	select 'a', n.nspname, c.relname, a.attname::text, pg_get_userbyid(c.relowner), a.attacl
	from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	where a.attacl is not null and not a.attisdropped
	union all
	select 'f', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), pg_get_userbyid(p.proowner), coalesce(p.proacl, acldefault('f', p.proowner))
	from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
	union all
	select 'n', n.nspname, '', '', pg_get_userbyid(n.nspowner), coalesce(n.nspacl, acldefault('n', n.nspowner)) from pg_catalog.pg_namespace n
	union all
	select 'd', coalesce(n.nspname, ''), pg_get_userbyid(d.defaclrole), d.defaclobjtype::text, pg_get_userbyid(d.defaclrole), d.defaclacl
	from pg_catalog.pg_default_acl d left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
	union all
	select 'b', '', '', '', pg_get_userbyid(d.datdba), coalesce(d.datacl, acldefault('d', d.datdba))
	from pg_catalog.pg_database d where d.datname = current_database()
) x left join lateral aclexplode(x.list) with ordinality e (grantor, grantee, privilege_type, is_grantable, ord) on true
where x.schema !~ '^pg_' and x.schema <> 'information_schema'
order by x.kind, x.schema, x.name, x.extra, e.ord`

// keyOf puts a key together from a row of accessLists. Names are quoted here
// and not by the server, so that both sides of a comparison do it alike.
func keyOf(kind, schema, name, extra string) string {
	switch kind {
	case "r":
		return relationKey(&inventory.Relation{Schema: schema, Name: name})
	case "a":
		return columnKey(&inventory.Column{Relation: &inventory.Relation{Schema: schema, Name: name}, Name: extra})
	case "f":
		return functionKey(&inventory.Function{Schema: schema, Name: name, Arguments: extra})
	case "n":
		return schemaKey(schema)
	case "d":
		return defaultKey(&inventory.DefaultPrivilege{Owner: name, Schema: schema, Kind: extra[0]})
	}
	return databaseKey
}

// readWorld reads the state. The search_path must hold pg_catalog alone.
func readWorld(ctx context.Context, q querier) (*world, error) {
	w := &world{owners: make(map[string]string), lists: make(map[string]*acl)}
	rows, err := q.Query(ctx, accessLists)
	if err != nil {
		return nil, fmt.Errorf("read the access lists: %w", err)
	}
	var kind, schema, name, extra, owner string
	var grantor, to, privilege *string
	var grantable *bool
	_, err = pgx.ForEachRow(rows, []any{&kind, &schema, &name, &extra, &owner, &grantor, &to, &privilege, &grantable}, func() error {
		key := keyOf(kind, schema, name, extra)
		w.owners[key] = owner
		list := w.list(key)
		if privilege != nil {
			list.grant(*to, *grantor, []aclPrivilege{{*privilege, *grantable}})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the access lists: %w", err)
	}
	return w, nil
}

// list returns the access list of a securable; one that was never granted
// anything is empty.
func (w *world) list(key string) *acl {
	if w.lists[key] == nil {
		w.lists[key] = &acl{}
	}
	return w.lists[key]
}

// changeOwner notes that an object has a new owner.
func (w *world) changeOwner(key, to string) {
	w.list(key).changeOwner(w.owners[key], to)
	w.owners[key] = to
}
