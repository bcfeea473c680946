package inventory

import "context"

func (l *loader) relationsOf(ctx context.Context) error {
	query := `
SELECT c.oid, n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, c.relkind::text, c.relpersistence::text,
	` + extensionOf("pg_class", "c.oid") + `, c.relrowsecurity, c.relforcerowsecurity, COALESCE(c.reloptions, '{}'), c.reltuples::float8, c.relacl IS NULL,
	c.relispartition, CASE c.relkind WHEN 'p' THEN COALESCE(pg_get_partkeydef(c.oid), '') ELSE '' END, COALESCE(pg_get_expr(c.relpartbound, c.oid), ''),
	CASE WHEN c.relkind IN ('v', 'm') THEN COALESCE(pg_get_viewdef(c.oid), '') ELSE '' END, c.relispopulated,
	COALESCE((SELECT s.srvname::text FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = c.oid), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND ` + userSchemas + `
ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	var r Relation
	var kind, persistence string
	dest := []any{
		&r.oid, &r.Schema, &r.Name, &r.Owner, &kind, &persistence, &r.Extension, &r.RowSecurity, &r.Force, &r.Options, &r.Rows, &r.DefaultGrants,
		&r.IsPartition, &r.PartitionKey, &r.PartitionBound, &r.Definition, &r.Populated, &r.ForeignServer,
	}
	return l.each(ctx, "relations", query, nil, dest, func() error {
		relation := r
		relation.Kind, relation.Persistence = Kind(kind[0]), persistence[0]
		l.s.Relations = append(l.s.Relations, &relation)
		l.relations[relation.oid] = &relation
		l.s.relations[Name{relation.Schema, relation.Name}] = &relation
		r.Options = nil
		return nil
	})
}

// columns reads columns with their defaults, and which sequence belongs to
// which. attnotnull is true as well for a NOT NULL that was not validated.
func (l *loader) columns(ctx context.Context) error {
	const query = `
SELECT a.attrelid, a.attname::text, a.attnum, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL), t.typtype::text, a.attnotnull,
	COALESCE(pg_get_expr(d.adbin, d.adrelid), ''), COALESCE(d.oid, 0), a.attidentity::text, a.attgenerated::text,
	COALESCE((SELECT o.collname::text FROM pg_collation o WHERE o.oid = a.attcollation AND a.attcollation <> t.typcollation), ''),
	a.attinhcount > 0 AND NOT a.attislocal
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND ` + userSchemas + `
ORDER BY a.attrelid, a.attnum`
	var table, def uint32
	var number int16
	var c Column
	var category, identity, generated string
	dest := []any{
		&table, &c.Name, &number, &c.Type, &c.BaseType, &category, &c.NotNull, &c.Default, &def, &identity, &generated, &c.Collation, &c.Inherited,
	}
	err := l.each(ctx, "columns", query, nil, dest, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		column := c
		column.Relation, column.Number = r, int(number)
		column.Category, column.Identity, column.Generated = first(category), first(identity), first(generated)
		r.Columns = append(r.Columns, &column)
		if def != 0 {
			l.defaults[def] = &column
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.ownedSequences(ctx)
}

func (l *loader) ownedSequences(ctx context.Context) error {
	const query = `
SELECT d.objid, d.refobjid, d.refobjsubid FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')`
	var sequence, table uint32
	var number int32
	return l.each(ctx, "sequences", query, nil, []any{&sequence, &table, &number}, func() error {
		if s, r := l.relations[sequence], l.relations[table]; s != nil && r != nil {
			s.OwnedBy = r.number(int(number))
		}
		return nil
	})
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

// number returns the column with that attribute number, or nil.
func (r *Relation) number(n int) *Column {
	for _, c := range r.Columns {
		if c.Number == n {
			return c
		}
	}
	return nil
}

// numbers returns the columns with those attribute numbers; 0 stands for an
// expression and is left out.
func (r *Relation) numbers(list []int16) []*Column {
	var columns []*Column
	for _, n := range list {
		if c := r.number(int(n)); c != nil {
			columns = append(columns, c)
		}
	}
	return columns
}

// grants reads the privileges on relations and columns.
func (l *loader) grants(ctx context.Context) error {
	const tables = `
SELECT c.oid, ` + exploded + ` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN aclexplode(COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) x
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND ` + userSchemas + ` ORDER BY 1, 2, 3, 5, 4`
	var oid uint32
	var g Grant
	err := l.each(ctx, "privileges on relations", tables, nil, append([]any{&oid}, scanGrant(&g)...), func() error {
		if r := l.relations[oid]; r != nil {
			r.Grants = append(r.Grants, g)
		}
		return nil
	})
	if err != nil {
		return err
	}
	const columns = `
SELECT a.attrelid, a.attnum, ` + exploded + ` FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN aclexplode(a.attacl) x
WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND ` + userSchemas + ` ORDER BY 1, 2, 3, 4, 6, 5`
	var number int16
	return l.each(ctx, "privileges on columns", columns, nil, append([]any{&oid, &number}, scanGrant(&g)...), func() error {
		if r := l.relations[oid]; r != nil {
			if c := r.number(int(number)); c != nil {
				c.Grants = append(c.Grants, g)
			}
		}
		return nil
	})
}

func (l *loader) inheritance(ctx context.Context) error {
	const query = `SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C", i.inhseqno`
	var child, parent uint32
	return l.each(ctx, "inheritance", query, nil, []any{&child, &parent}, func() error {
		if c, p := l.relations[child], l.relations[parent]; c != nil && p != nil {
			c.Parents = append(c.Parents, p)
			p.Children = append(p.Children, c)
		}
		return nil
	})
}

func (l *loader) statistics(ctx context.Context) error {
	const query = `
SELECT n.nspname::text, s.stxname::text, pg_get_userbyid(s.stxowner)::text, s.stxrelid, array_to_string(s.stxkind, '')
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace ORDER BY 1, 2`
	var st Statistics
	var table uint32
	return l.each(ctx, "extended statistics", query, nil, []any{&st.Name.Schema, &st.Name.Name, &st.Owner, &table, &st.Kinds}, func() error {
		statistics := st
		if statistics.Relation = l.relations[table]; statistics.Relation != nil {
			l.s.Statistics = append(l.s.Statistics, statistics)
		}
		return nil
	})
}
