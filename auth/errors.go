package auth

import "errors"

// Reason says why a token was refused. The list is closed: it labels metrics.
type Reason string

// The reasons.
const (
	ReasonMalformed       Reason = "malformed"
	ReasonTooLarge        Reason = "too_large"
	ReasonDuplicateKey    Reason = "duplicate_key"
	ReasonHeader          Reason = "header"
	ReasonAlgorithm       Reason = "algorithm"
	ReasonUnknownIssuer   Reason = "unknown_issuer"
	ReasonUnknownKey      Reason = "unknown_key"
	ReasonKeysUnavailable Reason = "keys_unavailable"
	ReasonSignature       Reason = "signature"
	ReasonAudience        Reason = "audience"
	ReasonExpired         Reason = "expired"
	ReasonNotYetValid     Reason = "not_yet_valid"
	ReasonTime            Reason = "time"
	ReasonOrgMissing      Reason = "org_missing"
	ReasonOrgForm         Reason = "org_form"
	ReasonClaim           Reason = "claim"
	ReasonRevoked         Reason = "revoked"
	ReasonTokenFile       Reason = "token_file"
	ReasonInternal        Reason = "internal"
)

// Error is why a token was refused. It quotes nothing of the token.
type Error struct {
	Reason Reason
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "token refused: " + string(e.Reason)
	}
	return "token refused: " + string(e.Reason) + ": " + e.Detail
}

func refuse(r Reason, detail string) error { return &Error{Reason: r, Detail: detail} }

// ReasonOf returns the reason of an error of this package.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ReasonInternal
}
