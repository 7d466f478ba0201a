package apikey

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	tokenPath = gatehouse.TokenPath
	tokenKeys = tokenPath + "/jwks.json"

	clientGrant    = "client_credentials"
	exchangeGrant  = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType     = "urn:ietf:params:oauth:token-type:access_token"
	jwtType        = "urn:ietf:params:oauth:token-type:jwt"
	maxTokenParams = 8 // resources and audiences in one question
)

// Tokens says what access tokens an API takes that the gateway itself issues, for keys.
type Tokens struct {
	// Whom tokens are for: one of these is their aud.
	Audiences []string `json:"audiences"`
	// What every token must be for: all of these scopes.
	Scopes []string `json:"scopes,omitempty"`
	// How long a token is good. Default: 10m; 1h at the most.
	Lasts caddy.Duration `json:"lasts,omitempty"`
	// The backend gets the token too.
	Forward bool `json:"forward,omitempty"`
}

// issuerName is how the tokens of a site call who issues them.
func issuerName(r *http.Request) string {
	return "https://" + strings.ToLower(r.Host) + strings.TrimSuffix(gatehouse.PortalPrefix, "/")
}

// provisionTokens fills in what is left open, and takes the places of the site's portal, if an API takes tokens.
func (a *Authenticator) provisionTokens() error {
	some := false
	for _, api := range a.APIs {
		t := api.Tokens
		if t == nil {
			continue
		}
		some = true
		if t.Lasts == 0 {
			t.Lasts = caddy.Duration(defaultTokenLife)
		}
		switch {
		case len(t.Audiences) == 0:
			return gatehouse.Refused(fmt.Errorf("api %s: say whom tokens are for: `audience <name...>`", api.Path))
		case time.Duration(t.Lasts) < time.Second || time.Duration(t.Lasts) > maxTokenLife:
			return gatehouse.Refused(fmt.Errorf("api %s: a token lasts from 1s to 1h, and not %s: what asks for one can ask again", api.Path, time.Duration(t.Lasts)))
		}
	}
	if some {
		a.house.AddPage(tokenPath, servePage(a.serveAccessToken))
		a.house.AddPage(tokenKeys, servePage(a.serveTokenKeys))
		a.house.AddPage(deviceMetadata, servePage(a.serveMetadata))
	}
	return nil
}

// tokensAt returns what the API that the path belongs to says of tokens, or nil: also when some server could take it for one of a more
// specific API.
func (a *Authenticator) tokensAt(path reqpath.Path) *Tokens {
	for _, api := range a.APIs {
		switch {
		case api.Path.MatchAll(path):
			return api.Tokens
		case api.Path.MatchFolded(path):
			return nil
		}
	}
	return nil
}

// wantsToken reports whether some server could take the path for one of an API that takes tokens for keys, and so no key itself.
func (a *Authenticator) wantsToken(path reqpath.Path) bool {
	for _, api := range a.APIs {
		switch {
		case api.Path.MatchAll(path):
			return api.Tokens != nil
		case api.Tokens != nil && api.Path.MatchFolded(path):
			return true
		}
	}
	return false
}

// byToken returns who the access token in the request stands for; nil and nil when it has none of this gateway's, or is for no API
// that takes them.
func (a *Authenticator) byToken(r *http.Request, req *gatehouse.Request, hasKey bool) (*gatehouse.Testimony, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return nil, nil
	}
	at := a.tokensAt(req.Path)
	scheme, text, _ := strings.Cut(values[0], " ")
	if at == nil || !strings.EqualFold(scheme, "bearer") || keyText.Begins(text) {
		return nil, nil
	}
	book, err := a.opened()
	if err != nil {
		return nil, err
	}
	token, err := book.FindToken(r.Context(), strings.TrimLeft(text, " "), time.Now())
	switch {
	case token == nil && err == nil:
		return nil, nil // somebody else's, who judges it
	case err == nil && (hasKey || len(values) > 1):
		err = errTwoKeys
	case err == nil && (token.Issuer != issuerName(r) || !slices.Contains(at.Audiences, token.Audience)):
		err = errTokenOther
	case err == nil:
		err = a.rightful(token.key, token.testimony, req)
	case !isVerdict(err):
		return nil, err
	}
	if err != nil {
		accessTokens.WithLabelValues("refused").Inc()
		return nil, &gatehouse.CredentialError{Reason: verdict.InvalidToken, Challenge: `Bearer error="invalid_token"`, Err: fmt.Errorf("access token: %w", err)}
	}
	req.Note("access_token", token.ID)
	for _, s := range at.Scopes {
		if !slices.Contains(token.testimony.Credential.Scopes, s) {
			accessTokens.WithLabelValues("out_of_scope").Inc()
			return nil, &gatehouse.CredentialError{
				Reason: verdict.OutOfScope, Challenge: `Bearer error="insufficient_scope", scope="` + strings.Join(at.Scopes, " ") + `"`,
				Err: fmt.Errorf("the access token %s lacks the scope %s", token.ID, s),
			}
		}
	}
	if err := a.covers(token.key, token.testimony.Credential.Workspaces, r, req); err != nil {
		accessTokens.WithLabelValues("out_of_scope").Inc()
		return nil, err
	}
	if !at.Forward {
		delete(r.Header, "Authorization")
	}
	accessTokens.WithLabelValues("accepted").Inc()
	book.used.note(token.key, time.Now())
	return token.testimony, nil
}

// serveTokenKeys publishes what verifies access tokens (RFC 7517), for APIs that are reached without the gateway.
func (a *Authenticator) serveTokenKeys(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return badMethod(w, v.Request, "GET, HEAD")
	}
	set, err := a.house.JWKS(forTokens)
	if err != nil {
		return v.Request.Deny(verdict.Unavailable, err.Error())
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, err = w.Write(set)
	return err
}

// serveAccessToken is the token endpoint (RFC 6749 3.2): a service account's key is its client secret (client_credentials, 4.4), a
// person's is exchanged (RFC 8693).
func (a *Authenticator) serveAccessToken(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	if r.Method != http.MethodPost {
		return badMethod(w, req, "POST")
	}
	grant := r.PostForm.Get("grant_type")
	text, client, status, code := "", "", http.StatusBadRequest, "invalid_grant"
	switch grant {
	case clientGrant:
		status, code = http.StatusUnauthorized, "invalid_client"
		var basic bool
		if client, text, basic = r.BasicAuth(); !basic {
			client, text = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
		}
	case exchangeGrant:
		text = r.PostForm.Get("subject_token")
		if t := r.PostForm.Get("requested_token_type"); r.PostForm.Get("subject_token_type") != accessType || t != "" && t != accessType && t != jwtType || r.PostForm.Has("actor_token") {
			return a.deny(w, req, http.StatusBadRequest, "invalid_request", "an API key (subject_token_type "+accessType+") is exchanged for an access token")
		}
	case deviceGrant: // one endpoint for all that the metadata names
		if a.Device != nil {
			return a.serveToken(w, r, v)
		}
		fallthrough
	default:
		return a.deny(w, req, http.StatusBadRequest, "unsupported_grant_type", "the grants here are "+clientGrant+" and "+exchangeGrant)
	}
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	state, err := a.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	now := time.Now()
	k, t, err := book.Find(r.Context(), text, now)
	if err != nil && !isVerdict(err) {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if err == nil {
		err = a.mayAsk(k, t, req, r.Host)
	}
	if err == nil && !state.Standing.Allows(t.Identity.Provider, t.Identity.Subject, k.Created) {
		err = errVoid
	}
	if err == nil && grant == clientGrant && (k.Account == "" || client != k.ID && client != k.Account) {
		err = errors.New("it is not this service account's")
	}
	if err != nil {
		req.Note("access_token_denied", err.Error())
		if status == http.StatusUnauthorized {
			w.Header().Set("Www-Authenticate", "Basic")
		}
		return a.deny(w, req, status, code, "the key does not count here")
	}
	if v := a.house.KeyRefusal(k.ID, k.Owner(), t.Identity.Tenant, req.ClientIP); v.Given() {
		accessTokens.WithLabelValues("denied").Inc()
		return req.Refuse(v)
	}
	ask := AccessAsk{Issuer: issuerName(r)}
	var ok bool
	if ask.Audience, ask.Lasts, ok = a.audience(k.Scope.Paths, append(slices.Clone(r.PostForm["resource"]), r.PostForm["audience"]...)); !ok {
		return a.deny(w, req, http.StatusBadRequest, "invalid_target", "say one resource that an API here is for, and the key as well")
	}
	if ask.Scopes, ok = wordsWithin(r.PostForm.Get("scope"), k.Scopes); !ok {
		return a.deny(w, req, http.StatusBadRequest, "invalid_scope", "the key does not have all of these scopes")
	}
	if ask.Workspaces, ok = wordsWithin(r.PostForm.Get("workspace"), k.Workspaces); !ok {
		return a.deny(w, req, http.StatusBadRequest, "invalid_scope", "the key is not for all of these workspaces")
	}
	return a.issue(w, req, state.Bus, book, k, t, ask, grant, now)
}

// mayAsk refuses a key that is good, but not on this site or from this network.
func (a *Authenticator) mayAsk(k *Key, t *testimony, req *gatehouse.Request, host string) error {
	if err := a.rightful(k, t, req); err != nil {
		return err
	}
	switch {
	case !slices.Contains(k.Scope.Hosts, scope.Hostname(host)):
		return scope.ErrHost
	case !k.Scope.From(req.ClientIP):
		return scope.ErrNetwork
	}
	return nil
}

// reaches reports whether a key for these paths is for some of an API's that names the audience: paths of a more specific API are that one's.
func (a *Authenticator) reaches(paths []reqpath.Pattern, audience string) bool {
	for i, api := range a.APIs {
		if api.Tokens == nil || !slices.Contains(api.Tokens.Audiences, audience) {
			continue
		}
		if slices.ContainsFunc(paths, func(p reqpath.Pattern) bool {
			return (p.Within(api.Path) || api.Path.Within(p)) && !slices.ContainsFunc(a.APIs[:i], func(other API) bool { return p.Within(other.Path) })
		}) {
			return true
		}
	}
	return false
}

// audience returns the one that is asked for, and how long tokens for it are good; without a question, the only one that a key for these
// paths is for.
func (a *Authenticator) audience(paths []reqpath.Pattern, asked []string) (name string, lasts time.Duration, ok bool) {
	if len(asked) > maxTokenParams {
		return "", 0, false
	}
	slices.Sort(asked)
	asked = slices.Compact(asked)
	for _, api := range a.APIs {
		if api.Tokens == nil {
			continue
		}
		for _, aud := range api.Tokens.Audiences {
			switch {
			case len(asked) > 0 && (len(asked) > 1 || asked[0] != aud), !a.reaches(paths, aud):
				continue
			case name != "" && name != aud:
				return "", 0, false
			case lasts == 0 || time.Duration(api.Tokens.Lasts) < lasts:
				lasts = time.Duration(api.Tokens.Lasts)
			}
			name = aud
		}
	}
	return name, lasts, name != ""
}

// issue gives the program its token, once that is on record.
func (a *Authenticator) issue(w http.ResponseWriter, req *gatehouse.Request, bus *event.Bus, book *Book, k *Key, t *testimony, ask AccessAsk, grant string, now time.Time) error {
	text, id, expires, err := book.Mint(k, t, ask, now)
	if errors.Is(err, errTokenLong) {
		return a.deny(w, req, http.StatusBadRequest, "invalid_request", err.Error())
	}
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	e := req.Event(event.AccessTokenIssued)
	e.User, e.Session = k.Owner(), k.ID
	e.Attrs = []event.Attr{{Key: "access_token", Value: id}, {Key: "audience", Value: ask.Audience}, {Key: "expires", Value: expires.UTC().Format(time.RFC3339)}}
	if len(ask.Workspaces) > 0 {
		e.Attrs = append(e.Attrs, event.Attr{Key: "workspaces", Value: strings.Join(ask.Workspaces, " ")})
	}
	if err := bus.Record(e); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	accessTokens.WithLabelValues("issued").Inc()
	book.used.note(k, now)
	body := map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": expires.Unix() - now.Unix()}
	if len(ask.Scopes) > 0 {
		body["scope"] = strings.Join(ask.Scopes, " ")
	}
	if grant == exchangeGrant {
		body["issued_token_type"] = accessType
	}
	return answer(w, http.StatusOK, body)
}

// deny answers who gets no token, as RFC 6749 5.2 has it.
func (a *Authenticator) deny(w http.ResponseWriter, req *gatehouse.Request, status int, code, description string) error {
	accessTokens.WithLabelValues("denied").Inc()
	req.Note("access_token_error", code)
	return answer(w, status, map[string]string{"error": code, "error_description": description})
}
