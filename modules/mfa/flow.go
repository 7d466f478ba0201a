package mfa

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	flowBucket  store.Bucket = "mfa.flow"
	flowPurpose              = "mfa.flow"
	enrolFor                 = 15 * time.Minute
)

// flow is what a form must bring back that was shown: it travels in the form, sealed to the person's session, so that a form
// that is only looked at costs nothing. Kind tells the forms apart.
type flow struct {
	Kind   string    `json:"k"`
	At     time.Time `json:"t"`
	Secret []byte    `json:"s"`           // of an application, or what a passkey's answer must fit
	Handle []byte    `json:"h,omitempty"` // of a passkey
}

// The kinds of form.
const (
	enrolApp     = "app"
	enrolPasskey = "passkey"
	askPasskey   = "ask"
)

// binding is what a flow is sealed to: nobody else, and no other session, can bring it.
func binding(user, session, host string) []byte {
	sum := sha256.Sum256([]byte(user + "\x00" + session + "\x00" + host))
	return sum[:]
}

func sealFlow(keys *keyring.Ring, f flow, bound []byte) (string, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("sealing a form: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(keys.Seal(flowPurpose, plain, bound)), nil
}

// openFlow returns the flow of this kind in the text, or errStale.
func openFlow(keys *keyring.Ring, text, kind string, bound []byte, now time.Time) (flow, error) {
	if len(text) > 2*maxCredential {
		return flow{}, errStale
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return flow{}, errStale
	}
	plain, err := keys.Open(flowPurpose, box, bound)
	if err != nil {
		return flow{}, errStale
	}
	var f flow
	if err := json.Unmarshal(plain, &f); err != nil || f.Kind != kind {
		return flow{}, errStale
	}
	if age := now.Sub(f.At); age > enrolFor || age < -time.Minute {
		return flow{}, errStale
	}
	return f, nil
}

// claim uses the flow up, on every node: errStale when it was. It comes after the proof, so that only who has the factor can
// make the gateway write.
func claim(ctx context.Context, st store.Store, text string) error {
	sum := sha256.Sum256([]byte(text))
	// Twice the lifetime, since the clocks of two nodes may differ.
	_, err := st.Put(ctx, store.Key{Bucket: flowBucket, ID: hex.EncodeToString(sum[:])}, nil,
		store.PutOptions{Match: store.Absent, TTL: 2 * enrolFor})
	switch {
	case errors.Is(err, store.ErrConflict):
		return errStale
	case err != nil:
		return fmt.Errorf("claiming a form: %w", err)
	}
	return nil
}
