package scope_test

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
)

func path(t testing.TB, raw string) reqpath.Path {
	t.Helper()
	p, err := reqpath.Parse(raw, reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return p
}

func pattern(t testing.TB, text string) reqpath.Pattern {
	t.Helper()
	p, err := reqpath.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCovers(t *testing.T) {
	s := scope.Scope{
		Hosts: []string{"App.Test:443"}, Paths: []reqpath.Pattern{pattern(t, "/api/*"), pattern(t, "/health")}, Methods: []string{"get", "PUT"},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24"), netip.MustParsePrefix("2001:db8::/32")},
	}
	if err := s.Normalize(); err != nil {
		t.Fatal(err)
	}
	good := scope.Request{Host: "app.test:8443", Path: path(t, "/api/items"), Method: "GET", Client: netip.MustParseAddr("192.0.2.200")}
	with := func(change func(*scope.Request)) scope.Request { r := good; change(&r); return r }
	tests := []struct {
		name string
		r    scope.Request
		want error
	}{
		{"in scope", good, nil},
		{"HEAD, since GET", with(func(r *scope.Request) { r.Method = "HEAD" }), nil},
		{"IPv6", with(func(r *scope.Request) { r.Client = netip.MustParseAddr("2001:db8::1") }), nil},
		{"another host", with(func(r *scope.Request) { r.Host = "other.test" }), scope.ErrHost},
		{"a host that ends like it", with(func(r *scope.Request) { r.Host = "evil.app.test" }), scope.ErrHost},
		{"a wider path", with(func(r *scope.Request) { r.Path = path(t, "/") }), scope.ErrPath},
		{"a sibling", with(func(r *scope.Request) { r.Path = path(t, "/apis") }), scope.ErrPath},
		{"another spelling", with(func(r *scope.Request) { r.Path = path(t, "/API/items") }), scope.ErrPath},
		{"parameters", with(func(r *scope.Request) { r.Path = path(t, "/api;x/items") }), scope.ErrPath},
		{"an encoded slash", with(func(r *scope.Request) { r.Path = path(t, "/api%2Fitems") }), scope.ErrPath},
		{"no path", with(func(r *scope.Request) { r.Path = reqpath.Path{} }), scope.ErrPath},
		{"another method", with(func(r *scope.Request) { r.Method = "DELETE" }), scope.ErrMethod},
		{"a method in lower case", with(func(r *scope.Request) { r.Method = "get" }), scope.ErrMethod},
		{"another network", with(func(r *scope.Request) { r.Client = netip.MustParseAddr("192.0.3.1") }), scope.ErrNetwork},
		{"no address", with(func(r *scope.Request) { r.Client = netip.Addr{} }), scope.ErrNetwork},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.Covers(tt.r); !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Errorf("Covers = %v, want %v", err, tt.want)
			}
		})
	}
	if err := new(scope.Scope).Covers(good); err == nil {
		t.Error("the zero scope covers something")
	}
}

func TestNormalizeRefuses(t *testing.T) {
	all := []reqpath.Pattern{pattern(t, "/*")}
	for name, s := range map[string]scope.Scope{
		"no host":      {Paths: all},
		"no path":      {Hosts: []string{"a.test"}},
		"a zero path":  {Hosts: []string{"a.test"}, Paths: []reqpath.Pattern{{}}},
		"a wildcard":   {Hosts: []string{"*.test"}, Paths: all},
		"a URL":        {Hosts: []string{"https://a.test/"}, Paths: all},
		"no method":    {Hosts: []string{"a.test"}, Paths: all, Methods: []string{"GET,PUT"}},
		"no network":   {Hosts: []string{"a.test"}, Paths: all, Networks: []netip.Prefix{{}}},
		"too many":     {Hosts: make([]string, 33), Paths: all},
		"an empty one": {Hosts: []string{""}, Paths: all},
	} {
		if err := s.Normalize(); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
	if _, err := scope.ParseNetwork("192.0.2"); err == nil {
		t.Error("half an address is a network")
	}
	if p, err := scope.ParseNetwork("::ffff:192.0.2.1"); err != nil || p.String() != "192.0.2.1/32" {
		t.Errorf("a mapped address is %v, %v", p, err)
	}
}

func TestWorkspace(t *testing.T) {
	all := []scope.Naming{{Host: "{workspace}.app.test"}, {Path: "/ws/{workspace}/*"}, {Header: "X-Workspace"}}
	byPath := all[1:2]
	for _, n := range all {
		if err := n.Validate(); err != nil {
			t.Error(err)
		}
	}
	tests := []struct {
		name, host, path string
		header           []string
		by               []scope.Naming
		want             string
		err              error
	}{
		{"path", "app.test", "/ws/a/x", nil, byPath, "a", nil},
		{"path, all of it", "app.test", "/ws/a", nil, byPath, "a", nil},
		{"path with a slash", "app.test", "/ws/a/", nil, byPath, "a", nil},
		{"path, encoded", "app.test", "/ws/%61/x", nil, byPath, "a", nil},
		{"host", "A.App.Test:8443", "/x", nil, all, "a", nil},
		{"header", "app.test", "/x", []string{"a"}, all, "a", nil},
		{"all agree", "a.app.test", "/ws/a/x", []string{"a"}, all, "a", nil},
		{"none", "app.test", "/x", nil, all, "", scope.ErrNoWorkspace},
		{"host and path differ", "a.app.test", "/ws/b/x", nil, all, "", scope.ErrWorkspaces},
		{"path and header differ", "app.test", "/ws/a/x", []string{"b"}, all, "", scope.ErrWorkspaces},
		{"header in other case", "app.test", "/ws/a/x", []string{"A"}, all, "", scope.ErrWorkspaces},
		{"two headers", "app.test", "/ws/a/x", []string{"a", "b"}, all, "", scope.ErrWorkspaces},
		{"an empty header", "app.test", "/ws/a/x", []string{""}, all, "", scope.ErrWorkspaces},
		{"two in a header", "app.test", "/x", []string{"a, b"}, all, "a, b", nil},
		{"path that others fold", "app.test", "/WS/a/x", nil, byPath, "", scope.ErrWorkspaces},
		{"the workspace in other case is another", "app.test", "/ws/A/x", nil, byPath, "A", nil},
		{"parameters", "app.test", "/ws/a;b/x", nil, byPath, "", scope.ErrWorkspaces},
		{"parameters before", "app.test", "/ws;x/a/x", nil, byPath, "", scope.ErrWorkspaces},
		{"trailing dot", "app.test", "/ws/a./x", nil, byPath, "", scope.ErrWorkspaces},
		{"full width", "app.test", "/ws/%EF%BD%81/x", nil, byPath, "", scope.ErrWorkspaces},
		{"empty segment", "app.test", "/ws//a/x", nil, byPath, "", scope.ErrWorkspaces},
		{"encoded slash", "app.test", "/ws/a%2Fb", nil, byPath, "", scope.ErrWorkspaces},
		{"only the root", "app.test", "/ws", nil, byPath, "", scope.ErrNoWorkspace},
		{"a deeper host is none", "x.a.app.test", "/", nil, all, "", scope.ErrNoWorkspace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.header != nil {
				h["X-Workspace"] = tt.header
			}
			got, err := scope.Workspace(tt.by, tt.host, path(t, tt.path), h)
			if got != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("Workspace = %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
	for _, bad := range []scope.Naming{
		{}, {Host: "a.test"}, {Host: "{workspace}."}, {Host: "x.{workspace}.test"}, {Path: "/ws/*"}, {Path: "/ws/x{workspace}"},
		{Path: "/{workspace}/{workspace}"}, {Header: "x-workspace"}, {Header: "X_Workspace"}, {Host: "{workspace}.test", Header: "X-W"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
