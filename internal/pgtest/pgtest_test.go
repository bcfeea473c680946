package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestServer_Life(t *testing.T) {
	for _, bin := range All() {
		s := New(t, Options{Version: bin.Version, Auth: "scram-sha-256"})
		s.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'app'")
		ctx := context.Background()
		c, err := pgx.Connect(ctx, s.DSN("app", "postgres"))
		if err != nil {
			t.Fatalf("PostgreSQL %d: %v", bin.Version, err)
		}
		c.Close(ctx)
		if err := s.Restart(ctx); err != nil {
			t.Fatalf("PostgreSQL %d: restart: %v", bin.Version, err)
		}
		s.Exec(t, "postgres", "SELECT 1")
	}
	if len(All()) == 0 {
		t.Fatal(ErrNotFound)
	}
}
