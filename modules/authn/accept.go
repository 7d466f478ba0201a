package authn

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// loadAuthenticators loads the guests. What a request asserts in so many words counts before the session that its
// browser has; what browsers send by themselves counts after it.
func (h *Handler) loadAuthenticators(ctx caddy.Context) error {
	if h.AuthenticatorsRaw == nil {
		return nil
	}
	guests, err := ctx.LoadModule(h, "AuthenticatorsRaw")
	if err != nil {
		return fmt.Errorf("loading the authenticators: %w", err)
	}
	for _, guest := range guests.([]any) {
		a := guest.(gatehouse.Authenticator)
		if a.Method().Ambient() {
			h.ambient = append(h.ambient, a)
		} else {
			h.asserted = append(h.asserted, a)
		}
	}
	return nil
}

// withoutSession lets the request go on as whoever an ambient credential stands for, or as nobody.
func (h *Handler) withoutSession(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, next caddyhttp.Handler) error {
	if done, err := h.byCredential(w, r, req, next, h.ambient); done {
		return err
	}
	return next.ServeHTTP(w, r)
}

// byCredential asks the authenticators for whom the request speaks, and if one of them knows, lets it go on as theirs.
// The portal is for people in browsers, and takes no such credential.
func (h *Handler) byCredential(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, next caddyhttp.Handler, ask []gatehouse.Authenticator) (done bool, err error) {
	if len(ask) == 0 || strings.HasPrefix(req.Path.Folded+"/", gatehouse.PortalPrefix) {
		return false, nil
	}
	for _, a := range ask {
		t, err := a.Testify(r, req)
		if ce := (*gatehouse.CredentialError)(nil); errors.As(err, &ce) && ce.Pass {
			req.InsteadOfLogin(verdict.Verdict{Reason: ce.Reason, Detail: string(a.Method()) + ": " + ce.Error()})
			if ce.Forget != "" {
				_ = cookie.Clear(w.Header(), ce.Forget) // admit leaves it out of an application's answer
			}
			continue
		}
		if err != nil {
			return true, h.unaccepted(w, req, a, err)
		}
		if t != nil {
			return true, h.accept(w, r, req, t, next)
		}
	}
	return false, nil
}

// accept lets the request go on as the one whom the testimony is about, for as long as the credential counts.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, t *gatehouse.Testimony, next caddyhttp.Handler) error {
	proof := t.Proof(identity.ProveBy)
	if !proof.Known() {
		return req.Deny(verdict.Internal, "an authenticator accepts a credential of nobody")
	}
	all, err := h.visits()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	visit := all.enter(req.Run, proof, t.Check)
	defer visit.Leave()
	if err := all.counts(visit, time.Now()); err != nil {
		return req.Deny(verdict.InvalidToken, string(proof.Method())+": "+err.Error())
	}
	req.Identity = h.vouchedFor(proof)
	req.Note("credential", string(proof.Method()))
	visit.Review(h.house.StillAllowed(r, req, visit.Proof))
	return next.ServeHTTP(w, r)
}

// unaccepted refuses a request whose credential does not count.
func (h *Handler) unaccepted(w http.ResponseWriter, req *gatehouse.Request, a gatehouse.Authenticator, err error) error {
	detail := string(a.Method()) + ": " + err.Error()
	ce := new(gatehouse.CredentialError)
	if !errors.As(err, &ce) {
		return req.Deny(verdict.Unavailable, detail)
	}
	if ce.Challenge != "" {
		w.Header().Set("Www-Authenticate", ce.Challenge)
	}
	return req.Deny(ce.Reason, detail)
}

// visits returns what holds the requests that run without a session; it outlives configurations.
func (h *Handler) visits() (*visits, error) {
	if v := h.watched.Load(); v != nil { // Fast path
		return v, nil
	}
	state, err := h.house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("authn.visits", func() (caddy.Destructor, error) { return newVisits(state.Standing), nil })
	if err != nil {
		return nil, err
	}
	h.watched.Store(kept.(*visits))
	return kept.(*visits), nil
}
