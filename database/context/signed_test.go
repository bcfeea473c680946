package context

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/tenant"
)

const (
	orgB    = "00000000-0000-0000-0000-00000000000b"
	claimsA = `{"org_id":"` + orgA + `","sub":"ü"}`
)

func newKey(t *testing.T, id int, fill byte) *tenant.Key {
	t.Helper()
	k, err := tenant.NewKey(id, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// addKeys puts keys 1 (0xa7), 2 (0xa8) into the database, and 3 that has ended.
func (in *installation) addKeys(t *testing.T) {
	t.Helper()
	for id, fill := range map[int]byte{1: 0xa7, 2: 0xa8, 3: 0xa9} {
		if _, err := in.admin.Exec(t.Context(), "select bulkhead.add_key($1, $2)", id, bytes.Repeat([]byte{fill}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, in.admin, "select bulkhead.retire_key(3, interval '0')")
}

// claim sets the context of a connection to what is given.
func claim(t *testing.T, c *pgx.Conn, org, claims, signature string) {
	t.Helper()
	_, err := c.Exec(t.Context(), "select set_config('bulkhead.org_id', $1, false), set_config('request.jwt.claims', $2, false), set_config('bulkhead.signature', $3, false)",
		org, claims, signature)
	if err != nil {
		t.Fatal(err)
	}
}

// org returns what org_id() says: a value, NULL or an SQLSTATE.
func org(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	var v *string
	if err := c.QueryRow(t.Context(), "select (select bulkhead.org_id())::text", pgx.QueryExecModeExec).Scan(&v); err != nil {
		return code(err)
	}
	if v == nil {
		return "NULL"
	}
	return *v
}

func TestSigned_Accepts(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Signed, KeyType: "uuid"})
		in.addKeys(t)
		later := time.Now().Add(time.Hour)
		for _, dsn := range []string{s.DSN("ctx_app", in.database), strings.Replace(s.SocketDSN(in.database), "user="+pgtest.Superuser, "user=ctx_app", 1)} {
			c, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			backend := value(t, c, "select bulkhead.backend()")
			claim(t, c, orgA, claimsA, newKey(t, 1, 0xa7).SignBackend(backend, orgA, claimsA, later))
			if got := org(t, c); got != orgA {
				t.Errorf("%s: got %s", backend, got)
			}
			if got := value(t, c, "select bulkhead.claims()->>'sub'"); got != "ü" {
				t.Errorf("claims: got %s", got)
			}
			// Two keys at once: those of a rotation.
			claim(t, c, orgB, "", newKey(t, 2, 0xa8).SignBackend(backend, orgB, "", later))
			if got := org(t, c); got != orgB {
				t.Errorf("second key: got %s", got)
			}
			if got := value(t, c, "select bulkhead.claims()"); got != "NULL" {
				t.Errorf("no claims: got %s", got)
			}
			for _, reset := range []string{"reset all", "discard all"} {
				claim(t, c, orgB, "", newKey(t, 2, 0xa8).SignBackend(backend, orgB, "", later))
				if _, err := c.Exec(t.Context(), reset); err != nil {
					t.Fatal(err)
				}
				if got := org(t, c); got != "NULL" {
					t.Errorf("after %s: got %s", reset, got)
				}
			}
		}
	})
}

// TestSigned_RefusesForgery: whatever a client sets, it is nobody but itself.
func TestSigned_RefusesForgery(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Signed, KeyType: "uuid"})
		in.addKeys(t)
		c := in.as(t, "ctx_app")
		backend := value(t, c, "select bulkhead.backend()")
		k := newKey(t, 1, 0xa7)
		later := time.Now().Add(time.Hour)
		good := k.SignBackend(backend, orgA, claimsA, later)
		mac := good[16:]
		type attack struct{ name, org, claims, signature string }
		attacks := []attack{
			{"no signature", orgA, claimsA, ""},
			{"another org", orgB, claimsA, good},
			{"other claims", orgA, strings.Replace(claimsA, "ü", "admin", 1), good},
			{"no claims", orgA, "", good},
			{"expiry moved", orgA, claimsA, fmt.Sprintf("0001.%010d.%s", later.Add(time.Hour).Unix(), mac)},
			{"other key's number", orgA, claimsA, "0002" + good[4:]},
			{"unknown key", orgA, claimsA, newKey(t, 9, 0xa7).SignBackend(backend, orgA, claimsA, later)},
			{"retired key", orgA, claimsA, newKey(t, 3, 0xa9).SignBackend(backend, orgA, claimsA, later)},
			{"wrong key", orgA, claimsA, newKey(t, 1, 0xa6).SignBackend(backend, orgA, claimsA, later)},
			{"expired", orgA, claimsA, k.SignBackend(backend, orgA, claimsA, time.Now().Add(-time.Second))},
			{"cut", orgA, claimsA, good[:len(good)-1]},
			{"cut to nothing", orgA, claimsA, good[:16]},
			{"longer", orgA, claimsA, good + "00"},
			{"a second line", orgA, claimsA, good + "\n"},
			{"leading space", orgA, claimsA, " " + good},
			{"upper case", orgA, claimsA, strings.ToUpper(good)},
			{"one bit", orgA, claimsA, flip(good)},
			{"sign of the number", orgA, claimsA, "+001" + good[4:]},
			{"another backend's", orgA, claimsA, k.SignBackend(backend+"1", orgA, claimsA, later)},
			{"of a checkout", orgA, claimsA, k.SignCheckout(backend, 0, orgA, claimsA, later)},
			// The same bytes cut elsewhere: the lengths are signed, too.
			{"org into claims", orgA, "X\n" + claimsA, k.SignBackend(backend, orgA+"\n38\nX", claimsA, later)},
			{"backend into org", orgA, claimsA, k.SignBackend(backend+"\n"+good[:15], orgA, claimsA, later)},
			{"null bytes as text", orgA, claimsA, `\x00` + good[4:]},
		}
		for _, a := range attacks {
			claim(t, c, a.org, a.claims, a.signature)
			if got := org(t, c); got != "42501" {
				t.Errorf("%s: got %s, want 42501", a.name, got)
			}
			var v *string
			if err := c.QueryRow(t.Context(), "select bulkhead.claims()::text").Scan(&v); code(err) != "42501" {
				t.Errorf("%s: claims() gives %v, %v", a.name, v, err)
			}
		}
		claim(t, c, orgA, claimsA, good) // the control: all else was right
		if got := org(t, c); got != orgA {
			t.Errorf("control: got %s", got)
		}
		// Replay on another backend of the same role.
		other := in.as(t, "ctx_app")
		claim(t, other, orgA, claimsA, good)
		if got := org(t, other); got != "42501" {
			t.Errorf("replay on another backend: got %s", got)
		}
	})
}

// flip changes the last hexadecimal digit.
func flip(s string) string {
	last := byte('0')
	if s[len(s)-1] == '0' {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

// TestSigned_SettingsOfTheClient: no setting that a client may make changes
// how the check reads.
func TestSigned_SettingsOfTheClient(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Signed, KeyType: "uuid"})
		in.addKeys(t)
		c := in.as(t, "ctx_app")
		good := newKey(t, 1, 0xa7).SignBackend(value(t, c, "select bulkhead.backend()"), orgA, claimsA, time.Now().Add(time.Hour))
		for _, set := range []string{
			"standard_conforming_strings = off", "bytea_output = escape", "transform_null_equals = on", "search_path = pg_temp, public",
			"row_security = off", "client_encoding = LATIN1", "default_transaction_read_only = on", "extra_float_digits = -15",
			"datestyle = 'German'", "timezone = 'Pacific/Kiritimati'", "plan_cache_mode = force_generic_plan", "quote_all_identifiers = on",
			"plpgsql.extra_errors = 'all'", "default_transaction_isolation = 'serializable'", "jit_above_cost = 0", "backslash_quote = on",
		} {
			if _, err := c.Exec(t.Context(), "set "+set); err != nil {
				t.Fatalf("%s: %v", set, err)
			}
			for signature, want := range map[string]string{good: orgA, flip(good): "42501", "": "42501", strings.Replace(good, ".", "x", 2): "42501"} {
				if _, err := c.Exec(t.Context(), "set client_encoding = UTF8"); err != nil {
					t.Fatal(err)
				}
				claim(t, c, orgA, claimsA, signature)
				if _, err := c.Exec(t.Context(), "set "+set); err != nil {
					t.Fatal(err)
				}
				if got := org(t, c); got != want {
					t.Errorf("under %s: got %s, want %s", set, got, want)
				}
			}
			if _, err := c.Exec(t.Context(), "reset all"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestSigned_InnersAreClosed: the application's role reaches neither the keys
// nor what makes them; pg_read_all_data reads none.
func TestSigned_InnersAreClosed(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []Mode{Signed, Sealed} {
			t.Run(string(mode), func(t *testing.T) { innersAreClosed(t, s, mode) })
		}
	})
}

func innersAreClosed(t *testing.T, s *pgtest.Server, mode Mode) {
	in := install(t, s, Options{Mode: mode, KeyType: "uuid"})
	in.addKeys(t)
	c := in.as(t, "ctx_app")
	attempts := []string{
		"select * from bulkhead.signing_key", "table bulkhead.signing_key", "insert into bulkhead.signing_key values (8, '', '')",
		"update bulkhead.signing_key set kid = 8", "delete from bulkhead.signing_key", "truncate bulkhead.signing_key",
		"copy bulkhead.signing_key to stdout", "select bulkhead.add_key(8, 'x')", "select bulkhead.retire_key(1, '1 hour')",
		"select * from bulkhead.keys()", "create table bulkhead.t ()", "create function bulkhead.f() returns int language sql as 'select 1'",
		"create or replace function bulkhead.backend() returns text language sql as 'select 1::text'",
		"alter function bulkhead.org_id() immutable", "drop function bulkhead.claims()", "set role bulkhead_owner", "set session authorization bulkhead_owner",
		"alter table bulkhead.signing_key disable row level security", "begin; lock table bulkhead.signing_key", "rollback; select 1 from bulkhead.signing_key",
	}
	if mode == Sealed {
		attempts = append(attempts, "select setval('bulkhead.seal', 1)", "select nextval('bulkhead.slot')", "select currval('bulkhead.slot')",
			"select currval('bulkhead.seal')", "select last_value from bulkhead.slot", "select pg_sequence_last_value('bulkhead.seal')", "alter sequence bulkhead.seal restart with 7")
	}
	for _, sql := range attempts {
		var err error
		if strings.HasPrefix(sql, "copy") {
			_, err = c.PgConn().CopyTo(t.Context(), new(bytes.Buffer), sql)
		} else {
			_, err = c.Exec(t.Context(), sql)
		}
		if sql == "select pg_sequence_last_value('bulkhead.seal')" && err == nil {
			// Older servers check no privilege; it is the sequence's
			// value on disk, of whoever came last, and proves nothing.
			continue
		}
		if code(err) != "42501" && code(err) != "55000" {
			t.Errorf("%s: %s: got %v, want 42501", mode, sql, err)
		}
	}
	if s.Bin.Version >= 14 {
		reader := in.as(t, "ctx_reader")
		if got := value(t, reader, "select count(*) from bulkhead.signing_key"); got != "0" {
			t.Errorf("%s: pg_read_all_data reads %s keys", mode, got)
		}
	}
	if got := value(t, in.admin, "select count(*) from bulkhead.signing_key"); got != "3" {
		t.Errorf("control: got %s keys", got)
	}
}
