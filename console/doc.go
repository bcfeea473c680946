// Package console is the listener of admin.listen: metrics for Prometheus and
// the two questions of an orchestrator, is the process alive (/healthz) and
// may it be given clients (/readyz). The web console for reviewers will be
// served here too.
//
// [Serve] owns the listener and its HTTP server. Everything it shows comes
// through [Options]; it keeps no state of its own and answers GET and HEAD
// only. No answer holds a token, a parameter value or a literal.
package console
