package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxTokens bounds each token of an answer; an ID token with 2,000 groups in it has about 100 KiB.
const maxTokens = 512 << 10

// grant is what the token endpoint gave.
type grant struct {
	access, refresh, idToken string
	expires                  time.Duration // of the access token; zero: it did not say
}

// refusal is an answer of the provider's to a request that this client authenticated, other than a success. code is one of
// its error codes, cut; description its text, cut, for operators alone.
type refusal struct {
	what              string
	status            int
	code, description string
}

// Error is for operators. Some providers say only in the description what is wrong with the client's authentication.
func (e *refusal) Error() string {
	return fmt.Sprintf("%s answered %d %.60q: %.200q", e.what, e.status, e.code, e.description)
}

// redeem asks the token endpoint. The error is an [ErrDown] when the endpoint does not work, or a *refusal.
func (c *Client) redeem(ctx context.Context, m *metadata, form url.Values) (*grant, error) {
	answer, err := c.post(ctx, m, "token endpoint", m.TokenURL, form)
	if err != nil {
		return nil, err
	}
	g := new(grant)
	for name, to := range map[string]*string{"access_token": &g.access, "refresh_token": &g.refresh, "id_token": &g.idToken} {
		// What is no string is nothing; whoever needs it says so.
		if *to, _ = answer[name].(string); len(*to) > maxTokens {
			return nil, fmt.Errorf("token endpoint: the %s has %d bytes", name, len(*to))
		}
	}
	// RFC 6750 tokens are the only kind that can be used; others (DPoP, mac) need proofs that we do not make.
	if kind, _ := answer["token_type"].(string); g.access == "" || !strings.EqualFold(kind, "Bearer") {
		return nil, errors.New("token endpoint: it gave no bearer token")
	}
	if number, ok := answer["expires_in"].(string); ok { // some write the number as text
		answer["expires_in"] = json.Number(number)
	}
	if number, ok := answer["expires_in"].(json.Number); ok {
		if seconds, err := number.Float64(); err == nil && seconds > 0 {
			g.expires = time.Duration(min(seconds, maxExpiry.Seconds())) * time.Second
		}
	}
	return g, nil
}

// post sends a form as this client and returns the JSON object of a successful answer. what names the endpoint in errors.
func (c *Client) post(ctx context.Context, m *metadata, what, to string, form url.Values) (claims, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if err := c.authenticate(m, header, form); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDown, what, err)
	}
	defer resp.Body.Close()
	if broken(resp.StatusCode) {
		return nil, fmt.Errorf("%w: %s answered %d", ErrDown, what, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDown, what, err)
	}
	answer, err := parseClaims(body)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		r := &refusal{what: what, status: resp.StatusCode}
		unsaid := c.unsaid(header, form)
		code, _ := answer["error"].(string)
		description, _ := answer["error_description"].(string)
		r.code, r.description = unsaid.Replace(code), unsaid.Replace(description)
		return nil, r
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: the answer is not the JSON it should be", ErrDown, what)
	}
	return answer, nil
}

// confidential are the parameters of a form that nobody else may see.
var confidential = []string{"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "token"}

const shortestSecret = 8 // bytes

// unsaid takes out of a provider's words what it was sent in confidence, which some repeat, as it is or as it was in the form.
func (c *Client) unsaid(header http.Header, form url.Values) *strings.Replacer {
	_, credential, _ := strings.Cut(header.Get("Authorization"), " ")
	all := []string{credential, c.cfg.ClientSecret.Reveal()}
	for _, name := range confidential {
		all = append(all, form.Get(name))
	}
	var pairs []string
	for _, s := range all {
		if len(s) >= shortestSecret { // a shorter one would take words apart
			pairs = append(pairs, s, "***", url.QueryEscape(s), "***", url.PathEscape(s), "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// authenticate adds to the request what proves that it is this client's.
func (c *Client) authenticate(m *metadata, header http.Header, form url.Values) error {
	form.Set("client_id", c.cfg.ClientID)
	switch m.auth {
	case authKey:
		audience := c.cfg.Issuer
		if c.cfg.KeyForEndpoint {
			audience = m.TokenURL
		}
		assertion, err := c.cfg.Key.assertion(c.cfg.ClientID, audience, m.AuthKeyTypes, time.Now())
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	case authPost:
		form.Set("client_secret", c.cfg.ClientSecret.Reveal())
	default: // authBasic; both parts are form-encoded first, RFC 6749 2.3.1
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret.Reveal()))
	}
	return nil
}

// push leaves an authorization request with the provider (RFC 9126), so that nobody on its way through the browser can
// read or change it, and returns the request URI that stands for it.
func (c *Client) push(ctx context.Context, m *metadata, params url.Values) (string, error) {
	answer, err := c.post(ctx, m, "pushed authorization request endpoint", m.PushURL, params)
	if r := (*refusal)(nil); errors.As(err, &r) {
		return "", fmt.Errorf("%w (if this client may not push its requests, say `par off`)", err)
	}
	if err != nil {
		return "", err
	}
	uri, _ := answer.text("request_uri")
	if uri == "" || len(uri) > maxText*4 {
		return "", errors.New("pushed authorization request endpoint: it gave no request_uri")
	}
	return uri, nil
}
