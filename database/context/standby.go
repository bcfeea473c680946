package context

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// standbyEvery is how often AwaitStandbys looks.
const standbyEvery = 50 * time.Millisecond

// AwaitStandbys waits until every standby that streams from the server has
// replayed what was written so far, a new key among it. It returns the names
// of those that have not when ctx ends. Of standbys of standbys the server
// knows nothing.
func AwaitStandbys(ctx context.Context, c *pgx.Conn) (behind []string, err error) {
	// What was committed may not have been written yet (synchronous_commit).
	var until string
	if err := c.QueryRow(ctx, "select pg_catalog.pg_current_wal_insert_lsn()::text").Scan(&until); err != nil {
		return nil, fmt.Errorf("read the position of the log: %w", err)
	}
	const lagging = `select application_name || ' (process ' || pid || ')' from pg_catalog.pg_stat_replication
		where state in ('streaming', 'catchup')
		and pid not in (select active_pid from pg_catalog.pg_replication_slots where slot_type = 'logical' and active_pid is not null) and (replay_lsn >= $1::text::pg_lsn) is not true order by pid`
	tick := time.NewTicker(standbyEvery)
	defer tick.Stop()
	for {
		rows, err := c.Query(context.WithoutCancel(ctx), lagging, until)
		if err != nil {
			return nil, fmt.Errorf("ask for standbys: %w", err)
		}
		if behind, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(behind) == 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return behind, nil
		case <-tick.C:
		}
	}
}
