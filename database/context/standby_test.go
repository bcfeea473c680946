package context

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// TestSigned_OnStandby: the signed context needs no write, so that reads may
// go to a hot standby; the sealed one says that it cannot.
func TestSigned_OnStandby(t *testing.T) {
	s := standbyServer(t)
	in := install(t, s, Options{Mode: Signed, KeyType: "uuid"})
	in.addKeys(t)
	standby := s.NewStandby(t)
	s.CatchUp(t, standby)
	c, err := pgx.Connect(t.Context(), standby.DSN("ctx_app", in.database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if got := value(t, c, "select pg_is_in_recovery()"); got != "true" {
		t.Fatalf("not a standby: %s", got)
	}
	signature := newKey(t, 1, 0xa7).SignBackend(value(t, c, "select bulkhead.backend()"), orgA, claimsA, time.Now().Add(time.Hour))
	claim(t, c, orgA, claimsA, signature)
	if got := org(t, c); got != orgA {
		t.Errorf("on a standby: got %s", got)
	}
	claim(t, c, orgB, claimsA, signature)
	if got := org(t, c); got != "42501" {
		t.Errorf("forged on a standby: got %s", got)
	}
	awaitsStandby(t, in, standby)
	steps, err := mustRead(t, in).Update(Options{
		Mode: Sealed, KeyType: "uuid", Version: version(t, in.admin), Superuser: true, Roles: []string{"ctx_app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, in.admin, forward(steps)...)
	s.CatchUp(t, standby)
	if _, err := c.Exec(t.Context(), "select bulkhead.challenge()"); code(err) != "25006" {
		t.Errorf("challenge() on a standby: got %v, want 25006", err)
	}
}

// awaitsStandby: a new key is waited for, and a standby that does not come is
// named.
func awaitsStandby(t *testing.T, in *installation, standby *pgtest.Server) {
	t.Helper()
	there := standby.Connect(t, in.database)
	defer there.Close(t.Context())
	if err := AddKey(t.Context(), in.admin, 4, bytes.Repeat([]byte{4}, 32)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if behind, err := AwaitStandbys(ctx, in.admin); err != nil || len(behind) > 0 {
		t.Fatalf("standbys %v are behind, %v", behind, err)
	}
	if got := value(t, there, "select count(*) from bulkhead.signing_key where kid = 4"); got != "1" {
		t.Errorf("the standby has not replayed the key: %s", got)
	}
	if _, err := there.Exec(t.Context(), "select pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	if err := AddKey(t.Context(), in.admin, 5, bytes.Repeat([]byte{5}, 32)); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 2*standbyEvery)
	defer stop()
	if behind, err := AwaitStandbys(short, in.admin); err != nil || len(behind) != 1 || !strings.Contains(behind[0], "walreceiver") {
		t.Errorf("a standby that does not replay: got %v, %v", behind, err)
	}
	if _, err := there.Exec(t.Context(), "select pg_wal_replay_resume()"); err != nil {
		t.Fatal(err)
	}
}

// standbyServer returns the newest server of which a standby can be made.
func standbyServer(t *testing.T) *pgtest.Server {
	t.Helper()
	all := pgtest.All()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].HasStandby() {
			return pgtest.Shared(t, all[i].Version)
		}
	}
	t.Skip("no version of PostgreSQL here has pg_basebackup")
	return nil
}
