package authn

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// isFactorPath reports whether the path is one of the room's that keeps second factors.
func isFactorPath(path string) bool {
	return path == gatehouse.FactorPath || strings.HasPrefix(path, gatehouse.FactorPath+"/")
}

// openToHalf reports whether the portal's page is for people whose login is not complete, too: those where it is completed,
// and the way out. The rest is theirs once they have proven what the house demands.
func openToHalf(path string) bool {
	return isFactorPath(path) || path == logoutPath || path == loginPath || strings.HasPrefix(path, loginPath+"/") || path == sessionPath
}

// factor hands a request to the room of second factors, and notes in the session what was proven by it.
func (p *Portal) factor(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "second factors")
	}
	if r.Method == http.MethodPost {
		if err := p.checkCSRF(r, req); err != nil {
			return err
		}
	}
	v, err := p.factorVisit(r, req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	proven, err := p.house.Factors().ServeFactor(w, r, v)
	if err != nil || proven == nil {
		return err
	}
	if err := p.noteFactor(w, r, req, proven.Method); err != nil {
		return err
	}
	if v, err = p.factorVisit(r, req); err != nil { // of the session as it is now
		return req.Deny(verdict.Unavailable, err.Error())
	}
	return proven.Then(w, r, v)
}

func (p *Portal) factorVisit(r *http.Request, req *gatehouse.Request) (gatehouse.FactorVisit, error) {
	csrf, err := p.csrf(req)
	if err != nil {
		return gatehouse.FactorVisit{}, err
	}
	v := gatehouse.FactorVisit{
		Request: req, CSRF: csrf, Origin: "https://" + r.Host, Path: strings.TrimPrefix(req.Path.Decoded, gatehouse.FactorPath),
		Next: returnPath,
	}
	name := req.Identity.Provider()
	if idp, ok := p.find(name).(gatehouse.StepUpProvider); ok && idp.StepsUp() {
		v.Provider = p.label(name)
		v.ProviderURL = func(step, next string) string {
			return loginPath + "/" + name + "?" + url.Values{stepParam: {"for " + step}, "next": {next}}.Encode()
		}
	}
	return v, nil
}

// noteFactor notes a second factor in the session, which becomes another one by the first.
func (p *Portal) noteFactor(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, method string) error {
	sessions, err := p.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	token, _ := cookie.Get(r.Header, sessionCookie)
	fresh, proof, err := sessions.ProveFactor(r.Context(), token, hostOf(r), method, p.limits)
	switch {
	case errors.Is(err, errNoSession): // it has ended since it was looked up
		return req.ChallengeLogin(r, "second factors")
	case err != nil:
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if fresh != "" {
		state, err := p.house.State()
		if err != nil {
			return req.Deny(verdict.Unavailable, err.Error())
		}
		if err := p.bound(r, req, state, sessions, fresh, proof); err != nil {
			return err
		}
		err = cookie.Set(w.Header(), sessionCookie, fresh, cookie.Options{SameSite: http.SameSiteLaxMode})
		if err != nil {
			return req.Deny(verdict.Internal, err.Error())
		}
		p.publishEnd(req, req.Identity.Session(), "replaced")
		req.Identity = proof
		state.Bus.Publish(req.Event(event.SessionCreated))
		return nil
	}
	req.Identity = proof
	return nil
}

const (
	// stepParam asks, in the address of a provider's login, for a second factor, and says for which request.
	stepParam = "step"
	stepAny   = "for "
)

// stepOf returns what a request to a provider's login asks to be proven: "" for nothing but who it is.
func stepOf(r *http.Request) string {
	step := r.Form.Get(stepParam)
	if !strings.HasPrefix(step, stepAny) || len(step) > 64 {
		return ""
	}
	return step
}

// provenFor returns the request for which the provider had a second factor proven in this very login; "" when that is not so,
// or not certain: it must say itself that the person did it after the login began.
func provenFor(f flow, who identity.Identity) string {
	if f.Step == "" || !who.Dated || who.AuthTime.Before(f.Started.Add(-providerSkew)) {
		return ""
	}
	return strings.TrimPrefix(f.Step, stepAny)
}

// greet asks how the person stands with second factors, and has who should be asked to set one up led there first.
func (p *Portal) greet(r *http.Request, who identity.Identity, f *flow) (expected bool, err error) {
	g, err := p.house.Factors().Greet(r.Context(), who)
	if err != nil {
		return false, err
	}
	if g.Nudge && f.Kept == "" && f.Step == "" && r.Header.Get("Sec-Fetch-Dest") != "empty" {
		f.ReturnTo = gatehouse.FactorPath + "/nudge?" + url.Values{"next": {f.ReturnTo}}.Encode()
		f.Fragment = ""
	}
	return g.Enrolled, nil
}

// vouchedFor is the proof with the second factor that the credential itself tells of, as a signed token can (RFC 9470 6).
func (h *Handler) vouchedFor(proof identity.Proof) identity.Proof {
	who := proof.Identity()
	if len(who.AMR) == 0 && who.ACR == "" || !h.house.Factors().Vouched(who) {
		return proof
	}
	f, age := &identity.Factor{Method: identity.ByProvider}, time.Duration(0)
	if who.Dated {
		f.At, age = who.AuthTime, max(time.Since(who.AuthTime), 0)
	}
	return identity.ProveFactor(proof, f, age)
}

// whole refuses people whose login is not complete everywhere but where they complete it.
func (p *Portal) whole(r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() || openToHalf(req.Path.Decoded) {
		return nil
	}
	return p.house.Factors().Judge(r, req, gatehouse.FactorNeed{})
}
