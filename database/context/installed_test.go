package context

import (
	"slices"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func mustRead(t *testing.T, in *installation) *Installed {
	t.Helper()
	out, err := Read(t.Context(), in.admin)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestUpdate_BetweenModes: from each mode to each other, under a policy that
// calls org_id(), and back again.
func TestUpdate_BetweenModes(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := newDatabase(t, s)
		for _, from := range []Mode{Plain, Signed, Sealed} {
			for _, to := range []Mode{Plain, Signed, Sealed} {
				t.Run(string(from)+" to "+string(to), func(t *testing.T) { updateModes(t, in, from, to) })
			}
		}
	})
}

func updateModes(t *testing.T, in *installation, from, to Mode) {
	o := Options{Mode: from, KeyType: "uuid", Roles: []string{"ctx_app"}, Version: version(t, in.admin), Superuser: true}
	installed := mustInstall(t, o)
	run(t, in.admin, forward(installed)...)
	defer func() { run(t, in.admin, append([]string{"drop table public.t"}, backward(installed)...)...) }()
	run(t, in.admin, "create table public.t (org_id uuid)",
		"create policy p on public.t as restrictive using (org_id = (select bulkhead.org_id()))")
	if steps, err := mustRead(t, in).Update(o); err != nil || len(steps) != 0 {
		t.Fatalf("a second plan is not empty: %v, %v", err, forward(steps))
	}
	before := value(t, in.admin, fingerprint)
	o.Mode = to
	steps, err := mustRead(t, in).Update(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, in.admin, forward(steps)...)
	have := mustRead(t, in)
	if got, ok := have.Options(); !ok || got.Mode != to || got.KeyType != "uuid" {
		t.Errorf("installed: %+v, %v; want %s", got, ok, to)
	}
	if changes := have.Changes(o); len(changes) > 0 {
		t.Errorf("differs from what was shipped: %v", changes)
	}
	if again, err := have.Update(o); err != nil || len(again) != 0 {
		t.Errorf("a second plan is not empty: %v, %v", err, forward(again))
	}
	run(t, in.admin, backward(steps)...)
	if after := value(t, in.admin, fingerprint); after != before {
		t.Errorf("the inverses left a difference:\nbefore %s\nafter  %s", before, after)
	}
}

// TestChanges finds what somebody has tampered with, and only that.
func TestChanges(t *testing.T) {
	s := pgtest.Shared(t, 0)
	o := Options{Mode: Sealed, KeyType: "uuid"}
	in := install(t, s, o)
	for _, c := range []struct{ sql, undo, object string }{
		{"alter function bulkhead.org_id() reset search_path", "alter function bulkhead.org_id() set search_path = pg_catalog, pg_temp", "bulkhead.org_id()"},
		{"alter function bulkhead.claims() security invoker", "alter function bulkhead.claims() security definer", "bulkhead.claims()"},
		{"alter function bulkhead.org_id() immutable", "alter function bulkhead.org_id() stable", "bulkhead.org_id()"},
		{"alter function bulkhead.org_id() set role = 'postgres'", "alter function bulkhead.org_id() reset role", "bulkhead.org_id()"},
		{"alter function bulkhead.keys() owner to postgres", "alter function bulkhead.keys() owner to bulkhead_owner", "bulkhead.keys()"},
		{"grant execute on function bulkhead.add_key(integer, bytea) to public", "revoke execute on function bulkhead.add_key(integer, bytea) from public", "bulkhead.add_key(p_kid integer, p_key bytea)"},
		{"grant select on bulkhead.signing_key to ctx_app", "revoke select on bulkhead.signing_key from ctx_app", "bulkhead.signing_key"},
		{"grant update on sequence bulkhead.seal to ctx_app", "revoke update on sequence bulkhead.seal from ctx_app", "bulkhead.seal"},
		{"alter function bulkhead.challenge() rename to other", "alter function bulkhead.other() rename to challenge", "bulkhead.challenge()"},
	} {
		if got := mustRead(t, in).Changes(o); len(got) > 0 {
			t.Fatalf("before %s: %v", c.sql, got)
		}
		run(t, in.admin, c.sql)
		got := mustRead(t, in).Changes(o)
		if len(got) != 1 || got[0].Object != c.object {
			t.Errorf("%s: got %v, want one change of %s", c.sql, got, c.object)
		}
		run(t, in.admin, c.undo)
	}
}

func TestUpdate_Roles(t *testing.T) {
	in := install(t, pgtest.Shared(t, 0), Options{Mode: Signed, KeyType: "text"})
	o := Options{Mode: Signed, KeyType: "text", Version: version(t, in.admin), Superuser: true, Roles: []string{"ctx_app", "ctx_reader"}}
	steps, err := mustRead(t, in).Update(o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(forward(steps), `grant usage on schema bulkhead to "ctx_reader"`) || len(steps) != 6 {
		t.Errorf("want the grants for ctx_reader alone, got %q", forward(steps))
	}
	o.KeyType = "uuid"
	if _, err := mustRead(t, in).Update(o); err == nil {
		t.Error("another type of the key is accepted")
	}
}
