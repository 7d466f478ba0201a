package mfa

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

const (
	maxPasskeys    = 10
	maxPasskeyName = 64 // bytes
	maxCredential  = 32 << 10
	ceremony       = 5 * time.Minute // for which a challenge is good
)

// passkey is one WebAuthn credential. Site is its relying party: the host, without a port, that alone it works at.
type passkey struct {
	ID         []byte    `json:"id"`
	PublicKey  []byte    `json:"key"`
	AAGUID     []byte    `json:"aaguid,omitempty"`
	Count      uint32    `json:"count,omitempty"`
	Flags      byte      `json:"flags"`
	Transports []string  `json:"transports,omitempty"`
	Site       string    `json:"site"`
	Name       string    `json:"name,omitempty"`
	Added      time.Time `json:"added"`
	Used       time.Time `json:"used,omitzero"`
}

// ref names the passkey in forms and events.
func (p *passkey) ref() string {
	return base64.RawURLEncoding.EncodeToString(p.ID[:min(len(p.ID), 12)])
}

func (p *passkey) credential() webauthn.Credential {
	c := webauthn.Credential{
		ID: p.ID, PublicKey: p.PublicKey, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(p.Flags)),
		Authenticator: webauthn.Authenticator{AAGUID: p.AAGUID, SignCount: p.Count},
	}
	for _, t := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
	}
	return c
}

// site is where passkeys are made and used: the relying party.
type site struct {
	host    string // without a port
	origin  string // https://host[:port]
	name    string
	aaguids [][]byte // which models are accepted; empty: all
}

// owner is a person as the library wants to see them, at one site.
type owner struct {
	*account
	handle []byte
	site   string
}

func (o owner) WebAuthnID() []byte          { return o.handle }
func (o owner) WebAuthnName() string        { return o.Subject }
func (o owner) WebAuthnDisplayName() string { return o.Subject }
func (o owner) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, p := range o.passkeysAt(o.site) {
		all = append(all, p.credential())
	}
	return all
}

func (s site) party() (*webauthn.WebAuthn, error) {
	attestation := protocol.PreferNoAttestation
	if len(s.aaguids) > 0 {
		attestation = protocol.PreferDirectAttestation // without, browsers blank the model
	}
	return webauthn.New(&webauthn.Config{
		RPID: s.host, RPDisplayName: s.name, RPOrigins: []string{s.origin}, AttestationPreference: attestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Enforce: true, Timeout: ceremony, TimeoutUVD: ceremony},
			Registration: webauthn.TimeoutConfig{Enforce: true, Timeout: ceremony, TimeoutUVD: ceremony},
		},
		// Extensions that password managers add unasked say nothing that anything rests on.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// options returns what a script hands to the browser, and what the answer must fit, which is secret and used once.
func options(creation any, session *webauthn.SessionData) (text string, secret []byte, err error) {
	shown, err1 := json.Marshal(creation)
	secret, err2 := json.Marshal(session)
	return string(shown), secret, errors.Join(err1, err2)
}

// beginCreate returns the options for a new passkey. handle is what the person will be called by it.
func (s site) beginCreate(a *account, handle []byte) (text string, secret []byte, err error) {
	party, err := s.party()
	if err != nil {
		return "", nil, fmt.Errorf("passkeys at %s: %w", s.host, err)
	}
	who := owner{a, handle, s.host}
	var known []protocol.CredentialDescriptor
	for _, c := range who.WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	creation, session, err := party.BeginRegistration(who, webauthn.WithExclusions(known))
	if err != nil {
		return "", nil, fmt.Errorf("beginning to make a passkey: %w", err)
	}
	return options(creation.Response, session)
}

// finishCreate returns the passkey that the browser has made: errPasskey when it proves nothing, errKind when its model is
// not accepted. It must fit secret.
func (s site) finishCreate(a *account, handle, secret []byte, credential string, now time.Time) (p passkey, err error) {
	party, session, err := s.resume(secret)
	if err != nil {
		return p, err
	}
	defer noPanic(&err)
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(credential))
	if err != nil {
		return p, fmt.Errorf("%w: %w", errPasskey, err)
	}
	c, err := party.CreateCredential(owner{a, handle, s.host}, session, parsed)
	if err != nil {
		return p, fmt.Errorf("%w: %w", errPasskey, err)
	}
	if err := s.accepts(c); err != nil {
		return p, err
	}
	p = passkey{
		ID: c.ID, PublicKey: c.PublicKey, AAGUID: c.Authenticator.AAGUID, Count: c.Authenticator.SignCount,
		Flags: byte(c.Flags.ProtocolValue()), Site: s.host, Added: now,
	}
	for _, t := range c.Transport[:min(len(c.Transport), 8)] {
		if len(t) <= 16 {
			p.Transports = append(p.Transports, string(t))
		}
	}
	return p, nil
}

// accepts reports whether the model is one of those named, if any are. The library lets a blank model pass any list, and
// with no attestation at all the model is whatever the browser says.
func (s site) accepts(c *webauthn.Credential) error {
	if len(s.aaguids) == 0 {
		return nil
	}
	known := slices.ContainsFunc(s.aaguids, func(id []byte) bool { return bytes.Equal(id, c.Authenticator.AAGUID) })
	if !known || c.AttestationFormat == string(protocol.AttestationFormatNone) || c.AttestationFormat == "" {
		return fmt.Errorf("%w: model %s, attestation %q", errKind, hex.EncodeToString(c.Authenticator.AAGUID), c.AttestationFormat)
	}
	return nil
}

// beginGet returns the options for proving one of the person's passkeys; "" when none works here.
func (s site) beginGet(a *account) (text string, secret []byte, err error) {
	if len(a.passkeysAt(s.host)) == 0 {
		return "", nil, nil
	}
	party, err := s.party()
	if err != nil {
		return "", nil, fmt.Errorf("passkeys at %s: %w", s.host, err)
	}
	assertion, session, err := party.BeginLogin(owner{a, a.Handle, s.host})
	if err != nil {
		return "", nil, fmt.Errorf("beginning to ask for a passkey: %w", err)
	}
	return options(assertion.Response, session)
}

// finishGet checks that the browser's answer proves one of the person's passkeys, and notes its use in the account. It must
// fit secret. A count that did not grow is the sign of a copy (WebAuthn 7.2, step 22), and proves nothing.
func (s site) finishGet(a *account, secret []byte, credential string, now time.Time) (p *passkey, err error) {
	party, session, err := s.resume(secret)
	if err != nil {
		return nil, err
	}
	defer noPanic(&err)
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(credential))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPasskey, err)
	}
	if !parsed.Response.AuthenticatorData.Flags.UserVerified() {
		return nil, fmt.Errorf("%w: its user was not verified", errPasskey)
	}
	c, err := party.ValidateLogin(owner{a, a.Handle, s.host}, session, parsed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPasskey, err)
	}
	for i := range a.Passkeys {
		if p := &a.Passkeys[i]; bytes.Equal(p.ID, c.ID) && p.Site == s.host {
			if c.Authenticator.CloneWarning {
				return p, fmt.Errorf("%w: its count did not grow from %d, so that there may be a copy of it", errPasskey, p.Count)
			}
			p.Count, p.Flags, p.Used = c.Authenticator.SignCount, byte(c.Flags.ProtocolValue()), now
			return p, nil
		}
	}
	return nil, errPasskey
}

func (s site) resume(secret []byte) (*webauthn.WebAuthn, webauthn.SessionData, error) {
	var session webauthn.SessionData
	if err := json.Unmarshal(secret, &session); err != nil || session.Challenge == "" || session.UserVerification != protocol.VerificationRequired {
		return nil, session, errStale
	}
	if session.RelyingPartyID != s.host || !session.Expires.IsZero() && time.Now().After(session.Expires) {
		return nil, session, errStale
	}
	party, err := s.party()
	if err != nil {
		return nil, session, fmt.Errorf("passkeys at %s: %w", s.host, err)
	}
	return party, session, nil
}

// noPanic makes an error of a panic: what the library parses is the client's.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: reading it panicked: %v", errPasskey, p)
	}
}

// parseAAGUID reads a model's id as the lists write it: 32 hexadecimal digits, hyphens between them.
func parseAAGUID(text string) ([]byte, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(id) != 16 || bytes.Equal(id, make([]byte, 16)) {
		return nil, fmt.Errorf("aaguid %q: write an authenticator model's id, such as cb69481e-8ff7-4039-93ec-0a2729a154a8", text)
	}
	return id, nil
}

// passkeyName is what the person calls a passkey: printable, and not too long.
func passkeyName(text, otherwise string) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
	if len(text) > maxPasskeyName {
		text = strings.ToValidUTF8(text[:maxPasskeyName], "")
	}
	if text == "" {
		return otherwise
	}
	return text
}
