package oidc

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/secret"
)

// What a provider repeats of what it was sent in confidence is taken out of its words, as it is and as it was in the form; the rest stays.
func TestUnsaid(t *testing.T) {
	const password, code, verifier = "a+secret/of=the client", "4/0Ab+code=", "the-verifier-of-this-login"
	c := &Client{cfg: Config{ClientSecret: secret.New(password)}}
	form := url.Values{"code": {code}, "code_verifier": {verifier}, "grant_type": {"authorization_code"}, "client_id": {"client"}}
	header := http.Header{}
	r := http.Request{Header: header}
	r.SetBasicAuth("client", password)
	said := "authorization_code of client: " + strings.Join([]string{password, code, verifier, form.Encode(), url.PathEscape(password), header.Get("Authorization")}, " | ")
	got := c.unsaid(header, form).Replace(said)
	_, basic, _ := strings.Cut(header.Get("Authorization"), " ")
	for _, s := range []string{password, code, verifier, basic} {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if strings.Contains(got, form) {
				t.Errorf("%q is in %q", form, got)
			}
		}
	}
	if !strings.Contains(got, "authorization_code of client: ***") {
		t.Errorf("more was taken out: %q", got)
	}
}
