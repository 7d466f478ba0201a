package waf

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/verdict"
)

// engine is the site's own.
func (h *Handler) engine() *Engine { return h.live.plan.Load().site }

// at is a request for the path, as admit leaves it.
func at(t *testing.T, target string) (*http.Request, *gatehouse.Request) {
	t.Helper()
	r := get(target)
	path, err := reqpath.FromRequest(r, reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	if err != nil {
		t.Fatal(err)
	}
	path.Apply(r)
	// A literal, because the field is admit's to write.
	req := gatehouse.Request{ID: "REQUEST", ClientIP: testClient, Site: &gatehouse.Site{Name: "app.test"}, Path: path}
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{}))
	gatehouse.Attach(r, &req)
	return r, &req
}

const (
	xss = "?text=%3Cscript%3Ealert(1)%3C/script%3E"
	pl4 = "?q=~!@%23%24%25%5E%26*()-%3D%2B%7B%7D%5B%5D%7C" // refused from paranoia 4 on
)

func TestRoutes(t *testing.T) {
	h := provision(t, &Handler{Routes: []Route{
		{Path: pattern("/admin/*"), Paranoia: 4},
		{Path: pattern("/admin/help/*"), Mode: Detect},
		{Path: pattern("/wiki/*"), Exclude: []Exclusion{{Tag: "attack-xss", Target: "ARGS:text"}}},
		{Path: pattern("/dav/*"), InsecureOff: true},
	}})
	tests := []struct {
		name, target string
		refused      bool
		notes        string
	}{
		{"the site", "/" + xss, true, ""},
		{"the site is laxer than the route", "/" + pl4, false, ""},
		{"a route is stricter", "/admin/x" + pl4, true, "waf_route=/admin/*"},
		{"its root", "/admin" + pl4, true, ""},
		{"in another case it still restricts", "/ADMIN/x" + pl4, true, ""},
		{"and with parameters", "/admin;x/y" + pl4, true, ""},
		{"the more specific route counts alone", "/admin/help/x" + pl4, false, ""},
		{"which only notes", "/admin/help/x" + xss, false, "waf_mode=detect"},
		{"but not in another spelling", "/admin/HELP/x" + xss, true, ""},
		{"an exclusion", "/wiki/save" + xss, false, ""},
		{"in its place only", "/wiki/save?q=%3Cscript%3Ealert(1)%3C/script%3E", true, ""},
		{"and when everybody reads it so", "/Wiki/save" + xss, true, ""},
		{"off is noted", "/dav/x" + xss, false, "waf_skipped=insecure_waf_off\nwaf_route=/dav/*"},
		{"off when everybody reads it so", "/dav/x;y" + xss, false, "waf_skipped=insecure_waf_off"},
		{"not when only some do", "/DAV/x" + xss, true, ""},
		{"nor with an encoded slash", "/dav%2Fx" + xss, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, req := at(t, tt.target)
			err := row(h, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })).ServeHTTP(httptest.NewRecorder(), r)
			if refused := reasonOf(err) == verdict.WAFBlocked; refused != tt.refused || err != nil && !refused {
				t.Errorf("%v, want refused = %v; notes:\n%s", err, tt.refused, notes(req))
			}
			if !strings.Contains(notes(req), tt.notes) {
				t.Errorf("notes %q lack %q", notes(req), tt.notes)
			}
		})
	}
	r, req := admitted(get("/dav/x" + xss)) // a path that nobody has read is judged by the strictest
	if err := h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(echo)); reasonOf(err) != verdict.WAFBlocked {
		t.Errorf("%v: %s", err, notes(req))
	}
}

// The rules see the Connection header as the client sent it, the backend what admit made of it.
func TestConnectionAsSent(t *testing.T) {
	h := provision(t, &Handler{Mode: Detect})
	for _, sent := range [][]string{nil, {"keep-alive, close"}} {
		r, req := admitted(get("/", "Connection", "Upgrade"))
		withSent := *req
		withSent.Connection = sent
		gatehouse.Attach(r, &withSent)
		err := row(h, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			if got := r.Header["Connection"]; len(got) != 1 || got[0] != "Upgrade" {
				t.Errorf("the backend gets %q", got)
			}
			return nil
		})).ServeHTTP(httptest.NewRecorder(), r)
		if seen := strings.Contains(notes(&withSent), "920210"); err != nil || seen != (sent != nil) {
			t.Errorf("%q: %v, rule 920210 matched: %v", sent, err, seen)
		}
	}
}

// Equal settings share an engine, wherever they are written, and leave the pool with the site.
func TestRoutesShareEngines(t *testing.T) {
	a := provision(t, &Handler{Routes: []Route{{Path: pattern("/a/*"), Paranoia: 2}, {Path: pattern("/b/*"), Paranoia: 2}}})
	b := provision(t, &Handler{Paranoia: 2})
	p := a.live.plan.Load()
	if p.routes[0].engine != p.routes[1].engine || p.routes[0].engine != b.engine() || p.strict != b.engine() || p.site == b.engine() {
		t.Error("engines of equal settings differ")
	}
	key := p.keys[1]
	if err := a.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if n, _ := engines.References(key); n != 1 {
		t.Errorf("%d references after the first site has gone", n)
	}
}

func TestRouteThatCannotBe(t *testing.T) {
	for name, r := range map[string]Route{
		"no path":             {Paranoia: 2},
		"a limit over":        {Path: pattern("/a"), BodyLimit: MaxBodyLimit + 1},
		"no such application": {Path: pattern("/a"), Apps: []string{"word"}},
		"a guard":             {Path: pattern("/a"), Exclude: []Exclusion{{Rule: 949110, Target: "ARGS:a"}}},
	} {
		cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit}
		released := 0
		_, err := newPlan(cfg, []Route{r}, func(c Config) (*Engine, string, error) { return nil, "k", c.complete().validate() },
			func(p *plan) { released += len(p.keys) })
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
		if name != "no path" && released != 1 {
			t.Errorf("%s: %d references given back, want the site's", name, released)
		}
	}
}

func TestCanaryTriesEveryRoute(t *testing.T) {
	h := provision(t, &Handler{Routes: []Route{{Path: pattern("/a/*"), Paranoia: 2}, {Path: pattern("/d/*"), Mode: Detect}, {Path: pattern("/o"), InsecureOff: true}}})
	var events []event.Event
	c := &canary{handler: h, site: &gatehouse.Site{Name: "routes.test"}, publish: func(e event.Event) { events = append(events, e) }}
	if c.check(t.Context()); len(events) != 2 || !strings.Contains(events[0].Detail, "route /d/*: detect mode") || !strings.Contains(events[1].Detail, "route /o: insecure_waf_off") {
		t.Fatalf("%+v", events)
	}
	p := *h.live.plan.Load()
	cfg := p.site.cfg
	cfg.Rules = RuleFiles{"before/off.conf": `SecAction "id:10001,phase:1,pass,nolog,ctl:ruleEngine=Off"`}
	blind, err := New(cfg, bodies)
	if err != nil {
		t.Fatal(err)
	}
	p.routes = append([]planned{{pattern("/blind"), blind}}, p.routes...)
	h.live.swap(&p)
	if c.check(t.Context()); len(events) != 3 || !strings.Contains(events[2].Detail, "route /blind: the attack was let through") {
		t.Errorf("%+v", events)
	}
}
