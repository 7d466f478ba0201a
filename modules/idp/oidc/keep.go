package oidc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Bounds of what is kept with a session.
const (
	maxKeep     = 64 << 10 // bytes in all; the house takes no more
	maxRefresh  = 16 << 10 // bytes in a refresh token; a longer one is not kept
	maxHint     = 16 << 10 // bytes in an ID token; a longer one is not kept
	maxSmall    = 1 << 10  // bytes in anything else
	maxAudience = 16       // audiences of an ID token
)

// kept is what is kept with a session: what to renew and to end it with, and what the first ID token said, which every
// later one must say too (OpenID Connect Core 12.2).
type kept struct {
	issuer, clientID string // whose session it is: no other client's, though it be of the same house
	subject          string
	sid              string
	nonce            string
	azp              string
	acr              string
	name, email      string // of the identity
	audience         []string
	amr              []string
	authTime         time.Time // of the identity; whole seconds, not before 1970
	claimed          bool      // the ID token said so itself, in auth_time
	refresh          string    // may be empty
	idToken          string    // the newest, its signature verified when it came; may be empty
}

// keepVersion is the first byte of the encoding. Another one cannot be read, and ends the session at its next renewal.
const keepVersion = 1

var errKeep = errors.New("what was kept with the session cannot be read")

// encode writes version, flags, auth time, and then each text after its length: all numbers but the first two are uvarints.
func (k *kept) encode() []byte {
	flags := byte(0)
	if k.claimed {
		flags = 1
	}
	b := append(make([]byte, 0, len(k.refresh)+len(k.idToken)+maxSmall), keepVersion, flags)
	b = binary.AppendUvarint(b, uint64(max(0, k.authTime.Unix())))
	for _, to := range k.texts() {
		b = appendText(b, *to)
	}
	for _, list := range k.lists() {
		b = binary.AppendUvarint(b, uint64(len(*list)))
		for _, text := range *list {
			b = appendText(b, text)
		}
	}
	return b
}

// texts and lists are the fields in the order of the encoding. The two long ones come first.
func (k *kept) texts() []*string {
	return []*string{&k.refresh, &k.idToken, &k.issuer, &k.clientID, &k.subject, &k.sid, &k.nonce, &k.azp, &k.acr, &k.name, &k.email}
}

func (k *kept) lists() []*[]string { return []*[]string{&k.audience, &k.amr} }

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decodeKept reads what encode wrote, and nothing else: one value has one encoding.
func decodeKept(b []byte) (*kept, error) {
	if len(b) < 2 || len(b) > maxKeep || b[0] != keepVersion || b[1] > 1 {
		return nil, errKeep
	}
	k := &kept{claimed: b[1] == 1}
	r := reader{rest: b[2:]}
	k.authTime = time.Unix(int64(r.number(maxTime)), 0).UTC()
	limits := []uint64{maxRefresh, maxHint}
	for i, to := range k.texts() {
		limit := uint64(maxSmall)
		if i < len(limits) {
			limit = limits[i]
		}
		*to = r.text(limit)
	}
	for _, list := range k.lists() {
		for range r.number(maxAudience) {
			*list = append(*list, r.text(maxSmall))
		}
	}
	// Comparing what it would be written as refuses numbers written longer than they need be, too.
	if r.bad || len(r.rest) > 0 || !bytes.Equal(k.encode(), b) {
		return nil, errKeep
	}
	return k, nil
}

// reader reads numbers and texts until one is not there or too large; from then on all are zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.bad = r.bad || size <= 0 || n > limit; r.bad {
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text(limit uint64) string {
	n := r.number(limit)
	if r.bad = r.bad || n > uint64(len(r.rest)); r.bad {
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// keepOf takes from a verified ID token what every later one is held against.
func (c *Client) keepOf(cl claims, nonce string) (*kept, error) {
	k := &kept{issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, nonce: nonce}
	var err1, err2, err3, err4 error
	k.subject, err1 = cl.text("sub")
	k.azp, err2 = cl.text("azp")
	k.audience, err3 = cl.texts("aud")
	k.sid, err4 = cl.sid()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	_, k.claimed, _ = cl.time("auth_time")
	tooLong := func(s string) bool { return len(s) > maxSmall }
	if len(k.audience) > maxAudience || slices.ContainsFunc(k.audience, tooLong) || tooLong(k.azp) || tooLong(k.nonce) {
		return nil, errors.New("ID token: it names more audiences than can be kept")
	}
	return k, nil
}
