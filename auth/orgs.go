package auth

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// anyOrg is the org claim of a worker over all orgs.
const anyOrg = "*"

// maxOrgs bounds the orgs that one token lists.
const maxOrgs = 1000

// orgs reads the org claim: one org, or what the issuer may say besides.
func (v *verifier) orgs(id *Identity, claim any, is *issuer) error {
	list, isList := claim.([]any)
	switch {
	case claim == nil && is.AllowServiceTokens:
		return nil
	case claim == anyOrg && is.AllowAllOrgs:
		id.AllOrgs = true
		return nil
	case isList && is.AllowOrgLists:
		if len(list) == 0 || len(list) > maxOrgs {
			return refuse(ReasonOrgForm, "want a list of 1 to 1000 orgs")
		}
		for _, item := range list {
			org, err := v.org(item)
			if err != nil {
				return err
			}
			id.Orgs = append(id.Orgs, org)
		}
		return nil
	}
	var err error
	id.Org, err = v.org(claim)
	return err
}

// Pick returns the identity of one that picks among several orgs, for that
// org: the claims name it alone. ok is false if the token does not allow it.
func (v *Verifier) Pick(id *Identity, org string) (picked *Identity, ok bool) {
	return v.now.Load().pick(id, org)
}

func (v *verifier) pick(id *Identity, org string) (picked *Identity, ok bool) {
	if !id.Picks() {
		return nil, false
	}
	var claim any = org
	if v.opts.OrgType == "integer" {
		claim = json.Number(org)
	}
	canonical, err := v.org(claim)
	if err != nil || !id.AllOrgs && !slices.Contains(id.Orgs, canonical) {
		return nil, false
	}
	if v.opts.OrgType != "integer" {
		claim = canonical
	}
	claims, err := withClaim(id.Claims, id.orgPath, claim)
	if err != nil {
		return nil, false
	}
	one := *id
	one.Org, one.Orgs, one.AllOrgs, one.Claims = canonical, nil, false, claims
	return &one, true
}

// withClaim returns the claims with another value at a dotted path.
func withClaim(claims []byte, path string, value any) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(claims))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	at := all
	for {
		if _, ok := at[path]; ok {
			break
		}
		name, rest, dotted := strings.Cut(path, ".")
		inner, ok := at[name].(map[string]any)
		if !dotted || !ok {
			break
		}
		at, path = inner, rest
	}
	at[path] = value
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}
