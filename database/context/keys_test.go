package context

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// TestKeys: added, listed and retired, by a superuser and by the role that
// installed the context; that role is no member of the owner afterwards.
func TestKeys(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := newDatabase(t, s)
		s.Exec(t, "postgres", "alter role "+pgtest.Superuser+" set log_statement = 'all'")
		t.Cleanup(func() { s.Exec(t, "postgres", "alter role "+pgtest.Superuser+" reset log_statement") })
		steps := mustInstall(t, Options{Mode: Signed, KeyType: "uuid", Version: version(t, in.admin), Roles: []string{"ctx_app"}})
		run(t, in.as(t, "ctx_deployer"), forward(steps)...)
		for i, role := range []string{pgtest.Superuser, "ctx_deployer"} {
			c := in.as(t, role)
			id := i + 1
			if err := AddKey(t.Context(), c, id, bytes.Repeat([]byte{'k'}, 40)); err != nil {
				t.Fatalf("%s: %v", role, err)
			}
			if err := AddKey(t.Context(), c, id, bytes.Repeat([]byte{'k'}, 40)); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("%s: the same number again: got %v", role, err)
			}
			if err := AddKey(t.Context(), c, 9, []byte("short")); err == nil {
				t.Errorf("%s: a short key is accepted", role)
			}
			if found, err := RetireKey(t.Context(), c, id, time.Hour); err != nil || !found {
				t.Fatalf("%s: retire: %v, %v", role, found, err)
			}
			if found, err := RetireKey(t.Context(), c, id, 100*time.Hour); err != nil || !found {
				t.Fatalf("%s: retire again: %v, %v", role, found, err)
			}
			if found, err := RetireKey(t.Context(), c, 77, 0); err != nil || found {
				t.Errorf("%s: a key that does not exist: %v, %v", role, found, err)
			}
			keys, err := Keys(t.Context(), c)
			if err != nil || len(keys) != id || keys[i].ID != id || keys[i].NotAfter == nil {
				t.Fatalf("%s: got %+v, %v", role, keys, err)
			}
			if left := time.Until(*keys[i].NotAfter); left > time.Hour || left < 50*time.Minute {
				t.Errorf("%s: the key ends in %s, want an hour", role, left)
			}
		}
		if got := value(t, in.admin, "select pg_has_role('ctx_deployer', 'bulkhead_owner', 'usage')"); got != "false" {
			t.Error("the installer has remained a member of the owner")
		}
		if _, err := Keys(t.Context(), in.as(t, "ctx_app")); code(err) != "42501" {
			t.Errorf("the application's role lists keys: %v", err)
		}
		switch log := s.Log(); {
		case !strings.Contains(log, "log_parameter_max_length = 0"):
			t.Error("control: the server logs no statements")
		case strings.Contains(log, "6b6b6b6b6b"):
			t.Error("the server's log shows a key")
		}
	})
}

func TestKeys_WithoutContext(t *testing.T) {
	in := newDatabase(t, pgtest.Shared(t, 0))
	if _, err := Keys(t.Context(), in.admin); !errors.Is(err, ErrNoKeys) {
		t.Errorf("got %v, want ErrNoKeys", err)
	}
	if _, err := Keys(t.Context(), in.as(t, "ctx_deployer")); !errors.Is(err, ErrNoKeys) {
		t.Errorf("as another role: got %v, want ErrNoKeys", err)
	}
}
