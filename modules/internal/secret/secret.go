package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Mask is what is seen of a secret that is not empty. An empty one is seen as empty.
const Mask = "***"

// ErrMasked: the mask was read in the place of a secret. What wrote it has lost the secret.
var ErrMasked = errors.New("secret: read the mask " + Mask + " instead of a secret")

// String is a secret. The zero value is empty and ready to use. It is immutable but for Unmarshal, and safe to copy.
// It cannot be compared with == (that would not be constant in time); see Equal.
type String struct {
	reveal func() string // nil: empty. A function, as reflection cannot look into one.
}

// New returns s as a secret.
func New(s string) String {
	if s == "" {
		return String{}
	}
	return String{func() string { return s }}
}

// Reveal returns the text. Call it where it is used, not where it is stored.
func (s String) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsEmpty reports whether there is no secret.
func (s String) IsEmpty() bool { return s.reveal == nil }

// IsZero is IsEmpty, for the JSON option omitzero.
func (s String) IsZero() bool { return s.IsEmpty() }

// Equal reports, in constant time for any lengths, whether both are the same secret. Nothing equals an empty secret, not even another:
// a secret that was never set lets nobody in.
func (s String) Equal(o String) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(o.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && !s.IsEmpty() && !o.IsEmpty()
}

// String returns the mask.
func (s String) String() string {
	if s.IsEmpty() {
		return ""
	}
	return Mask
}

// GoString returns the mask.
func (s String) GoString() string { return s.String() }

// Format writes the mask for every verb and flag.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns the mask.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the mask.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns the mask.
func (s String) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText reads a secret, or returns ErrMasked and leaves s as it was.
func (s *String) UnmarshalText(b []byte) error {
	if string(b) == Mask {
		return ErrMasked
	}
	*s = New(string(b))
	return nil
}

// UnmarshalJSON reads a secret from a JSON string; null leaves s as it was. Its errors hold nothing of the input.
func (s *String) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("secret: not a JSON string")
	}
	if text == nil {
		return nil
	}
	return s.UnmarshalText([]byte(*text))
}
