package context

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// BenchmarkOrgID is the time of the server for one org_id() in each mode, from
// ten thousand calls in one statement; "none" reads the setting itself.
func BenchmarkOrgID(b *testing.B) {
	for _, mode := range []Mode{"none", Plain, Signed, Sealed} {
		b.Run(string(mode), func(b *testing.B) {
			s := pgtest.Shared(b, 0)
			database := s.CreateDatabase(b)
			c := s.Connect(b, database)
			defer c.Close(b.Context())
			expression := "nullif(current_setting('bulkhead.org_id', true), '')::uuid"
			if mode != "none" {
				expression = "bulkhead.org_id()"
				benchInstall(b, c, Options{Mode: mode, KeyType: "uuid", Version: 10000 * s.Bin.Version, Superuser: true})
			}
			benchBecome(b, c, database, mode)
			const calls = 10000
			var n int
			b.ResetTimer()
			for range b.N {
				sql := "select count(o) from (select " + expression + " as o from generate_series(1, 10000) offset 0) as x"
				if err := c.QueryRow(b.Context(), sql).Scan(&n); err != nil || n != calls {
					b.Fatalf("%d calls, %v", n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls, "ns/call")
		})
	}
}

func benchInstall(b *testing.B, c *pgx.Conn, o Options) {
	b.Helper()
	in, err := Read(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	steps, err := in.Update(o)
	if err != nil {
		b.Fatal(err)
	}
	for _, step := range steps {
		if _, err := c.Exec(b.Context(), step.SQL); err != nil {
			b.Fatalf("%v\n%s", err, step.SQL)
		}
	}
}

// benchBecome makes the session one of org A.
func benchBecome(b *testing.B, c *pgx.Conn, database string, mode Mode) {
	b.Helper()
	secret := make([]byte, 32)
	key, err := tenant.NewKey(1, secret)
	if err != nil {
		b.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	_, err = c.Exec(b.Context(), "select set_config('bulkhead.org_id', $1, false)", orgA)
	check(err)
	later := time.Now().Add(time.Hour)
	switch mode {
	case Signed:
		var backend string
		check(c.QueryRow(b.Context(), "select bulkhead.add_key(1, $1)::text, bulkhead.backend()", secret).Scan(nil, &backend))
		_, err = c.Exec(b.Context(), "select set_config('bulkhead.signature', $1, false)", key.SignBackend(backend, orgA, "", later))
	case Sealed:
		var n int64
		check(c.QueryRow(b.Context(), "select bulkhead.add_key(1, $1)::text, bulkhead.challenge()", secret).Scan(nil, &n))
		_, err = c.Exec(b.Context(), "select bulkhead.enter($1, '', $2)", orgA, key.SignCheckout(database, n, orgA, "", later))
	}
	check(err)
}
