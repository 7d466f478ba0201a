package standard_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

const (
	tokenHouse = `voucher
		tenant acme {
			providers voucher
		}`
	tokenPolicy = `tenant acme
		allow role staff
		rate_limit 1000r/s burst 1000 /.gatehouse/*
		api_key_header X-Api-Key
		api /api/* {
			issuer gatehouse
			audience main
		}
		api /other/* {
			issuer gatehouse
			audience other
		}`
)

// tokened is a house with APIs that take the gateway's own tokens, and somebody who has logged in to it.
func tokened(t testing.TB) *operated {
	t.Helper()
	g := operate(t, "idp", tokenHouse, "policy", tokenPolicy, "backend", "reverse_proxy "+backend(t))
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	return g
}

// samsKey is a key of that person's.
func (o *operated) samsKey(more ...string) string {
	return o.ok(append([]string{"api-key", "create", "--user", "voucher:sam", "--tenant", "acme", "--host", "app.test"}, more...)...)
}

// exchange asks for a token for the key, and returns it or the answer that has none.
func (o *operated) exchange(key, resource string) (token string, status int, body string) {
	o.t.Helper()
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {key},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	if resource != "" {
		form.Set("resource", resource)
	}
	res, body := call(o.t, o.Client(), http.MethodPost, "https://app.test/.gatehouse/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var said struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		o.t.Fatalf("the token endpoint: %d %s", res.StatusCode, body)
	}
	if (said.Token != "") != (res.StatusCode == 200) {
		o.t.Errorf("%d with the token %q", res.StatusCode, said.Token)
	}
	return said.Token, res.StatusCode, body
}

// wantToken fails the test unless there is a token for the key, or, with a status, a refusal that says why.
func (o *operated) wantToken(what, key string, status int, why string) {
	o.t.Helper()
	if _, got, body := o.exchange(key, "main"); got != status || !strings.Contains(body, why) {
		o.t.Errorf("%s: %d %s, want %d %s", what, got, body, status, why)
	}
}

// Where an API takes tokens for keys, the key itself opens nothing: in no header, and in no reading of the path. Elsewhere it does.
func TestKeysWhereTokensAreTaken(t *testing.T) {
	g := tokened(t)
	key := g.samsKey()
	token, status, body := g.exchange(key, "main")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if res, body := get(t, g.Client(), "https://app.test/api/x", "Authorization", "Bearer "+token); res.StatusCode != 200 {
		t.Fatalf("a token: %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/api", "/api/x", "/API/x", "/%61pi/x", "/api;v=1/x", "/other/x"} {
		for _, header := range [][]string{{"Authorization", "Bearer " + key}, {"Authorization", basic("sam", key)}, {"X-Api-Key", key}} {
			res, body := get(t, g.Client(), "https://app.test"+path, header...)
			if res.StatusCode != 401 || !strings.Contains(body, `"reason":"invalid_token"`) || !strings.Contains(res.Header.Get("Www-Authenticate"), "exchange the key at /.gatehouse/token") {
				t.Errorf("a key in %s at %s: %d %q %s", header[0], path, res.StatusCode, res.Header.Get("Www-Authenticate"), body)
			}
		}
	}
	if !strings.Contains(g.Log(), "the key "+key[4:14]+" opens nothing here itself") {
		t.Error("the log does not say which key, and what to do")
	}
	if res, body := get(t, g.Client(), "https://app.test/files/x", "Authorization", "Bearer "+key); res.StatusCode != 200 {
		t.Errorf("a key elsewhere: %d %s", res.StatusCode, body)
	}
}

// A token is for an API that its key has paths of.
func TestTokensOfKeysWithPaths(t *testing.T) {
	g := tokened(t)
	all, other, none := g.samsKey(), g.samsKey("--path", "/other/x/*"), g.samsKey("--path", "/files/*")
	for _, tt := range []struct{ what, key, resource, aud string }{
		{"every path", all, "main", "main"}, {"every path", all, "other", "other"}, {"every path, no API said", all, "", ""},
		{"a part of one API", other, "other", "other"}, {"a part of one API, not said", other, "", "other"}, {"another API", other, "main", ""},
		{"no API's paths", none, "main", ""}, {"no API's paths, not said", none, "", ""},
	} {
		token, status, body := g.exchange(tt.key, tt.resource)
		if tt.aud == "" {
			if status != 400 || !strings.Contains(body, `"invalid_target"`) {
				t.Errorf("%s: %d %s", tt.what, status, body)
			}
			continue
		}
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			t.Fatalf("%s: %d %s", tt.what, status, body)
		}
		if said, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || !strings.Contains(string(said), `"aud":"`+tt.aud+`"`) {
			t.Errorf("%s: %s, %v", tt.what, said, err)
		}
	}
}

// No token is to be had for a key that was voided, though its person is back; nor for one that is banned by name.
func TestTokensOfBarredKeys(t *testing.T) {
	g := tokened(t)
	g.ok("service-account", "add", "robot", "--role", "staff", "--tenant", "acme")
	robot := g.ok("api-key", "create", "--account", "robot", "--host", "app.test")
	key, beside := g.samsKey(), g.samsKey()
	g.wantToken("a key", key, 200, "")
	for whom, tt := range map[string]struct{ others, robots int }{"key:" + key[4:14]: {200, 200}, "user:voucher:sam": {403, 200}, "tenant:acme": {403, 403}} {
		g.ok("ban", "add", whom, "--for", "10m")
		g.wantToken(whom, key, 403, `"reason":"banned"`)
		g.wantToken(whom+", another key", beside, tt.others, "")
		g.wantToken(whom+", somebody else's", robot, tt.robots, "")
		g.ok("ban", "remove", whom)
		g.wantToken(whom+", lifted", key, 200, "")
	}
	g.ok("ban", "add", "key:"+key[4:14], "--for", "10m", "--action", "step_up")
	g.wantToken("to prove a second factor", key, 403, `"reason":"banned"`)
	g.ok("ban", "remove", "key:"+key[4:14])

	_, state, err := gatehouse.RunningState()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Standing.Update(t.Context(), standing.Person{Provider: "voucher", Subject: "sam"}, func(r *standing.Record) error {
		r.NotBefore = time.Now().UTC()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	g.wantToken("issued before it was voided", key, 400, `"invalid_grant"`)
	g.wantToken("issued since", g.samsKey(), 200, "")
}

// CTB-08: what is locked or read-only gives no tokens, which would be good where no switch is heeded; and one that cannot be put on record
// is given to nobody.
func TestTokensUnderSwitches(t *testing.T) {
	g := tokened(t)
	key := g.samsKey()
	for what, reason := range map[string]string{"lock": "locked", "read-only": "read_only"} {
		id := g.ok("contain", what, "--tenant", "acme", "--for", "1h", "--reason", "x")
		g.wantToken(what, key, 503, `"reason":"`+reason+`"`)
		wantStatus(t, g.Client(), "https://app.test/.gatehouse/token/jwks.json", 200)
		g.ok("contain", "lift", id)
		g.wantToken(what+", lifted", key, 200, "")
	}
	_, state, err := gatehouse.RunningState()
	if err != nil {
		t.Fatal(err)
	}
	issued := g.Events("access_token.issued")
	state.Bus.KeepWith(deafTo{state.Audit, event.AccessTokenIssued})
	defer state.Bus.KeepWith(state.Audit)
	g.wantToken("no room on record", key, 503, `"reason":"unavailable"`)
	state.Bus.KeepWith(state.Audit)
	if n := g.Events("access_token.issued"); n != issued {
		t.Errorf("%d tokens are told of that nobody has", n-issued)
	}
	g.wantToken("room again", key, 200, "")
}
