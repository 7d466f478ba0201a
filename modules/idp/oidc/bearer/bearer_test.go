package bearer

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
)

func TestTokenIn(t *testing.T) {
	tests := []struct {
		values []string
		token  string
		err    error
	}{
		{nil, "", nil},
		{[]string{"Basic eDp5"}, "", nil},
		{[]string{"Basic eDp5", "Digest x"}, "", nil},
		{[]string{"BearerToken x"}, "", nil},
		{[]string{"bearer a.b-c_d~e+f/g=="}, "a.b-c_d~e+f/g==", nil},
		{[]string{"Bearer  x"}, "x", nil},
		{[]string{"Bearer"}, "", errMalformed},
		{[]string{"Bearer "}, "", errMalformed},
		{[]string{"Bearer\tx"}, "", errMalformed},
		{[]string{"Bearer x y"}, "", errMalformed},
		{[]string{"Bearer x,"}, "", errMalformed},
		{[]string{"Basic eDp5", "Bearer x"}, "", errManyHeaders},
	}
	for _, tt := range tests {
		token, err := tokenIn(tt.values)
		if token != "" && !wellFormed(token) {
			token, err = "", errMalformed
		}
		if token != tt.token || err != tt.err {
			t.Errorf("%q: %q, %v; want %q, %v", tt.values, token, err, tt.token, tt.err)
		}
	}
}

func FuzzTokenIn(f *testing.F) {
	for _, s := range []string{"", "Bearer", "bearer x", "Bearer  x", "Basic y", "Bearer x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := tokenIn([]string{s})
		if wellFormed(token) && (err != nil || !strings.HasSuffix(s, token) || strings.ContainsAny(token, " \t,\"\x00")) {
			t.Errorf("%q: %q, %v", s, token, err)
		}
	})
}

// seenBefore is an authenticator that has verified a token, and a request with it.
func seenBefore(t testing.TB) (*Authenticator, *http.Request, *gatehouse.Request) {
	t.Helper()
	path, err := reqpath.ParsePattern("/api/*")
	if err != nil {
		t.Fatal(err)
	}
	a := &Authenticator{
		APIs: []API{{
			Path: path, Scopes: []string{"app.read"}, WorkspaceClaim: "w",
			Workspaces: []scope.Naming{{Path: "/api/ws/{workspace}/*"}}, ForwardToken: true,
		}},
		verified: recent.New[*verified](maxVerified),
	}
	token := strings.Repeat("x", 300) + "." + strings.Repeat("y", 500) + "." + strings.Repeat("z", 86)
	now := time.Now()
	a.verified.Put(recent.KeyOf(token), &verified{api: &a.APIs[0], testimony: &gatehouse.Testimony{
		Identity:   identity.Identity{Provider: "corp", Subject: "ada"},
		Credential: identity.Credential{Method: identity.ByBearer, Scopes: []string{"app.read"}, Workspaces: []string{"a"}},
	}}, now, now.Add(time.Hour))
	r := httptest.NewRequest(http.MethodGet, "https://app.test/api/ws/a/docs", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	p, err := reqpath.Parse("/api/ws/a/docs", reqpath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a, r, &gatehouse.Request{Path: p}
}

// A token that was verified a short while ago costs no allocation.
func TestKnownTokenAllocatesNothing(t *testing.T) {
	a, r, req := seenBefore(t)
	if n := testing.AllocsPerRun(100, func() {
		if got, err := a.Testify(r, req); err != nil || got == nil {
			t.Fatal(got, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKnownToken(b *testing.B) {
	a, r, req := seenBefore(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Testify(r, req); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMostSpecificAPICounts(t *testing.T) {
	var a Authenticator
	for _, text := range []string{"/api/*", "/api/admin/*", "/*"} {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		a.APIs = append(a.APIs, API{Path: p})
	}
	slices.SortFunc(a.APIs, func(x, y API) int { return x.Path.Compare(y.Path) })
	for raw, want := range map[string]string{"/api/admin/x": "/api/admin/*", "/api/x": "/api/*", "/x": "/*", "/api/ADMIN/x": "", "/API/x": ""} {
		p, err := reqpath.Parse(raw, reqpath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if api := a.at(p); api != nil {
			got = api.Path.String()
		}
		if got != want {
			t.Errorf("%s belongs to %q, want %q", raw, got, want)
		}
	}
}
