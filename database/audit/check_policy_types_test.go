package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// tenantType is one form of the tenant's key.
type tenantType struct {
	name, sql, column, literal string
	text                       bool // the setting needs no cast
}

var tenantTypes = []tenantType{
	{"uuid", "uuid", "org_id", "'aaaaaaaa-0000-0000-0000-000000000001'", false},
	{"bigint", "bigint", "account_id", "42", false},
	{"integer", "integer", `"orgId"`, "42", false},
	{"text", "text", "tenant", "'acme'", true},
	{"varchar", "varchar(40)", `"Tenant_ID"`, "'acme'", true},
	{"domain", "app_key", "tenant_id", "'aaaaaaaa-0000-0000-0000-000000000001'", false},
}

// typePlants are faults that can be planted whatever the type: C is the
// column, SETTING the setting as it is, CTX the context as it should be read.
var typePlants = []struct {
	expression string
	check      string // "" for no fault
	write      bool   // as WITH CHECK of a policy for INSERT
}{
	{"C = CTX", "", false},
	{"C = (SELECT CTX)", "", false},
	{"C = ANY (ARRAY[CTX])", "", false},
	{"C IN (SELECT o.id FROM roots o WHERE o.id = CTX)", "", false},
	{"EXISTS (SELECT 1 FROM roots o WHERE o.id = docs.C)", "", false},
	{"C = CTX AND (flag OR note = 'x')", "", false},
	{"(C = CTX) IS TRUE", "", false},
	{"CASE WHEN flag THEN C = CTX ELSE false END", "", false},
	{"true", "A201", false},
	{"C = C", "A201", false},
	{"flag", "A202", false},
	{"C IS NOT NULL", "A202", false},
	{"EXISTS (SELECT 1 FROM roots o WHERE o.id = CTX)", "A202", false},
	{"C = CTX OR flag", "A203", false},
	{"C = CTX OR CTX IS NULL", "A203", false},
	{"C <> CTX", "A203", false},
	{"NOT (C = CTX)", "A203", false},
	{"C = CTX OR current_setting('app.admin', true) = 'on'", "A203", false},
	{"true", "A204", true},
	{"note <> ''", "A204", true},
	{"C = CTX OR flag", "A204", true},
	{"C = CTX", "", true},
	{"C IS NULL OR C = CTX", "A211", false},
	{"C IS NOT DISTINCT FROM CTX", "A211", false},
	{"coalesce(C, CTX) = CTX", "A211", false},
	{"coalesce(C = CTX, true)", "A211", false},
	{"C::text LIKE SETTING", "A217", false},
	{"C::text LIKE SETTING || '%'", "A217", false},
	{"C = LITERAL", "A218", false},
	{"C = CTX OR C = LITERAL", "A218", false},
	{"C IN (CTX, LITERAL)", "A218", false},
	{"C::text = current_user", "A215", false},
	{"C = CTX AND note = session_user", "A215", false},
	{"C = nullif((current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata') ->> 'org', '')::TYPE", "A216", false},
	{"C = current_setting('app.key')::TYPE", "A209", false},
}

// castPlants are faults where the setting must be cast.
var castPlants = []struct{ expression, check string }{
	{"C = current_setting('app.key', true)::TYPE", "A210"},
	{"C = coalesce(current_setting('app.key', true), '')::TYPE", "A210"},
	{"C::text = nullif(current_setting('app.key', true), '')", "A703"},
}

func (y tenantType) schema() string {
	return y.fill(`CREATE ROLE aud_app LOGIN;
CREATE DOMAIN app_key AS uuid;
CREATE TABLE roots (id TYPE PRIMARY KEY);
CREATE TABLE docs (id int PRIMARY KEY, C TYPE NOT NULL REFERENCES roots ON DELETE CASCADE, flag boolean, note text);
CREATE TABLE notes (id int PRIMARY KEY, C TYPE NOT NULL REFERENCES roots ON DELETE CASCADE);
ALTER TABLE roots ENABLE ROW LEVEL SECURITY; ALTER TABLE docs ENABLE ROW LEVEL SECURITY; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON roots USING (id = CTX);
CREATE POLICY own ON docs USING (C = CTX);
CREATE POLICY own ON notes USING (C = CTX) WITH CHECK (C = CTX);
GRANT SELECT ON roots TO aud_app; GRANT SELECT, INSERT, UPDATE, DELETE ON docs, notes TO aud_app;
`)
}

func (y tenantType) fill(sql string) string {
	context := "nullif(current_setting('app.key', true), '')"
	if !y.text {
		context += "::" + y.sql
	}
	return strings.NewReplacer("CTX", context, "SETTING", "current_setting('app.key', true)", "LITERAL", y.literal, "TYPE", y.sql, "C ", y.column+" ",
		"C,", y.column+",", "C:", y.column+":", "C)", y.column+")").Replace(sql)
}

func (y tenantType) plants() []plant {
	var list []plant
	add := func(expression, check string, write bool) {
		clause := "USING"
		if write {
			clause = "FOR INSERT WITH CHECK"
		}
		if strings.HasSuffix(expression, "C") {
			expression += " "
		}
		p := plant{fault: y.fill(fmt.Sprintf("CREATE POLICY planted ON docs %s (%s)", clause, expression))}
		if check != "" {
			p.want = []string{check + " public.docs:planted"}
		}
		list = append(list, p)
	}
	for _, p := range typePlants {
		add(p.expression, p.check, p.write)
	}
	for _, p := range castPlants {
		if !y.text && (y.name != "domain" || p.check != "A703") { // the catalogue does not tell us what a domain is made of
			add(p.expression, p.check, false)
		}
	}
	return list
}

// TestPolicies_Types plants the same faults for keys of all types: the server
// writes their conditions in different ways.
func TestPolicies_Types(t *testing.T) {
	server := pgtest.Shared(t, 0)
	for _, y := range tenantTypes {
		t.Run(y.name, func(t *testing.T) {
			testPlants(t, server, y.schema(), inventory.Selection{AppRoles: []string{"aud_app"}, RootTable: "roots"}, isPolicyCheck, true, y.plants())
		})
	}
}
