package schematest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// table is a relation with a marker.
type table struct {
	sql      string // qualified name
	kind     string
	columns  []string   // quoted, those that can be written
	keys     []string   // quoted columns of primary keys and unique constraints that reference nothing
	refs     [][]string // quoted columns of each foreign key
	tenant   []string   // quoted columns named like a tenant's
	numbered map[string]string
}

const tablesQuery = `
select quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text,
  array(select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '' order by attnum),
  array(select distinct quote_ident(a.attname) from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
    where i.indrelid = c.oid and i.indisunique and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)) order by 1),
  array(select string_agg(quote_ident(a.attname), E'\x01' order by a.attnum) from pg_constraint k join pg_attribute a on a.attrelid = c.oid and a.attnum = any (k.conkey)
    where k.conrelid = c.oid and k.contype = 'f' group by k.oid, k.conname order by k.conname),
  array(select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum > 0 and lower(replace(attname, '_', '')) in ('orgid', 'tenantid')),
  (select json_object_agg(quote_ident(attname), format_type(atttypid, null)) from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^(pg_|information_schema|bulkhead)'
  and exists (select from pg_attribute where attrelid = c.oid and attname = 'marker')
order by 1`

func (d *Database) tables(t testing.TB) []table {
	t.Helper()
	rows, err := d.Admin.Query(t.Context(), tablesQuery)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (table, error) {
		var x table
		var refs []string
		err := row.Scan(&x.sql, &x.kind, &x.columns, &x.keys, &refs, &x.tenant, &x.numbered)
		for _, r := range refs {
			x.refs = append(x.refs, strings.Split(r, "\x01"))
		}
		return x, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no table has a marker")
	}
	return list
}

// Isolation tries to read and write the rows of org B as the application of
// org A, of A with no org, and A's own rows as a positive control. It returns
// what is wrong; nothing that it does stays.
func (d *Database) Isolation(t testing.TB) []string {
	t.Helper()
	p := &prober{t: t, d: d, own: d.Connect(t, d.A), none: d.Connect(t, "")}
	list := d.tables(t)
	for i, x := range list {
		p.reads(&x)
		switch x.kind {
		case "r", "p":
			// Of very many tables of one sort some are enough.
			if len(list) < manyTables || i%sampled == 0 {
				p.writes(&x)
			}
		case "v":
			p.through(&x)
		}
	}
	return p.problems
}

// Of manyTables and more only each sampled-th is tried to be written.
const (
	manyTables = 100
	sampled    = 7
)

type prober struct {
	t         testing.TB
	d         *Database
	own, none *pgx.Conn
	problems  []string
}

func (p *prober) problem(x *table, format string, args ...any) {
	p.problems = append(p.problems, x.sql+": "+fmt.Sprintf(format, args...))
}

func (p *prober) denied(x *table) bool { return slices.Contains(p.d.Denied, x.sql) }

// refused is true for an error of row security, or of missing rights.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

// duplicate is true for errors that the server finds after it has asked the
// policies: a key that is there, a row that is another partition's.
func duplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "23514")
}

// privileged reports whether the application has a privilege on a table.
func (p *prober) privileged(x *table, privilege string) bool {
	role := p.d.App[0]
	if p.d.As != "" {
		role = p.d.As
	}
	var ok bool
	if err := p.d.Admin.QueryRow(p.t.Context(), "select has_table_privilege($1::name, $2, $3)", role, x.sql, privilege).Scan(&ok); err != nil {
		p.t.Fatal(err)
	}
	return ok
}

func (p *prober) count(c *pgx.Conn, x *table, marker string) (n int, err error) {
	err = c.QueryRow(p.t.Context(), "select count(*) from "+x.sql+" where marker = $1", marker).Scan(&n)
	return n, err
}

func (p *prober) reads(x *table) {
	if !p.privileged(x, "SELECT") {
		return
	}
	want := p.d.counts[x.sql]
	for marker, wanted := range map[string]int{"A": want, "B": 0} {
		switch n, err := p.count(p.own, x, marker); {
		case err != nil:
			p.problem(x, "read rows of %s as A: %v", marker, err)
		case marker == "A" && p.denied(x):
		case n != wanted:
			p.problem(x, "reads %d rows of %s as A, want %d", n, marker, wanted)
		}
		if n, err := p.count(p.none, x, marker); err == nil && n > 0 {
			p.problem(x, "reads %d rows of %s without an org", n, marker)
		}
	}
}

// try runs a statement in a transaction that is rolled back.
func (p *prober) try(c *pgx.Conn, sql string, args ...any) (int64, error) {
	tx, err := c.Begin(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	tag, err := tx.Exec(p.t.Context(), sql, args...)
	return tag.RowsAffected(), err
}

// through tries to write rows of B through a view.
func (p *prober) through(x *table) {
	for _, sql := range []string{"update " + x.sql + " set marker = marker where marker = 'B'", "delete from " + x.sql + " where marker = 'B'"} {
		if n, err := p.try(p.own, sql); err == nil && n > 0 {
			p.problem(x, "%s: %d rows as A", sql, n)
		}
	}
}

func (p *prober) writes(x *table) {
	if p.privileged(x, "UPDATE") && p.privileged(x, "SELECT") {
		p.updates(x)
	}
	if p.privileged(x, "DELETE") && p.privileged(x, "SELECT") {
		if n, err := p.try(p.own, "delete from "+x.sql+" where marker = 'B'"); err == nil && n > 0 {
			p.problem(x, "deletes %d rows of B as A", n)
		}
	}
	if p.privileged(x, "TRUNCATE") {
		p.problem(x, "may be truncated")
	}
	if p.privileged(x, "INSERT") {
		p.inserts(x)
	}
}

func (p *prober) updates(x *table) {
	want, err := p.count(p.d.Admin, x, "A")
	if err != nil {
		p.t.Fatal(err)
	}
	if n, err := p.try(p.own, "update "+x.sql+" set marker = marker"); err != nil {
		p.problem(x, "update own rows: %v", err)
	} else if int(n) != want && !p.denied(x) {
		p.problem(x, "updates %d rows as A, want its own %d", n, want)
	}
	if n, err := p.try(p.none, "update "+x.sql+" set marker = marker"); err == nil && n > 0 {
		p.problem(x, "updates %d rows without an org", n)
	}
	for _, columns := range append(slices.Clone(x.refs), x.tenant) {
		p.moves(x, columns)
	}
}

// moves tries to give own rows away: to the other org, or to a parent of it.
// With a WHERE the policies for SELECT are asked as well, so it is tried
// without.
func (p *prober) moves(x *table, columns []string) {
	if len(columns) == 0 || p.denied(x) {
		return
	}
	list := strings.Join(columns, ", ")
	var a, b string
	var full bool
	const value = "select row(%[1]s)::text from %[2]s where marker = '%[3]s' and num_nulls(%[1]s) = 0 order by 1 limit 1"
	errA := p.d.Admin.QueryRow(p.t.Context(), fmt.Sprintf(value, list, x.sql, "A")).Scan(&a)
	errB := p.d.Admin.QueryRow(p.t.Context(), fmt.Sprintf(value, list, x.sql, "B")).Scan(&b)
	if full = errA == nil && errB == nil; !full || a == b {
		return // no such row, or a reference to what both may use
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = new(string)
	}
	casts := make([]string, len(columns))
	for i, c := range columns {
		casts[i] = c + "::text"
	}
	sql := fmt.Sprintf("select %s from %s where marker = 'B' and num_nulls(%s) = 0 order by row(%s)::text limit 1", strings.Join(casts, ", "), x.sql, list, list)
	if err := p.d.Admin.QueryRow(p.t.Context(), sql).Scan(into...); err != nil {
		p.t.Fatal(err)
	}
	var set []string
	for i, c := range columns {
		values[i] = *into[i].(*string)
		set = append(set, fmt.Sprintf("%s = $%d::text::%s", c, i+1, x.numbered[c]))
	}
	n, err := p.try(p.own, "update "+x.sql+" set "+strings.Join(set, ", "), values...)
	if !refused(err) {
		p.problem(x, "moves %d rows to B by %s: %v", n, list, err)
	}
}

// inserts tries copies of rows of both orgs, with new keys.
func (p *prober) inserts(x *table) {
	for _, marker := range []string{"A", "B"} {
		row, ok := p.copy(x, marker)
		if !ok {
			continue
		}
		columns := strings.Join(x.columns, ", ")
		sql := "insert into " + x.sql + " (" + columns + ") overriding system value select " + columns + " from jsonb_populate_record(null::" + x.sql + ", $1)"
		_, err := p.try(p.own, sql, row)
		switch {
		case marker == "B" && !refused(err):
			p.problem(x, "inserts a row of B as A: %v", err)
		case marker == "A" && err != nil && !duplicate(err) && !p.denied(x):
			p.problem(x, "insert an own row: %v", err)
		}
		if _, err := p.try(p.none, sql, row); !refused(err) {
			p.problem(x, "inserts a row of %s without an org: %v", marker, err)
		}
	}
}

// copy is a row of an org as JSON, with new values in its keys.
func (p *prober) copy(x *table, marker string) (string, bool) {
	sql := "select to_jsonb(t)::text from only " + x.sql + " t where marker = $1 limit 1"
	if x.kind == "p" {
		sql = strings.Replace(sql, "only ", "", 1)
	}
	var row string
	if err := p.d.Admin.QueryRow(p.t.Context(), sql, marker).Scan(&row); err != nil {
		return "", false
	}
	for _, key := range x.keys {
		value := ""
		switch x.numbered[key] {
		case "uuid":
			value = "to_jsonb(gen_random_uuid())"
		case "integer", "bigint":
			value = "to_jsonb(900000000)"
		}
		if value == "" || slices.Contains(x.tenant, key) || p.isRootKey(x) {
			continue
		}
		name := strings.ReplaceAll(strings.Trim(key, `"`), `""`, `"`)
		if err := p.d.Admin.QueryRow(p.t.Context(), "select ($1::jsonb || jsonb_build_object($2::text, "+value+"))::text", row, name).Scan(&row); err != nil {
			p.t.Fatal(err)
		}
	}
	return row, true
}

func (p *prober) isRootKey(x *table) bool { return x.sql == p.d.Root }
