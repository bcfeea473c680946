package audit

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// danglingCounts look at foreign keys that were never validated, and at
// columns whose name says that they should have one.
func (f *Facts) danglingCounts(t *inventory.Tenancy) []count {
	var counts []count
	r := t.Relation
	for _, k := range r.Constraints {
		if k.Kind != inventory.ForeignKey || k.Inherited || k.References == nil || k.Validated && k.Enforced || len(k.Columns) == 1 && k.Columns[0] == t.Column {
			continue
		}
		var columns []*inventory.Column
		columns = append(columns, k.Columns...)
		counts = append(counts, danglingCount(k.Object(), r, columns, k.References, k.ReferencedColumns))
	}
	for _, c := range r.Columns {
		if p := f.meantByName(t, c); p != nil {
			counts = append(counts, danglingCount(c.Object(), r, []*inventory.Column{c}, p, p.PrimaryKey().Columns))
		}
	}
	return counts
}

func danglingCount(object string, r *inventory.Relation, columns []*inventory.Column, parent *inventory.Relation, keys []*inventory.Column) count {
	var given, same []string
	for i, c := range columns {
		given = append(given, "child."+inventory.Quote(c.Name)+" IS NOT NULL")
		same = append(same, sameValue(keys[i], "parent", c, "child"))
	}
	from := "FROM " + fromTable(r) + " AS child WHERE " + strings.Join(given, " AND ") + " AND NOT EXISTS (SELECT 1 FROM " + parent.SQL() +
		" AS parent WHERE " + strings.Join(same, " AND ") + ")"
	return newCount("A604", object, r, "of "+r.Object()+" that reference nothing in "+parent.Object()+".", from)
}

// meantByName returns the table that a column without foreign key seems to
// reference. It is the one that foreign keys of other tables on a column of
// that name and type reference, if they agree; else by its name: order_id and
// the table order or orders with a key of the same type, of the same schema or
// the only one of its name.
func (f *Facts) meantByName(t *inventory.Tenancy, c *inventory.Column) *inventory.Relation {
	stem, ok := strings.CutSuffix(plain(c.Name), "id")
	if !ok || stem == "" || slices.Contains(t.Candidates, c) || slices.ContainsFunc(t.Relation.Constraints, func(k *inventory.Constraint) bool {
		return k.Kind == inventory.ForeignKey && slices.Contains(k.Columns, c)
	}) {
		return nil
	}
	if isPolymorphic(t.Relation, stem) {
		return nil
	}
	if agreed, known := f.meantByOthers(c); known {
		return agreed
	}
	var elsewhere []*inventory.Relation
	for _, p := range f.Snapshot.Relations {
		if p == t.Relation || !isPluralOf(plain(p.Name), stem) || !keyOfType(p, c.BaseType) || !judged(p) {
			continue
		}
		if p.Schema == t.Relation.Schema {
			return p
		}
		elsewhere = append(elsewhere, p)
	}
	if len(elsewhere) == 1 {
		return elsewhere[0]
	}
	return nil
}

// meantByOthers is the table that all foreign keys of one column of that name
// and type reference, nil if they do not agree. Two at least must: known says
// that there are. A tree's key to itself tells nothing of other tables.
func (f *Facts) meantByOthers(c *inventory.Column) (agreed *inventory.Relation, known bool) {
	n := 0
	for _, r := range f.Snapshot.Relations {
		for _, k := range r.Constraints {
			if k.Kind != inventory.ForeignKey || k.Inherited || k.References == nil || k.References == r || len(k.Columns) != 1 || plain(k.Columns[0].Name) != plain(c.Name) {
				continue
			}
			same := k.Columns[0].BaseType == c.BaseType && keyOfType(k.References, c.BaseType) && slices.Equal(k.ReferencedColumns, k.References.PrimaryKey().Columns)
			if !same || n > 0 && agreed != k.References {
				return nil, true
			}
			agreed = k.References
			n++
		}
	}
	const enough = 2
	return agreed, n >= enough
}

// isPolymorphic reports whether another column says what a reference is to:
// subject_type beside subject_id.
func isPolymorphic(r *inventory.Relation, stem string) bool {
	return slices.ContainsFunc(r.Columns, func(c *inventory.Column) bool { return plain(c.Name) == stem+"type" })
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// isPluralOf reports whether a table has the name of what a column's name begins
// with, or its plural.
func isPluralOf(table, stem string) bool {
	if y, ok := strings.CutSuffix(stem, "y"); ok && table == y+"ies" {
		return true
	}
	return table == stem || table == stem+"s" || table == stem+"es"
}

func keyOfType(r *inventory.Relation, baseType string) bool {
	pk := r.PrimaryKey()
	return r.Kind != inventory.ForeignTable && pk != nil && len(pk.Columns) == 1 && pk.Columns[0].BaseType == baseType
}
