// Package token makes and reads the texts of credentials that the gateway gives out itself: API keys, links.
//
// # What
//
// A text is the kind's prefix, ten characters that name the credential, 32 that are the secret (190 bits), and six that are
// the CRC-32 of all before, by which secret scanners tell one from what only looks like it:
//
//	<prefix>[a-z2-7]{10}[0-9A-Za-z]{38}
//
// # Invariants
//
// What [Kind.Read] calls the id may be in logs; the text may not. Whoever keeps a credential keeps [Hash] of its text.
//
// # Cost
//
// Reading: a CRC-32, no allocation.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"strings"
)

const (
	idLength     = 10
	secretLength = 32
	sumLength    = 6

	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	base62     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Kind is what the texts of one kind of credential begin with, such as "ghk_".
type Kind string

// New returns the text of a new credential and the id in it.
func (k Kind) New() (text, id string) {
	id = Random(idAlphabet, idLength)
	text = string(k) + id + Random(base62, secretLength)
	return text + checksum(text), id
}

// Read returns the id in a text. Whatever else begins like one is none.
func (k Kind) Read(text string) (id string, ok bool) {
	if len(text) != len(k)+idLength+secretLength+sumLength || !k.Begins(text) || checksum(text[:len(text)-sumLength]) != text[len(text)-sumLength:] {
		return "", false
	}
	id = text[len(k) : len(k)+idLength]
	return id, strings.Trim(id, idAlphabet) == ""
}

// Begins reports whether somebody means the text to be of this kind.
func (k Kind) Begins(text string) bool { return strings.HasPrefix(text, string(k)) }

// Hash is what is stored of a text: its SHA-256. That is enough for a secret of 190 bits, which nobody guesses.
func Hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// Matches reports whether hash is that of the text, without telling by its time how much of it is.
func Matches(text string, hash []byte) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// Random returns n characters of the alphabet, which has 2 to 256, each as likely as any other.
func Random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	limit := byte(256 - 256%len(alphabet)) // 0 for an alphabet that divides 256: every byte will do
	var buf [64]byte
	for len(out) < n {
		rand.Read(buf[:]) // never fails (crypto/rand)
		for _, b := range buf {
			if len(out) < n && (limit == 0 || b < limit) {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func checksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var out [sumLength]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}
