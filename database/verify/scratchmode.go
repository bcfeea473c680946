package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/harden"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// scratch makes a copy of the schema, with committed canaries of two orgs, and
// tries everything there with real logins.
func (r *runner) scratch(ctx context.Context) (err error) {
	if r.o.AppDSN == "" && r.o.ProxyDSN == "" && r.o.StartProxy == nil {
		return ErrNoWay
	}
	name := "bulkhead_verify_" + r.marks.run
	if err := r.copySchema(ctx, name); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.drop(context.WithoutCancel(ctx), name)) }()
	if err := r.copyDatabase(ctx, name); err != nil {
		return err
	}
	r.o.database = name
	cfg := r.admin.Config()
	cfg.Database = name
	conn, s, err := r.adminSession(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.close(context.WithoutCancel(ctx))
	if k := r.o.SigningKey; k != nil {
		// A schema has no keys in it.
		if _, err := conn.Exec(ctx, "SELECT bulkhead.add_key($1, $2) WHERE NOT EXISTS (SELECT FROM bulkhead.signing_key WHERE kid = $1)", k.ID(), k.Secret()); err != nil {
			return fmt.Errorf("give the copy the signing key: %w", err)
		}
	}
	if err := r.takeOver(ctx, conn); err != nil {
		return err
	}
	p, err := r.plantCommitted(ctx, conn)
	if err != nil {
		return err
	}
	stop, err := r.startProxy(ctx, name)
	if err != nil {
		return err
	}
	err = r.tryScratch(ctx, conn, p)
	return errors.Join(err, stop())
}

// takeOver makes the copy the database that the run is about.
func (r *runner) takeOver(ctx context.Context, conn *pgx.Conn) error {
	copied, err := state(ctx, conn)
	if err != nil {
		return err
	}
	r.report.Database.ScratchFingerprint = copied.Fingerprint()
	if d := harden.Difference(r.before, copied); len(d) > 0 {
		r.report.Caveats = append(r.report.Caveats, "the catalogue of the copy differs from the database's, so the proof is about something else: "+some(d))
	}
	if r.snap, err = inventory.Load(ctx, conn); err != nil {
		return err
	}
	r.o.sealed = sealed(r.snap)
	r.model, err = inventory.Resolve(r.snap, r.o.Selection)
	return err
}

func (r *runner) plantCommitted(ctx context.Context, conn *pgx.Conn) (*planter, error) {
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	p, err := r.plant(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, s := range []Side{A, B} {
		if err := conn.QueryRow(ctx, "SELECT lo_from_bytea(0, convert_to($1, 'UTF8'))", r.marks.long(s)).Scan(&p.object[s]); err != nil {
			return nil, fmt.Errorf("make a large object: %w", err)
		}
		if _, err := conn.Exec(ctx, "ALTER LARGE OBJECT "+itoa(p.object[s])+" OWNER TO "+inventory.Quote(r.o.AppRole)); err != nil {
			return nil, fmt.Errorf("give a large object away: %w", err)
		}
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return nil, fmt.Errorf("commit the canaries: %w", err)
	}
	return p, nil
}

func (r *runner) startProxy(ctx context.Context, name string) (stop func() error, err error) {
	if r.o.StartProxy == nil {
		return func() error { return nil }, nil
	}
	dsn, log, stop, err := r.o.StartProxy(ctx, name, r.o.Orgs, r.o.sealed)
	if err != nil {
		return nil, &UnreachableError{What: "the proxy", Err: err}
	}
	r.o.ProxyDSN, r.o.BlockedLog = dsn, log
	return stop, nil
}

// tryScratch runs matrix, influence and attacks by every way in.
func (r *runner) tryScratch(ctx context.Context, conn *pgx.Conn, p *planter) error {
	var last *matrix
	for _, s := range r.stages() {
		defer s.close(context.WithoutCancel(ctx))
		r.report.Run.Walls = append(r.report.Run.Walls, s.wall)
		x, err := r.newMatrix(ctx, conn, p, s)
		if err != nil {
			return err
		}
		last = x
		if err := r.logins(ctx, s); err != nil {
			return err
		}
		if err := x.run(ctx); err != nil {
			return err
		}
		if err := r.committedInfluence(ctx, x, p); err != nil {
			return err
		}
		if err := r.attack(ctx, x, p, s); err != nil {
			return err
		}
	}
	last.conclude()
	return r.findRecords(ctx)
}

// committedInfluence adds rows for good: sessions of their own must see them.
func (r *runner) committedInfluence(ctx context.Context, x *matrix, p *planter) error {
	f := &influence{x: x, change: func(ctx context.Context, s Side) error {
		if _, err := p.conn.Exec(ctx, "BEGIN"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := p.more(ctx, s); err != nil {
			return err
		}
		_, err := p.conn.Exec(ctx, "COMMIT")
		return err
	}}
	return f.run(ctx)
}

// copySchema makes the scratch database.
func (r *runner) copySchema(ctx context.Context, name string) error {
	source := r.snap.Database
	dump := r.o.PgDump
	if dump == "" {
		dump, _ = exec.LookPath("pg_dump")
	}
	from := r.o.ScratchFrom
	if from == "" {
		from = "template"
		// A newer pg_dump writes what differs from the defaults of its own
		// version: privileges on schema public would be lost.
		if dump != "" && dumpMajor(ctx, dump) == r.snap.Server.Major() {
			from = "dump"
		}
	}
	cfg := r.admin.Config()
	cfg.Database = "postgres"
	side, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return &UnreachableError{What: "the database postgres, from which the copy is made,", Err: err}
	}
	defer side.Close(context.WithoutCancel(ctx))
	if from == "template" {
		// Nobody may be connected to a template, ourselves included.
		r.admin.Close(ctx)
		_, err = side.Exec(ctx, "CREATE DATABASE "+inventory.Quote(name)+" TEMPLATE "+inventory.Quote(source))
		back, again := pgx.ConnectConfig(ctx, r.admin.Config())
		if again != nil {
			return &UnreachableError{What: "the database", Err: again}
		}
		r.admin = back
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "55006" {
			return fmt.Errorf("the database is in use, so it cannot serve as a template: install pg_dump %d, or name it", r.snap.Server.Major())
		}
		return err
	}
	if dump == "" {
		return errors.New("pg_dump was not found: install it, or name it")
	}
	if _, err := side.Exec(ctx, "CREATE DATABASE "+inventory.Quote(name)+" TEMPLATE template0"); err != nil {
		return fmt.Errorf("create the scratch database: %w", err)
	}
	if err := r.restore(ctx, dump, name); err != nil {
		return errors.Join(err, r.drop(ctx, name))
	}
	return nil
}

// copyDatabase gives the scratch database what belongs to a database itself,
// and neither pg_dump nor a template hands on: privileges and settings.
func (r *runner) copyDatabase(ctx context.Context, name string) error {
	list := []string{"REVOKE ALL ON DATABASE " + inventory.Quote(name) + " FROM PUBLIC"}
	if r.snap.DatabaseOwner != r.snap.Login.Current {
		list = append(list, "ALTER DATABASE "+inventory.Quote(name)+" OWNER TO "+inventory.Quote(r.snap.DatabaseOwner))
	}
	for _, g := range r.snap.DatabaseGrants {
		grantee, option := "PUBLIC", ""
		if g.Grantee != inventory.Public {
			grantee = inventory.Quote(g.Grantee)
		}
		if g.Grantable {
			option = " WITH GRANT OPTION"
		}
		if g.Grantee != r.snap.DatabaseOwner {
			list = append(list, "GRANT "+g.Privilege+" ON DATABASE "+inventory.Quote(name)+" TO "+grantee+option)
		}
	}
	for _, set := range r.snap.RoleSettings {
		if set.Database != r.snap.Database {
			continue
		}
		of := "ALTER DATABASE " + inventory.Quote(name)
		if set.Role != "" {
			of = "ALTER ROLE " + inventory.Quote(set.Role) + " IN DATABASE " + inventory.Quote(name)
		}
		value := literal(set.Value)
		if slices.Contains(listSettings, strings.ToLower(set.Name)) {
			value = set.Value // stored as it is written: a, "B"
		}
		list = append(list, of+" SET "+settingName(set.Name)+" TO "+value)
	}
	for _, sql := range list {
		if _, err := r.admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("give the scratch database its privileges and settings: %w", err)
		}
	}
	return nil
}

// listSettings are lists of names, which pg_dump writes without quotes as well
// (variable_is_guc_list_quote).
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

// settingName quotes the parts of the name of a setting.
func settingName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = inventory.Quote(parts[i])
	}
	return strings.Join(parts, ".")
}

// psqlOnly are lines of a dump that are commands of psql.
var psqlOnly = regexp.MustCompile(`(?m)^\\(un)?restrict \S+$`)

// restore puts the schema of the source into the scratch database.
func (r *runner) restore(ctx context.Context, dump, name string) error {
	c := r.admin.Config()
	cmd := exec.CommandContext(ctx, dump, "--schema-only", "--no-password")
	cmd.Env = append(os.Environ(), "PGHOST="+c.Host, "PGPORT="+strconv.Itoa(int(c.Port)), "PGUSER="+c.User, "PGDATABASE="+r.snap.Database)
	if c.Password != "" {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+c.Password)
	}
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pg_dump: %w: %s", err, strings.TrimSpace(problems.String()))
	}
	cfg := r.admin.Config()
	cfg.Database = name
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return &UnreachableError{What: "the scratch database", Err: err}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, psqlOnly.ReplaceAllString(out.String(), "")); err != nil {
		return fmt.Errorf("restore the schema into the scratch database: %w", err)
	}
	return nil
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

var firstNumber = regexp.MustCompile(`\d+`)

// dumpMajor is the major version of a pg_dump, 0 if it does not tell.
func dumpMajor(ctx context.Context, dump string) int {
	out, err := exec.CommandContext(ctx, dump, "--version").Output()
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(firstNumber.FindString(string(out)))
	return n
}

func (r *runner) drop(ctx context.Context, name string) error {
	if _, err := r.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+inventory.Quote(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the scratch database %s: %w", name, err)
	}
	return nil
}
