// Package proxy is Bulkhead's data path: it stands between clients and a
// PostgreSQL server, and lets through what a tenant may do.
//
// A [Session] is the state machine of one client connection. It does no I/O:
// it is given bytes, events and times, and answers with a step, which holds
// bytes for either side and requests (dial, verify a token, inspect a large
// text). A driver carries the step out. The drivers are event loops (package
// loop); one loop owns a session and its server connection at a time, so
// there are no locks on the data path.
//
//	client                    Session                       server
//	  | SSLRequest, TLS          |                             |
//	  | StartupMessage           |  prelude, startup           |
//	  |------------------------->|                             |
//	  | AuthenticationCleartext  |                             |
//	  |<-------------------------|                             |
//	  | token                    |  verify, tenant, pool key   |
//	  |------------------------->|                             |
//	  |                          |  borrow: StartupMessage     |
//	  |                          |  with the tenant context    |
//	  |                          |---------------------------->|
//	  | ParameterStatus, key, Z  |                             |
//	  |<-------------------------|                             |
//	  | Query                    |  inspect: parser -> policy  |
//	  |------------------------->|  allowed: unchanged         |
//	  |                          |---------------------------->|
//	  |                          |  refused: a text that fails |
//	  |                          |---------------------------->|
//	  |                          |  pipeline: forward, swallow |
//	  |                          |  or replace the reply       |
//	  |<-------------------------|<----------------------------|
//
// Who owns what: a loop owns its sessions and the server connections that are
// on it; the pool (guarded by a mutex) owns idle server connections; a server
// connection owns the ordered queue of replies that it owes (pipeline), which
// outlives the session that asked for them.
//
// Files in reading order:
//
//	server            listeners, loops, admission, drain
//	session           phases, what a session does with bytes, events and times
//	startup           prelude, StartupMessage, options
//	authenticate      token as password, OAUTHBEARER, token file
//	attach            database, startup parameters, server connection
//	label             the tenant context on a server connection, again after resets
//	signature, seal   signed and sealed contexts
//	server_conn       state of a server connection
//	dial, server_link logging in; lending, cleaning, closing
//	lost              server connections that end while a session has them
//	abandon           what clients leave unfinished
//	login_gate        logins that fail
//	org_clients, held sessions of each org, and what is held for them
//	pool, pool_serve  limits, waiting, fairness
//	pool_ahead        connections opened before they are asked for
//	pool_key          which connections are alike
//	client_to_server  one client message at a time
//	inspect, encoding, refuse decision; what takes the place of a refused message
//	record            the blocked-query record, from the decision
//	pipeline          replies owed, in order
//	server_to_client  one server message at a time
//	replies           what a reply means for the session
//	prepared, server_statements statements of the client, and of a server connection
//	bind, portals     Bind, its parameters, and what a portal is
//	execute           PREPARE and EXECUTE
//	pieces            cursors and portals that are read in pieces, and what must not change meanwhile
//	unsettled         names that a batch may have changed, if it was not skipped
//	state             pins, what follows a client between server connections
//	expiry            tokens that expire or are revoked meanwhile
//	inband, inband_extended, identity identities that the client changes in band
//	cancel, cancel_server cancel keys; CancelRequests to the server
//	workers           what runs beside the loops
//	errors, limits    every text a client reads; every bound
//	reconfigure, tls_config options that change while the server runs; certificates
//	observe           metrics and spans
//	step, client_link what a turn yields, and how the driver carries it out
package proxy
