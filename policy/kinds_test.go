package policy

import (
	"testing"

	"github.com/pgbulkhead/bulkhead/parser"
)

// Every kind of the grammar has a class, and what is new has none.
func TestEveryKindIsClassified(t *testing.T) {
	for _, k := range parser.Kinds() {
		if classOf(k) == kindUnclassified {
			t.Errorf("%s has no class", k)
		}
	}
	if classOf(parser.KindUnknown) != kindUnclassified {
		t.Error("an unknown kind has a class")
	}
}

// A kind that nobody has judged is refused by G612, also inside another.
func TestUnknownKindIsRefused(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	for _, s := range []parser.Statement{
		{Kind: parser.KindUnknown},
		{Kind: parser.KindExplain, Nested: []parser.Kind{parser.KindUnknown}},
	} {
		d := e.judge(&subject{batch: &parser.Batch{}, statement: &s, options: e.options(), known: e.known.Load()})
		if d.Action != Block || d.Rule != "G612" {
			t.Errorf("%v: got %v %s, want blocked G612", s.Kind, d.Action, d.Rule)
		}
	}
}

func TestUnclassifiedIsRefused(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	s := parser.Statement{Kind: parser.KindSelect, Unclassified: []string{"NewNode"}}
	d := e.judge(&subject{batch: &parser.Batch{}, statement: &s, options: e.options(), known: e.known.Load()})
	if d.Action != Block || d.Rule != "G702" {
		t.Errorf("got %v %s, want blocked G702", d.Action, d.Rule)
	}
}

// What the guard in front of the parser refuses keeps its own state.
func TestNotUnderstood(t *testing.T) {
	o := testOptions(t)
	o.MaxStatementBytes = 1000
	e := newTestEngine(t, o)
	tests := []struct {
		name, text, rule, state string
	}{
		{"too large", "SELECT '" + string(make([]byte, 2000)) + "'", "G703", "54000"},
		{"NUL", "SELECT 1\x00, set_config('app.org_id', 'B', false)", "G705", "22021"},
		{"not UTF-8", "SELECT '\xff'", "G705", "22021"},
		{"syntax", "SELECT 1 FROM", "G701", "42601"},
	}
	for _, tt := range tests {
		i := e.Inspect(t.Context(), tt.text, Simple)
		if d := i.Decision; d.Action != Block || d.Rule != tt.rule || d.SQLState != tt.state {
			t.Errorf("%s: got %v %s %s, want blocked %s %s", tt.name, d.Action, d.Rule, d.SQLState, tt.rule, tt.state)
		}
		if i.Text() != "" || !i.Effects.Has(parser.EffectUnknown) {
			t.Errorf("%s: text %q and effects %v of what was not read", tt.name, i.Text(), i.Effects)
		}
	}
	deep := "SELECT 1"
	for range 400 {
		deep += "+1"
	}
	o.MaxStatementBytes = 0
	e = newTestEngine(t, o)
	for range 5 {
		deep += deep[len("SELECT 1"):]
	}
	if d := e.Inspect(t.Context(), deep, Simple).Decision; d.Rule != "G704" || d.SQLState != "54001" {
		t.Errorf("too deep: got %v %s %s, want blocked G704 54001", d.Action, d.Rule, d.SQLState)
	}
	if d := e.TooLarge(); d.Action != Block || d.Rule != "G703" || d.SQLState != "54000" {
		t.Errorf("TooLarge: got %+v", d)
	}
}
