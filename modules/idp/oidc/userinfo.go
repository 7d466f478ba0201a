package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Bounds of what is asked of Microsoft Graph.
const (
	maxGraphPages = 20
	graphPath     = "/v1.0/me/transitiveMemberOf/microsoft.graph.group"
)

// complete adds what the userinfo endpoint knows when the ID token does not hold the roles claim, or another that is wanted:
// some providers put claims there only (Core 5.4). Only those and what people read is taken, and the ID token's own win.
func (c *Client) complete(ctx context.Context, cl claims, m *metadata, accessToken string) error {
	if c.holds(cl) {
		return nil
	}
	_, there := cl.at(c.cfg.RolesClaim)
	if m.UserInfoURL == "" || !there && cl.overage(c.cfg.RolesClaim) {
		return c.deliver(ctx, cl, accessToken)
	}
	subject, _ := cl.text("sub")
	info, err := c.userInfo(ctx, m, accessToken, subject)
	if err != nil {
		return err
	}
	take := c.shownClaims()
	if cl["email"] == nil && cl["email_verified"] == nil { // they say something together only
		take = append(take, "email", "email_verified")
	}
	for _, name := range take {
		if value, there := info[name]; there && cl[name] == nil {
			cl[name] = value
		}
	}
	return nil
}

// shownClaims are the claims that are taken from userinfo, but for the e-mail address.
func (c *Client) shownClaims() []string {
	taken := []string{"name", "preferred_username"}
	for _, name := range c.wanted() {
		root, _, _ := strings.Cut(name, ".")
		taken = append(taken, name, root)
	}
	return taken
}

// wanted are the claims that say more than who it is.
func (c *Client) wanted() []string {
	names := []string{c.cfg.RolesClaim}
	if c.cfg.Claims != nil {
		names = append(names, c.cfg.Claims()...)
	}
	return names
}

// holds reports whether all claims that are wanted are there.
func (c *Client) holds(cl claims) bool {
	for _, name := range c.wanted() {
		if _, there := cl.at(name); !there {
			return false
		}
	}
	return true
}

// userInfo asks the userinfo endpoint. An answer about somebody else is refused (Core 5.3.2).
func (c *Client) userInfo(ctx context.Context, m *metadata, accessToken, subject string) (claims, error) {
	info := claims{}
	if err := getJSON(ctx, c.http, m.UserInfoURL, accessToken, &info); err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrDown, err)
	}
	if sub, err := info.text("sub"); err != nil || sub == "" || sub != subject {
		return nil, fmt.Errorf("%w: userinfo is about somebody else", errOther)
	}
	return info, nil
}

// overage reports whether the claim was left out of the token for its size, as Entra ID does with more than 200 groups
// (150 or 6 in other flows): moved elsewhere (Core 5.6.2), or only hinted at with hasgroups.
func (c claims) overage(name string) bool {
	root, _, _ := strings.Cut(name, ".")
	names, _ := c["_claim_names"].(map[string]any)
	_, moved := names[root]
	hint := c["hasgroups"]
	return moved || root == "groups" && (hint == true || hint == "true")
}

// deliver fetches groups that the provider left out of the token, where that is configured. The endpoint that the token
// names is not asked: it is Entra's former one, and a token should not say where access tokens are sent.
func (c *Client) deliver(ctx context.Context, cl claims, accessToken string) error {
	_, there := cl.at(c.cfg.RolesClaim)
	if there || !cl.overage(c.cfg.RolesClaim) || c.cfg.Graph == "" {
		return nil // without Graph, rolesOf says what is wrong
	}
	at := c.cfg.Graph + graphPath + "?$select=id&$top=999&$count=true"
	var groups []any
	for range maxGraphPages {
		page, next, err := c.graphPage(ctx, at, accessToken)
		if err != nil {
			return err
		}
		if groups = append(groups, page...); next == "" {
			cl[c.cfg.RolesClaim] = groups
			return nil
		}
		at = next
	}
	return fmt.Errorf("%w: Microsoft Graph has more than %d pages of them", errGroups, maxGraphPages)
}

// graphPage returns the group ids of a page and the address of the next, which must be the same place as the first.
func (c *Client) graphPage(ctx context.Context, at, accessToken string) (groups []any, next string, err error) {
	var page struct {
		Value []struct {
			ID string `json:"id"`
		} `json:"value"`
		Next string `json:"@odata.nextLink"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	req.Header.Set("ConsistencyLevel", "eventual") // what Graph wants for a list of one kind of member
	err = doJSON(c.graph, req, &page)
	if s := (*statusError)(nil); errors.As(err, &s) && (s.status == http.StatusUnauthorized || s.status == http.StatusForbidden) {
		return nil, "", fmt.Errorf("%w: Microsoft Graph answered %d: ask for the scope GroupMember.Read.All, and grant it to this client", errGroups, s.status)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w: %w", ErrDown, errGroups, err)
	}
	for _, g := range page.Value {
		if g.ID != "" {
			groups = append(groups, g.ID)
		}
	}
	if page.Next == "" {
		return groups, "", nil
	}
	here, err1 := url.Parse(at)
	there, err2 := url.Parse(page.Next)
	if err1 != nil || err2 != nil || there.Scheme != here.Scheme || there.Host != here.Host || there.Path != here.Path || there.User != nil {
		return nil, "", fmt.Errorf("%w: Microsoft Graph continues elsewhere", errGroups)
	}
	return groups, page.Next, nil
}
