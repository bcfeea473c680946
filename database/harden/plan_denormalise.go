package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// denormal is a table that gets the column of its tenant, for which its floor
// has to look at another table otherwise.
type denormal struct {
	table  *inventory.Relation
	column *inventory.Column     // the new one
	key    *inventory.Constraint // the foreign key that tells the tenant
	parent *inventory.Tenancy    // the table that it references, with the tenant's column
	have   bool                  // the column is there: an earlier run was not finished
}

// fillTrigger is the name of the trigger that fills the new column.
const fillTrigger = "bulkhead_tenant"

// Where the backfill commits: rows of one transaction.
const backfillRows = 5000

// denormalised works out which tables get a column, and changes the snapshot as
// if they had it: the rest of the plan is made for that state.
func (p *planner) denormalised() error {
	var problems []string
	tables := make([]*inventory.Tenancy, 0, len(p.o.Denormalise))
	for _, name := range p.o.Denormalise {
		r, err := p.s.FindTable(name)
		if err != nil {
			problems = append(problems, "denormalise: "+err.Error())
			continue
		}
		tables = append(tables, p.m.Tenancy(r))
	}
	if len(tables) > 0 && !p.s.Login.Superuser && !p.s.Login.BypassRLS {
		problems = append(problems, "denormalise: "+p.s.Login.Current+" must see all rows to fill the column: connect as a superuser, or as a role with BYPASSRLS")
	}
	if len(problems) > 0 {
		return &inventory.SelectionError{Problems: problems}
	}
	slices.SortStableFunc(tables, func(a, b *inventory.Tenancy) int { return depth(a) - depth(b) })
	for _, t := range tables {
		if err := p.denormaliseTable(t.Relation); err != nil {
			return err
		}
	}
	return nil
}

// denormaliseTable puts the column into the snapshot, and classifies anew.
func (p *planner) denormaliseTable(r *inventory.Relation) error {
	refuse := func(format string, args ...any) error {
		return &inventory.SelectionError{Problems: []string{"denormalise " + r.Object() + ": " + fmt.Sprintf(format, args...)}}
	}
	d, done, err := p.denormal(r, refuse)
	if err != nil || done {
		return err
	}
	c := d.parent.Column
	if d.column = r.Column(c.Name); d.column == nil {
		d.column = &inventory.Column{
			Relation: r, Name: c.Name, Number: len(r.Columns) + 1, Type: c.Type, BaseType: c.BaseType, Category: c.Category, NotNull: true,
		}
		r.Columns = append(r.Columns, d.column)
	} else {
		d.have = true
	}
	if name := shortName("fkey", r.Name, d.key.Name); findConstraint(r, name) == nil {
		r.Constraints = append(r.Constraints, &inventory.Constraint{
			Relation: r, Name: name, Kind: inventory.ForeignKey, Validated: true, Enforced: true, References: d.parent.Relation,
			Columns:           append([]*inventory.Column{d.column}, d.key.Columns...),
			ReferencedColumns: append([]*inventory.Column{c}, d.key.ReferencedColumns...),
			OnUpdate:          inventory.NoAction, OnDelete: inventory.NoAction,
		})
	}
	p.denormals = append(p.denormals, d)
	selection := p.o.Selection
	selection.RootTable = p.m.Root.Object()
	m, err := inventory.Resolve(p.s, selection)
	if err != nil {
		return err
	}
	m.Guessed = p.m.Guessed
	p.m = m
	return nil
}

// denormal finds by which foreign key a table's tenant is told. It is done if
// the table has a column of its own already.
func (p *planner) denormal(r *inventory.Relation, refuse func(string, ...any) error) (d *denormal, done bool, err error) {
	t := p.m.Tenancy(r)
	if p.m.Root == nil {
		return nil, false, refuse("there is no root table: name it with --root-table")
	}
	started := slices.ContainsFunc(r.Triggers, func(x *inventory.Trigger) bool { return x.Name == fillTrigger })
	if t.Class == inventory.Direct && !started {
		return nil, true, nil
	}
	if r.Kind != inventory.Table || len(r.Parents)+len(r.Children) > 0 {
		return nil, false, refuse("it is partitioned or inherits: only plain tables get a column")
	}
	i := slices.IndexFunc(r.Constraints, func(k *inventory.Constraint) bool {
		if k.Kind != inventory.ForeignKey || k.References == nil || slices.ContainsFunc(k.Columns, func(c *inventory.Column) bool { return !c.NotNull }) {
			return false
		}
		other := p.m.Tenancy(k.References)
		if started { // by an earlier run: its own key is not the one that is meant
			return other != nil && other.Class == inventory.Direct && other.Column != nil && !slices.Contains(k.ReferencedColumns, other.Column)
		}
		return t.Class == inventory.Indirect && k == t.Chain[0]
	})
	if i < 0 {
		return nil, false, refuse("no foreign key that every row has leads to a tenant")
	}
	d = &denormal{table: r, key: r.Constraints[i]}
	switch d.parent = p.m.Tenancy(d.key.References); {
	case d.parent.Class != inventory.Direct || d.parent.Column == nil:
		return nil, false, refuse("%s has no tenant column to copy: name that table as well", d.parent.Relation.Object())
	case !keyable(d.parent.Relation):
		return nil, false, refuse("%s can have no key with the tenant: %s", d.parent.Relation.Object(), unkeyable)
	case !p.readable(link{d.key, true}):
		return nil, false, refuse("roles of the application that write it may not read %s: grant them SELECT", d.parent.Relation.Object())
	case !started && r.Column(d.parent.Column.Name) != nil:
		return nil, false, refuse("it has a column %s of another meaning", d.parent.Column.Name)
	}
	if started && len(r.Constraints) > 0 {
		if k := findConstraint(r, shortName("fkey", r.Name, d.key.Name)); k != nil && k.Validated {
			return nil, true, nil
		}
	}
	return d, false, nil
}

// denormalise adds the steps, each a transaction of its own as in the integrity
// phase: the column, a trigger that fills it, the rows that are there in
// batches, and a foreign key with the tenant, which keeps it true.
func (p *planner) denormalise() {
	old := p.phase
	p.phase = Integrity
	planned := make(map[*inventory.Relation][]string)
	for _, d := range p.denormals {
		p.fillColumn(d)
		p.keepColumn(d, planned)
	}
	p.phase = old
}

func (p *planner) fillColumn(d *denormal) {
	r, col := d.table, inventory.Quote(d.column.Name)
	alter := "alter table " + r.SQL()
	moment := "ACCESS EXCLUSIVE on " + r.Object() + ", for a moment"
	if !d.have {
		// Together: a column without its trigger would be taken for the
		// application's own.
		name := "bulkhead." + fillName(r)
		p.add(Step{
			SQL: joinSQL(alter+" add column "+col+" "+d.column.Type, d.function(name), "alter function "+name+"() owner to "+dbcontext.Owner,
				"create trigger "+fillTrigger+" before insert or update on "+r.SQL()+" for each row execute function "+name+"()"),
			Inverse: joinSQL("drop trigger "+fillTrigger+" on "+r.SQL(), "drop function "+name+"()", alter+" drop column "+col),
			Reason: "the table says itself whose its rows are: queries over it need not read those of all tenants; the application does not know the column, " +
				"so a trigger gives what it writes the tenant of the row that it references",
			Lock: moment, Object: d.column.Object(),
		})
	}
	p.add(Step{
		SQL: d.backfill(p.s.Login.Superuser), Inverse: nothingToUndo, Alone: true,
		Reason: fmt.Sprintf("the rows that are there, %d in a transaction; triggers of the application do not fire", backfillRows), Lock: "row locks, of one batch at a time", Object: d.column.Object(),
	})
}

// fillName is the name of the function that fills the column of a table.
func fillName(r *inventory.Relation) string {
	sum := sha256.Sum256([]byte(r.Object()))
	return "fill_" + hex.EncodeToString(sum[:6])
}

// on compares a row of the table, by a prefix, with the row p that it
// references.
func (d *denormal) on(prefix string) string {
	var parts []string
	for i, c := range d.key.Columns {
		parts = append(parts, "p."+inventory.Quote(d.key.ReferencedColumns[i].Name)+" = "+prefix+"."+inventory.Quote(c.Name))
	}
	return strings.Join(parts, " and ")
}

// function fills the column with the rights of whoever writes, whom row
// security shows the tenant's own rows only.
func (d *denormal) function(name string) string {
	var moved []string
	for _, c := range d.key.Columns {
		moved = append(moved, "new."+inventory.Quote(c.Name)+" is distinct from old."+inventory.Quote(c.Name))
	}
	col := inventory.Quote(d.column.Name)
	return `create function ` + name + `() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $bulkhead$
begin
  if new.` + col + ` is null or tg_op = 'UPDATE' and new.` + col + ` is not distinct from old.` + col + ` and (` + strings.Join(moved, " or ") + `) then
    select p.` + inventory.Quote(d.parent.Column.Name) + ` into new.` + col + ` from ` + d.parent.Relation.SQL() + ` p where ` + d.on("new") + `;
  end if;
  return new;
end $bulkhead$`
}

// backfill fills the rows that have no tenant yet. It commits after each batch,
// which makes the loop's cursor hold what it found, and can be run again. A row
// that moves meanwhile has met the trigger.
func (d *denormal) backfill(superuser bool) string {
	quiet := ""
	if superuser {
		quiet = "perform pg_catalog.set_config('session_replication_role', 'replica', true);\n      "
	}
	fill := quiet + "update :table t set :column = p.:tenant from :parent p where :on and t.:column is null and t.ctid = any (batch);"
	return strings.NewReplacer(":table", d.table.SQL(), ":column", inventory.Quote(d.column.Name), ":parent", d.parent.Relation.SQL(),
		":tenant", inventory.Quote(d.parent.Column.Name), ":on", d.on("t"), ":rows", strconv.Itoa(backfillRows)).Replace(`do $bulkhead$
declare
  place tid;
  batch tid[] := '{}';
begin
  for place in select x.ctid from :table x where x.:column is null loop
    batch := batch || place;
    if cardinality(batch) >= :rows then
      ` + fill + `
      batch := '{}';
      commit;
    end if;
  end loop;
  ` + fill + `
end $bulkhead$`)
}

// keepColumn makes the column NOT NULL and ties it to the parent's.
func (p *planner) keepColumn(d *denormal, planned map[*inventory.Relation][]string) {
	// The snapshot says NOT NULL already, for what is planned after this.
	if c := *d.column; !d.have || !c.NotNull || c.NotNullUnchecked {
		c.NotNull = false
		p.notNull(&inventory.Tenancy{Relation: d.table, Class: inventory.Direct, Column: &c})
		d.column.NotNull, d.column.NotNullUnchecked = true, false
	}
	i := slices.IndexFunc(d.table.Constraints, func(k *inventory.Constraint) bool { return k.Name == shortName("fkey", d.table.Name, d.key.Name) })
	key := d.table.Constraints[i]
	if key.Definition == "" { // ours, and not there yet
		d.table.Constraints = slices.Delete(slices.Clone(d.table.Constraints), i, i+1)
	}
	t := &inventory.Tenancy{Relation: d.table, Class: inventory.Direct, Column: d.column}
	p.compositeKey(t, d.parent, link{d.key, true}, planned)
	if key.Definition == "" {
		d.table.Constraints = append(d.table.Constraints, key)
	}
	key.Validated = true
	// What the integrity phase would build is there by now.
	columns := append([]*inventory.Column{d.column}, d.key.Columns...)
	index := &inventory.Index{Relation: d.table, Name: shortName("idx", d.table.Name, names(columns)), Method: "btree", Valid: true}
	for _, c := range columns {
		index.Keys = append(index.Keys, inventory.IndexKey{Column: c, Expression: inventory.Quote(c.Name), Leakproof: true})
	}
	d.table.Indexes = append(slices.Clone(d.table.Indexes), index)
}
