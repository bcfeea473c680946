package parser

import (
	"slices"
	"testing"
)

func TestEffects(t *testing.T) {
	for text, want := range map[string]EffectSet{
		"SELECT 1":              0,
		"PREPARE p AS SELECT 1": EffectPrepare,
		"EXPLAIN SELECT set_config('a.b', 'x', true)":          EffectSetLocal,
		"SELECT set_config('a.b', 'x', $1)":                    EffectSetSession,
		"SET a.b = 1":                                          EffectSetSession,
		"SET LOCAL a.b = 1":                                    EffectSetLocal,
		"SET TRANSACTION READ ONLY":                            EffectSetLocal,
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": EffectSetLocal | EffectSetSession,
		"RESET a.b":                      EffectReset,
		"RESET ALL":                      EffectResetAll,
		"SET ROLE x":                     EffectRole | EffectSetSession,
		"RESET ROLE":                     EffectRole | EffectReset,
		"ALTER ROLE x SET a.b = 1":       0,
		"SHOW a.b":                       0,
		"SELECT setseed(0.5)":            EffectSeed,
		"CREATE TEMP TABLE t (a int)":    EffectTemp,
		"SELECT 1 INTO TEMP t":           EffectTemp,
		"CREATE TEMP VIEW v AS SELECT 1": EffectTemp,
		"CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1": EffectTemp,
		"DECLARE c CURSOR FOR SELECT 1":                    EffectCursor,
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1":          EffectCursor | EffectHoldCursor,
		"LISTEN x":                        EffectListen,
		"UNLISTEN *":                      EffectUnlisten,
		"SELECT pg_advisory_lock(1)":      EffectSessionLock,
		"SELECT pg_advisory_xact_lock(1)": 0,
		"SELECT nextval('s')":             EffectSequenceState,
		"LOAD 'x'":                        EffectLoad,
		"PREPARE TRANSACTION 'x'":         EffectPreparedTransaction | EffectEnd,
		"SELECT lo_open(1, 2)":            EffectLargeObject,
		"DISCARD PLANS":                   EffectDiscard,
		"DEALLOCATE p":                    EffectDeallocate,
		"DEALLOCATE ALL":                  EffectDeallocateAll,
		"DO $$$$":                         EffectUnknown,
		"EXECUTE p(1)":                    EffectExecute,
		"EXPLAIN EXECUTE p":               EffectExecute,
		"CLOSE c":                         EffectClose,
		"DROP TABLE t":                    EffectDrop,
		"BEGIN; COMMIT":                   EffectBegin | EffectEnd,
		"SELECT pg_advisory_unlock_all(); CLOSE ALL": EffectUnlockAll | EffectCloseAll,
	} {
		if got := mustParse(t, text).Effects(); got.Set != want {
			t.Errorf("%s: got %b, want %b", text, got.Set, want)
		}
	}
	if e := mustParse(t, "DISCARD ALL").Effects(); !e.Has(EffectDiscardAll) || !e.Has(EffectResetAll) || e.Has(EffectPrepare) {
		t.Errorf("DISCARD ALL: got %b", e.Set)
	}
}

func TestEffectSettings(t *testing.T) {
	got := mustParse(t, "SET b.c = 1; SET LOCAL d.e = 1; RESET a.b; SELECT set_config('B.C', 'x', false), set_config($1, 'x', false)").Effects().Settings
	if want := []string{"", "a.b", "b.c"}; !slices.Equal(got, want) {
		t.Errorf("settings: got %q, want %q", got, want)
	}
}

func TestEffectPrepared(t *testing.T) {
	got := mustParse(t, "PREPARE a AS SELECT 1; EXPLAIN EXECUTE b; DEALLOCATE c; DEALLOCATE ALL; CREATE TEMP TABLE t AS EXECUTE d").Effects()
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(got.Prepared, want) {
		t.Errorf("prepared statements: got %q, want %q", got.Prepared, want)
	}
	if want := []string{"c"}; !slices.Equal(got.Deallocated, want) {
		t.Errorf("deallocated: got %q, want %q", got.Deallocated, want)
	}
}

// TestConstant: reading a constant marks the batch, reading anything else does
// not.
func TestConstant(t *testing.T) {
	b := mustParse(t, "SELECT set_config('a.b', $1, false)")
	args := b.Statements[0].Functions[0].Args
	if _, ok := b.Constant(args[1]); ok || b.ConstantRead() {
		t.Error("a parameter was read as a constant")
	}
	if text, ok := b.Constant(args[0]); !ok || text != "a.b" || !b.ConstantRead() {
		t.Errorf("got %q, %v", text, ok)
	}
}

func TestKinds(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Kinds() {
		if k.String() == "" || k.String() == KindUnknown.String() || seen[k.String()] {
			t.Errorf("kind %d: tag %q is empty or used twice", k, k)
		}
		seen[k.String()] = true
		if found, ok := KindByTag(k.String()); !ok || found != k {
			t.Errorf("tag %s: got %v", k, found)
		}
	}
	for node := range fixedKinds() {
		if loadSchema()[node] == nil {
			t.Errorf("the grammar has no statement %s", node)
		}
	}
	for node := range handlers() {
		if loadSchema()[node] == nil {
			t.Errorf("the grammar has no message %s", node)
		}
	}
}

// TestUnknownIsUnclassified: a field or a node that the schema does not know
// must not pass.
func TestUnknownIsUnclassified(t *testing.T) {
	for what, tree := range map[string][]byte{
		"unknown node":       {0x12, 0x05, 0x0a, 0x03, 0xfa, 0x3f, 0x00}, // ParseResult.stmts, RawStmt.stmt, Node of field 1023
		"statement is empty": {0x12, 0x02, 0x0a, 0x00},
		"cut off":            {0x12, 0x7f, 0x0a},
		"unknown field":      {0xfa, 0x3f, 0x00},
		"no statement":       {0x12, 0x00},
	} {
		b, err := walk("", tree, Options{})
		if err == nil && (len(b.Statements) == 0 || len(b.Statements[0].Unclassified) == 0) {
			t.Errorf("%s: got %+v", what, b.Statements)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"begin":  "BEGIN",
		"short":  "SELECT id, name FROM accounts WHERE org_id = $1 AND id = $2",
		"insert": "INSERT INTO accounts (id, org_id, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text, testOptions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
