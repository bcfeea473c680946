package policy

import (
	"errors"
	"slices"

	"github.com/pgbulkhead/bulkhead/parser"
)

// describe fills in what records and spans say of a text.
func (i *Inspection) describe(b *parser.Batch) {
	i.Effects = b.Effects()
	for n := range b.Statements {
		s := &b.Statements[n]
		if i.Kind == "" {
			i.Kind = s.Kind.String()
		}
		for r := range s.Relations {
			i.Relations = append(i.Relations, spell(s.Relations[r].Name))
		}
		for f := range s.Functions {
			i.Functions = append(i.Functions, spell(s.Functions[f].Name))
		}
		for v := range s.Settings {
			if name := s.Settings[v].Name; name != "" {
				i.Settings = append(i.Settings, name)
			}
			i.Encoding = i.Encoding || setsEncoding(b, &s.Settings[v])
		}
	}
	if len(i.Relations) > 0 {
		i.Collection = i.Relations[0]
	}
	i.Relations, i.Functions, i.Settings = sorted(i.Relations), sorted(i.Functions), sorted(i.Settings)
	i.read = true
}

// setsEncoding reports whether a setting may leave client_encoding at another
// value than UTF8.
func setsEncoding(b *parser.Batch, v *parser.Setting) bool {
	if v.Name != "client_encoding" && v.Name != "" || v.Action != parser.SettingSet {
		return false
	}
	if v.Name == "" || len(v.Values) != 1 {
		return true
	}
	value, ok := b.Constant(v.Values[0])
	return !ok || !isEncoding(value, utf8Names)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// notUnderstood makes the inspection of a text that has no facts. What it
// would do to a session is unknown, and nothing of it is repeated: it was not
// read, so its literals cannot be told from the rest.
func (e *Engine) notUnderstood(i *Inspection, err error) {
	i.Effects.Set = parser.EffectUnknown
	if parser.MayHoldToken(i.source) {
		i.Settings = []string{parser.IdentityToken}
	}
	var why *parser.Error
	if !errors.As(err, &why) {
		i.Decision = e.refuse("G702", "the statement cannot be walked through")
		return
	}
	i.Decision = e.refuse(understoodRule(why.SQLState), why.Reason)
	if i.Decision.Action != Allow {
		i.Decision.Message, i.Decision.Position, i.Decision.SQLState = why.Message, why.Position, why.SQLState
	}
}

// understoodRule is the rule for each way of not being understood, by the
// SQLSTATE of the parser's error.
func understoodRule(state string) string {
	switch state {
	case stateTooLarge:
		return "G703"
	case stateTooDeep:
		return "G704"
	case stateEncoding:
		return "G705"
	default:
		return "G701"
	}
}
