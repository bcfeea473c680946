package proxytest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// BenchmarkSharing measures a prepared SELECT of clients of many orgs on 20
// server connections, so that nearly every one finds a connection that another
// org had last, beside clients of one org, who find their own. What the first
// takes longer is the price of a change of hands: DISCARD ALL, the label and
// the statement prepared anew, without a round trip.
//
//	go test ./proxy_test -run '^$' -bench Sharing
func BenchmarkSharing(b *testing.B) {
	const clients = 2000
	for _, orgs := range []int{1, clients} {
		for _, mode := range []string{"shared", "transaction"} {
			if mode == "transaction" && orgs > 1 {
				continue // a login for every statement
			}
			b.Run(fmt.Sprintf("%s/orgs=%d", mode, orgs), func(b *testing.B) {
				p := start(b, options{
					mode: mode, sql: manyOrgs, extra: "limits: {max_clients_per_org: 2000}",
					pool: "max_server_connections: 20, max_per_org: 20, queue_timeout: 60s",
				})
				sessions := make([]*wiretest.Client, clients)
				for i := range sessions {
					sessions[i] = p.connect(b, fmt.Sprintf("%08x-0000-4000-8000-000000000000", i%orgs))
					sessions[i].Send(parse("s", "SELECT count(*) FROM notes WHERE id > $1"), synced)
					sessions[i].Until(1)
				}
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for w := range 8 {
					wg.Go(func() {
						for i := w; next.Add(1) <= int64(b.N); i = (i + 8) % clients { // a client belongs to one of them
							sessions[i].Send(bind("", "s", "0"), execute("", 0), synced)
							if rows := wiretest.Rows(sessions[i].Until(1)); len(rows) != 1 || rows[0][0] != "1" {
								b.Errorf("got %v", rows)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
