package proxytest

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// consoleURL returns where the proxy's admin listener is.
func (p *proxy) consoleURL(t testing.TB) string {
	t.Helper()
	line, ok := p.stderr.await(`"msg":"console listening"`)
	if !ok {
		t.Fatal("the console does not listen")
	}
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	return "http://" + entry.Address
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestAdmin_Metrics(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	c.Query("SELECT 1")
	c.Query("SET app.org_id = '" + orgB + "'")
	url := p.consoleURL(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, url+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, body := get(t, url+"/metrics")
	for _, want := range []string{
		`bulkhead_rule_violations_total{decision="blocked",rule="G201"} 1`,
		"bulkhead_clients 1", `bulkhead_server_connections{state="used"} 1`, "db_client_operation_duration_seconds_count 1",
		"bulkhead_blocked_log_dropped_total 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if strings.Contains(body, orgA) {
		t.Error("/metrics names an org")
	}
}

// A span per statement, with the parent of a sqlcommenter comment, and no
// literal in it.
func TestTraces(t *testing.T) {
	spans := filepath.Join(t.TempDir(), "spans")
	f, err := os.Create(spans)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	stdoutOfProxy = f
	defer func() { stdoutOfProxy = nil }()
	p := start(t, options{})
	c := p.connect(t, orgA)
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	comment := " /*traceparent='00-" + parent + "-00f067aa0ba902b7-01'*/"
	c.Query("SELECT name FROM accounts WHERE name = 'a literal'" + comment)
	c.Send(wiretest.Parse("", "SELECT name FROM documents_missing"+comment), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync)
	c.Until(1)
	c.Query("SET app.org_id = '" + orgB + "'" + comment)
	c.Query("SELECT 1/0" + comment)
	c.Conn.Close()
	record := p.blocked(t, 1)[0]
	if record.TraceID != parent {
		t.Errorf("the blocked-query record has trace %q, want %q", record.TraceID, parent)
	}
	p.stop(t)
	b, err := os.ReadFile(spans)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{parent, "db.query.text", "SELECT accounts", "postgresql", "bulkhead.rule", "G201", "22012", record.SpanID, orgA} {
		if !strings.Contains(got, want) {
			t.Errorf("the spans lack %q", want)
		}
	}
	for _, secret := range []string{"a literal", orgB} {
		if strings.Contains(got, secret) {
			t.Errorf("the spans hold the literal %q", secret)
		}
	}
}
