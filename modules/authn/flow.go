package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/reqpath"
)

const (
	flowPurpose  = "authn.flow"
	flowLifetime = 15 * time.Minute
	maxReturnTo  = 2048
	maxFactorTo  = 4096 // the page that asks for a second factor names the request that waits, sealed
	maxToken     = 8 << 10
	// flowRestart is how old a flow may be to be begun anew by itself: a login page that was left open over a long day.
	flowRestart = 12 * time.Hour
)

var (
	errFlow = errors.New("the login belongs to another browser, is too old, or was tampered with")
	// errFlowOld says that the flow is genuine, of this browser and site, and no longer good: only too old.
	errFlowOld = fmt.Errorf("%w: only too old", errFlow)
)

// flow is one attempt to log in. It travels in the pages and the state parameter, sealed to the browser that began it
// (decisions/0003), so that strangers who open login pages cost the gateway no memory.
type flow struct {
	ID       string    `json:"i"`
	Provider string    `json:"p,omitempty"` // set once the person chose one: its callback accepts no other's flows
	Host     string    `json:"h"`
	ReturnTo string    `json:"r"`
	Started  time.Time `json:"t"`
	Secret   []byte    `json:"s"`
	Fragment string    `json:"f,omitempty"` // under which key the browser's tab keeps the fragment of ReturnTo
	Kept     string    `json:"k,omitempty"` // the id of a form that waits for its owner
	Step     string    `json:"u,omitempty"` // a second factor is to be proven, for the request that this names
	Again    bool      `json:"a,omitempty"` // begun by itself in place of one that was too old: that happens once
}

func newFlow(host, returnTo string) flow {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails (crypto/rand)
	return flow{ID: rand.Text(), Host: host, ReturnTo: returnTo, Started: time.Now().UTC().Truncate(time.Second), Secret: secret}
}

// again returns a flow that takes the place of this one, which is too old.
func (f flow) again() flow {
	fresh := newFlow(f.Host, f.ReturnTo)
	fresh.Provider, fresh.Fragment, fresh.Kept, fresh.Step, fresh.Again = f.Provider, f.Fragment, f.Kept, f.Step, true
	return fresh
}

// fragmentKey names the fragment in the tab's session storage.
func (f flow) fragmentKey() string { return "gatehouse:" + f.ID }

// seal returns the flow's token, which opens only together with the browser's binding.
func (f flow) seal(keys *keyring.Ring, binding string) (string, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(keys.Seal(flowPurpose, plain, []byte(binding))), nil
}

// openFlow returns the flow in the token, or errFlow; with errFlowOld, the flow too.
func openFlow(keys *keyring.Ring, token, binding, host string, now time.Time) (flow, error) {
	if token == "" || len(token) > maxToken || binding == "" {
		return flow{}, errFlow
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return flow{}, errFlow
	}
	plain, err := keys.Open(flowPurpose, box, []byte(binding))
	if err != nil {
		return flow{}, errFlow
	}
	var f flow
	if err := json.Unmarshal(plain, &f); err != nil {
		return flow{}, errFlow
	}
	switch age := now.Sub(f.Started); {
	case age > flowRestart || age < -time.Minute || f.Host != host:
		return flow{}, errFlow
	case age > flowLifetime:
		return f, errFlowOld
	}
	return f, nil
}

// derive returns a secret of the flow's own for the label: 43 characters of base64url, as PKCE verifiers are.
func (f flow) derive(label string) string {
	mac := hmac.New(sha256.New, f.Secret)
	mac.Write([]byte(label))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// returnPath returns where a login may lead back to: next, if it is a path on this site that some gate would accept and
// that is none of the portal's pages but the account and those of second factors; otherwise the site's root. The site's own gate judges the
// request that follows as any other.
func returnPath(next string) string {
	if len(next) > maxFactorTo {
		return "/"
	}
	p, err := reqpath.Parse(next, reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	if err != nil {
		return "/"
	}
	factor := isFactorPath(p.Escaped)
	if strings.HasPrefix(p.Folded+"/", gatehouse.PortalPrefix) && p.Escaped != accountPath && !factor || len(next) > maxReturnTo && !factor {
		return "/"
	}
	if _, query, ok := strings.Cut(next, "?"); ok {
		return p.Escaped + "?" + query
	}
	return p.Escaped
}
