package context

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func challenge(t *testing.T, c *pgx.Conn) int64 {
	t.Helper()
	n, err := strconv.ParseInt(value(t, c, "select bulkhead.challenge()"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// enter answers a challenge and returns the SQLSTATE, "" if it was accepted.
func enter(t *testing.T, c *pgx.Conn, org, claims, signature string) string {
	t.Helper()
	if _, err := c.Exec(t.Context(), "select bulkhead.enter($1, $2, $3)", org, claims, signature); err != nil {
		return code(err)
	}
	return ""
}

func TestSealed_Accepts(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Sealed, KeyType: "uuid"})
		in.addKeys(t)
		c := in.as(t, "ctx_app")
		k := newKey(t, 1, 0xa7)
		seen := make(map[int64]bool)
		for range 20 {
			for _, o := range []string{orgA, orgB} { // one backend, one org after the other
				n := challenge(t, c)
				if seen[n] || n <= 0 {
					t.Fatalf("challenge %d came twice, or is none", n)
				}
				seen[n] = true
				if got := enter(t, c, o, claimsA, k.SignCheckout(in.database, n, o, claimsA, time.Now().Add(time.Minute))); got != "" {
					t.Fatalf("enter: %s", got)
				}
				if got := org(t, c); got != o {
					t.Fatalf("got %s, want %s", got, o)
				}
				if got := value(t, c, "select bulkhead.claims()->>'sub'"); got != "ü" {
					t.Fatalf("claims: got %s", got)
				}
			}
		}
		// Each checkout returns the challenge of the next.
		n := challenge(t, c)
		for i := range 6 {
			o := []string{orgA, orgB}[i%2]
			used := k.SignCheckout(in.database, n, o, claimsA, time.Now().Add(time.Minute))
			if err := c.QueryRow(t.Context(), "select bulkhead.enter($1, $2, $3)", o, claimsA, used).Scan(&n); err != nil || org(t, c) != o {
				t.Fatalf("checkout %d: %v", i, err)
			}
			if got := enter(t, c, o, claimsA, used); got != "42501" {
				t.Fatalf("a signature counts twice: %q", got)
			}
			if got := org(t, c); got != o {
				t.Fatalf("after a failed checkout: got %s", got)
			}
		}
		if _, err := c.Exec(t.Context(), "reset all"); err != nil {
			t.Fatal(err)
		}
		if got := org(t, c); got != "NULL" {
			t.Errorf("after RESET ALL: got %s", got)
		}
	})
}

// TestSealed_RefusesForgery: what a client sets or calls leads to no tenant
// but the one that was proven.
func TestSealed_RefusesForgery(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Sealed, KeyType: "uuid"})
		in.addKeys(t)
		k := newKey(t, 1, 0xa7)
		later := time.Now().Add(time.Hour)
		c := in.as(t, "ctx_app")
		n := challenge(t, c)
		good := k.SignCheckout(in.database, n, orgA, claimsA, later)
		for _, a := range []struct{ name, org, claims, signature string }{
			{"no signature", orgA, claimsA, ""},
			{"no org", "", claimsA, good},
			{"another org", orgB, claimsA, good},
			{"other claims", orgA, "{}", good},
			{"another challenge", orgA, claimsA, k.SignCheckout(in.database, n+1, orgA, claimsA, later)},
			{"another database", orgA, claimsA, k.SignCheckout(in.database+"x", n, orgA, claimsA, later)},
			{"expired", orgA, claimsA, k.SignCheckout(in.database, n, orgA, claimsA, time.Now().Add(-time.Second))},
			{"retired key", orgA, claimsA, newKey(t, 3, 0xa9).SignCheckout(in.database, n, orgA, claimsA, later)},
			{"unknown key", orgA, claimsA, newKey(t, 9, 0xa7).SignCheckout(in.database, n, orgA, claimsA, later)},
			{"wrong key", orgA, claimsA, newKey(t, 1, 0xa6).SignCheckout(in.database, n, orgA, claimsA, later)},
			{"of a backend", orgA, claimsA, k.SignBackend(in.database+"\n"+strconv.FormatInt(n, 10), orgA, claimsA, later)},
			{"upper case", orgA, claimsA, strings.ToUpper(good)},
			{"one bit", orgA, claimsA, flip(good)},
			{"lengths", orgA, "X\n" + claimsA, k.SignCheckout(in.database, n, orgA+"\n38\nX", claimsA, later)},
		} {
			if got := enter(t, c, a.org, a.claims, a.signature); got != "42501" {
				t.Errorf("enter with %s: got %q, want 42501", a.name, got)
			}
			claim(t, c, orgB, claimsA, "")
			if got := org(t, c); got != "42501" {
				t.Errorf("after enter with %s: got %s, want 42501", a.name, got)
			}
		}
		if got := enter(t, c, orgA, claimsA, good); got != "" {
			t.Fatalf("control: %s", got)
		}
		sealedResidue(t, in, c, good)
	})
}

// sealedResidue: after a checkout nothing but its own values counts, and a
// signature that was used is worth nothing afterwards.
func sealedResidue(t *testing.T, in *installation, c *pgx.Conn, used string) {
	t.Helper()
	claim(t, c, orgB, claimsA, used)
	if got := org(t, c); got != "42501" {
		t.Errorf("another org after the seal: got %s", got)
	}
	claim(t, c, orgA, "{}", used)
	if got := org(t, c); got != "42501" {
		t.Errorf("other claims after the seal: got %s", got)
	}
	claim(t, c, orgA, claimsA, used)
	if got := org(t, c); got != orgA {
		t.Errorf("control: got %s", got)
	}
	other := in.as(t, "ctx_app")
	if got := enter(t, other, orgA, claimsA, used); got == "" {
		t.Error("replay on another backend, without a challenge: accepted")
	}
	challenge(t, other)
	if got := enter(t, other, orgA, claimsA, used); got != "42501" {
		t.Errorf("replay on another backend: got %q", got)
	}
	if _, err := c.Exec(t.Context(), "discard sequences"); err != nil {
		t.Fatal(err)
	}
	if got := org(t, c); got != "55000" {
		t.Errorf("after DISCARD SEQUENCES: got %s, want 55000", got)
	}
	n := challenge(t, c) // a client may call it: it only loses its tenant
	if got := org(t, c); got != "42501" {
		t.Errorf("after the client's own challenge: got %s", got)
	}
	if got := enter(t, c, orgA, claimsA, used); got != "42501" {
		t.Errorf("replay on the same backend: got %q", got)
	}
	rolledBack(t, in, c, n)
}

// rolledBack: setval is no part of a transaction, the settings are.
func rolledBack(t *testing.T, in *installation, c *pgx.Conn, n int64) {
	t.Helper()
	claim(t, c, orgA, claimsA, "")
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signature := newKey(t, 1, 0xa7).SignCheckout(in.database, n, orgB, claimsA, time.Now().Add(time.Hour))
	if got := enter(t, c, orgB, claimsA, signature); got != "" {
		t.Fatalf("enter: %s", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := org(t, c); got != "42501" {
		t.Errorf("after an enter that was rolled back: got %s", got)
	}
}
