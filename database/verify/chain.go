package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// chainAlgorithm names how Chain.Hash is made: each record's hash goes over
// the one before and the record's JSON.
const chainAlgorithm = "sha256-chain-1"

// noHash is the PrevHash of a first report.
var noHash = strings.Repeat("0", 2*sha256.Size)

// records are what the chain runs over, in order.
func (r *Report) records() []any {
	head := *r
	head.Relations, head.Matrix, head.Attacks, head.Chain = nil, nil, nil, Chain{}
	out := []any{head}
	for i := range r.Relations {
		out = append(out, r.Relations[i])
	}
	for i := range r.Matrix {
		out = append(out, r.Matrix[i])
	}
	for i := range r.Attacks {
		out = append(out, r.Attacks[i])
	}
	return out
}

func (r *Report) hash() (hash string, n int, err error) {
	sum := r.Chain.PrevHash
	records := r.records()
	for _, record := range records {
		b, err := json.Marshal(record)
		if err != nil {
			return "", 0, fmt.Errorf("encode a record of the report: %w", err)
		}
		next := sha256.Sum256(append([]byte(sum+"\n"), b...))
		sum = hex.EncodeToString(next[:])
	}
	return sum, len(records), nil
}

// Seal closes the chain. previous is the hash of the report before, "" for
// none; key signs, nil leaves the report unsigned.
func (r *Report) Seal(previous string, key ed25519.PrivateKey) error {
	if previous == "" {
		previous = noHash
	}
	r.Chain = Chain{Algorithm: chainAlgorithm, PrevHash: previous}
	hash, n, err := r.hash()
	if err != nil {
		return err
	}
	r.Chain.Hash, r.Chain.Records = hash, n
	if key != nil {
		r.Chain.PublicKey = hex.EncodeToString(key.Public().(ed25519.PublicKey))
		r.Chain.Signature = hex.EncodeToString(ed25519.Sign(key, []byte(hash)))
	}
	return nil
}

// ErrChanged is returned for a report that is not as it was sealed.
var ErrChanged = errors.New("the report has been changed since it was made")

// CheckSeal reports whether the report is as it was sealed. key, if not nil,
// must have signed it; without one a signature is checked against the key that
// the report names, which proves no origin.
func (r *Report) CheckSeal(key ed25519.PublicKey) error {
	if r.Chain.Algorithm != chainAlgorithm {
		return fmt.Errorf("the report is sealed with %q: want %s", r.Chain.Algorithm, chainAlgorithm)
	}
	hash, n, err := r.hash()
	if err != nil {
		return err
	}
	if hash != r.Chain.Hash || n != r.Chain.Records {
		return ErrChanged
	}
	if key == nil && r.Chain.Signature == "" {
		return nil
	}
	public, err1 := hex.DecodeString(r.Chain.PublicKey)
	signature, err2 := hex.DecodeString(r.Chain.Signature)
	if err := errors.Join(err1, err2); err != nil || len(public) != ed25519.PublicKeySize {
		return errors.New("the report's signature cannot be read")
	}
	if key != nil && !slices.Equal(key, ed25519.PublicKey(public)) {
		return errors.New("the report is signed with another key")
	}
	if !ed25519.Verify(public, []byte(hash), signature) {
		return errors.New("the report's signature is wrong")
	}
	return nil
}
