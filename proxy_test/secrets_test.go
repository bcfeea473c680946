package proxytest

import (
	"os"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// No literal, parameter or token gets into a log of ours or a metric, whatever is
// wrong with a statement; and no token into the log of the server, also where
// rules only observe or are off, and the text cannot be parsed.
func TestLogs_NoSecrets(t *testing.T) {
	for _, extra := range []string{"", "policy: {mode: observe}", "policy: {mode: observe, rules: {G201: off, G701: off}}"} {
		p := start(t, options{mode: "shared", issuer: anyToken, extra: extra + "\ntelemetry: {slow_query: 1ms}"})
		before := len(p.pg.Log())
		s := p.startup(t, orgA)
		s.Params = map[string]string{"a.b": "SeCrEt1", "timezone": "UTC"}
		c := wiretest.Connect(t, s)
		tok := token(t, orgB, nil)
		bad := tok[:len(tok)-3] + "abc"
		sigs := tok[len(tok)-20:]
		for _, q := range []string{
			"SELECT 'SeCrEt2'", "SELECT 'SeCrEt3", "SELECT $x$SeCrEt4", "SELECT \"SeCrEt5", "SELECT 1/0 /* SeCrEt6 */", "SET ROLE 'SeCrEt7'",
			"SELECT 'SeCrEt8' FROM audit_events", "SELECT set_config('app.org_id', 'SeCrEt9', false)", "SET app.org_id = 'SeCrEtA'",
			"COPY accounts FROM '/SeCrEtB'", "COPY (SELECT 1) TO PROGRAM 'SeCrEtC'", "DO $$SeCrEtD$$", "DO 'SeCrEtD'", "ALTER ROLE app PASSWORD 'SeCrEtE'", "CREATE ROLE x PASSWORD 'SeCrEtE'",
			"SELECT * FROM accounts WHERE org_id = 'SeCrEtF'", "NOTIFY x, 'SeCrEtG'", "SELECT dblink('SeCrEtH')", "PREPARE TRANSACTION 'SeCrEtI'", "SELECT E'SeCrEtJ\\'", "SELECT U&'SeCrEtK' UESCAPE 'xx'",
			"SELECT x'SeCrEtL'", "SELECT 1 SeCrEtM 'SeCrEtM' foo bar", "SELECT pg_sleep(0.01), 'SeCrEtN'", "EXECUTE p('SeCrEtO')", "CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'SeCrEtP')",
			"COMMENT ON TABLE accounts IS 'SeCrEtQ'", "SECURITY LABEL ON TABLE accounts IS 'SeCrEtR'", "CREATE SUBSCRIPTION s CONNECTION 'SeCrEtS' PUBLICATION p", "LOAD 'SeCrEtT'", "SELECT interval 'SeCrEtU'", "SELECT date 'SeCrEtU'", "EXPLAIN SELECT 'SeCrEtV' FROM audit_events",
			"SET bulkhead.token = '" + bad + "'", "SET bulkhead.token = '" + bad, "SELECT 1; SET bulkhead.token = '" + bad + "'", "SELECT set_config('bulkhead.token', '" + bad + "', false) FROM x", "SELECT set_config('bulkhead.token' '" + bad + "')", "SET bulkhead.token '" + bad + "'",
			"PREPARE x AS SELECT set_config('bulkhead.token', '" + bad + "', false)", "SET bulkhead.org_id = 'SeCrEtX'", "DECLARE c CURSOR FOR SELECT 'SeCrEtY' FROM audit_events", "SELECT 'SeCrEtZ' AS \"a", "select current_setting('SeCrEt0')",
		} {
			c.Query(q)
			c.Send(parse("", q), bind("", ""), execute("", 0), synced)
			c.Until(1)
		}
		c.Send(parse("", "SELECT set_config('bulkhead.token', $1, false)"), bind("", "", bad), execute("", 0), synced)
		c.Until(1)
		c.Send(parse("", "SELECT count(*) FROM accounts WHERE org_id = $1"), bind("", "", "SeCrEtb"), execute("", 0), synced)
		c.Until(1)
		c.Send(wiretest.Terminate)
		d := p.startup(t, orgA)
		d.Password = bad
		wiretest.Dial(t, d)
		d.Password, d.Database = token(t, orgA, nil), "SeCrEtc"
		wiretest.Dial(t, d)
		_, metrics := get(t, p.consoleURL(t)+"/metrics")
		p.stop(t)
		log, err := os.ReadFile(p.log)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"stderr": p.stderr.String(), "blocked log": string(log), "metrics": metrics, "server log": strings.ReplaceAll(p.pg.Log()[before:], "SeCrEt", "")} {
			for _, line := range strings.Split(text, "\n") {
				if strings.Contains(line, "SeCrEt") || strings.Contains(line, bad[:40]) || strings.Contains(line, sigs) {
					t.Errorf("%s: %s: %s", extra, name, line)
				}
			}
		}
	}
}
