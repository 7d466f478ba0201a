package oidc

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	maxNotice = 64 << 10  // bytes in the body that brings a logout token
	noticeFor = time.Hour // a logout token is of no use later than this after iat, whatever its exp says
	maxURL    = 6 << 10   // bytes in an ID token that is still put into a URL, with room for the rest in 8 KiB

	// logoutEvent is the member of events that makes a JWT a logout token (OpenID Connect Back-Channel Logout 2.4).
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// Notice is what a logout token says: the session SID has ended, or all of Subject's. One of them may be empty.
type Notice struct {
	Subject, SID string
	ID           string    // unique, to be used once
	Expires      time.Time // until then ID must be remembered; afterwards the token is refused by itself
}

// LogoutNotice verifies a back-channel logout request (Back-Channel Logout 2.5, 2.6) but for its being the first with its
// ID. The error is an [ErrDown] when there are no keys to judge with.
func (c *Client) LogoutNotice(r *http.Request) (*Notice, error) {
	raw, err := logoutToken(r)
	if err != nil {
		return nil, fmt.Errorf("back-channel logout: %w", err)
	}
	n, err := c.verifyLogoutToken(r.Context(), raw)
	if err != nil {
		return nil, fmt.Errorf("logout token: %w", err)
	}
	return n, nil
}

// logoutToken returns the one logout_token of a form, which the portal may have parsed before. What stands in the URL does
// not count.
func logoutToken(r *http.Request) (string, error) {
	if r.Method != http.MethodPost {
		return "", errors.New("not a POST")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", errors.New("not a form")
	}
	if r.PostForm == nil {
		r.Body = http.MaxBytesReader(nil, r.Body, maxNotice)
		if err := r.ParseForm(); err != nil {
			return "", fmt.Errorf("reading the form: %w", err)
		}
	}
	tokens := r.PostForm["logout_token"]
	if len(tokens) != 1 {
		return "", fmt.Errorf("%d logout tokens, want one", len(tokens))
	}
	return tokens[0], nil
}

func (c *Client) verifyLogoutToken(ctx context.Context, raw string) (*Notice, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	_, cl, err := verifySigned(ctx, c.keys, raw, logoutTokenTypes, expected{
		issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, algorithms: m.Algorithms,
	})
	if err != nil {
		return nil, err
	}
	return cl.notice(time.Now(), &c.clock)
}

// notice judges the claims of a logout token whose signature, issuer and audience are good.
func (c claims) notice(now time.Time, clock *clock) (*Notice, error) {
	n := new(Notice)
	var err1, err2, err3 error
	n.Subject, err1 = c.text("sub")
	n.SID, err2 = c.sid()
	n.ID, err3 = c.text("jti")
	issued, hasIat, err4 := c.time("iat")
	expires, hasExp, err5 := c.time("exp")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	if last := issued.Add(noticeFor); expires.After(last) {
		expires = last
	}
	n.Expires = expires.Add(skew)
	events, _ := c["events"].(map[string]any)
	_, event := events[logoutEvent].(map[string]any)
	_, nonce := c["nonce"]
	switch {
	case !event:
		return nil, errors.New("it tells of no logout")
	case nonce:
		return nil, errors.New("with a nonce: it may be an ID token")
	case !plain(n.ID):
		return nil, errors.New("jti is not 1 to 255 printable ASCII characters")
	case n.Subject == "" && n.SID == "":
		return nil, errors.New("neither sub nor sid")
	case n.Subject != "" && !plain(n.Subject):
		return nil, checkSubject(n.Subject)
	case !hasIat || !hasExp:
		return nil, errors.New("without exp or iat")
	case now.Add(skew).Before(issued):
		return nil, clock.wrong("issued %v ahead of our clock", issued.Sub(now).Round(time.Second))
	case !now.Before(n.Expires):
		return nil, clock.wrong("expired %v ago", now.Sub(expires).Round(time.Second))
	}
	return n, nil
}

// EndURL returns where a person ends the provider's own session (OpenID Connect RP-Initiated Logout 2), from where they
// come back to returnTo with state; "" when the provider has no such place. keep may be nil, or of another time: then the
// provider may have to ask the person. The error is an [ErrDown].
func (c *Client) EndURL(ctx context.Context, keep []byte, returnTo, state string) (string, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDown, err)
	}
	if m.EndURL == "" {
		return "", nil
	}
	params := url.Values{"client_id": {c.cfg.ClientID}}
	if returnTo != "" {
		params.Set("post_logout_redirect_uri", returnTo)
		if state != "" {
			params.Set("state", state)
		}
	}
	if k, err := decodeKept(keep); err == nil && c.owns(k) && k.idToken != "" && len(k.idToken) <= maxURL {
		params.Set("id_token_hint", k.idToken)
	}
	return withQuery(m.EndURL, params), nil
}

// owns reports whether what was kept is of this client at this provider.
func (c *Client) owns(k *kept) bool {
	return k.issuer == c.cfg.Issuer && k.clientID == c.cfg.ClientID && slices.Contains(k.audience, c.cfg.ClientID)
}
