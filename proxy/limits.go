package proxy

import "time"

// Limits on what a peer can make Bulkhead hold or wait for. Zero durations
// mean no limit.
type Limits struct {
	MaxClients         int           // sessions at a time
	MaxClientsPerOrg   int           // sessions of one org at a time
	AuthTimeout        time.Duration // from accept to the end of authentication
	MaxStatementBytes  int           // of the text of one Query or Parse
	MaxTokenBytes      int           // of a token
	ClientIdle         time.Duration // without a transaction and without a message
	IdleInTransaction  time.Duration // in a transaction, waiting for the client
	StatementTimeout   time.Duration // default statement_timeout, which a tenant can lower but not raise
	QueueTimeout       time.Duration // waiting for a server connection
	ServerResetTimeout time.Duration // cleaning a server connection
}

// Fixed bounds. What arrives before authentication is small in any honest
// client; PostgreSQL itself takes startup packets of at most 10,000 bytes.
const (
	maxStartupPacket = 10000
	maxPreludeCode   = 1 << 12 // CancelRequest of 3.2 carries up to 256 bytes of key

	// maxNamedMessage bounds Describe, Execute and Close, which carry a name
	// and little else (PQ_SMALL_MESSAGE_LIMIT of the server).
	maxNamedMessage = 10000
	// maxBindNames bounds the two names at the start of a Bind.
	maxBindNames = 2 * maxNamedMessage
	// maxHeldBind bounds a Bind whose parameters must be read before any of
	// it is forwarded, because one of them meets a tenant column.
	maxHeldBind = 16 << 20
	// maxErrorResponse bounds an ErrorResponse that is read as a whole. Of a
	// larger one the beginning is, which holds severity and SQLSTATE.
	maxErrorResponse = 64 << 10
	// maxParameterStatus bounds a ParameterStatus: a client may SET as long a
	// value as its statements may be.
	maxParameterStatus = 2 << 20
	// maxOwed bounds the replies owed on one server connection; the client
	// is not read until there are fewer.
	maxOwed = 64 << 10
	// maxLosses is how many server connections a session may lose one after the
	// other, without an answer in between.
	maxLosses = 5
	// maxStatements bounds the prepared statements of one session.
	maxStatements = 10_000
	// maxStatementsHeld bounds the size of these, and of a part of a message
	// that is held until the rest has come; sessionHeld is what each session
	// may have of both whatever the others of its org have, and maxOrgHeld
	// bounds what goes beyond that in all of them.
	maxStatementsHeld = 32 << 20
	sessionHeld       = 1 << 20
	maxOrgHeld        = 512 << 20
	// maxPortals bounds the named portals of one transaction.
	maxPortals     = 10_000
	maxPortalBytes = 1 << 20 // of their names
	// maxCustomSettings bounds the custom settings of a session that follow it
	// between server connections.
	maxCustomSettings = 100
	// maxKeptUnnamed is the largest Parse of an unnamed statement that is kept
	// to be sent again on another server connection.
	maxKeptUnnamed = 16 << 10
	// maxIdentityText is how much a text that changes the identity may hold
	// besides the token, comments included.
	maxIdentityText = 4 << 10
	// maxSavedUnnamed bounds the messages of unnamed statements that may come
	// back if the server skips others; then replies are awaited.
	maxSavedUnnamed = 256 << 10
	// inlineInspect is the size of text up to which a parse may run on the
	// loop: larger ones would delay every neighbour.
	inlineInspect = 8 << 10
	// statementGrace is how much later than the server's own
	// statement_timeout Bulkhead cancels a statement whose client has raised
	// it.
	statementGrace = 200 * time.Millisecond
	// maxKeptScratch is the largest buffer that is kept between steps.
	maxKeptScratch = 64 << 10
	// maxPendingOut is how much may wait for a slow socket before the other
	// side is no longer read.
	maxPendingOut = 32 << 10
)
