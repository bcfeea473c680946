package policy

import "slices"

// The rules of this file are about messages, not statements: methods of
// Engine name them.

func startupParameter() Rule {
	return Rule{
		ID:       "G101",
		Title:    "startup parameter that is not a setting",
		Attack:   "A name with spaces, quotes or signs in the startup packet or in options, hoping that the server or the proxy reads it otherwise.",
		Surfaces: []string{onStartup},
		Why: "Startup parameters and each -c of options are SETs that the server executes before the first statement. " +
			"They go through the rules of SET (G104, G2xx, G301, G302); what is not even a setting's name is refused here.",
		Blocked: "options='-c app.org-id=B'",
		Allowed: "options='-c statement_timeout=5s'",
		Remedy:  "Leave the parameter out of the connection string.",
	}
}

func replication() Rule {
	return Rule{
		ID:       "G102",
		Title:    "replication connection",
		Attack:   "replication=database in the startup packet opens a walsender session, which streams the changes of every tenant.",
		Surfaces: []string{onStartup},
		Why:      "Logical and physical replication know no row security, and their commands are not SQL that can be read here.",
		Blocked:  "replication=database",
		Allowed:  "replication=off",
		Remedy:   "Replicate from the server itself, not through the proxy.",
		SQLState: stateNotOffered,
	}
}

func fastpath() Rule {
	return Rule{
		ID:       "G103",
		Title:    "FunctionCall message",
		Attack:   "The fastpath message calls any function by its oid, set_config too, without any SQL text.",
		Surfaces: []string{onFastpath},
		Why: "The message names no function, only an oid, and its arguments are values: rules on settings and functions cannot read them. " +
			"Drivers use it for large objects only, which are refused as well (G405).",
		Blocked:  "FunctionCall of any oid",
		Allowed:  "SELECT now()",
		Remedy:   "Call the function in a SELECT; store binary data in a bytea column instead of large objects.",
		SQLState: stateNotOffered,
	}
}

func clientEncoding() Rule {
	return Rule{
		ID:       "G104",
		Title:    "client encoding other than UTF8",
		Attack:   "SET client_encoding = 'SJIS', then a character whose second byte is a backslash or a quote: the server reads another statement than the guard.",
		Surfaces: []string{onStatement, onStartup},
		Why: "In SJIS, BIG5, GBK, GB18030, UHC and JOHAB a byte below 0x80 can be the second half of a character. " +
			"In LATIN1 every byte is one character, so the guard reads what the server reads; and SQL_ASCII converts nothing. " +
			"Once a session has asked for one of them, a text that is not ASCII and could be UTF-8 as well is refused: which of the two the server takes it for is not known before it runs.",
		Gap:     "Clients that ask for another encoding must be changed, even if they send ASCII only.",
		Blocked: "SET client_encoding = 'SJIS'",
		Allowed: "SET client_encoding TO 'LATIN1'",
		Remedy:  "Use client_encoding UTF8.",
		check: func(s *subject) []Violation {
			return s.eachSet("client_encoding", func(values []string, known bool) string {
				if known && len(values) == 1 && (isEncoding(values[0], utf8Names) || isEncoding(values[0], byteNames)) {
					return ""
				}
				return "client_encoding may only be UTF8, LATIN1 or SQL_ASCII"
			})
		},
	}
}

// The names of encodings as the server compares them (pg_char_to_encoding).
var (
	utf8Names = []string{"utf8", "unicode"}
	byteNames = []string{"latin1", "iso88591", "sqlascii"} // each byte is a character, or nothing is converted
)

// isEncoding reports whether the server takes name for one of these: it ignores
// case and everything that is neither letter nor digit.
func isEncoding(name string, names []string) bool {
	clean := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			clean = append(clean, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			clean = append(clean, c)
		case c >= 0x80:
			return false
		}
	}
	return slices.Contains(names, string(clean))
}
