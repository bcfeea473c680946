package inventory

import (
	"maps"
	"slices"
)

// Class says whose rows a table holds.
type Class string

// The classes.
const (
	Root     Class = "root"     // one row is one tenant
	Direct   Class = "direct"   // a column carries the tenant's key
	Indirect Class = "indirect" // foreign keys lead to a root or direct table
	Global   Class = "global"   // declared to belong to no tenant
	Unknown  Class = "unknown"
)

// Tenancy is the class of one table with the reason for it.
type Tenancy struct {
	Relation *Relation
	Class    Class
	// Column is the tenant column of a direct table, and the key of the root.
	Column *Column
	// Reference is the foreign key from Column to the root table, or one of
	// several columns whose tenant column is referenced by Column; nil if the
	// class comes from the column's name.
	Reference *Constraint
	// Candidates are all columns that could be the tenant column.
	Candidates []*Column
	// Chain are the foreign keys from an indirect table to a root or direct
	// one, nearest first.
	Chain []*Constraint
	// Parent is the inheritance parent that the class was taken from, if the
	// table itself does not tell.
	Parent *Relation
}

// Tenant reports whether rows of the table belong to tenants.
func (t *Tenancy) Tenant() bool { return t.Class == Root || t.Class == Direct || t.Class == Indirect }

// maxChain bounds the chain of foreign keys of an indirect table.
const maxChain = 6

// Tenancy returns the class of a table, or nil for a relation that is none.
func (m *Model) Tenancy(r *Relation) *Tenancy { return m.tenancies[r] }

// Tenancies returns the classes of all tables, in the order of the snapshot.
func (m *Model) Tenancies() []*Tenancy {
	var list []*Tenancy
	for _, r := range m.Snapshot.Relations {
		if t := m.tenancies[r]; t != nil {
			list = append(list, t)
		}
	}
	return list
}

// IsTenant reports whether rows of the relation belong to tenants.
func (m *Model) IsTenant(r *Relation) bool {
	t := m.tenancies[r]
	return t != nil && t.Tenant()
}

// classify gives every table its class.
func (m *Model) classify() {
	m.tenancies = make(map[*Relation]*Tenancy)
	for _, r := range m.Snapshot.Relations {
		if !r.HoldsRows() {
			continue
		}
		t := &Tenancy{Relation: r, Class: Unknown}
		m.tenancies[r] = t
		switch {
		case r == m.Root:
			t.Class, t.Column = Root, m.RootKey
		case m.global[r]:
			t.Class = Global
		case r.Schema != OwnSchema && r.Extension == "":
			m.direct(t)
		}
	}
	m.directByKeys()
	m.fromParents()
	for m.indirect() {
		m.fromParents()
	}
}

// direct looks for the tenant column: foreign keys to the root table, else
// names. Of several the one with a tenant's name counts, then NOT NULL.
func (m *Model) direct(t *Tenancy) {
	references := make(map[*Column]*Constraint)
	for _, k := range t.Relation.Constraints {
		if k.Kind != ForeignKey || k.References != m.Root || m.Root == nil {
			continue
		}
		if c := referencing(k, m.RootKey); c != nil && (references[c] == nil || len(k.Columns) < len(references[c].Columns)) {
			references[c] = k
		}
	}
	for _, c := range t.Relation.Columns {
		if references[c] != nil || m.IsTenantName(c.Name) {
			t.Candidates = append(t.Candidates, c)
		}
	}
	rank := func(c *Column) int {
		n := 0
		for i, good := range []bool{c.NotNull, m.IsTenantName(c.Name), references[c] != nil} {
			if good {
				n |= 1 << i
			}
		}
		return n
	}
	for _, c := range t.Candidates {
		if t.Column == nil || rank(c) > rank(t.Column) {
			t.Class, t.Column, t.Reference = Direct, c, references[c]
		}
	}
}

// referencing returns the column of a foreign key that carries the tenant's
// key: its only one, or the one that references key.
func referencing(k *Constraint, key *Column) *Column {
	if len(k.Columns) == 1 {
		return k.Columns[0]
	}
	if i := slices.Index(k.ReferencedColumns, key); key != nil && i >= 0 {
		return k.Columns[i]
	}
	return nil
}

// directByKeys finds tenant columns that reference the tenant column of a
// direct table, as in FOREIGN KEY (org, parent) REFERENCES parent (org, id).
func (m *Model) directByKeys() {
	for changed := true; changed; {
		changed = false
		for _, t := range m.Tenancies() {
			if t.Class != Unknown && (t.Class != Direct || t.Reference != nil) {
				continue
			}
			for _, k := range t.Relation.Constraints {
				c := m.tenantColumnOf(k)
				if c == nil || t.Column != nil && t.Column != c {
					continue
				}
				if t.Column == nil {
					t.Candidates = append(t.Candidates, c)
				}
				t.Class, t.Column, t.Reference, changed = Direct, c, k, true
				break
			}
		}
	}
}

// tenantColumnOf returns the column of a foreign key of several columns that
// references the tenant column of a direct table, or nil.
func (m *Model) tenantColumnOf(k *Constraint) *Column {
	if k.Kind != ForeignKey || k.References == nil || k.References == k.Relation {
		return nil
	}
	p := m.tenancies[k.References]
	if p == nil || p.Class != Direct {
		return nil
	}
	if i := slices.Index(k.ReferencedColumns, p.Column); i >= 0 && len(k.Columns) > 1 {
		return k.Columns[i]
	}
	return nil
}

// fromParents gives inheritance children the class of their parent: foreign
// keys are not inherited.
func (m *Model) fromParents() {
	for changed := true; changed; {
		changed = false
		for _, t := range m.Tenancies() {
			if t.Class != Unknown {
				continue
			}
			for _, parent := range t.Relation.Parents {
				p := m.tenancies[parent]
				if p == nil || p.Class == Unknown {
					continue
				}
				t.inherit(p)
				changed = true
				break
			}
		}
	}
}

func (t *Tenancy) inherit(p *Tenancy) {
	t.Parent, t.Class, t.Chain = p.Relation, p.Class, p.Chain
	if t.Class == Root {
		t.Class = Direct
	}
	if p.Column != nil {
		t.Column = t.Relation.Column(p.Column.Name)
		t.Candidates = []*Column{t.Column}
	}
}

// indirect gives unknown tables with a foreign key to a tenant table their
// chain, one step a call, and reports whether there were any. A key that every
// row has goes before one that may be NULL, however much longer the way is:
// only the first tells of every row whose it is.
func (m *Model) indirect() bool {
	found := m.nextLinks((*Constraint).certain)
	if len(found) == 0 {
		found = m.nextLinks(func(*Constraint) bool { return true })
		// What hangs on one of these by a key that every row has comes after it.
		later := func(t *Tenancy, _ []*Constraint) bool {
			return slices.ContainsFunc(t.Relation.Constraints, func(k *Constraint) bool {
				return k.Kind == ForeignKey && k.certain() && k.References != t.Relation && found[m.tenancies[k.References]] != nil
			})
		}
		now := maps.Clone(found)
		maps.DeleteFunc(now, later)
		if len(now) > 0 {
			found = now
		}
	}
	for t, chain := range found {
		t.Class, t.Chain = Indirect, chain
	}
	return len(found) > 0
}

// nextLinks are the chains that begin with a foreign key to a tenant table,
// the first of each unknown table.
func (m *Model) nextLinks(is func(*Constraint) bool) map[*Tenancy][]*Constraint {
	found := make(map[*Tenancy][]*Constraint)
	for _, t := range m.Tenancies() {
		if t.Class != Unknown || t.Relation.Schema == OwnSchema || t.Relation.Extension != "" {
			continue
		}
		for _, k := range t.Relation.Constraints {
			if k.Kind != ForeignKey || k.References == nil || k.References == t.Relation || !is(k) || found[t] != nil {
				continue
			}
			if p := m.tenancies[k.References]; p != nil && p.Tenant() && len(p.Chain) < maxChain {
				found[t] = append([]*Constraint{k}, p.Chain...)
			}
		}
	}
	return found
}

// certain reports whether every row references one: no column may be NULL.
func (k *Constraint) certain() bool {
	return !slices.ContainsFunc(k.Columns, func(c *Column) bool { return !c.NotNull })
}

// Links are all foreign keys of a table to tenant tables but the root: what
// must agree with the table's own tenant.
func (m *Model) Links(r *Relation) []*Constraint {
	var links []*Constraint
	for _, k := range r.Constraints {
		if k.Kind == ForeignKey && k.References != nil && k.References != m.Root && m.IsTenant(k.References) {
			links = append(links, k)
		}
	}
	return links
}
