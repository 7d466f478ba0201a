package privacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

// ParseRecipients reads the recipients that records are sealed to, as age writes them. An identity, which is a secret, is refused.
func ParseRecipients(texts []string) (all []age.Recipient, err error) {
	for _, text := range texts {
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return nil, errors.New("that is an identity, which is secret and must not be on this machine: write its recipient, which `age-keygen -y` prints")
		}
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(r) != 1 {
			return nil, fmt.Errorf("%q is no age recipient: write one like age1…, which `age-keygen` prints", text)
		}
		all = append(all, r...)
	}
	return all, nil
}

// Open returns the plain text of a record, which must be the one that its head was written for.
func (r Sealed) Open(identities io.Reader) ([]byte, error) {
	ids, err := age.ParseIdentities(identities)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	w, err := age.Decrypt(bytes.NewReader(r.Age), ids...)
	if err != nil {
		return nil, fmt.Errorf("opening the record: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(w, maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("opening the record: %w", err)
	}
	var inner Head
	if err := json.Unmarshal(plain, &inner); err != nil {
		return nil, fmt.Errorf("opening the record: %w", err)
	}
	if inner.RequestID != r.RequestID || !slices.Equal(inner.Rules, r.Rules) || inner.Site != r.Site || inner.Tenant != r.Tenant || !inner.Time.Equal(r.Time) {
		return nil, errors.New("the record is of another request than its head says: somebody has exchanged them")
	}
	return plain, nil
}
