package inventory

import "context"

// constraintsOf reads constraints. NOT ENFORCED is of 18, SET NULL (columns)
// of 15: read as JSON, so that one query serves all versions.
func (l *loader) constraintsOf(ctx context.Context) error {
	const query = `
SELECT k.oid, k.conrelid, k.conname::text, k.contype::text, COALESCE(k.conkey, '{}'), k.convalidated, COALESCE((j->>'conenforced')::bool, true), k.condeferrable,
	k.conparentid <> 0 OR (k.coninhcount > 0 AND NOT k.conislocal), COALESCE(pg_get_constraintdef(k.oid), ''),
	k.confrelid, COALESCE(k.confkey, '{}'), k.confupdtype::text, k.confdeltype::text,
	ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof(j->'confdelsetcols') WHEN 'array' THEN j->'confdelsetcols' ELSE '[]' END)::int2)
FROM pg_constraint k CROSS JOIN LATERAL to_jsonb(k) AS j WHERE k.contype IN ('p', 'u', 'f', 'c', 'x', 'n') AND k.conrelid <> 0
ORDER BY k.conrelid, k.conname::text COLLATE "C"`
	var oid, table, parent uint32
	var k Constraint
	var kind, onUpdate, onDelete string
	var columns, referenced, setNull []int16
	dest := []any{
		&oid, &table, &k.Name, &kind, &columns, &k.Validated, &k.Enforced, &k.Deferrable, &k.Inherited, &k.Definition,
		&parent, &referenced, &onUpdate, &onDelete, &setNull,
	}
	return l.each(ctx, "constraints", query, nil, dest, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		constraint := k
		constraint.Relation, constraint.Kind, constraint.Columns = r, ConstraintKind(kind[0]), r.numbers(columns)
		if constraint.Kind == ForeignKey {
			constraint.OnUpdate, constraint.OnDelete = Action(first(onUpdate)), Action(first(onDelete))
			constraint.SetNullColumns = r.numbers(setNull)
			if p := l.relations[parent]; p != nil {
				constraint.References, constraint.ReferencedColumns = p, p.numbers(referenced)
			}
		}
		if constraint.Kind == NotNull && !constraint.Validated {
			for _, c := range constraint.Columns {
				c.NotNullUnchecked = true
			}
		}
		r.Constraints = append(r.Constraints, &constraint)
		l.constraints[oid] = &constraint
		return nil
	})
}

// indexesOf reads indexes, one row for each key.
func (l *loader) indexesOf(ctx context.Context) error {
	const query = `
WITH class AS MATERIALIZED (
	SELECT o.oid, o.opcname, COALESCE((SELECT COALESCE(bool_and(f.proleakproof) FILTER (WHERE a.amoprighttype = o.opcintype), bool_and(f.proleakproof))
		FROM pg_amop a JOIN pg_operator op ON op.oid = a.amopopr JOIN pg_proc f ON f.oid = op.oprcode
		WHERE a.amopfamily = o.opcfamily AND a.amoppurpose = 's' AND a.amoplefttype = o.opcintype), false) AS leakproof
	FROM pg_opclass o WHERE o.oid IN (SELECT unnest(x.indclass::oid[]) FROM pg_index x)
), served AS MATERIALIZED (
	SELECT k.conindid, min(k.oid) AS oid FROM pg_constraint k WHERE k.contype IN ('p', 'u', 'x') GROUP BY k.conindid
)
SELECT i.indexrelid, i.indrelid, c.relname::text, m.amname::text, i.indisunique, i.indisprimary, i.indisexclusion, i.indisvalid AND i.indisready AND i.indislive,
	COALESCE(pg_get_expr(i.indpred, i.indrelid), ''), COALESCE(served.oid, 0),
	EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhrelid = i.indexrelid), pg_get_indexdef(i.indexrelid),
	key.n, key.attnum, key.n <= i.indnkeyatts, pg_get_indexdef(i.indexrelid, key.n::int4, false), COALESCE(o.opcname::text, ''), COALESCE(o.leakproof, false)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key(attnum, n)
LEFT JOIN class o ON key.n <= i.indnkeyatts AND o.oid = i.indclass[key.n - 1] LEFT JOIN served ON served.conindid = i.indexrelid
WHERE ` + userSchemas + ` ORDER BY i.indrelid, c.relname::text COLLATE "C", key.n`
	var oid, table, constraint uint32
	var i Index
	var n int64
	var number int16
	var isKey bool
	var key IndexKey
	dest := []any{
		&oid, &table, &i.Name, &i.Method, &i.Unique, &i.Primary, &i.Exclusion, &i.Valid, &i.Predicate, &constraint, &i.Inherited, &i.Definition,
		&n, &number, &isKey, &key.Expression, &key.Class, &key.Leakproof,
	}
	return l.each(ctx, "indexes", query, nil, dest, func() error {
		r := l.relations[table]
		if r == nil {
			return nil
		}
		index := l.indexes[oid]
		if index == nil {
			made := i
			index = &made
			index.Relation, index.Constraint = r, l.constraints[constraint]
			r.Indexes = append(r.Indexes, index)
			l.indexes[oid] = index
		}
		column := r.number(int(number))
		if !isKey {
			index.Included = append(index.Included, column)
			return nil
		}
		k := key
		k.Column = column
		index.Keys = append(index.Keys, k)
		return nil
	})
}
