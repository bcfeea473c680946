package parser

import "slices"

// EffectSet is a set of things that a text does to the state of a session.
type EffectSet uint64

// The effects that outlive the transaction, and those that undo them. A text
// that calls a function of the schema may have more; rules judge those.
const (
	EffectPrepare             EffectSet = 1 << iota // PREPARE: a prepared statement with a name
	EffectSetSession                                // SET, set_config that outlives the transaction
	EffectSetLocal                                  // SET LOCAL, set_config(..., true), SET TRANSACTION
	EffectReset                                     // RESET x, SET x TO DEFAULT
	EffectSeed                                      // setseed
	EffectTemp                                      // a temporary table, view, sequence, function or type
	EffectHoldCursor                                // DECLARE ... WITH HOLD
	EffectCursor                                    // DECLARE without it
	EffectFetch                                     // FETCH, MOVE: of a cursor, or of a portal of the protocol
	EffectSavepoint                                 // SAVEPOINT
	EffectRollbackTo                                // ROLLBACK TO
	EffectInterrupt                                 // one of VisibleEffects, EXECUTE or ROLLBACK TO, behind DECLARE, FETCH or MOVE
	EffectListen                                    // LISTEN
	EffectNotify                                    // NOTIFY, pg_notify
	EffectSessionLock                               // advisory locks of session level
	EffectSequenceState                             // nextval, setval: currval and lastval change
	EffectLoad                                      // LOAD
	EffectPreparedTransaction                       // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
	EffectLargeObject                               // open large objects
	EffectDiscardAll                                // DISCARD ALL
	EffectDiscard                                   // DISCARD PLANS, SEQUENCES, TEMP
	EffectDeallocate                                // DEALLOCATE name
	EffectDeallocateAll                             // DEALLOCATE ALL
	EffectResetAll                                  // RESET ALL
	EffectUnlisten                                  // UNLISTEN
	EffectCloseAll                                  // CLOSE ALL
	EffectUnlockAll                                 // pg_advisory_unlock_all
	EffectBegin                                     // BEGIN, START TRANSACTION
	EffectEnd                                       // COMMIT, ROLLBACK, PREPARE TRANSACTION
	EffectRole                                      // SET ROLE, SET SESSION AUTHORIZATION, RESET of them
	EffectExecute                                   // EXECUTE: what the prepared statement does
	EffectClose                                     // CLOSE cursor
	EffectDrop                                      // DROP: of a temporary object perhaps
	EffectUnknown                                   // DO, CALL or what the walker does not know: anything
)

// VisibleEffects are those that a STABLE expression can see.
const VisibleEffects = EffectSetSession | EffectSetLocal | EffectReset | EffectResetAll | EffectDiscardAll | EffectDiscard | EffectRole |
	EffectTemp | EffectDrop | EffectUnknown

// Effects is what a text does to the state of a session.
type Effects struct {
	Set EffectSet
	// Settings are the names of settings given a value that outlives the
	// transaction, or reset, sorted; "" stands for one not known before
	// execution.
	Settings []string
	// Prepared are the names that PREPARE, EXECUTE and DEALLOCATE use,
	// Deallocated those of DEALLOCATE alone.
	Prepared, Deallocated []string
}

// Has reports whether any effect of set is among e.
func (e Effects) Has(set EffectSet) bool { return e.Set&set != 0 }

// Effects returns what all statements of the batch do together.
func (b *Batch) Effects() Effects {
	var e Effects
	for i := range b.Statements {
		before := e.Set
		e.Set = 0
		e.addStatement(&b.Statements[i])
		if before&(EffectCursor|EffectFetch) != 0 && e.Has(VisibleEffects|EffectExecute|EffectRollbackTo) {
			e.Set |= EffectInterrupt
		}
		e.Set |= before
	}
	slices.Sort(e.Settings)
	e.Settings = slices.Compact(e.Settings)
	return e
}

func (e *Effects) addStatement(s *Statement) {
	if s.Prepared != "" {
		e.Prepared = append(e.Prepared, s.Prepared)
	}
	e.addKind(s, s.Kind)
	for _, k := range s.Nested {
		e.addKind(s, k)
	}
	if len(s.Unclassified) > 0 {
		e.Set |= EffectUnknown
	}
	if s.Flags&FlagTemp != 0 {
		e.Set |= EffectTemp
	}
	for i := range s.Relations {
		if r := &s.Relations[i]; r.Access&AccessCreate != 0 && r.Temp {
			e.Set |= EffectTemp
		}
	}
	for i := range s.Settings {
		e.addSetting(&s.Settings[i])
	}
	for i := range s.Functions {
		e.Set |= functionEffect(s.Functions[i].Name)
	}
	for _, name := range s.Attributes {
		e.Set |= functionEffect(Name{Name: name})
	}
}

func (e *Effects) addKind(s *Statement, k Kind) {
	switch k {
	case KindPrepare:
		e.Set |= EffectPrepare
	case KindDeclareCursor:
		e.Set |= EffectCursor
		if s.Flags&FlagHold != 0 {
			e.Set |= EffectHoldCursor
		}
	case KindFetch, KindMove:
		e.Set |= EffectFetch
	case KindSavepoint:
		e.Set |= EffectSavepoint
	case KindRollbackTo:
		e.Set |= EffectRollbackTo
	case KindListen:
		e.Set |= EffectListen
	case KindNotify:
		e.Set |= EffectNotify
	case KindUnlisten:
		e.Set |= EffectUnlisten
	case KindLoad:
		e.Set |= EffectLoad
	case KindDiscard:
		e.addDiscard(s.Discard)
	case KindDeallocate:
		if s.Prepared == "" {
			e.Set |= EffectDeallocateAll
		} else {
			e.Set |= EffectDeallocate
			e.Deallocated = append(e.Deallocated, s.Prepared)
		}
	case KindClose:
		if s.Cursor == "" {
			e.Set |= EffectCloseAll
		} else {
			e.Set |= EffectClose
		}
	case KindExecute:
		e.Set |= EffectExecute
	case KindDropTable, KindDropView, KindDropSequence, KindDropFunction, KindDropProcedure, KindDropRoutine, KindDropType, KindDropDomain:
		e.Set |= EffectDrop
	case KindDo, KindCall, KindUnknown:
		e.Set |= EffectUnknown
	case KindBegin, KindStartTransaction:
		e.Set |= EffectBegin
	case KindCommit, KindRollback:
		e.Set |= EffectEnd
	case KindPrepareTransaction:
		e.Set |= EffectPreparedTransaction | EffectEnd
	case KindCommitPrepared, KindRollbackPrepared:
		e.Set |= EffectPreparedTransaction
	}
}

func (e *Effects) addDiscard(d Discard) {
	if d == DiscardAll {
		e.Set |= EffectDiscardAll | EffectResetAll | EffectDeallocateAll | EffectCloseAll | EffectUnlisten | EffectUnlockAll
		return
	}
	e.Set |= EffectDiscard
}

func (e *Effects) addSetting(v *Setting) {
	if v.Stored || v.Action == SettingShow {
		return
	}
	if v.Name == "role" || v.Name == "session_authorization" {
		e.Set |= EffectRole
	}
	switch v.Action {
	case SettingResetAll:
		e.Set |= EffectResetAll
		return
	case SettingReset:
		e.Set |= EffectReset
	case SettingTransaction:
		e.Set |= EffectSetLocal
		if !v.Characteristics {
			return
		}
		e.Set |= EffectSetSession
		e.Settings = append(e.Settings, "default_"+v.Name)
		return
	default:
		if v.Local {
			e.Set |= EffectSetLocal
			return
		}
		e.Set |= EffectSetSession
	}
	e.Settings = append(e.Settings, v.Name)
}

// functionEffect returns the effect of a call by its name. A function of the
// schema with such a name is taken for it too.
func functionEffect(n Name) EffectSet {
	switch n.Name {
	case "setseed":
		return EffectSeed
	case "nextval", "setval":
		return EffectSequenceState
	case "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
		"pg_advisory_unlock", "pg_advisory_unlock_shared":
		return EffectSessionLock
	case "pg_advisory_unlock_all":
		return EffectUnlockAll
	case "pg_notify":
		return EffectNotify
	case "lo_open", "lo_close", "lo_creat", "lo_create", "lo_from_bytea", "lo_get", "lo_import", "lo_export", "lo_lseek",
		"lo_lseek64", "lo_put", "lo_tell", "lo_tell64", "lo_truncate", "lo_truncate64", "lo_unlink", "loread", "lowrite":
		return EffectLargeObject
	case "pg_replication_origin_session_setup":
		return EffectSetSession
	}
	return 0
}
