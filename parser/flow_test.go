package parser

import (
	"strings"
	"testing"
)

// Values that double with every step must cost neither time nor memory: such a
// statement is not understood. Long lists and chains are.
func TestFlow_Bounded(t *testing.T) {
	var doubling strings.Builder
	doubling.WriteString("WITH a0 AS (SELECT $1::text AS x)")
	for i := 1; i < 100; i++ {
		doubling.WriteString(", a" + itoa(i) + " AS (SELECT coalesce(x, x) AS x FROM a" + itoa(i-1) + ")")
	}
	doubling.WriteString(" SELECT 1 FROM t WHERE org_id IN (SELECT x FROM a99)")
	for _, c := range []struct {
		name, text string
		terms      int // -1: not understood
	}{
		{"doubling", doubling.String(), -1},
		{"rows", "INSERT INTO t (org_id, a) VALUES ('A', 1)" + strings.Repeat(", ('A', 1)", 20_000), 20_001},
		{"list", "SELECT 1 FROM t WHERE org_id IN ('A'" + strings.Repeat(", 'A'", 20_000) + ")", 20_001},
		{"arrays", "SELECT 1 FROM t WHERE ARRAY[org_id" + strings.Repeat(", org_id", 1000) + "] = ARRAY['A'" + strings.Repeat(", 'A'", 1000) + "]", 1001},
		{"chain", "SELECT 1 FROM t WHERE org_id = 'A'" + strings.Repeat(" || 'abcdefgh'", 1900), 1},
		{"nested", "SELECT 1 FROM t WHERE " + strings.Repeat("coalesce(org_id, ", 400) + "org_id" + strings.Repeat(")", 400) + " = 'A'", 1},
		{"recursive", strings.Repeat("WITH RECURSIVE a AS (", 90) + "SELECT org_id FROM t WHERE org_id = 'A'" + strings.Repeat(" UNION SELECT * FROM a) SELECT * FROM a", 90), 1},
	} {
		s := &mustParse(t, c.text).Statements[0]
		switch understood := len(s.Unclassified) == 0; {
		case understood != (c.terms >= 0):
			t.Errorf("%s: understood: %v", c.name, understood)
		case understood && len(s.TenantTerms) != c.terms:
			t.Errorf("%s: %d terms, want %d", c.name, len(s.TenantTerms), c.terms)
		}
	}
}

// Each function that is followed is one of the server's.
func TestFlow_FunctionsExist(t *testing.T) {
	for name := range flowNames {
		if _, ok := ClassifyFunction(name); !ok {
			t.Errorf("no PostgreSQL has the function %s", name)
		}
	}
}
