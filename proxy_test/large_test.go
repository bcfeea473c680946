package proxytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// Long texts are inspected off the loop: what is pipelined behind them waits
// and stays in order. Texts beyond the limit are refused without being held.
func TestLarge_Statements(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode})
		c := p.connect(t, orgA)
		long := "SELECT count(*) FROM accounts WHERE id IN (0" + strings.Repeat(",1", 50_000) + ")"
		c.Send(wiretest.Query("SELECT 'before'"), wiretest.Query(long), wiretest.Query("SELECT 'after'"))
		if got := fmt.Sprint(wiretest.Rows(c.Until(3))); got != "[[before] [1] [after]]" {
			t.Errorf("%s: simple: %s", mode, got)
		}
		c.Send(wiretest.Parse("", long+" "), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync, wiretest.Query("SELECT 'after'"))
		if got := fmt.Sprint(wiretest.Rows(c.Until(2))); got != "[[1] [after]]" {
			t.Errorf("%s: extended: %s", mode, got)
		}
		hidden := "SELECT 1 WHERE 1 IN (0" + strings.Repeat(",1", 50_000) + ") AND set_config('app.org_id', '" + orgB + "', false) = ''"
		if e, failed := wiretest.Error(c.Query(hidden)); !failed || !strings.HasPrefix(e.Field('D'), "rule=G2") {
			t.Errorf("%s: an attack behind 100 KB: %v", mode, e)
		}
		huge := "SELECT '" + strings.Repeat("x", 3<<20) + "'"
		for _, send := range [][][]byte{
			{wiretest.Query("BEGIN"), wiretest.Query(huge), wiretest.Query("ROLLBACK")},
			{wiretest.Parse("", "BEGIN"), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync, wiretest.Parse("", huge), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync, wiretest.Query("ROLLBACK")},
		} {
			go c.Send(send...)
			msgs := c.Until(3)
			if e, failed := wiretest.Error(msgs); !failed || e.Field('C') != "54000" {
				t.Errorf("%s: 3 MB: %v", mode, e)
			}
			if got := wiretest.Status(msgs); got != 'I' {
				t.Errorf("%s: status %c after ROLLBACK", mode, got)
			}
		}
		if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT count(*) FROM accounts"))); got != "[[2]]" {
			t.Errorf("%s: afterwards: %s", mode, got)
		}
		p.blocked(t, 3)
	}
}
