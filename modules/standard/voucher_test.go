package standard_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
)

func init() { caddy.RegisterModule(new(voucher)) }

// voucher is an identity provider that believes whatever the log-in's query says: as=sam&roles=staff,admin&groups=…&ws=…
type voucher struct {
	ProviderName string `json:"name,omitempty"`
	house        *gatehouse.App
}

func (*voucher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.voucher", New: func() caddy.Module { return new(voucher) }}
}

func (v *voucher) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	v.ProviderName = "voucher"
	if d.NextArg() {
		v.ProviderName = d.Val()
	}
	return nil
}

func (v *voucher) Name() string                    { return v.ProviderName }
func (*voucher) Label() string                     { return "Voucher" }
func (*voucher) Form() bool                        { return false }
func (v *voucher) Open(house *gatehouse.App) error { v.house = house; return nil }

func (v *voucher) ServeLogin(_ http.ResponseWriter, r *http.Request, _ gatehouse.Login) (*gatehouse.Vouching, error) {
	q := r.URL.Query()
	list := func(name string) []string {
		if q.Get(name) == "" {
			return nil
		}
		return strings.Split(q.Get(name), ",")
	}
	id := identity.Identity{
		Issuer: "https://voucher.test", Subject: q.Get("as"), Name: q.Get("as"), Email: q.Get("email"), Roles: list("roles"), Groups: v.house.Groups(list("groups")),
		AuthTime: time.Now(), Claims: map[string][]string{}, Tenant: q.Get("tenant"), // which is not for a provider to say
	}
	for _, claim := range v.house.Claims() {
		id.Claims[claim] = list(claim)
	}
	return &gatehouse.Vouching{Identity: id}, nil
}

// as returns a client that is logged in on host as the query says.
func as(t testing.TB, g *gatetest.Gateway, host, query string) *http.Client {
	t.Helper()
	c := g.Client()
	c.Jar, _ = cookiejar.New(nil)
	logIn(t, c, host, "voucher", query)
	return c
}

func logIn(t testing.TB, c *http.Client, host, provider, query string) {
	t.Helper()
	res, body := get(t, c, "https://"+host+"/.gatehouse/login/"+provider+"?"+query)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the log-in answered %d: %s", res.StatusCode, body)
	}
	u := &url.URL{Scheme: "https", Host: host, Path: "/"}
	for _, cookie := range c.Jar.Cookies(u) {
		if cookie.Name == "__Host-gatehouse" {
			return
		}
	}
	t.Fatalf("the log-in left no session: %v", c.Jar.Cookies(u))
}
