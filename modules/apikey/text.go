package apikey

import (
	"crypto/rand"
	"hash/crc32"
	"strings"

	"gatehouse.internal/modules/internal/identity"
)

// A key's text is the prefix, ten characters that name it, 32 that are the secret (190 bits), and six that are the CRC-32
// of all before, by which scanners tell a key from what only looks like one:
//
//	ghk_[a-z2-7]{10}[0-9A-Za-z]{38}
const (
	Prefix       = identity.KeyPrefix
	idLength     = 10
	secretLength = 32
	sumLength    = 6
	textLength   = len(Prefix) + idLength + secretLength + sumLength

	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	base62     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newText returns a new key and the id in it.
func newText() (text, id string) {
	id = random(idAlphabet, idLength)
	text = Prefix + id + random(base62, secretLength)
	return text + checksum(text), id
}

// random returns n characters of the alphabet, each as likely as any other.
func random(alphabet string, n int) string {
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

// idIn returns the id of a key's text. Whatever else begins like a key is none.
func idIn(text string) (id string, ok bool) {
	if len(text) != textLength || !strings.HasPrefix(text, Prefix) || checksum(text[:textLength-sumLength]) != text[textLength-sumLength:] {
		return "", false
	}
	id = text[len(Prefix) : len(Prefix)+idLength]
	return id, strings.Trim(id, idAlphabet) == ""
}

// looksLikeKey reports whether somebody means the text to be a key.
func looksLikeKey(text string) bool { return strings.HasPrefix(text, Prefix) }
