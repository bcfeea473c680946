package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// integrity makes wrong rows impossible: no row without a tenant, none of a
// tenant that does not exist, none that references another tenant's. Each
// step is a transaction of its own, so that no lock is held while a table is
// read; each that data can fail asks for such rows first.
func (p *planner) integrity() {
	planned := make(map[*inventory.Relation][]string) // first columns of planned indexes
	for _, t := range p.m.Tenancies() {
		r := t.Relation
		if !t.Tenant() || !r.TakesPolicies() || own(r.Schema) || t.Column == nil {
			continue
		}
		if t.Class == inventory.Direct && len(r.Parents) == 0 {
			p.notNull(t)
			p.rootKey(t)
		}
		p.compositeKeys(t, planned)
	}
	// Partitioned tables first: they bring indexes of their partitions along.
	for _, kind := range []inventory.Kind{inventory.PartitionedTable, inventory.Table} {
		for _, t := range p.m.Tenancies() {
			r := t.Relation
			if t.Class != inventory.Direct || t.Column == nil || r.Kind != kind || own(r.Schema) {
				continue
			}
			if kind == inventory.Table || keyable(r) {
				p.tenantIndex(t, planned)
			}
		}
	}
}

// nothingToUndo is the inverse of what changes nothing that could be undone on
// its own: the validation of a constraint that its own inverse drops.
const nothingToUndo = "select 1"

// shortName makes a name of ours that is the same for the same object and fits
// into an identifier.
func shortName(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	name := strings.ReplaceAll(strings.ReplaceAll(strings.Join(parts, "_"), `"`, ""), ", ", "_")
	const room = 40 // of 63 bytes, for what names are read for
	if len(name) > room {
		name = strings.ToValidUTF8(name[:room], "")
	}
	return "bulkhead_" + name + "_" + hex.EncodeToString(sum[:3]) + "_" + kind
}

func findConstraint(r *inventory.Relation, name string) *inventory.Constraint {
	i := slices.IndexFunc(r.Constraints, func(k *inventory.Constraint) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return r.Constraints[i]
}

// quarantine is SQL that sets rows aside; deleting them stays a decision.
func quarantine(r *inventory.Relation, where string) string {
	return "create schema if not exists " + quarantineSchema + ";\ncreate table " + quarantineSchema + "." + inventory.Quote(r.Schema+"."+r.Name) +
		" as select * from " + r.SQL() + " t where " + where + ";\n-- then correct the rows, or: delete from " + r.SQL() + " t where " + where
}

// validated adds a constraint in two steps: first for new rows, which takes a
// moment, then for those that are there, which locks nobody out.
func (p *planner) validated(r *inventory.Relation, name, definition, reason, lock, wrong string) {
	have := findConstraint(r, name)
	object, alter := r.Object()+":"+name, "alter table "+r.SQL()
	drop := " drop constraint "
	if r.IsPartition {
		drop += "if exists " // it goes with that of the partitioned table
	}
	if have == nil {
		p.add(Step{
			SQL:     alter + " add constraint " + inventory.Quote(name) + " " + definition + " not valid",
			Inverse: alter + drop + inventory.Quote(name),
			Reason:  reason, Lock: lock, Object: object,
		})
	}
	if have == nil || !have.Validated {
		inverse := nothingToUndo
		if have != nil { // of an earlier run, which alone takes it away
			inverse = joinSQL(alter+drop+inventory.Quote(name), alter+" add constraint "+inventory.Quote(name)+" "+have.Definition)
		}
		p.add(Step{
			SQL: alter + " validate constraint " + inventory.Quote(name), Inverse: inverse,
			Reason: "the rows that are there are read, and nobody is locked out", Lock: "SHARE UPDATE EXCLUSIVE on " + r.Object(), Object: object,
			Check: "select count(*) from " + r.SQL() + " t where " + wrong, Repair: quarantine(r, wrong),
		})
	}
}

// notNull: a row without a tenant is nobody's, and everybody's where a policy
// is careless. SET NOT NULL trusts a validated check and reads nothing.
func (p *planner) notNull(t *inventory.Tenancy) {
	r, c := t.Relation, t.Column
	if c.NotNull && !c.NotNullUnchecked {
		return
	}
	col := inventory.Quote(c.Name)
	name := shortName("check", r.Name, c.Name)
	p.validated(r, name, "check ("+col+" is not null)", "no row without a tenant", "ACCESS EXCLUSIVE on "+r.Object()+", for a moment", "t."+col+" is null")
	alter := "alter table " + r.SQL()
	back := []string{alter + " alter column " + col + " drop not null"}
	for _, child := range descendants(r) {
		if x := child.Column(c.Name); x != nil && x.NotNull {
			back = append(back, "alter table "+child.SQL()+" alter column "+col+" set not null")
		}
	}
	moment := "ACCESS EXCLUSIVE on " + r.Object() + ", for a moment"
	p.add(Step{
		SQL: alter + " alter column " + col + " set not null", Inverse: joinSQL(back...),
		Reason: "the check that was validated proves it: no row is read", Lock: moment, Object: c.Object(),
	})
	undrop := alter + " add constraint " + inventory.Quote(name) + " check (" + col + " is not null)"
	if have := findConstraint(r, name); have == nil || !have.Validated { // else an earlier run had come that far
		undrop += " not valid"
	}
	p.add(Step{
		SQL: alter + " drop constraint " + inventory.Quote(name), Inverse: undrop,
		Reason: "the check has done its work", Lock: moment, Object: r.Object() + ":" + name,
	})
}

func descendants(r *inventory.Relation) []*inventory.Relation {
	var out []*inventory.Relation
	for _, child := range r.Children {
		out = append(append(out, child), descendants(child)...)
	}
	return out
}

// rootKey: every tenant exists, and goes with its rows.
func (p *planner) rootKey(t *inventory.Tenancy) {
	r, c, root, key := t.Relation, t.Column, p.m.Root, p.m.RootKey
	if root == nil || key == nil || t.Reference != nil || c.BaseType != key.BaseType || !uniqueOn(root, []*inventory.Column{key}) {
		return
	}
	if !keyable(r) {
		p.warn(c.Object(), "foreign key to the root table is left to you", unkeyable)
		return
	}
	col := inventory.Quote(c.Name)
	wrong := "t." + col + " is not null and not exists (select from " + root.SQL() + " o where o." + inventory.Quote(key.Name) + " = t." + col + ")"
	p.foreignKey(r, c.Name, "foreign key ("+col+") references "+root.SQL()+" ("+inventory.Quote(key.Name)+") on delete cascade",
		"no row of a tenant that does not exist", root, wrong)
}

// uniqueOn reports whether a foreign key can reference the columns.
func uniqueOn(r *inventory.Relation, columns []*inventory.Column) bool {
	return slices.ContainsFunc(r.Indexes, func(x *inventory.Index) bool {
		if !x.Unique || !x.Valid || x.Predicate != "" || len(x.Keys) != len(columns) {
			return false
		}
		return !slices.ContainsFunc(columns, func(c *inventory.Column) bool {
			return !slices.ContainsFunc(x.Keys, func(k inventory.IndexKey) bool { return k.Column == c })
		})
	})
}

// compositeKeys: where both tables carry the tenant, the reference carries it,
// too. The old foreign key stays, with what it does on DELETE.
func (p *planner) compositeKeys(t *inventory.Tenancy, planned map[*inventory.Relation][]string) {
	if t.Relation.IsPartition {
		return // the partitioned table's own
	}
	for _, l := range p.links(t) {
		other := p.m.Tenancy(l.key.References)
		switch {
		case t.Class != inventory.Direct || other.Class != inventory.Direct || other.Column == nil || other.Column.BaseType != t.Column.BaseType:
			continue // the reference check of the floor stands for it
		case !keyable(t.Relation) || !keyable(other.Relation):
			p.warn(l.key.Object(), "foreign key with the tenant is left to you", unkeyable+"; the floor checks the reference")
			continue
		}
		p.compositeKey(t, other, l, planned)
	}
}

func (p *planner) compositeKey(t, other *inventory.Tenancy, l link, planned map[*inventory.Relation][]string) {
	child, parent := t.Relation, other.Relation
	if slices.ContainsFunc(child.Constraints, func(k *inventory.Constraint) bool {
		return k.Kind == inventory.ForeignKey && k.References == parent && k.Validated && slices.Contains(k.Columns, t.Column) &&
			!slices.ContainsFunc(l.key.Columns, func(c *inventory.Column) bool { return !slices.Contains(k.Columns, c) })
	}) {
		return
	}
	parentColumns := append([]*inventory.Column{other.Column}, l.key.ReferencedColumns...)
	childColumns := append([]*inventory.Column{t.Column}, l.key.Columns...)
	if !uniqueOn(parent, parentColumns) {
		p.uniqueKey(parent, parentColumns)
	}
	p.index(child, childColumns, "deleting a row of "+parent.Object()+" looks for the rows that reference it", planned)
	var on []string
	for i, c := range l.key.Columns {
		on = append(on, "o."+inventory.Quote(l.key.ReferencedColumns[i].Name)+" = t."+inventory.Quote(c.Name))
	}
	wrong := "exists (select from " + parent.SQL() + " o where " + strings.Join(on, " and ") + " and o." + inventory.Quote(other.Column.Name) +
		" is distinct from t." + inventory.Quote(t.Column.Name) + ")"
	definition := fmt.Sprintf("foreign key (%s) references %s (%s)", names(childColumns), parent.SQL(), names(parentColumns))
	if l.key.Deferrable {
		definition += " deferrable"
		if strings.Contains(l.key.Definition, "INITIALLY DEFERRED") {
			definition += " initially deferred"
		}
	}
	p.foreignKey(child, l.key.Name, definition, "no row that references another tenant's", parent, wrong)
}

func names(columns []*inventory.Column) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = inventory.Quote(c.Name)
	}
	return strings.Join(quoted, ", ")
}

// uniqueKey makes what a foreign key with the tenant references.
func (p *planner) uniqueKey(r *inventory.Relation, columns []*inventory.Column) {
	name := shortName("key", r.Name, names(columns))
	if r.Kind == inventory.PartitionedTable {
		p.partitionedIndex(r, columns, "unique index", name, "a foreign key that carries the tenant references it")
		return
	}
	if slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Object == r.Object()+":"+name }) {
		return
	}
	p.concurrently(r, name, "create unique index concurrently if not exists "+inventory.Quote(name)+" on "+r.SQL()+" ("+names(columns)+")", "a foreign key that carries the tenant references it")
	p.add(Step{
		SQL:     "alter table " + r.SQL() + " add constraint " + inventory.Quote(name) + " unique using index " + inventory.Quote(name),
		Inverse: "alter table " + r.SQL() + " drop constraint " + inventory.Quote(name),
		Reason:  "foreign keys reference constraints", Lock: "ACCESS EXCLUSIVE on " + r.Object() + ", for a moment", Object: r.Object() + ":" + name,
	})
}

// index makes an index unless one begins with the same columns.
func (p *planner) index(r *inventory.Relation, columns []*inventory.Column, reason string, planned map[*inventory.Relation][]string) {
	wanted := names(columns)
	for _, x := range r.Indexes {
		if !x.Valid || x.Predicate != "" || len(x.Keys) < len(columns) {
			continue
		}
		same := true
		for i, c := range columns {
			same = same && x.Keys[i].Column == c
		}
		if same {
			return
		}
	}
	for _, have := range planned[r] {
		if have == wanted || strings.HasPrefix(have, wanted+", ") {
			return
		}
	}
	planned[r] = append(planned[r], wanted)
	name := shortName("idx", r.Name, wanted)
	if r.Kind == inventory.PartitionedTable {
		for _, x := range descendants(r) {
			planned[x] = append(planned[x], wanted)
		}
		p.partitionedIndex(r, columns, "index", name, reason)
		return
	}
	p.concurrently(r, name, "create index concurrently if not exists "+inventory.Quote(name)+" on "+r.SQL()+" ("+wanted+")", reason)
}

// concurrently builds an index without locking writers out. One that was left
// unfinished by a failure is dropped first. A unique index that becomes a constraint is gone with
// it, hence the IF EXISTS.
func (p *planner) concurrently(r *inventory.Relation, name, create, reason string) {
	drop := "drop index concurrently if exists " + inventory.Quote(r.Schema) + "." + inventory.Quote(name)
	object, lock := r.Object()+":"+name, "SHARE UPDATE EXCLUSIVE on "+r.Object()
	if slices.ContainsFunc(r.Indexes, func(x *inventory.Index) bool { return x.Name == name }) {
		p.add(Step{SQL: drop, Inverse: nothingToUndo, Reason: "it was left unfinished", Lock: lock, Object: object, Alone: true})
	}
	p.add(Step{SQL: create, Inverse: drop, Reason: reason, Lock: lock, Object: object, Alone: true})
}

func (p *planner) tenantIndex(t *inventory.Tenancy, planned map[*inventory.Relation][]string) {
	p.index(t.Relation, []*inventory.Column{t.Column}, "every query on the table looks for the tenant's rows first", planned)
}
