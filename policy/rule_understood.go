package policy

import "strings"

func unparseable() Rule {
	return Rule{
		ID:       "G701",
		Title:    "statement that cannot be parsed",
		Attack:   "A statement in a newer grammar than the guard's, with set_config inside, or a text that the server reads in another way.",
		Surfaces: []string{onStatement},
		Why:      "What cannot be read cannot be judged. The error and its position are those that PostgreSQL's own parser gives.",
		Gap:      "In observe mode the text is forwarded without having been read; what it does to the session is unknown.",
		Blocked:  "SELEC 1",
		Allowed:  "SELECT 1",
		Remedy:   "Correct the statement.",
		SQLState: stateSyntax,
	}
}

func unclassified() Rule {
	return Rule{
		ID:       "G702",
		Title:    "construct that the guard does not know",
		Attack:   "A node of the grammar that nobody has walked through hides a function call from the rules.",
		Surfaces: []string{onStatement},
		Why:      "The walker knows every node of its grammar; a new one is refused until somebody has looked at it.",
		Blocked:  "a construct of a newer grammar",
		Allowed:  "SELECT 1",
		Remedy:   "Report it: the guard must learn this construct.",
		SQLState: stateNotOffered,
		check: func(s *subject) []Violation {
			if len(s.statement.Unclassified) == 0 {
				return nil
			}
			return one("not known to the guard: " + strings.Join(s.statement.Unclassified, ", "))
		},
	}
}

func tooLarge() Rule {
	return Rule{
		ID:       "G703",
		Title:    "statement too large",
		Attack:   "Megabytes of SQL keep a processor of the proxy busy.",
		Surfaces: []string{onStatement},
		Why:      "The cost of parsing grows with the text; limits.max_statement_bytes bounds it.",
		Blocked:  "a text of more than limits.max_statement_bytes",
		Allowed:  "SELECT 1",
		Remedy:   "Send values as parameters or with COPY, or raise limits.max_statement_bytes.",
		SQLState: stateTooLarge,
	}
}

func tooDeep() Rule {
	return Rule{
		ID:       "G704",
		Title:    "statement too deep",
		Attack:   "SELECT 1+1+1+... a hundred thousand times makes a parser overflow its stack, and the process with all its sessions dies.",
		Surfaces: []string{onStatement},
		Why: "Depth, comment nesting and runs of operator characters are bounded before the parser sees the text. " +
			"The bounds lie far above what applications write, and below where the server itself gives up.",
		Blocked:  "SELECT 1+1+1+... of 100,000 terms",
		Allowed:  "SELECT 1+1+1",
		Remedy:   "Make the expression shorter: use IN, ANY, arrays or several statements.",
		SQLState: stateTooDeep,
	}
}

func notText() Rule {
	return Rule{
		ID:       "G705",
		Title:    "statement that is not UTF-8 text",
		Attack:   "Bytes that are no characters, or a NUL, end the text early for one reader and not for the other.",
		Surfaces: []string{onStatement},
		Why:      "The guard and the server must read the same text.",
		Blocked:  "SELECT '<byte 0xFF>'",
		Allowed:  "SELECT 'é'",
		Remedy:   "Send UTF-8; send binary data as a parameter.",
		SQLState: stateEncoding,
	}
}
