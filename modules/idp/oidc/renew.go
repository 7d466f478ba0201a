package oidc

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// When a session is renewed: as its access token expires, within these bounds.
const (
	renewFloor = 5 * time.Second // more often would be a load, and bring nothing
	renewCap   = time.Hour       // more seldom would let people keep roles for long that they have lost
	renewGuess = 5 * time.Minute // when the provider does not say how long the token is good
	maxExpiry  = 24 * time.Hour  // beyond it lifetimes are no longer told apart
)

// ErrEnded says that the provider vouches for a session no longer.
var ErrEnded = errors.New("the provider no longer vouches for the session")

// Session is what a login yields, or a renewal.
type Session struct {
	Identity identity.Identity
	Keep     []byte    // for Renew and EndURL: secret; at most 64 KiB
	SID      string    // the provider's name of its session; may be empty
	Renew    time.Time // when to call Renew; zero: never
}

// session makes what a login or a renewal yields.
func (c *Client) session(who *identity.Identity, k *kept, expires time.Duration) *Session {
	s := &Session{Identity: *who, Keep: k.encode(), SID: k.sid}
	if k.refresh != "" {
		if expires == 0 {
			expires = renewGuess
		}
		s.Renew = time.Now().Add(min(max(expires, renewFloor), renewCap))
	}
	return s
}

// adopt takes over the tokens of a grant: an absent refresh token leaves the old one in place (RFC 6749 6), and what is
// too long to be kept is as if it were not there.
func (c *Client) adopt(k *kept, g *grant) {
	if g.refresh != "" {
		k.refresh = g.refresh
	}
	if c.cfg.NoRefresh || len(k.refresh) > maxRefresh {
		k.refresh = ""
	}
	if g.idToken != "" {
		k.idToken = g.idToken
	}
	if len(k.idToken) > maxHint {
		k.idToken = ""
	}
}

// Renew asks the provider whether it still vouches for a session. The error is an [ErrEnded] when it does not, or when
// what it says is about somebody else. Any other error means: not now.
//
// A refresh token that is used may be spent. When the provider gave another, but not all else that is needed, the new one
// is kept on the shelf, and the next call with the same keep, on any node, goes on from there.
func (c *Client) Renew(ctx context.Context, keep []byte) (*Session, error) {
	old, err := decodeKept(keep)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	if !c.owns(old) {
		return nil, fmt.Errorf("%w: it was begun with another provider or client id than are configured now", ErrEnded)
	}
	if old.refresh == "" || c.cfg.NoRefresh {
		return nil, fmt.Errorf("%w: it has no refresh token", ErrEnded)
	}
	m, err := c.meta.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	k := *old
	if next := c.successor(ctx, old); next != nil && c.owns(next) {
		k = *next
	}
	started := time.Now()
	g, err := c.redeem(ctx, m, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.refresh}})
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusBadRequest && r.code == "invalid_grant" {
		return nil, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	if err != nil {
		return nil, err
	}
	first := k
	c.adopt(&k, g)
	s, err := c.renewed(ctx, m, &first, &k, g, started)
	switch {
	case errors.Is(err, errOther):
		return nil, fmt.Errorf("%w: %w", ErrEnded, err)
	case err != nil && !errors.Is(err, ErrEnded) && k.refresh != "" && k.refresh != old.refresh:
		// The ID token beside it was not verified, or what belongs to it is not known: the one before stays.
		first.refresh = k.refresh
		if lost := c.setSuccessor(ctx, old, &first); lost != nil {
			err = fmt.Errorf("%w (and its new refresh token is lost: %w)", err, lost)
		}
	}
	return s, err
}

// renewed makes the session of a successful refresh. first is what was kept, k the same with the new tokens.
func (c *Client) renewed(ctx context.Context, m *metadata, first, k *kept, g *grant, started time.Time) (*Session, error) {
	var cl claims
	var err error
	if g.idToken != "" {
		cl, err = verifyIDToken(ctx, c.keys, g.idToken, expected{
			issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, started: started, algorithms: m.Algorithms,
			accessToken: g.access, original: first, clock: &c.clock,
		})
		if err == nil {
			err = c.complete(ctx, cl, m, g.access)
		}
	} else {
		cl, err = c.withoutIDToken(ctx, m, first, g.access)
	}
	if err != nil {
		return nil, err
	}
	who, err := c.identityOf(cl)
	if err != nil {
		return nil, err
	}
	if sid, err := cl.sid(); err != nil {
		return nil, err
	} else if sid != "" {
		k.sid = sid
	}
	first.carryOver(who, cl)
	k.describe(who)
	return c.session(who, k, g.expires), nil
}

// describe takes from an identity what its renewals may leave out.
func (k *kept) describe(who *identity.Identity) {
	k.name, k.email, k.acr, k.amr = who.Name, who.Email, who.ACR, who.AMR
}

// carryOver gives a renewed identity what the provider did not repeat: some leave everything but sub out of later ID
// tokens. Roles are not carried over, since their absence may be what there is to say. A renewal is no login: when the
// person proved who they are stays as it was.
func (k *kept) carryOver(who *identity.Identity, cl claims) {
	who.AuthTime, who.Dated = k.authTime, k.claimed
	who.ACR = cmp.Or(who.ACR, k.acr)
	if who.AMR == nil {
		who.AMR = k.amr
	}
	if cl["name"] == nil && cl["preferred_username"] == nil {
		who.Name = cmp.Or(k.name, who.Name)
	}
	if cl["email"] == nil {
		who.Email = k.email
	}
}

// withoutIDToken returns the claims when a refresh brought no ID token, which it need not (Core 12.2): those of the last
// one, with what the userinfo endpoint says now in their place. Where neither is to be had, nobody can say which roles the
// person has.
func (c *Client) withoutIDToken(ctx context.Context, m *metadata, first *kept, accessToken string) (claims, error) {
	cl := claims{"sub": first.subject}
	if first.idToken != "" {
		_, rest, _ := strings.Cut(first.idToken, ".")
		payload, _, _ := strings.Cut(rest, ".")
		plain, err := base64.RawURLEncoding.DecodeString(payload)
		if err == nil {
			cl, err = parseClaims(plain)
		}
		if err != nil || cl["sub"] != first.subject {
			return nil, fmt.Errorf("%w: %w", ErrEnded, errKeep)
		}
	}
	// The identity's times are those of the login.
	cl["iat"] = json.Number(strconv.FormatInt(first.authTime.Unix(), 10))
	delete(cl, "auth_time")
	if m.UserInfoURL == "" {
		if first.idToken == "" {
			return nil, fmt.Errorf("%w: the provider has neither a new ID token nor userinfo to tell the roles", ErrEnded)
		}
		return cl, c.deliver(ctx, cl, accessToken)
	}
	info, err := c.userInfo(ctx, m, accessToken, first.subject)
	if err != nil {
		return nil, err
	}
	for _, name := range c.shownClaims() {
		if value, there := info[name]; there {
			cl[name] = value
		}
	}
	if info["email"] != nil {
		cl["email"], cl["email_verified"] = info["email"], info["email_verified"]
	}
	return cl, c.deliver(ctx, cl, accessToken)
}
