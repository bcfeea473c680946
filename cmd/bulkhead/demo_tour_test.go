package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTour takes the tour, on a server of its own, and looks at what a
// newcomer sees.
func TestTour(t *testing.T) {
	var out bytes.Buffer
	keep := filepath.Join(t.TempDir(), "reports")
	tr := &tour{out: &out, keep: keep}
	if err := tr.run(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	rest := text
	// In this order.
	for _, want := range []string{
		"-> invoices of Compilers & Sons",                         // before: the other org's
		"-> jobs of Analytical Engines, jobs of Compilers & Sons", // before: everybody's queue
		"59 tables: 1 root, 57 direct, 0 indirect, 1 global",
		"A101  tenant table without row security", "public.audit_log", // audit
		"MAIN: one transaction", // plan
		"steps applied in",      // apply
		"-> (no rows)",          // the trick, past the proxy
		"-> invoices of Analytical Engines, invoices of Analytical Eng", // through the proxy
		"refused by rule G201", "refused by rule G801", // the trick, through it
		"refused by rule G803",                                           // the worker before it picks an org
		"-> jobs of Analytical Engines\n", "-> jobs of Compilers & Sons", // and after
		"ISOLATED: no leak was found; 59 of 59 relations proven (100.0 %)", "hash chain",
		"The database is as it was before",
	} {
		i := strings.Index(rest, want)
		if i < 0 {
			t.Fatalf("the tour does not say %q, or not in order:\n%s", want, text)
		}
		rest = rest[i+len(want):]
	}
	page, err := os.ReadFile(filepath.Join(keep, "isolation.html"))
	if err != nil || !bytes.Contains(page, []byte("public.webhook_deliveries")) {
		t.Errorf("the report of the tour: %v", err)
	}
	log := tr.log.String()
	for _, secret := range []string{demoOrgB, "Compilers"} {
		if strings.Contains(log, secret) {
			t.Errorf("the proxy's log holds %q", secret)
		}
	}
}

// The page shows every command of the tour as it is run.
func TestTour_Page(t *testing.T) {
	b, err := os.ReadFile("../../docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(strings.ReplaceAll(string(b), "\\\n", " ")), " ")
	for _, c := range []tourCommand{tourAudit, tourPlan, tourApply, tourVerify, tourBlocked, tourRollback, tourStatus} {
		if !strings.Contains(page, c.text) {
			t.Errorf("docs/tour.md does not show: %s", c.text)
		}
	}
}
