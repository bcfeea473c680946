package parser

import (
	"reflect"
	"testing"
)

// TestReader_Order: last stops at the first field behind the one it looks for,
// so fields in another order must be noticed.
func TestReader_Order(t *testing.T) {
	message := loadSchema()["RangeVar"]
	relname := []byte{byte(message.must("relname").number<<3 | 2), 1, 't'}
	schema := []byte{byte(message.must("schemaname").number<<3 | 2), 1, 's'}

	ordered := node{message, append(append([]byte{}, schema...), relname...)}
	if ordered.text("schemaname") != "s" || ordered.text("relname") != "t" {
		t.Fatalf("fields in order were not found: %q, %q", ordered.text("schemaname"), ordered.text("relname"))
	}
	w := &walker{statement: &Statement{}, options: &Options{}}
	w.descend(node{message, append(append([]byte{}, relname...), schema...)})
	if len(w.statement.Unclassified) == 0 {
		t.Error("fields out of order were taken for known")
	}
}

// TestBatch_Release: a batch that uses the memory of another holds nothing of
// it.
func TestBatch_Release(t *testing.T) {
	texts := []string{
		"SELECT f(a.b), (c).d FROM s.t a WHERE org_id = 1 AND x::u.v IN (SELECT y FROM z) FOR UPDATE",
		"SET a.b = 'c'; RESET ALL; SELECT set_config($1, 'x', true)", "COPY t (a) FROM STDIN", "",
		"CREATE TEMP TABLE t AS SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT 1",
		"GRANT r TO s; PREPARE p AS DELETE FROM t WHERE org_id = $1; LISTEN c; SAVEPOINT s",
	}
	o := Options{TenantColumns: []string{"org_id"}}
	facts := func(text string) []Statement {
		b, err := Parse(text, o)
		if err != nil {
			t.Fatal(err)
		}
		own := append([]Statement{}, b.Statements...)
		b.Release()
		return own
	}
	first := make([][]Statement, len(texts))
	for i, text := range texts {
		first[i] = facts(text)
	}
	for range 3 {
		for i := range texts {
			again := facts(texts[len(texts)-1-i])
			if want := first[len(texts)-1-i]; !reflect.DeepEqual(again, want) {
				t.Errorf("%q: %+v\nwas %+v", texts[len(texts)-1-i], again, want)
			}
		}
	}
}
