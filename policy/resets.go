package policy

import "github.com/pgbulkhead/bulkhead/parser"

// resetsInside reports whether a statement of the batch takes the tenant
// context back to what the server connection was logged in with, and one
// behind it could notice. Where connections are shared between orgs, nothing
// of the client may run before the context is set again.
func (o *compiledOptions) resetsInside(b *parser.Batch) bool {
	reset := false
	for i := range b.Statements {
		s := &b.Statements[i]
		if reset && noticesReset(s) {
			return true
		}
		reset = reset || o.resetsContext(s)
	}
	return false
}

// resetsContext reports whether the statement may reset a setting of the
// tenant context or the role.
func (o *compiledOptions) resetsContext(s *parser.Statement) bool {
	if s.Discard == parser.DiscardAll {
		return true
	}
	for i := range s.Settings {
		v := &s.Settings[i]
		switch {
		case v.Stored || v.Action == parser.SettingShow:
		case v.Action == parser.SettingResetAll, v.Name == "role", v.Name == "session_authorization":
			return true
		case v.Action == parser.SettingReset && (v.Name == "" || o.isTenantSetting(v.Name)):
			return true
		}
	}
	return false
}

// noticesReset holds for every statement but those that drivers send among
// their resets and that look at no data.
func noticesReset(s *parser.Statement) bool {
	switch s.Kind {
	case parser.KindSelect:
		for i := range s.Functions {
			if s.Functions[i].Name.Name != "pg_advisory_unlock_all" {
				return true
			}
		}
		return len(s.Relations)+len(s.Nested)+len(s.Settings) > 0
	case parser.KindSet, parser.KindReset, parser.KindDiscard, parser.KindClose, parser.KindUnlisten, parser.KindDeallocate,
		parser.KindCommit, parser.KindRollback:
		return len(s.Functions) > 0
	}
	return true
}
