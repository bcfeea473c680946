// Package pgtest starts throw-away PostgreSQL servers, for tests and for the
// demo.
//
// [Find] looks for the server's programs; [Start] makes a data directory and
// starts a server on a free port of loopback and a unix socket. PostgreSQL
// refuses to run as root: then another user runs it. The server ends with
// [Server.Stop], and with the process that started it (Linux).
package pgtest
