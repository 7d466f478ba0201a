package mfa

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what RFC 4226 has; HMAC does not rest on collisions
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"net/url"
	"time"
)

// What every authenticator application knows (control BRF-06). Some ignore what an otpauth address says otherwise.
const (
	totpDigits = 6
	totpPeriod = 30 * time.Second
	totpSkew   = 1 // steps either way, for clocks that are wrong and people who are slow (RFC 6238 5.2)
	secretSize = 20
)

// totp is one authenticator application.
type totp struct {
	Secret []byte    `json:"secret"`
	Step   int64     `json:"step"` // the last that was accepted: none up to it works again
	Added  time.Time `json:"added"`
	Used   time.Time `json:"used,omitzero"`
}

func newSecret() []byte {
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails (crypto/rand)
	return secret
}

// hotp is RFC 4226 5.3, with as many digits as totpDigits.
func hotp(secret []byte, counter int64) (code [totpDigits]byte) {
	mac := hmac.New(sha1.New, secret)
	var c [8]byte
	binary.BigEndian.PutUint64(c[:], uint64(counter))
	mac.Write(c[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	for i := totpDigits - 1; i >= 0; i-- {
		code[i] = '0' + byte(n%10)
		n /= 10
	}
	return code
}

func stepAt(t time.Time) int64 { return t.Unix() / int64(totpPeriod/time.Second) }

// match returns the latest step around now whose code this is. Its time does not depend on which one, or on whether any is.
func match(secret []byte, code string, now time.Time) (step int64, ok bool) {
	at := stepAt(now)
	for s := at - totpSkew; s <= at+totpSkew; s++ {
		if s < 0 {
			continue
		}
		want := hotp(secret, s)
		if subtle.ConstantTimeCompare(want[:], []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// use takes a code, once: errCode when it is wrong, errUsed when it is right and its step, or a later one, was used.
func (t *totp) use(code string, now time.Time) error {
	step, ok := match(t.Secret, code, now)
	switch {
	case !ok:
		return errCode
	case step <= t.Step:
		return errUsed
	}
	t.Step, t.Used = step, now
	return nil
}

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// otpauth is what a QR code tells an application: who issues the codes, for whom, and the secret.
func otpauth(issuer, account string, secret []byte) string {
	q := url.Values{
		"secret": {base32Text.EncodeToString(secret)}, "issuer": {issuer},
		"algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"},
	}
	// Applications do not agree on whether + is a blank.
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: plus(q.Encode())}).String()
}

func plus(query string) string {
	out := make([]byte, 0, len(query))
	for i := range len(query) {
		if query[i] == '+' {
			out = append(out, "%20"...)
		} else {
			out = append(out, query[i])
		}
	}
	return string(out)
}
