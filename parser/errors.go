package parser

// ErrorKind tells why a text was not parsed.
type ErrorKind uint8

// The kinds of errors.
const (
	ErrorSyntax   ErrorKind = iota // the grammar does not take it
	ErrorTooLarge                  // more bytes than Options.MaxBytes
	ErrorTooDeep                   // nesting, chains or runs beyond the bounds of Guard
	ErrorNotText                   // not UTF-8, or a NUL in it
	ErrorUnsafe                    // versions of the server read it in different ways
)

// Error says why a text was not parsed.
type Error struct {
	Kind ErrorKind
	// Message is what a server would say. It may quote the text: it is for
	// the client that sent it, never for a log.
	Message string
	// Reason is the same without any part of the text.
	Reason string
	// Position counts characters from 1; 0 if there is none.
	Position int
	SQLState string // five characters
}

// Error returns the reason: it is safe to log.
func (e *Error) Error() string { return "parse: " + e.Reason }

// The states of errors (PostgreSQL manual, appendix A).
const (
	stateSyntaxError   = "42601"
	stateBadEncoding   = "22021"
	stateLimitExceeded = "54000"
	stateTooComplex    = "54001"
)

func newError(kind ErrorKind, reason, state string) *Error {
	return &Error{Kind: kind, Message: reason, Reason: reason, SQLState: state}
}
