package policy

import "github.com/pgbulkhead/bulkhead/parser"

// transactionOf tells whether the batch is one statement that begins a
// transaction, or ends one for good.
func transactionOf(b *parser.Batch) (begins, ends bool) {
	if len(b.Statements) != 1 {
		return false, false
	}
	switch b.Statements[0].Transaction {
	case parser.TransactionBegin:
		return true, false
	case parser.TransactionCommit, parser.TransactionRollback, parser.TransactionPrepare:
		return false, true
	}
	return false, false
}

// tenantless reports whether no statement of the batch can touch data of a
// tenant: the control of transactions and of the session, and queries that
// compute without reading or calling anything (the SELECT 1 of a pool).
func tenantless(b *parser.Batch) bool {
	for i := range b.Statements {
		s := &b.Statements[i]
		if len(s.Relations)+len(s.Functions)+len(s.Nested)+len(s.Types)+len(s.Attributes)+len(s.Unclassified) > 0 {
			return false
		}
		switch s.Kind {
		case parser.KindBegin, parser.KindStartTransaction, parser.KindCommit, parser.KindRollback, parser.KindSavepoint, parser.KindRelease,
			parser.KindRollbackTo, parser.KindSet, parser.KindReset, parser.KindShow, parser.KindDiscard, parser.KindDeallocate,
			parser.KindClose, parser.KindUnlisten, parser.KindSelect:
		default:
			return false
		}
	}
	return true
}

// NoOrg is the decision on a statement for which an org must be picked first.
// It blocks in every mode: there is no tenant to run it for.
func (e *Engine) NoOrg() Decision {
	return decide(ruleByID("G803"), Block, Violation{Reason: "the token of this session names no org, and none was picked"})
}

// TokenStays is the decision on a text that may hold a token and that no rule
// refuses. It blocks in every mode: the token would get into the server's log.
func (e *Engine) TokenStays() Decision {
	return decide(ruleByID("G201"), Block, Violation{Reason: "the text may hold a token, which never goes to the server"})
}

// OrgNotGranted is the decision on picking an org that the token does not
// name. It blocks in every mode.
func (e *Engine) OrgNotGranted() Decision {
	return decide(ruleByID("G804"), Block, Violation{Reason: "the token does not grant the org that was to be picked"})
}
