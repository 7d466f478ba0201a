package mfa

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// token is a security key in software: what it signs is right, and what a test changes is wrong.
type token struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	aaguid []byte
	count  uint32
	flags  byte
	origin string
}

const (
	flagUP, flagUV, flagAT = 1, 4, 64
)

var here = site{host: "app.test", origin: "https://app.test:8443", name: "Test"}

func newToken(t testing.TB) *token {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &token{t: t, key: key, id: newHandle(), aaguid: make([]byte, 16), flags: flagUP | flagUV, origin: here.origin}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k *token) clientData(kind, challenge string) []byte {
	return []byte(fmt.Sprintf(`{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":false}`, kind, challenge, k.origin))
}

func (k *token) authData(rpID string, attested []byte) []byte {
	sum, flags := sha256.Sum256([]byte(rpID)), k.flags
	if attested != nil {
		flags |= flagAT
	}
	out := append(sum[:], flags)
	out = binary.BigEndian.AppendUint32(out, k.count)
	return append(out, attested...)
}

type optionsJSON struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	UserVerification string `json:"userVerification"`
	Selection        struct {
		UserVerification string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
	Exclude     []any  `json:"excludeCredentials"`
	Allow       []any  `json:"allowCredentials"`
}

func read(t testing.TB, options string) (o optionsJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// create answers options for a new credential.
func (k *token) create(options string) string {
	k.t.Helper()
	o := read(k.t, options)
	pub, err := k.key.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	cose, err1 := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: pub[1:33], -3: pub[33:]})
	attested := append([]byte{}, k.aaguid...)
	attested = binary.BigEndian.AppendUint16(attested, uint16(len(k.id)))
	attested = append(append(attested, k.id...), cose...)
	object, err2 := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": k.authData(o.RP.ID, attested)})
	if err := errors.Join(err1, err2); err != nil {
		k.t.Fatal(err)
	}
	if k.handle, err = base64.RawURLEncoding.DecodeString(o.User.ID); err != nil {
		k.t.Fatal(err)
	}
	return fmt.Sprintf(`{"id":%q,"rawId":%q,"type":"public-key","response":{"clientDataJSON":%q,"attestationObject":%q,"transports":["usb"]}}`,
		b64(k.id), b64(k.id), b64(k.clientData("webauthn.create", o.Challenge)), b64(object))
}

// get answers options for proving the credential.
func (k *token) get(options string) string {
	k.t.Helper()
	o := read(k.t, options)
	k.count++
	data, client := k.authData(o.RPID, nil), k.clientData("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.key, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return fmt.Sprintf(`{"id":%q,"rawId":%q,"type":"public-key","response":{"clientDataJSON":%q,"authenticatorData":%q,"signature":%q,"userHandle":%q}}`,
		b64(k.id), b64(k.id), b64(client), b64(data), b64(signature), b64(k.handle))
}

// enrolled returns ada's account with the token in it.
func (k *token) enrolled() *account {
	k.t.Helper()
	a := &account{Provider: "local", Subject: "ada", Handle: newHandle()}
	options, secret, err := here.beginCreate(a, a.Handle)
	if err != nil {
		k.t.Fatal(err)
	}
	p, err := here.finishCreate(a, a.Handle, secret, k.create(options), time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	a.Passkeys = append(a.Passkeys, p)
	return a
}

func TestPasskey(t *testing.T) {
	k := newToken(t)
	a := k.enrolled()
	options, _, err := here.beginCreate(a, a.Handle)
	if err != nil {
		t.Fatal(err)
	}
	o := read(t, options)
	if o.Selection.UserVerification != "required" || o.RP.ID != "app.test" || len(o.Exclude) != 1 || o.Attestation != "none" || strings.Contains(o.User.ID, "ada") {
		t.Errorf("the options are %s", options)
	}
	for i := range 3 {
		options, secret, err := here.beginGet(a)
		if err != nil {
			t.Fatal(err)
		}
		if o := read(t, options); o.UserVerification != "required" || o.RPID != "app.test" || len(o.Allow) != 1 {
			t.Errorf("the options are %s", options)
		}
		p, err := here.finishGet(a, secret, k.get(options), time.Now())
		if err != nil || p.Count != uint32(i+1) || p.Used.IsZero() {
			t.Fatalf("use %d: %+v, %v", i, p, err)
		}
	}
	elsewhere := here
	elsewhere.host = "other.test"
	if options, _, err := elsewhere.beginGet(a); options != "" || err != nil {
		t.Errorf("at another site: %q, %v", options, err)
	}
}

// TestPasskeyThatProvesNothing: each of the things that a relying party must look at (WebAuthn 7.2) is looked at.
func TestPasskeyThatProvesNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(k *token, a *account)
	}{
		{"the user was not verified", func(k *token, _ *account) { k.flags = flagUP }},
		{"nobody was there", func(k *token, _ *account) { k.flags = flagUV }},
		{"another origin", func(k *token, _ *account) { k.origin = "https://evil.test" }},
		{"another port", func(k *token, _ *account) { k.origin = "https://app.test:8444" }},
		{"no TLS", func(k *token, _ *account) { k.origin = "http://app.test:8443" }},
		{"a count that goes back", func(k *token, _ *account) { k.count -= 2 }},
		{"a count that stands still", func(k *token, _ *account) { k.count-- }},
		{"another key", func(k *token, _ *account) { k.key = newToken(k.t).key }},
		{"another credential", func(k *token, _ *account) { k.id = newHandle() }},
		{"another person's handle", func(k *token, _ *account) { k.handle = newHandle() }},
		{"the credential was removed meanwhile", func(_ *token, a *account) { a.Passkeys = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newToken(t)
			a := k.enrolled()
			options, secret, err := here.beginGet(a)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := here.finishGet(a, secret, k.get(options), time.Now()); err != nil {
				t.Fatal(err)
			}
			options, secret, err = here.beginGet(a)
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(k, a)
			before := fmt.Sprint(a.Passkeys)
			if _, err := here.finishGet(a, secret, k.get(options), time.Now()); !errors.Is(err, errPasskey) {
				t.Errorf("%v", err)
			}
			if fmt.Sprint(a.Passkeys) != before {
				t.Error("the account has changed")
			}
		})
	}
	k := newToken(t)
	a := k.enrolled()
	options, _, err := here.beginGet(a)
	if err != nil {
		t.Fatal(err)
	}
	answer := k.get(options)
	if _, secret, _ := here.beginGet(a); true {
		if _, err := here.finishGet(a, secret, answer, time.Now()); !errors.Is(err, errPasskey) {
			t.Errorf("the answer to another question: %v", err)
		}
	}
	for _, secret := range []string{"", "{}", "null", `{"challenge":"x"}`, `{"challenge":"x","rpId":"app.test","userVerification":"preferred"}`} {
		if _, err := here.finishGet(a, []byte(secret), answer, time.Now()); !errors.Is(err, errStale) {
			t.Errorf("secret %q: %v", secret, err)
		}
	}
}

func TestPasskeyOfAnUnverifiedUserIsNotMade(t *testing.T) {
	k := newToken(t)
	k.flags = flagUP
	a := &account{Handle: newHandle()}
	options, secret, err := here.beginCreate(a, a.Handle)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.finishCreate(a, a.Handle, secret, k.create(options), time.Now()); !errors.Is(err, errPasskey) {
		t.Errorf("%v", err)
	}
}

// TestModels: with a list, only the models on it, and only those that attest; the library alone would let a blank model pass.
func TestModels(t *testing.T) {
	id, err := parseAAGUID("cb69481e-8ff7-4039-93ec-0a2729a154a8")
	if err != nil {
		t.Fatal(err)
	}
	strict := here
	strict.aaguids = [][]byte{id}
	for name, aaguid := range map[string][]byte{"blank": make([]byte, 16), "another": newHandle()[:16], "on the list, but not attested": id} {
		k := newToken(t)
		k.aaguid = aaguid
		a := &account{Handle: newHandle()}
		options, secret, err := strict.beginCreate(a, a.Handle)
		if err != nil {
			t.Fatal(err)
		}
		if read(t, options).Attestation != "direct" {
			t.Errorf("the options are %s", options)
		}
		if _, err := strict.finishCreate(a, a.Handle, secret, k.create(options), time.Now()); !errors.Is(err, errKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "x", "00000000-0000-0000-0000-000000000000", "cb69481e-8ff7-4039-93ec-0a2729a154", "cb69481e-8ff7-4039-93ec-0a2729a154a8a8"} {
		if _, err := parseAAGUID(bad); err == nil {
			t.Errorf("%q is an AAGUID", bad)
		}
	}
}

func TestPasskeyName(t *testing.T) {
	for in, want := range map[string]string{
		"office laptop": "office laptop", "  x ": "x", "": "here", "\x00\n": "here", "a\u202eb": "ab",
		strings.Repeat("é", 50): strings.Repeat("é", 32), "\xff": "here",
	} {
		if got := passkeyName(in, "here"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPasskey(f *testing.F) {
	k := newToken(f)
	a := k.enrolled()
	create, createSecret, err1 := here.beginCreate(a, a.Handle)
	get, getSecret, err2 := here.beginGet(a)
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	f.Add(k.create(create))
	f.Add(k.get(get))
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{}}`)
	f.Fuzz(func(t *testing.T, credential string) {
		// It must not panic, nor take anything for a proof that the token has not made: it has made one of each.
		_, _ = here.finishCreate(a, a.Handle, createSecret, credential, time.Now())
		_, _ = here.finishGet(a, getSecret, credential, time.Now())
	})
}

func BenchmarkPasskey(b *testing.B) {
	k := newToken(b)
	a := k.enrolled()
	for b.Loop() {
		options, secret, err := here.beginGet(a)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := here.finishGet(a, secret, k.get(options), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
