package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

func TestCaddyfile(t *testing.T) {
	parse := func(text string) (*Provider, error) {
		p := new(Provider)
		return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	}
	p, err := parse("local {\nname staff\nlabel \"Staff only\"\nfirst_user_roles admin staff\npassword_min 16\npassword_hash rfc9106\nbreached_list /l\nregister\n}")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p)
	want := `{"name":"staff","label":"Staff only","first_user_roles":["admin","staff"],"password_min":16,"password_hash":"rfc9106","breached_list":"/l","register":true}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := parse("local"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"local x", "local {\nname\n}", "local {\nname a b\n}", "local {\npassword_min many\n}", "local {\nfirst_user_roles\n}", "local {\nx y\n}", "local {\nregister yes\n}", "local {\nbreached_list\n}"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestPasswordMin(t *testing.T) {
	for n, ok := range map[int]bool{0: true, 12: true, 20: true, 11: false, -1: false, 65: false} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		p := &Provider{PasswordMin: n}
		if err := errors.Join(p.Provision(ctx), p.Validate()); (err == nil) != ok {
			t.Errorf("password_min %d: %v", n, err)
		}
		cancel()
	}
}

// house is a provider in an open house.
type house struct {
	*testing.T
	*Provider
	app    *gatehouse.App
	stderr *bytes.Buffer

	mu     sync.Mutex
	events []event.Event // guarded by mu
}

func newHouse(t *testing.T, dir string) *house {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	h := &house{T: t, Provider: new(Provider), app: &gatehouse.App{StateDir: dir}, stderr: new(bytes.Buffer)}
	h.Provider.stderr = h.stderr
	if err := errors.Join(h.app.Provision(ctx), h.Provision(ctx), h.Validate(), h.Open(h.app)); err != nil {
		t.Fatal(err)
	}
	state, err := h.app.State()
	if err != nil {
		t.Fatal(err)
	}
	state.Bus.Subscribe("test", 100, func(e event.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, e)
	})
	t.Cleanup(func() { _ = h.app.Cleanup(); cancel() })
	return h
}

func (h *house) start() (printed string) {
	h.Helper()
	h.stderr.Reset()
	if err := h.Start(); err != nil {
		h.Fatal(err)
	}
	return h.stderr.String()
}

// send makes one request to the provider; form is posted when not nil.
func (h *house) send(sub, query string, form url.Values) (*identity.Identity, *httptest.ResponseRecorder, error) {
	h.Helper()
	return h.sendFrom("192.0.2.1", sub, query, form)
}

func (h *house) sendFrom(client, sub, query string, form url.Values) (*identity.Identity, *httptest.ResponseRecorder, error) {
	h.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/.gatehouse/login/local"+sub+query, nil)
	if form != nil {
		r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	vouching, err := h.ServeLogin(w, r, gatehouse.Login{
		Request: &gatehouse.Request{ID: "r1", ClientIP: netip.MustParseAddr(client), Site: &gatehouse.Site{Name: "app"}},
		Base:    "/.gatehouse/login/local", Origin: "https://app.example.com", Sub: sub,
		Flow: gatehouse.Flow{Token: "flow-token", Started: time.Now(), Fresh: form == nil},
	})
	if vouching == nil {
		return nil, w, err
	}
	return &vouching.Identity, w, err
}

func reasonOf(err error) verdict.Reason {
	var le *gatehouse.LoginError
	if errors.As(err, &le) {
		return le.Reason
	}
	return ""
}

func tokenIn(printed string) string {
	_, rest, _ := strings.Cut(printed, "setup?token=")
	token, _, _ := strings.Cut(rest, "\n")
	return token
}

// TestFirstUser tells the story of a new house, from the printed link to the first login after it.
func TestFirstUser(t *testing.T) {
	dir := t.TempDir()
	h := newHouse(t, dir)
	printed := h.start()
	token := tokenIn(printed)
	if len(token) != 43 {
		t.Fatalf("printed %q", printed)
	}
	file := filepath.Join(dir, "setup-link")
	info, err := os.Stat(file)
	if text, _ := os.ReadFile(file); err != nil || info.Mode().Perm() != 0o600 || tokenIn(string(text)) != token {
		t.Errorf("the link's file: %v, %v, %q", info.Mode(), err, text)
	}
	if printed := h.start(); printed != "" { // a reload
		t.Errorf("a second link was issued: %q", printed)
	}

	_, w, err := h.send("/setup", "?token="+token, nil)
	if page := w.Body.String(); err != nil || w.Code != 200 || !strings.Contains(page, token) || !strings.Contains(page, "flow-token") {
		t.Errorf("set-up page: %v, status %d", err, w.Code)
	}
	if _, w, err := h.send("/setup", "?token=wrong", nil); err != nil || strings.Contains(w.Body.String(), "wrong") || !strings.Contains(w.Body.String(), "not valid") {
		t.Errorf("wrong token: %v", err)
	}
	good := url.Values{"token": {token}, "username": {"Ada"}, "password": {goodPassword}, "password_again": {goodPassword}}
	with := func(pairs ...string) url.Values {
		form := url.Values{}
		for name := range good {
			form.Set(name, good.Get(name))
		}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	for name, tt := range map[string]struct {
		form url.Values
		says string
	}{
		"wrong token": {with("token", "x"), "setup code is not valid"}, "bad name": {with("username", "a b"), "another user name"},
		"short": {with("password", "short", "password_again", "short"), "too short"}, "differ": {with("password_again", "x"), "not the same"},
		"weak":     {with("password", "adaadaadaadaada", "password_again", "adaadaadaadaada"), "too easy"},
		"too long": {with("password", strings.Repeat("x", 300), "password_again", strings.Repeat("x", 300)), "too long"},
	} {
		who, w, err := h.send("/setup", "", tt.form)
		if body := w.Body.String(); who != nil || err != nil || w.Code != 422 || !strings.Contains(body, tt.says) || strings.Contains(body, goodPassword) {
			t.Errorf("%s: %v, %v, status %d", name, who, err, w.Code)
		}
	}

	var mu sync.Mutex
	var made []*identity.Identity
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			who, _, _ := h.send("/setup", "", with("username", fmt.Sprint("ada", i)))
			mu.Lock()
			defer mu.Unlock()
			if who != nil {
				made = append(made, who)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Fatalf("16 parallel posts made %d users", len(made))
	}
	first := made[0]
	if first.Provider != "local" || !slices.Equal(first.Roles, []string{"admin"}) || !slices.Equal(first.AMR, []string{"pwd"}) {
		t.Errorf("the first user is %+v", first)
	}
	e, _ := h.engine()
	if n, err := e.users.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("%d users, %v", n, err)
	}
	for _, form := range []url.Values{nil, good} {
		if _, _, err := h.send("/setup", "?token="+token, form); reasonOf(err) != verdict.NotFound {
			t.Errorf("set-up goes on: %v", err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link's file is still there: %v", err)
	}
	_ = os.WriteFile(file, []byte("stale"), 0o600)
	if printed := h.start(); printed != "" {
		t.Errorf("a house with a user printed %q", printed)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale file is still there: %v", err)
	}
	who, _, err := h.send("", "", url.Values{"username": {first.Subject}, "password": {goodPassword}})
	if err != nil || who.Subject != first.Subject {
		t.Errorf("login: %+v, %v", who, err)
	}
	_ = h.app.Cleanup() // closes the bus, which handles what was queued
	h.mu.Lock()
	defer h.mu.Unlock()
	var kinds []event.Kind
	created := ""
	for _, e := range h.events {
		if e.Kind != event.AdminRequested { // which each of them did
			kinds = append(kinds, e.Kind)
		}
		if e.Kind == event.UserCreated {
			created = e.User
		}
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, token) || strings.Contains(text, goodPassword) {
			t.Errorf("an event tells a secret: %s", text)
		}
	}
	if !slices.Equal(kinds, []event.Kind{event.SetupLinkIssued, event.UserCreated}) || created != "local:"+first.Subject {
		t.Errorf("events %v", h.events)
	}
}

func TestRestartIssuesANewLink(t *testing.T) {
	dir := t.TempDir()
	h := newHouse(t, dir)
	old := tokenIn(h.start())
	_ = h.app.Cleanup()
	h = newHouse(t, dir)
	fresh := tokenIn(h.start())
	if fresh == "" || fresh == old {
		t.Fatalf("token after the restart: %q", fresh)
	}
	_, w, _ := h.send("/setup", "?token="+old, nil)
	if strings.Contains(w.Body.String(), old) {
		t.Error("the link from before the restart still works")
	}
}

// A busy machine takes longer over a hash than the pause after a failure lasts: here, hashing takes no time.
func TestLogin(t *testing.T) { synctest.Test(t, testLogin) }

func testLogin(t *testing.T) {
	h := newHouse(t, t.TempDir())
	e, err := h.engine()
	if err != nil {
		t.Fatal(err)
	}
	add(t, e.users, "ada", "staff", "admin")
	post := func(client, user, password string) (*identity.Identity, error) {
		who, w, err := h.sendFrom(client, "", "", url.Values{"username": {user}, "password": {password}})
		if w.Body.Len() != 0 {
			t.Errorf("a login wrote %q", w.Body)
		}
		return who, err
	}
	who, err := post("192.0.2.1", " Ada", goodPassword)
	if err != nil || who.Subject != "ada" || who.Issuer != issuer || !slices.Equal(who.Roles, []string{"admin", "staff"}) || time.Since(who.AuthTime) > time.Minute {
		t.Fatalf("%+v, %v", who, err)
	}
	var told []string
	for _, name := range []string{"ada", "eve"} { // known and unknown
		for range 2 {
			_, err := post("192.0.2.2", name, "wrong")
			var le *gatehouse.LoginError
			if !errors.As(err, &le) || le.User != name {
				t.Fatalf("%s: %v", name, err)
			}
			told = append(told, fmt.Sprint(le.Reason, le.Message, le.After > 0))
		}
	}
	if told[0] != told[2] || told[1] != told[3] || !strings.HasPrefix(told[0], "login_failed"+string(page.BadCredentials)) || !strings.HasPrefix(told[1], "too_many_attempts") {
		t.Errorf("known and unknown users are told %q", told)
	}
	if _, err := post("192.0.2.2", "ada", goodPassword); reasonOf(err) != verdict.TooManyAttempts {
		t.Errorf("the right password during a pause: %v", err)
	}
	if _, err := post("192.0.2.3", "ada", goodPassword); err != nil {
		t.Errorf("the victim is locked out elsewhere: %v", err)
	}
	_, err = post("192.0.2.4", "My Passw0rd in the wrong field", "x")
	var le *gatehouse.LoginError
	if !errors.As(err, &le) || le.User != "" {
		t.Errorf("what is no name is repeated: %+v", le)
	}
}

func TestRequestsThatAreNoLogin(t *testing.T) {
	h := newHouse(t, t.TempDir())
	form := url.Values{"username": {"ada"}, "password": {goodPassword}}
	for name, tt := range map[string]struct {
		sub    string
		form   url.Values
		change func(*http.Request, *gatehouse.Login)
		want   verdict.Reason
	}{
		"form not asked for":   {form: form, change: func(_ *http.Request, l *gatehouse.Login) { l.Flow.Fresh = true }, want: verdict.LoginExpired},
		"set-up not asked for": {sub: "/setup", form: form, change: func(_ *http.Request, l *gatehouse.Login) { l.Flow.Fresh = true }, want: verdict.LoginExpired},
		"get":                  {want: verdict.LoginExpired},
		"another path":         {sub: "/setup/", want: verdict.NotFound},
		"another method":       {form: form, change: func(r *http.Request, _ *gatehouse.Login) { r.Method = "PUT" }, want: verdict.BadMethod},
		"json":                 {form: form, change: func(r *http.Request, _ *gatehouse.Login) { r.Header.Set("Content-Type", "application/json") }, want: verdict.BadRequest},
		"multipart": {form: form, change: func(r *http.Request, _ *gatehouse.Login) {
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		}, want: verdict.BadRequest},
		"two names": {form: url.Values{"username": {"ada", "eve"}, "password": {"x"}}, want: verdict.BadRequest},
		"malformed": {form: form, change: func(r *http.Request, _ *gatehouse.Login) { r.Body = io.NopCloser(strings.NewReader("username=%zz")) }, want: verdict.BadRequest},
		"too large": {form: form, change: func(r *http.Request, _ *gatehouse.Login) {
			r.Body = http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("username="+strings.Repeat("a", 1000))), 100)
		}, want: verdict.BodyTooLarge},
	} {
		if got := h.reason(tt.sub, tt.form, tt.change); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	_ = h.app.Cleanup()
	if got := h.reason("", form, nil); got != verdict.Unavailable {
		t.Errorf("state is closed: %s", got)
	}
}

func (h *house) reason(sub string, form url.Values, change func(*http.Request, *gatehouse.Login)) verdict.Reason {
	r := httptest.NewRequest(http.MethodGet, "https://app.example.com/x", strings.NewReader(form.Encode()))
	if form != nil {
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	l := gatehouse.Login{Request: &gatehouse.Request{ClientIP: netip.MustParseAddr("192.0.2.1")}, Base: "/.gatehouse/login/local", Sub: sub}
	if change != nil {
		change(r, &l)
	}
	who, err := h.ServeLogin(httptest.NewRecorder(), r, l)
	if who != nil {
		h.Errorf("logged in as %v", who)
	}
	return reasonOf(err)
}
