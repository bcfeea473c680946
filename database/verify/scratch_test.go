package verify

import (
	"context"
	"os/exec"
	"slices"
	"testing"
)

// attacksThat lists the attacks with an outcome, once each.
func attacksThat(r *Report, status Status) []string {
	var out []string
	for i := range r.Attacks {
		if r.Attacks[i].Status == status {
			out = append(out, r.Attacks[i].Attack)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Past the proxy a plain context is whatever a session says: the attacks that
// only the proxy can hold get through, and no others.
func TestScratch_PlainContextWithoutProxy(t *testing.T) {
	for _, version := range slices.Compact([]int{versions(t)[0], newest(t)}) {
		p := newPlace(t, version, "")
		o := p.options(Scratch)
		o.Paths = []Path{Simple}
		r := run(t, o)
		byID := make(map[string]held)
		for _, a := range attacks {
			byID[a.id] = a.held
		}
		through := attacksThat(r, Leak)
		for _, id := range through {
			if byID[id] == byDatabase {
				t.Errorf("PostgreSQL %d: %s got through, which a hardened database holds", version, id)
			}
		}
		for _, id := range []string{"context.set", "context.set-config", "context.do", "channel.activity", "interference.cancel", "reach.large-object", "role.settings"} {
			if !slices.Contains(through, id) {
				t.Errorf("PostgreSQL %d: %s did not get through, so it tests nothing", version, id)
			}
		}
		if open := attacksThat(r, NotProven); len(open) > 0 {
			t.Errorf("PostgreSQL %d: not proven: %v\n%s", version, open, describeFindings(r))
		}
		if found := leaks(r); len(found) > 0 {
			t.Errorf("PostgreSQL %d: leaks in the matrix: %v", version, found)
		}
		if r.Result.Coverage.Percent != 100 {
			t.Errorf("PostgreSQL %d: coverage %v", version, r.Result.Coverage)
		}
		p.noScratch(t)
	}
}

// noScratch makes sure that the scratch databases are gone.
func (p place) noScratch(t testing.TB) {
	t.Helper()
	c := p.pg.Connect(t, "postgres")
	defer c.Close(context.Background())
	var n int
	if err := c.QueryRow(context.Background(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'bulkhead\\_verify\\_%'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("%d scratch databases are left", n)
	}
}

// A copy by pg_dump has the fingerprint of the original.
func TestScratch_Dump(t *testing.T) {
	dump, err := exec.LookPath("pg_dump")
	major := 0
	if err == nil {
		major = dumpMajor(context.Background(), dump)
	}
	if !slices.Contains(versions(t), major) {
		t.Skipf("no server of the version of pg_dump (%d)", major)
	}
	p := newPlace(t, major, "GRANT TEMPORARY ON DATABASE current_database_here TO %app%; ALTER DATABASE current_database_here SET search_path = public, pg_temp")
	o := p.options(Scratch)
	o.Paths, o.ScratchFrom, o.PgDump = []Path{Simple}, "dump", dump
	r := run(t, o)
	if r.Database.ScratchFingerprint == "" || r.Database.ScratchFingerprint != r.Database.Fingerprint {
		t.Errorf("the copy differs: %v", r.Caveats)
	}
	p.noScratch(t)
}
