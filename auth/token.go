package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
)

// token is a JWS in compact form (RFC 7515 section 3.1), taken apart but not
// verified.
type token struct {
	algorithm string
	kid       string
	signed    string // header and payload as signed
	signature []byte
	payload   []byte // claims, JSON
	claims    map[string]any
}

var strictBase64 = base64.RawURLEncoding.Strict()

// maxJSONDepth bounds nesting in a token.
const maxJSONDepth = 16

// parseToken takes a token apart. Everything in it is what an attacker says.
func parseToken(raw []byte) (*token, error) {
	parts := bytes.Split(raw, []byte{'.'})
	if len(parts) != 3 {
		return nil, refuse(ReasonMalformed, "a token has three parts")
	}
	var decoded [3][]byte
	for i, p := range parts {
		if bytes.ContainsAny(p, "\r\n") { // which the decoder would skip
			return nil, refuse(ReasonMalformed, "base64url")
		}
		var err error
		if decoded[i], err = strictBase64.AppendDecode(nil, p); err != nil || len(p) == 0 {
			return nil, refuse(ReasonMalformed, "base64url")
		}
	}
	header, err := strictObject(decoded[0])
	if err != nil {
		return nil, err
	}
	t := &token{
		signed:    string(raw[:len(parts[0])+1+len(parts[1])]),
		payload:   decoded[1],
		signature: decoded[2],
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = strictObject(decoded[1]); err != nil {
		return nil, err
	}
	return t, nil
}

// readHeader takes what it knows of the JOSE header. Parameters that would
// change how the token is read, or where its key comes from, are refused.
func (t *token) readHeader(h map[string]any) error {
	for _, name := range []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip"} {
		if _, ok := h[name]; ok {
			return refuse(ReasonHeader, "parameter "+name+" is not accepted")
		}
	}
	var ok bool
	if t.algorithm, ok = h["alg"].(string); !ok {
		return refuse(ReasonAlgorithm, "missing")
	}
	if kid, given := h["kid"]; given {
		if t.kid, ok = kid.(string); !ok || t.kid == "" {
			return refuse(ReasonHeader, "kid is not a string")
		}
	}
	if typ, given := h["typ"]; given {
		if _, ok := typ.(string); !ok {
			return refuse(ReasonHeader, "typ is not a string")
		}
	}
	return nil
}

// strictObject decodes a JSON object: names are unique on every level and
// keep their case, numbers keep their text, nothing follows.
func strictObject(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := strictValue(d, 0)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(ReasonMalformed, "not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(ReasonMalformed, "bytes behind the JSON object")
	}
	return object, nil
}

func strictValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, refuse(ReasonMalformed, "JSON nested too deeply")
	}
	tok, err := d.Token()
	if err != nil {
		return nil, refuse(ReasonMalformed, "JSON")
	}
	switch tok {
	case json.Delim('{'):
		return strictMembers(d, depth)
	case json.Delim('['):
		var list []any
		for d.More() {
			v, err := strictValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if _, err := d.Token(); err != nil {
			return nil, refuse(ReasonMalformed, "JSON")
		}
		return list, nil
	}
	return tok, nil
}

func strictMembers(d *json.Decoder, depth int) (any, error) {
	object := make(map[string]any)
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, refuse(ReasonMalformed, "JSON")
		}
		name, ok := tok.(string)
		if !ok {
			return nil, refuse(ReasonMalformed, "JSON")
		}
		if _, twice := object[name]; twice {
			return nil, refuse(ReasonDuplicateKey, "a name stands twice in one JSON object")
		}
		if object[name], err = strictValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, refuse(ReasonMalformed, "JSON")
	}
	return object, nil
}
