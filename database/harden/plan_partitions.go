package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// unkeyable says why a table gets no foreign key here.
const unkeyable = "it is part of an inheritance tree, whose tables share no keys, or has a foreign table as a partition"

// keyable reports whether foreign keys of a table, and to it, hold for all its
// rows: it is a plain table, or a partitioned one with plain partitions.
func keyable(r *inventory.Relation) bool {
	switch {
	case len(r.Parents) > 0:
		return false
	case r.Kind == inventory.Table:
		return len(r.Children) == 0
	}
	return r.Kind == inventory.PartitionedTable && !slices.ContainsFunc(descendants(r), func(x *inventory.Relation) bool { return !x.TakesPolicies() })
}

// leaves are the partitions that hold rows.
func leaves(r *inventory.Relation) []*inventory.Relation {
	return slices.DeleteFunc(descendants(r), func(x *inventory.Relation) bool { return x.Kind == inventory.PartitionedTable })
}

// foreignKey adds a foreign key in two steps. Before 18 no key of a partitioned
// table can be NOT VALID: each partition gets its own, and the key of the whole
// then takes these as its parts and reads nothing.
func (p *planner) foreignKey(r *inventory.Relation, of, definition, reason string, references *inventory.Relation, wrong string) {
	name := shortName("fkey", r.Name, of)
	lock := func(x *inventory.Relation) string {
		return "SHARE ROW EXCLUSIVE on " + x.Object() + " and " + references.Object() + ", for a moment"
	}
	if r.Kind != inventory.PartitionedTable {
		p.validated(r, name, definition, reason, lock(r), wrong)
		return
	}
	if findConstraint(r, name) != nil {
		return
	}
	for _, leaf := range leaves(r) {
		p.validated(leaf, shortName("fkey", leaf.Name, of), definition, reason, lock(leaf), wrong)
	}
	p.add(Step{
		SQL:     "alter table " + r.SQL() + " add constraint " + inventory.Quote(name) + " " + definition,
		Inverse: "alter table " + r.SQL() + " drop constraint " + inventory.Quote(name),
		Reason:  reason + "; every partition has the key, so no row is read", Lock: lock(r) + ", and on the partitions", Object: r.Object() + ":" + name,
	})
}

// partitionedIndex builds an index of a partitioned table without locking
// writers out: one on each partition, CONCURRENTLY, and then the whole, which
// takes these as its parts. Indexes of the application on partitions are left
// alone: none could be taken out again.
func (p *planner) partitionedIndex(r *inventory.Relation, columns []*inventory.Column, kind, name, reason string) {
	object := r.Object() + ":" + name
	if slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Object == object }) {
		return
	}
	drop := "drop index if exists " + inventory.Quote(r.Schema) + "." + inventory.Quote(name)
	if slices.ContainsFunc(r.Indexes, func(x *inventory.Index) bool { return x.Name == name }) {
		p.add(Step{SQL: drop, Inverse: nothingToUndo, Reason: "it was left unfinished", Lock: accessExclusive(r), Object: object})
	}
	list := " (" + names(columns) + ")"
	part := func(x *inventory.Relation) string {
		return shortName(map[string]string{"index": "pidx", "unique index": "pkey"}[kind], x.Name, names(columns))
	}
	for _, leaf := range leaves(r) {
		n := part(leaf)
		p.concurrently(leaf, n, "create "+kind+" concurrently if not exists "+inventory.Quote(n)+" on "+leaf.SQL()+list, reason)
	}
	p.in(object, func() {
		p.wholeIndex(r, name, "create "+kind+" ", list, part, drop, reason+"; every partition has its part, so no row is read")
	})
}

// wholeIndex makes the index of a partitioned table of those of its partitions.
// They go with it: none can be taken out again.
func (p *planner) wholeIndex(r *inventory.Relation, name, create, list string, part func(*inventory.Relation) string, drop, reason string) {
	object := r.Object() + ":" + name
	p.add(Step{
		SQL: create + inventory.Quote(name) + " on only " + r.SQL() + list, Inverse: drop, Reason: reason,
		Lock: "SHARE on " + r.Object() + ", for a moment", Object: object,
	})
	for _, x := range r.Children {
		n := part(x)
		if x.Kind == inventory.PartitionedTable {
			p.wholeIndex(x, n, create, list, part, nothingToUndo, reason)
		}
		p.add(Step{
			SQL:     "alter index " + inventory.Quote(r.Schema) + "." + inventory.Quote(name) + " attach partition " + inventory.Quote(x.Schema) + "." + inventory.Quote(n),
			Inverse: nothingToUndo, Reason: "a part of the whole", Lock: "ACCESS EXCLUSIVE on the new indexes, for a moment", Object: object,
		})
	}
}
