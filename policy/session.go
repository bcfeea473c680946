package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// StartupParameter judges one parameter of a client's startup packet, or one
// setting of its options, as the server would apply it: like SET. The caller
// keeps user, database and options themselves to itself.
func (e *Engine) StartupParameter(name, value string) Decision {
	lower := strings.ToLower(name)
	if lower == "replication" && !meansOff(value) {
		return e.Replication()
	}
	if lower == "replication" {
		return Decision{}
	}
	if !isSettingName(lower) {
		return e.refuse("G101", "the name of a startup parameter is not the name of a setting")
	}
	statement := &parser.Statement{Settings: []parser.Setting{{Action: parser.SettingSet, Name: lower}}}
	k := e.known.Load()
	s := &subject{
		batch: &parser.Batch{}, statement: statement, options: k.options, known: k,
		startup: true, startupValue: value,
	}
	return e.judge(s)
}

// Replication is the decision on a connection that asks for replication. It
// is Block even in observe mode: what follows is not SQL.
func (e *Engine) Replication() Decision {
	return decide(ruleByID("G102"), Block, Violation{Reason: "the startup packet asks for replication"})
}

// FunctionCall is the decision on a FunctionCall message for the function
// with that oid.
func (e *Engine) FunctionCall(oid uint32) Decision {
	return e.refuse("G103", "FunctionCall of the function with oid "+strconv.FormatUint(uint64(oid), 10))
}

// TooLarge is the decision on a text that is longer than
// Options.MaxStatementBytes, so long that nobody has read it. It blocks in
// every mode.
func (e *Engine) TooLarge() Decision {
	return decide(ruleByID("G703"), Block, Violation{Reason: "the statement is longer than limits.max_statement_bytes"})
}

// Changing is the decision on a text that changes what STABLE expressions see,
// while a statement is carried out in pieces.
func (e *Engine) Changing() Decision {
	return e.refuse(changingID, "a cursor or portal of the transaction is read in pieces, and what it compares would change in between")
}

// ByteEncoding reports whether the value of a startup parameter client_encoding
// is one under which a text may be read in another way than as UTF-8.
func ByteEncoding(value string) bool { return !isEncoding(value, utf8Names) }

// Ambiguous is the decision on a text that is not ASCII, from a client that has
// asked for another encoding than UTF8, and that could be UTF-8 as well.
func (e *Engine) Ambiguous() Decision {
	return e.refuse("G104", "the text is not ASCII, and could be in either of the encodings that the session has asked for")
}

// Observes reports whether violations of all the rules are let pass: their
// mode is observe or off.
func (e *Engine) Observes(ids ...string) bool {
	for _, id := range ids {
		if e.options().action(id) == Block {
			return false
		}
	}
	return true
}

// isSettingName reports whether a name could be that of a setting: one or more
// words with dots between, of letters, digits, underscores and dollar signs,
// the first of them no digit (valid_custom_variable_name). Others the server
// refuses while it starts the session.
func isSettingName(name string) bool {
	begins := true
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.' && !begins:
			begins = true
		case 'a' <= c && c <= 'z' || c == '_' || c >= 0x80:
			begins = false
		case ('0' <= c && c <= '9' || c == '$') && !begins:
		default:
			return false
		}
	}
	return !begins
}

// meansOff is the counterpart of meansOn.
func meansOff(value string) bool {
	switch strings.ToLower(value) {
	case "0", "of", "off", "f", "fa", "fal", "fals", "false", "n", "no":
		return true
	}
	return false
}

func (r *Rule) on(surface string) bool { return slices.Contains(r.Surfaces, surface) }
