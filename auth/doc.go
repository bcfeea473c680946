// Package auth turns a token into an [Identity]: who the client is, and for
// which org it acts.
//
// A [Verifier] checks JSON Web Tokens (RFC 7519, RFC 7515) against a list of
// issuers. The signature is checked with golang-jwt's methods; everything
// around it is checked here, more strictly than that library does: the
// algorithm is bound to the type of the key, names in the header and claims
// are unique and case-sensitive, expiry and audience are mandatory, and the
// org claim must have exactly the configured form.
//
// [Verifier.Cached] answers from memory and is fit for an event loop;
// [Verifier.Verify] may fetch keys. [Throttle] slows guessing down. Nothing in
// an error of this package quotes a token.
package auth
