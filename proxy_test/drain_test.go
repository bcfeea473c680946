package proxytest

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// SIGTERM ends each session at its next transaction boundary, with 57P01 as the
// last word: who is in none at once, others behind the reply to their COMMIT.
func TestDrain_AtTheBoundary(t *testing.T) {
	for _, mode := range []string{"transaction", "session", "shared"} {
		p := start(t, options{mode: mode})
		idle, inside, batch := p.connect(t, orgA), p.connect(t, orgA), p.connect(t, orgB)
		idle.Query("SELECT 1")
		inside.Query("BEGIN")
		inside.Query("INSERT INTO documents (org_id, body) VALUES ('" + orgA + "', 'drained')")
		batch.Send(parse("", "SELECT 1"), bind("", ""), execute("", 0), wiretest.Flush)
		if got := replies(batch, 4); got != "1 2 D C" {
			t.Fatalf("%s: %s", mode, got)
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := replies(idle, 1); got != "57P01" {
			t.Errorf("%s, idle: %s, want 57P01", mode, got)
		}
		awaitRows(t, mode+", listening", func() string {
			c, err := net.Dial("tcp", p.addr)
			if err == nil {
				c.Close()
			}
			return fmt.Sprint(err == nil)
		}, "false")
		expectRows(t, mode+", in a transaction", inside, "SELECT 'goes on'", "[[goes on]]")
		inside.Send(wiretest.Query("COMMIT"))
		if got := replies(inside, 3); got != "C I 57P01" {
			t.Errorf("%s, in a transaction: %s, want its COMMIT, then 57P01", mode, got)
		}
		batch.Send(synced)
		if got := replies(batch, 2); got != "I 57P01" {
			t.Errorf("%s, in a batch: %s, want its ReadyForQuery, then 57P01", mode, got)
		}
		p.stderr.await("the end of the log") // it ends by itself; a second signal would cut it off
		p.stop(t)
		admin := p.pg.Connect(t, p.db)
		var n int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM documents WHERE body = 'drained'").Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: the transaction left %d rows (%v)", mode, n, err)
		}
		admin.Close(t.Context())
	}
}
