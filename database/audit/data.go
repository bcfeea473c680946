package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Counts are the results of the data checks: numbers of rows.
type Counts struct {
	Counted []Counted
	// Unfinished are counts that took longer than they may, or would read more.
	Unfinished []Unfinished
}

// Counted is a number of rows that a data check counted.
type Counted struct {
	Check  string
	Object string
	Rows   int64
	What   string // "... of public.notes without a tenant."
	Show   string // a query that shows the rows
	table  *inventory.Relation
}

// Unfinished is a count that was not begun, or that the server could not
// finish: unknown, not 0.
type Unfinished struct{ Check, Object, Why, Advice string }

// ErrDataRefused is wrapped by the error of a run with Options.Data over a
// role that does not see all rows: it would count some of them, or none.
var ErrDataRefused = errors.New("the data checks were refused")

// The limits of one count where Options name no other.
const (
	DefaultDataTimeout = time.Minute
	DefaultDataRows    = 10_000_000
)

// countLimits bound what the data checks read.
type countLimits struct {
	timeout time.Duration
	rows    int64 // less than 0 for no limit
}

func (o *Options) countLimits() countLimits {
	return countLimits{cmp.Or(o.DataTimeout, DefaultDataTimeout), cmp.Or(o.DataRows, DefaultDataRows)}
}

// tooLarge says why a table is not read, "" if it is.
func (l countLimits) tooLarge(r *inventory.Relation) string {
	if rows := estimate(r); l.rows >= 0 && rows > float64(l.rows) {
		return fmt.Sprintf("%s has about %.0f rows, more than the %d up to which tables are counted", r.Object(), rows, l.rows)
	}
	return ""
}

// estimate is the server's estimate of the rows of a table and of all that
// inherits from it.
func estimate(r *inventory.Relation) float64 {
	rows := 0.0
	for _, child := range r.Children {
		rows += estimate(child)
	}
	if r.Kind == inventory.PartitionedTable && rows > 0 {
		return rows // its own estimate is that of its partitions
	}
	return rows + max(r.Rows, 0)
}

// count is one query of a data check.
type count struct {
	Counted
	from string // FROM and WHERE of the query
}

// countRows runs the data checks inside the audit's transaction.
func countRows(ctx context.Context, tx pgx.Tx, f *Facts, limits countLimits, progress func(done, total int)) (*Counts, error) {
	if err := f.seesAllRows(); err != nil {
		return nil, err
	}
	ms := strconv.FormatInt(limits.timeout.Milliseconds(), 10)
	// With row_security off the server raises an error rather than leave rows
	// out: what was checked above holds even if the check was wrong.
	if _, err := tx.Exec(ctx, "SET LOCAL row_security = off; SET LOCAL statement_timeout = "+ms); err != nil {
		return nil, fmt.Errorf("prepare the data checks: %w", err)
	}
	result := &Counts{}
	counts := f.dataCounts()
	for i, c := range counts {
		if progress != nil {
			progress(i, len(counts))
		}
		if why := limits.tooLarge(c.table); why != "" {
			result.Unfinished = append(result.Unfinished, Unfinished{c.Check, c.Object, why, "Count it with --data-max-rows 0."})
			continue
		}
		err := countOne(ctx, tx, &c)
		var pgErr *pgconn.PgError
		const queryCanceled, lockNotAvailable = "57014", "55P03"
		switch {
		case err == nil && c.Rows > 0:
			result.Counted = append(result.Counted, c.Counted)
		case err == nil:
		case errors.As(err, &pgErr) && (pgErr.Code == queryCanceled || pgErr.Code == lockNotAvailable) && ctx.Err() == nil:
			result.Unfinished = append(result.Unfinished, Unfinished{c.Check, c.Object, pgErr.Message, "Give it more time with --data-timeout."})
		case pgErr != nil:
			return nil, fmt.Errorf("%w: %s on %s: %s (SQLSTATE %s)", ErrDataRefused, c.Check, c.Object, pgErr.Message, pgErr.Code)
		default:
			return nil, fmt.Errorf("count rows of %s: %w", c.Object, err)
		}
	}
	return result, nil
}

// countOne runs one count behind a savepoint, so that a timeout does not end
// the audit.
func countOne(ctx context.Context, tx pgx.Tx, c *count) error {
	nested, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = nested.Rollback(context.WithoutCancel(ctx)) }() // after Commit it does nothing
	if err := nested.QueryRow(ctx, "SELECT count(*) "+c.from).Scan(&c.Rows); err != nil {
		return err
	}
	return nested.Commit(ctx)
}

// seesAllRows refuses counts that row security would falsify.
func (f *Facts) seesAllRows() error {
	login := f.Snapshot.Login
	if login.Superuser || login.BypassRLS {
		return nil
	}
	inherits := f.inherits()
	var hidden []string
	for _, t := range f.withChildren() {
		if r := t.Relation; r.RowSecurity && (r.Force || !inherits[r.Owner]) {
			hidden = append(hidden, r.Object())
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	return fmt.Errorf("%w: role %s does not see all rows of %s; connect as a superuser, as a role with BYPASSRLS, or as the owner of tables that are not forced",
		ErrDataRefused, login.Current, strings.Join(hidden, ", "))
}

// inherits are the roles whose rights the role that takes the audit has.
func (f *Facts) inherits() map[string]bool {
	names := make(map[string]bool)
	if role := f.Snapshot.Role(f.Snapshot.Login.Current); role != nil {
		for r := range role.Inherits() {
			names[r.Name] = true
		}
	}
	return names
}

// dataCounts are the counts to make: one for each column or foreign key.
func (f *Facts) dataCounts() []count {
	var counts []count
	for _, t := range f.withChildren() {
		if t.Relation.Kind == inventory.ForeignTable || t.Relation.IsPartition && f.judgedAtParent(t) {
			continue
		}
		if t.Class == inventory.Direct && t.Column != nil {
			counts = append(counts, f.nullCounts(t)...)
			counts = append(counts, f.orphanCounts(t)...)
		}
		counts = append(counts, f.crossCounts(t)...)
		counts = append(counts, f.danglingCounts(t)...)
	}
	return counts
}

// withChildren are the reached tenant tables, and the inheritance children
// whose rows queries on them return.
func (f *Facts) withChildren() []*inventory.Tenancy {
	return slices.DeleteFunc(f.Tenancies(), func(t *inventory.Tenancy) bool {
		r := t.Relation
		return !judged(r) || !t.Tenant() || f.Reaches(r) == nil && !slices.ContainsFunc(ancestors(r), func(p *inventory.Relation) bool { return f.Reaches(p) != nil })
	})
}

// fromTable names a table in FROM. Inheritance children are counted apart.
func fromTable(r *inventory.Relation) string {
	if r.Kind == inventory.Table && len(r.Children) > 0 {
		return "ONLY " + r.SQL()
	}
	return r.SQL()
}

func newCount(check, object string, table *inventory.Relation, what, from string) count {
	return count{Counted: Counted{Check: check, Object: object, What: what, Show: "SELECT child.* " + from + ";", table: table}, from: from}
}

func (f *Facts) nullCounts(t *inventory.Tenancy) []count {
	c := t.Column
	if c.NotNull && !c.NotNullUnchecked || checkedNotNull(c) {
		return nil
	}
	from := "FROM " + fromTable(t.Relation) + " AS child WHERE child." + inventory.Quote(c.Name) + " IS NULL"
	return []count{newCount("A601", c.Object(), t.Relation, "of "+t.Relation.Object()+" without a tenant.", from)}
}

func (f *Facts) orphanCounts(t *inventory.Tenancy) []count {
	key := f.RootKey
	if f.Root == nil || key == nil || f.Root.Kind == inventory.ForeignTable {
		return nil
	}
	if k := t.Reference; k != nil && k.References == f.Root && len(k.Columns) == 1 {
		if k.Validated && k.Enforced {
			return nil
		}
		key = k.ReferencedColumns[0]
	}
	from := "FROM " + fromTable(t.Relation) + " AS child WHERE child." + inventory.Quote(t.Column.Name) + " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " +
		f.Root.SQL() + " AS parent WHERE " + sameValue(key, "parent", t.Column, "child") + ")"
	return []count{newCount("A602", t.Column.Object(), t.Relation, "of "+t.Relation.Object()+" whose tenant does not exist.", from)}
}

// sameValue compares two columns, as text where their types differ or have
// operators outside pg_catalog.
func sameValue(a *inventory.Column, aliasA string, b *inventory.Column, aliasB string) string {
	cast := ""
	if a.BaseType != b.BaseType || strings.Contains(a.BaseType, ".") {
		cast = "::text"
	}
	return aliasA + "." + inventory.Quote(a.Name) + cast + " = " + aliasB + "." + inventory.Quote(b.Name) + cast
}

// crossCounts compares the tenants at both ends of each foreign key.
func (f *Facts) crossCounts(t *inventory.Tenancy) []count {
	var counts []count
	for _, k := range f.Links(t.Relation) {
		own := len(t.Chain) > 0 && t.Chain[0] == k // it decides the tenant: nothing to compare
		if k.Inherited || own || f.tenantConsistent(k) && k.Validated {
			continue
		}
		q := tenantQuery{f: f}
		child := q.tenantOf(t, "child")
		q.join(k, "child", "parent")
		parent := q.tenantOf(f.Tenancy(k.References), "parent")
		if child == "" || parent == "" {
			continue
		}
		from := "FROM " + fromTable(t.Relation) + " AS child" + q.joins.String() + " WHERE " + child + "::text <> " + parent + "::text"
		counts = append(counts, newCount("A603", k.Object(), t.Relation,
			"of "+t.Relation.Object()+" that reference a row of another tenant in "+k.References.Object()+".", from))
	}
	return counts
}

// tenantQuery collects the joins that lead from a row to its tenant.
type tenantQuery struct {
	f     *Facts
	joins strings.Builder
	n     int
}

// join adds the row that a foreign key of alias references.
func (q *tenantQuery) join(k *inventory.Constraint, alias, as string) {
	var terms []string
	for i, c := range k.Columns {
		terms = append(terms, sameValue(c, alias, k.ReferencedColumns[i], as))
	}
	fmt.Fprintf(&q.joins, " JOIN %s AS %s ON %s", k.References.SQL(), as, strings.Join(terms, " AND "))
}

// tenantOf returns the expression for the tenant's key of a row, "" if there
// is none.
func (q *tenantQuery) tenantOf(t *inventory.Tenancy, alias string) string {
	next := func() string { q.n++; return "t" + strconv.Itoa(q.n) }
	if t.Column == nil {
		for _, k := range t.Chain {
			if t.Parent != nil {
				return "" // an inheritance child, whose columns are not those of the key
			}
			as := next()
			q.join(k, alias, as)
			alias, t = as, q.f.Tenancy(k.References)
		}
	}
	if t.Column == nil {
		return ""
	}
	if k := t.Reference; k != nil && k.References == q.f.Root && len(k.Columns) == 1 && k.ReferencedColumns[0] != q.f.RootKey && q.f.RootKey != nil {
		as := next()
		q.join(k, alias, as)
		return as + "." + inventory.Quote(q.f.RootKey.Name)
	}
	return alias + "." + inventory.Quote(t.Column.Name)
}
