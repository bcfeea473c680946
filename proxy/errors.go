package proxy

import (
	"encoding/binary"
	"strconv"

	"github.com/pgbulkhead/bulkhead/policy"
)

// Severity of an error that Bulkhead itself raises: ERROR ends the request,
// FATAL the session.
const (
	severityError = "ERROR"
	severityFatal = "FATAL"
)

// clientError is an error that a client reads. Its texts are written in this
// file or in a rule: no text of another error ever goes into it, save the
// server's own error during login to a server connection.
type clientError struct {
	severity string
	code     string // SQLSTATE
	message  string
	detail   string
	hint     string
	position int
}

// The errors of Bulkhead itself. See docs/protocol.md for the table.
var (
	errProtocol  = clientError{severity: severityFatal, code: "08P01", message: "invalid message from the client"}
	errEarlyData = clientError{
		severity: severityFatal, code: "08P01",
		message: "received unencrypted data after the SSL request",
		detail:  "Bytes that arrive before the TLS handshake could have been put there by someone on the network path.",
	}
	errTLSRequired = clientError{
		severity: severityFatal, code: "28000",
		message: "this listener requires TLS", hint: "Connect with sslmode=require or better.",
	}
	errPlaintextToken = clientError{
		severity: severityFatal, code: "28000",
		message: "a token is not accepted over an unencrypted network connection",
		hint:    "Connect with sslmode=require or better, through the unix socket, or over loopback.",
	}
	errALPN = clientError{
		severity: severityFatal, code: "08P01",
		message: "direct TLS needs the ALPN protocol postgresql",
	}
	errVersion = clientError{
		severity: severityFatal, code: "0A000",
		message: "unsupported frontend protocol", detail: "Bulkhead speaks protocol 3.0 and 3.2.",
	}
	errNoUser = clientError{
		severity: severityFatal, code: "28000",
		message: "no PostgreSQL user name specified in startup packet",
	}
	errAuth = clientError{
		severity: severityFatal, code: "28P01",
		message: "token authentication failed",
		hint:    "Send a valid, unexpired token as the password.",
	}
	errAuthBusy = clientError{
		severity: severityFatal, code: "28000",
		message: "too many failed authentications from this address", hint: "Wait before you try again.",
	}
	errAuthTimeout = clientError{
		severity: severityFatal, code: "08006",
		message: "canceling authentication due to timeout",
	}
	errTenant = clientError{
		severity: severityFatal, code: "28000",
		message: "the token does not map to a tenant of this proxy",
		hint:    "The token's org or role claim is not accepted by the proxy's configuration.",
	}
	errExpired = clientError{
		severity: severityFatal, code: "28000",
		message: "the token of this session has expired or was revoked", hint: "Connect again with a fresh token.",
	}
	errDatabase = clientError{
		severity: severityFatal, code: "3D000",
		message: "this database is not served by the proxy",
		hint:    "Name the database of the proxy's server.dsn, or one listed in server.databases.",
	}
	errTooManyClients = clientError{
		severity: severityFatal, code: "53300",
		message: "sorry, too many clients already", detail: "limits.max_clients is reached.",
	}
	errTooManyOrgClients = clientError{
		severity: severityFatal, code: "53300",
		message: "sorry, too many clients of this org already", detail: "limits.max_clients_per_org is reached.",
	}
	errQueue = clientError{
		severity: severityFatal, code: "53300",
		message: "no server connection became free in time",
		detail:  "pool.max_server_connections or pool.max_per_org is reached and pool.queue_timeout has passed.",
	}
	errServerDown = clientError{
		severity: severityFatal, code: "08006",
		message: "the proxy cannot reach the server", hint: "Its log says why.",
	}
	errServerLost = clientError{
		severity: severityFatal, code: "08006",
		message: "the server closed the connection unexpectedly",
	}
	errStatementLost = clientError{
		severity: severityError, code: "08006",
		message: "the server connection was lost before the server has answered",
		hint:    "The statement may have been carried out: find out before you repeat it. The session goes on.",
	}
	errServerProtocol = clientError{
		severity: severityFatal, code: "08P01",
		message: "the proxy lost track of the server's replies and ends the session to be safe",
	}
	errDraining = clientError{
		severity: severityFatal, code: "57P01",
		message: "terminating connection because the proxy is shutting down",
	}
	errClientIdle = clientError{
		severity: severityFatal, code: "57P05",
		message: "terminating connection due to limits.client_idle_timeout",
	}
	errIdleInTransaction = clientError{
		severity: severityFatal, code: "25P03",
		message: "terminating connection due to idle-in-transaction timeout",
	}
	errTenantContext = clientError{
		severity: severityFatal, code: "08006",
		message: "the tenant context could not be set on the server connection",
	}
	errCancelled = clientError{
		severity: severityError, code: "57014",
		message: "canceling statement due to user request",
	}
	errUnsafeSetting = clientError{
		severity: severityFatal, code: "08P01",
		message: "the server reported a setting under which statements cannot be read safely",
		detail:  "client_encoding must stay UTF8 and standard_conforming_strings on.",
	}
	errStatements = clientError{
		severity: severityError, code: "54000",
		message: "too many prepared statements in one session",
	}
	errHeld = clientError{
		severity: severityError, code: "53200",
		message: "the proxy holds too much for the sessions of this org",
		hint:    "Deallocate prepared statements that are not needed, or send fewer large statements at a time.",
	}
	errPortals = clientError{
		severity: severityError, code: "54000",
		message: "too many portals in one transaction", hint: "Close portals that are not needed any more, or end the transaction.",
	}
	errResetInside = clientError{
		severity: severityError, code: "0A000",
		message: "a statement behind a reset of the session is not supported in one message with it",
		hint:    "Send RESET ALL, DISCARD ALL and the like as the last statement of a message: the proxy sets the tenant context again before the next.",
	}
	errTokenInBand = clientError{
		severity: severityError, code: "28000",
		message: "the token is not accepted",
		hint:    "Send a valid, unexpired token. The session has gone back to the identity of its connection.",
	}
	errTxFailed = clientError{
		severity: severityError, code: "25P02",
		message: "current transaction is aborted, commands ignored until end of transaction block",
	}
	errIdentityInTx = clientError{
		severity: severityError, code: "25001",
		message: "the identity of the session cannot be changed inside a transaction",
		hint:    "Change it between transactions, or with SET LOCAL as the first statement after BEGIN.",
	}
	errLocalOutside = clientError{
		severity: severityError, code: "25P01",
		message: "the identity of a transaction can only be set in a transaction block",
		hint:    "Send BEGIN first, or leave LOCAL out.",
	}
	errLocalLate = clientError{
		severity: severityError, code: "25001",
		message: "the identity of a transaction must be set by its first statement",
		hint:    "Send SET LOCAL right behind BEGIN.",
	}
	errLocalEnd = clientError{
		severity: severityError, code: "0A000",
		message: "the end of a transaction with an identity of its own is not supported together with other statements",
		hint:    "Send COMMIT or ROLLBACK alone, without AND CHAIN, and wait for its reply.",
	}
	errIdentityParams = clientError{
		severity: severityError, code: "42P18",
		message: "the value of the identity must be a text",
		hint:    "Send it as the only parameter, of type text, or as a literal.",
	}
	errDiscardSealed = clientError{
		severity: severityError, code: "0A000",
		message: "DISCARD in the extended protocol is not supported with a sealed tenant context",
		hint:    "Send it as a simple Query: the proxy proves the tenant context again before the next message.",
	}
	errMessageFormat = clientError{severity: severityError, code: "08P01", message: "invalid message format"}
	errBindTooLarge  = clientError{
		severity: severityError, code: "54000",
		message: "a Bind whose parameters are compared with the tenant is too large",
		hint:    "Send large values in a statement of their own, or without a tenant parameter.",
	}
)

// portalDone is PostgreSQL's error for a portal that has run to its end.
func portalDone(name []byte) clientError {
	return clientError{severity: severityError, code: "55000", message: `portal "` + string(name) + `" cannot be run`}
}

// statementExists is PostgreSQL's error for a name that is taken.
func statementExists(name []byte) clientError {
	return clientError{severity: severityError, code: "42P05", message: `prepared statement "` + string(name) + `" already exists`}
}

// fromDecision is the error of a refused message.
func fromDecision(d *policy.Decision) clientError {
	return clientError{
		severity: severityError,
		code:     d.SQLState,
		message:  d.Message,
		detail:   "rule=" + d.Rule + " " + d.Reason,
		hint:     d.Hint,
		position: d.Position,
	}
}

// fatal returns e as an error that ends the session.
func (e clientError) fatal() clientError {
	e.severity = severityFatal
	return e
}

// appendTo appends e as an ErrorResponse (PostgreSQL manual, Message Formats,
// and Error and Notice Message Fields).
func (e clientError) appendTo(b []byte) []byte {
	b, at := begin(b, 'E')
	b = field(b, 'S', e.severity)
	b = field(b, 'V', e.severity)
	b = field(b, 'C', e.code)
	b = field(b, 'M', e.message)
	if e.detail != "" {
		b = field(b, 'D', e.detail)
	}
	if e.hint != "" {
		b = field(b, 'H', e.hint)
	}
	if e.position > 0 {
		b = field(b, 'P', strconv.Itoa(e.position))
	}
	b = field(b, 'R', "bulkhead")
	b = append(b, 0)
	return finish(b, at)
}

func field(b []byte, code byte, value string) []byte {
	b = append(b, code)
	for i := 0; i < len(value); i++ {
		if value[i] != 0 { // a NUL would end the field early
			b = append(b, value[i])
		}
	}
	return append(b, 0)
}

// begin appends the type of a message and room for its length; finish fills
// the length in.
func begin(b []byte, typ byte) ([]byte, int) {
	b = append(b, typ, 0, 0, 0, 0)
	return b, len(b) - 4
}

func finish(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

// readyForQuery appends a ReadyForQuery with the given transaction status.
func readyForQuery(b []byte, tx byte) []byte {
	return append(b, 'Z', 0, 0, 0, 5, tx)
}

// message appends a message whose body is one NUL-terminated string.
func message(b []byte, typ byte, text string) []byte {
	b, at := begin(b, typ)
	b = append(b, text...)
	return finish(append(b, 0), at)
}
