package privacy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// Certificate says that a person was erased, or a tenant off-boarded, and when. It is the audit log's record of that, with the proof that it is in the
// log, so that it is checked with the log's own public key and nothing else. The record names nobody: it has a hash of the name
// and of a salt that only the certificate has.
type Certificate struct {
	Salt   string `json:"salt"`
	Record string `json:"record"` // as it stands in the log
	Proof  string `json:"proof"`  // C2SP tlog-proof
}

const (
	attrPerson = "person_sha256"
	attrTenant = "tenant_sha256"
	attrDone   = "deleted"
	// attrRemains is what is there still, and until when.
	attrRemains = "remains"
)

func newSalt() string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: it ends the program instead
	return hex.EncodeToString(salt)
}

// hashOf is what a record has in the place of a person's name.
func hashOf(salt, person string) string {
	sum := sha256.Sum256([]byte("erased\x00" + salt + "\x00" + person))
	return hex.EncodeToString(sum[:])
}

// certify makes the certificate of an erasure that is on record.
func certify(dir string, kind event.Kind, salt string, hash event.Attr) (c Certificate, err error) {
	seq := int64(-1)
	_, err = chain.Verify(dir, chain.VerifyOptions{Each: func(r *chain.Record) error {
		if r.Kind == string(kind) && r.Attr(hash.Key) == hash.Value {
			seq = r.Seq
		}
		return nil
	}})
	if err != nil {
		return c, err
	}
	if seq < 0 {
		return c, errors.New("the erasure is not in the audit log")
	}
	r, proof, err := chain.Prove(dir, seq, true, chain.VerifyOptions{})
	if err != nil {
		return c, err
	}
	return Certificate{Salt: salt, Record: string(r.Line), Proof: proof}, nil
}

// Check returns the record of a certificate that is signed with one of the keys, and is about this person or tenant unless they
// are "".
func (c Certificate) Check(person, tenant string, keys ...string) (*chain.Record, error) {
	r, _, err := chain.CheckProof([]byte(c.Record), c.Proof, keys...)
	if err != nil {
		return nil, err
	}
	if r.Kind != string(event.PersonErased) && r.Kind != string(event.TenantErased) {
		return nil, fmt.Errorf("the record is one of %s, not of an erasure", r.Kind)
	}
	if person != "" && (r.Kind != string(event.PersonErased) || r.Attr(attrPerson) != hashOf(c.Salt, person)) {
		return nil, fmt.Errorf("the certificate is not about %s", person)
	}
	if tenant != "" && (r.Kind != string(event.TenantErased) || r.Attr(attrTenant) != hashOf(c.Salt, tenant)) {
		return nil, fmt.Errorf("the certificate is not about the tenant %s", tenant)
	}
	return r, nil
}
