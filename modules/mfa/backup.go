package mfa

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"
)

const (
	backupCodes  = 10
	backupLength = 12 // of 32 letters each: 60 bits, so that nobody finds one from its hash
	backupFew    = 2  // so few left are told of
)

// backupAlphabet is Crockford's: no letter looks like another or like a digit, and case does not matter.
const backupAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// backup is one code for the day on which all else is lost.
type backup struct {
	Hash []byte    `json:"hash"`
	Used time.Time `json:"used,omitzero"`
}

// newBackups returns codes for people to read, and what is kept of them.
func newBackups(salt []byte) (shown []string, kept []backup) {
	for range backupCodes {
		raw := make([]byte, backupLength)
		rand.Read(raw) // never fails (crypto/rand)
		for i := range raw {
			raw[i] = backupAlphabet[raw[i]%32] // 256 is a multiple of 32
		}
		code := string(raw)
		shown = append(shown, code[:4]+"-"+code[4:8]+"-"+code[8:])
		kept = append(kept, backup{Hash: backupHash(salt, code)})
	}
	return shown, kept
}

func backupHash(salt []byte, code string) []byte {
	sum := sha256.Sum256(append(append([]byte("backup code "), salt...), code...))
	return sum[:]
}

// left counts the codes that still work.
func left(codes []backup) (n int) {
	for _, c := range codes {
		if c.Used.IsZero() {
			n++
		}
	}
	return n
}

// useBackup takes a code, once: errCode when there is none like it, errUsed when there was.
func useBackup(codes []backup, salt []byte, code string, now time.Time) error {
	hash, at := backupHash(salt, code), -1
	for i := range codes {
		if subtle.ConstantTimeCompare(codes[i].Hash, hash) == 1 {
			at = i
		}
	}
	switch {
	case at < 0:
		return errCode
	case !codes[at].Used.IsZero():
		return errUsed
	}
	codes[at].Used = now
	return nil
}

// typed says what a person has typed into the field for codes, as it is compared: six digits of an application, or a backup
// code; neither: both are empty. Blanks and hyphens do not matter, nor does case, nor o for 0, nor i or l for 1.
func typed(text string) (code, backupCode string) {
	if len(text) > 64 {
		return "", ""
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '\t' || r == '\u00a0' || r == '\u2011' || r == '\u2013':
			return -1
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, text)
	if len(text) == totpDigits && strings.Trim(text, "0123456789") == "" {
		return text, ""
	}
	text = strings.NewReplacer("o", "0", "i", "1", "l", "1").Replace(text)
	if len(text) == backupLength && strings.Trim(text, backupAlphabet) == "" {
		return "", text
	}
	return "", ""
}
