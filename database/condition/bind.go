package condition

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// class is a set of values that a conjunction makes equal.
type class []term

// same reports whether two values are one and the same.
func (t term) same(o term) bool {
	switch t.kind {
	case termColumn:
		return o.kind == termColumn && t.at == o.at && t.column == o.column
	case termContext:
		return o.kind == termContext && t.key == o.key
	case termLogin:
		return o.kind == termLogin
	}
	return false
}

// classes are the sets of equal values in a conjunction.
func (c clause) classes() []class {
	var list []class
	for _, e := range c.equal {
		merged := class{e[0], e[1]}
		var rest []class
		for _, other := range list {
			if other.contains(e[0]) || other.contains(e[1]) {
				merged = append(merged, other...)
				continue
			}
			rest = append(rest, other)
		}
		list = append(rest, merged)
	}
	return list
}

func (c class) contains(t term) bool {
	return slices.ContainsFunc(c, func(o term) bool { return t.same(o) })
}

// context returns what part of the context is in the class.
func (c class) context() (kind contextKind, ok bool) {
	for _, t := range c {
		if t.kind == termContext {
			kind, ok = max(kind, kindOfKey(t.key)), true
		}
	}
	return kind, ok
}

func (c class) hasKind(k termKind) bool {
	return slices.ContainsFunc(c, func(t term) bool { return t.kind == k })
}

// bond says how a row is tied to the session.
type bond uint8

const (
	unbound bond = iota
	visible      // by row security of its own table
	tied         // by an equation with the context, or a row that is tied
)

// binder looks for ties in one conjunction.
type binder struct {
	judge *Judge
	write bool // the row is to be written: that it names the user is not enough
	bonds map[*instance]bond
}

// binds reports whether a conjunction ties the row of the policy to the
// session.
func (j *Judge) binds(c clause, write bool) bool {
	for i, bond := range j.bonds(c, write) {
		if i.row && bond == tied {
			return true
		}
	}
	return false
}

// bonds says how each instance of a conjunction is tied to the session.
func (j *Judge) bonds(c clause, write bool) map[*instance]bond {
	b := &binder{judge: j, write: write, bonds: make(map[*instance]bond)}
	for _, i := range c.bound {
		b.bonds[i] = tied
	}
	for _, i := range c.instances {
		if j.showsOwn(i) {
			b.bonds[i] = max(b.bonds[i], visible)
		}
	}
	classes := c.classes()
	for _, class := range classes {
		b.tieToContext(class)
	}
	for again := true; again; {
		again = false
		for _, class := range classes {
			again = b.tieTogether(class) || again
		}
	}
	return b.bonds
}

// showsOwn reports whether row security of a tenant table shows whoever reads
// it nothing but the session's own. Whether the table's policies are right is
// judged on its own, and reported there.
func (j *Judge) showsOwn(i *instance) bool {
	if i.row || i.tenancy == nil || !i.tenancy.Tenant() {
		return false
	}
	if i.role == "" {
		return true
	}
	role := j.model.Snapshot.Role(i.role)
	if role == nil || role.Superuser || role.BypassRLS || !i.table.RowSecurity {
		return false
	}
	_, owns := role.Inherits()[j.model.Snapshot.Role(i.table.Owner)]
	return !owns || i.table.Force
}

// tieToContext ties instances that a class makes equal to the context.
func (b *binder) tieToContext(c class) {
	kind, isContext := c.context()
	isLogin := c.hasKind(termLogin)
	if !isContext && !isLogin {
		return
	}
	for _, t := range c {
		if t.kind != termColumn {
			continue
		}
		switch {
		case isLogin, t.at.isTenant(t.column):
			b.bonds[t.at] = tied
		case !t.at.row && kind != contextOther, t.at.row && b.rowOf(t.at, t.column, kind):
			b.bonds[t.at] = tied
		}
	}
}

// rowOf reports whether a column of the row that equals a part of the context
// ties it, though it is not the tenant column.
func (b *binder) rowOf(i *instance, column string, kind contextKind) bool {
	switch {
	case kind == contextOther || i.tenancy == nil:
		return false
	case kind == contextUser:
		// The user's own row. Where sessions are of an org, a user's rows in
		// other orgs are none of its business, but to find out where a user
		// belongs.
		return !b.write && (b.judge.users >= b.judge.orgs || b.judge.memberships[i.table])
	case i.tenancy.Class == inventory.Root:
		return isUnique(i.table, column)
	}
	return slices.ContainsFunc(i.table.Constraints, func(k *inventory.Constraint) bool {
		return k.Kind == inventory.ForeignKey && len(k.Columns) == 1 && k.Columns[0].Name == column && b.judge.model.IsTenant(k.References)
	})
}

func isUnique(r *inventory.Relation, column string) bool {
	return slices.ContainsFunc(r.Indexes, func(i *inventory.Index) bool {
		return i.Unique && len(i.Keys) == 1 && i.Keys[0].Column != nil && i.Keys[0].Column.Name == column
	})
}

// tieTogether ties instances of a class to others in it that are tied, and
// reports whether it did.
func (b *binder) tieTogether(c class) bool {
	changed := false
	for _, to := range c {
		if to.kind != termColumn || b.bonds[to.at] == unbound {
			continue
		}
		for _, t := range c {
			if t.kind != termColumn || t.at == to.at || b.bonds[t.at] == tied {
				continue
			}
			if b.judge.pairs(t, to, b.bonds[to.at]) {
				b.bonds[t.at] = tied
				changed = true
			}
		}
	}
	return changed
}

// pairs reports whether a row belongs to the tenant of another whose column
// equals one of its own: both carry the tenant's key, or one column references
// the other or is its table's key.
func (j *Judge) pairs(t, to term, strength bond) bool {
	if t.at.isTenant(t.column) && (to.at.isTenant(to.column) || strength == tied) {
		return true
	}
	return references(t, to) || references(to, t) || isKey(to)
}

// references reports whether a foreign key says that one column is the
// other's.
func references(from, to term) bool {
	if from.at.table == nil || to.at.table == nil {
		return false
	}
	for _, k := range from.at.table.Constraints {
		if k.Kind != inventory.ForeignKey || k.References != to.at.table {
			continue
		}
		for i, c := range k.Columns {
			if c.Name == from.column && k.ReferencedColumns[i].Name == to.column {
				return true
			}
		}
	}
	return false
}

// isKey reports whether a column is the key of its table.
func isKey(t term) bool {
	if t.at.table == nil {
		return false
	}
	key := t.at.table.PrimaryKey()
	return key != nil && len(key.Columns) == 1 && key.Columns[0].Name == t.column
}
