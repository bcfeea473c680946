package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// canary makes two orgs with marked rows in a transaction of its own, tries
// everything as the application's role in it, and rolls it back.
func (r *runner) canary(ctx context.Context) error {
	r.report.Run.Walls = []Wall{Direct}
	r.report.NotTested = append(r.report.NotTested,
		"the proxy: everything ran in one transaction of the administrator",
		"attacks on role and session: RESET SESSION AUTHORIZATION leads back to the administrator here, so they would prove nothing",
		"statements outside of a transaction block, tokens, logins")
	// One connection for both: pgx plants the rows, pgconn sends the probes.
	conn, s, err := r.adminSession(ctx, r.admin.Config())
	if err != nil {
		return err
	}
	defer s.close(context.WithoutCancel(ctx))
	if r.o.SigningKey != nil && !r.o.sealed {
		if err := s.learnBackend(ctx); err != nil {
			return err
		}
	}
	if err := s.exec(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = s.exec(context.WithoutCancel(ctx), "ROLLBACK") }() // closing the connection rolls back as well
	p, err := r.plant(ctx, conn)
	if err != nil {
		return err
	}
	stage := &inTransaction{s: s, o: &r.o, role: r.o.AppRole, authorize: becomeSQL(r.snap.Login, r.o.AppRole)}
	x, err := r.newMatrix(ctx, conn, p, stage)
	if err != nil {
		return err
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	if stage.failed != nil {
		return stage.failed
	}
	if err := r.influence(ctx, x, p); err != nil {
		return err
	}
	x.conclude()
	return nil
}

// adminSession opens a connection of the administrator for both pgx and
// probes.
func (r *runner) adminSession(ctx context.Context, like *pgx.ConnConfig) (*pgx.Conn, *session, error) {
	s := &session{wall: Direct}
	cfg := like.Copy()
	cfg.RuntimeParams["lock_timeout"] = r.o.LockTimeout.String()
	cfg.RuntimeParams["statement_timeout"] = r.o.StatementTimeout.String()
	s.listen(&cfg.Config)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, nil, &UnreachableError{What: "the database", Err: err}
	}
	s.conn = conn.PgConn()
	return conn, s, nil
}

// plant makes the population and its canaries.
func (r *runner) plant(ctx context.Context, conn *pgx.Conn) (*planter, error) {
	pop, err := newPopulation(ctx, conn, r.model, r.o.AppRole)
	if err != nil {
		return nil, err
	}
	types, err := loadTypes(ctx, conn)
	if err != nil {
		return nil, err
	}
	p := &planter{conn: conn, pop: pop, marks: r.marks, maker: maker{types: types}}
	for _, s := range []Side{A, B} {
		org, err := p.newOrg(s)
		if err != nil {
			return nil, err
		}
		p.orgs[s] = org
	}
	pop.orgs, r.o.Orgs = p.orgs, p.orgs
	if err := p.plantAll(ctx); err != nil {
		return nil, err
	}
	if !r.o.subjectsGiven {
		r.o.Subjects = pop.subjects(r.o.Subjects)
	}
	return p, p.refresh(ctx)
}

// userColumns are names of the column that ties a user to an org.
var userColumns = []string{"userid", "memberid", "profileid", "accountid", "uid", "sub"}

// subjects are the users of the canaries: those of a table of members, so that
// policies that ask for a membership find one.
func (p *population) subjects(otherwise [2]string) [2]string {
	for _, wanted := range userColumns {
		for _, m := range p.members {
			if m.class != classDirect || m.canary[A] == nil || m.canary[B] == nil || !strings.Contains(strings.ToLower(m.rel.Name), "member") {
				continue
			}
			for _, c := range m.rel.Columns {
				if strings.ToLower(strings.ReplaceAll(c.Name, "_", "")) == wanted && m.tenant != c {
					return [2]string{m.canary[A][c.Name].text, m.canary[B][c.Name].text}
				}
			}
		}
	}
	return otherwise
}

// newOrg makes up the key of an org that does not exist.
func (p *planter) newOrg(s Side) (string, error) {
	var column *inventory.Column
	var of *member
	if p.pop.root != nil && p.pop.root.tenant != nil {
		of, column = p.pop.root, p.pop.root.tenant
	}
	for _, m := range p.pop.members {
		if column == nil && m.tenant != nil {
			of, column = m, m.tenant
		}
	}
	if column == nil {
		return "", &NothingError{}
	}
	v, ok := p.maker.make(column.Type, true, func(width int) string { return p.marks.mark(s, of.rel.Name, width) })
	if !ok {
		return "", fmt.Errorf("no org can be made up: column %s has type %s", column.Object(), column.Type)
	}
	return v.text, nil
}

// NothingError says that the database has no tenant's table.
type NothingError struct{}

func (*NothingError) Error() string {
	return "no table of tenants was found: name the root table, or the columns that carry the org"
}

// newMatrix prepares the matrix over planted canaries.
func (r *runner) newMatrix(ctx context.Context, q querier, p *planter, stage stage) (*matrix, error) {
	own := make(map[*member][2]int64)
	for _, m := range p.pop.members {
		if !m.tenantOwned() || m.foreign() {
			continue
		}
		var n [2]int64
		for _, s := range []Side{A, B} {
			sql := "SELECT count(*) FROM " + m.rel.SQL() + " t WHERE " + p.pop.condition(m, "t", p.orgs[s])
			if err := q.QueryRow(ctx, sql).Scan(&n[s]); err != nil {
				return nil, fmt.Errorf("count the rows of %s: %w", m.rel.Object(), err)
			}
		}
		own[m] = n
	}
	fresh := make(map[string]row)
	return &matrix{
		pop: p.pop, model: r.model, marks: r.marks, server: r.snap.Server.Major(), stage: stage, report: r.report, paths: r.o.Paths, tick: r.o.Progress,
		own: func(m *member, s Side) int64 { return own[m][s] },
		fresh: func(m *member, s Side) row {
			key := m.rel.Object() + strconv.Itoa(int(s))
			if v, ok := fresh[key]; ok {
				return v
			}
			fresh[key] = p.fresh(m, s)
			return fresh[key]
		},
	}, nil
}

// fresh is a row that the application may try to insert: like the canary, with
// new keys, and texts that are no marks.
func (p *planter) fresh(m *member, s Side) row {
	if m.canary[s] == nil {
		return nil
	}
	mark := p.probeMark()
	out := make(row)
	for name, v := range m.canary[s] {
		c := m.rel.Column(name)
		if c == nil || c.Generated != 0 {
			continue
		}
		if m.tenant != c && !m.references(c) {
			v = p.renewed(m, c, s, v, mark)
		}
		out[name] = v
	}
	return out
}

// renewed is a value like the one of the canary: without the mark, and another
// one where it must be unique.
func (p *planter) renewed(m *member, c *inventory.Column, s Side, v value, mark string) value {
	if v.null {
		return v
	}
	if text := strings.NewReplacer(p.marks.long(s), mark, p.marks.short(s), mark[len(mark)-len(p.marks.short(s)):]).Replace(v.text); text != v.text {
		return value{text: text}
	}
	if !m.unique(c) || m.partitionKey(c) || m.checked(c) || p.maker.types[c.Type].check != "" {
		return v // where it must be unique, a constraint says so behind row security
	}
	if again, ok := p.maker.make(c.Type, true, func(int) string { return mark }); ok {
		return again
	}
	return v
}

// probeMark is a text as long as the beginning of a mark, and not the same
// twice.
func (p *planter) probeMark() string {
	text := "bh-probe-" + shortRandom() + shortRandom() + shortRandom()
	return text[:len(p.marks.long(A))]
}

func (m *member) references(c *inventory.Column) bool {
	return slices.ContainsFunc(m.foreignKeys(), func(fk *inventory.Constraint) bool { return slices.Contains(fk.Columns, c) })
}
