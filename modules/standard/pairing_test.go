package standard_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

const pairingPolicy = `allow role staff
		rate_limit 1000r/s burst 1000 /.gatehouse/*
		device_pairing /files/* /api/* {
			lasts 7d
			methods GET PUT
			scopes files.read files.write
		}`

// program is a native application without a browser.
type program struct {
	t    testing.TB
	c    *http.Client
	host string
}

// post sends a form to an endpoint of the gateway's, and returns status and JSON.
func (p program) post(path string, fields ...string) (int, map[string]any) {
	p.t.Helper()
	f := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	res, body := call(p.t, p.c, "POST", "https://"+p.host+path, f.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		p.t.Fatalf("%s: %d %s", path, res.StatusCode, body)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		p.t.Errorf("%s: Cache-Control %q", path, res.Header.Get("Cache-Control"))
	}
	return res.StatusCode, v
}

// ask begins a pairing.
func (p program) ask(client string) (device, user string) {
	p.t.Helper()
	status, v := p.post("/.gatehouse/device/code", "client_id", client, "scope", "files.read")
	device, _ = v["device_code"].(string)
	user, _ = v["user_code"].(string)
	at := "https://" + p.host + "/.gatehouse/device"
	if status != 200 || len(device) != 40 || len(user) != 9 || v["verification_uri"] != at || v["verification_uri_complete"] != at+"?user_code="+user || v["interval"] != 5.0 || v["expires_in"] != 600.0 {
		p.t.Fatalf("%d %v", status, v)
	}
	return device, user
}

// poll asks for the key, and returns it or the error.
func (p program) poll(device, client string) (key, why string) {
	p.t.Helper()
	_, v := p.post("/.gatehouse/device/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", device, "client_id", client)
	key, _ = v["access_token"].(string)
	why, _ = v["error"].(string)
	return key, why
}

// browserOf is the browser of somebody who is logged in.
func browserOf(t testing.TB, g *operated, query string) *gatetest.Browser {
	t.Helper()
	b := g.Browser()
	b.Get("/.gatehouse/login/voucher?"+query).Want(t, 303, "")
	return b
}

// A program gets a key of the person's who types its code and approves, and of nobody else; the person sees it and takes it
// back (RFC 8628).
func TestPairing(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", pairingPolicy, "backend", "reverse_proxy "+backend(t))
	p := program{t, g.Client(), "app.test"}
	device, user := p.ask("sync 1.0")
	if _, why := p.poll(device, "sync 1.0"); why != "authorization_pending" {
		t.Errorf("before anybody has decided: %q", why)
	}
	if _, why := p.poll(device, "sync 1.0"); why != "slow_down" {
		t.Errorf("at once again: %q", why)
	}

	g.Browser().Get("/.gatehouse/device?user_code="+user).Want(t, 302, "") // first, to log in
	sam := browserOf(t, g, "as=sam&roles=staff")
	sam.Get("/.gatehouse/device").Want(t, 200, "Type the code")
	shown := sam.Get("/.gatehouse/device?user_code="+strings.ToLower(strings.ReplaceAll(user, "-", ""))).Want(t, 200, user)
	for _, says := range []string{"sync 1.0", "127.0.0.1", "app.test /files/* /api/*", "GET PUT", "files.read", "about 7 days", ">sam<"} {
		if !strings.Contains(shown.Body, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	sam.Send("POST", "/.gatehouse/device", url.Values{"user_code": {user}, "do": {"approve"}}.Encode()).Want(t, 403, "forbidden") // without the form's token
	sam.Submit(shown, "do", "perhaps").Want(t, 400, "bad_request")
	sam.Submit(shown, "do", "approve").Want(t, 200, "The program is connected")
	sam.Submit(shown, "do", "deny").Want(t, 403, "That code is wrong") // it was decided

	if _, why := p.poll(device, "another"); why != "invalid_grant" {
		t.Errorf("another program with the device code: %q", why)
	}
	key, why := p.poll(device, "sync 1.0")
	if !strings.HasPrefix(key, "ghk_") {
		t.Fatalf("approved: %q", why)
	}
	if _, why := p.poll(device, "sync 1.0"); why != "invalid_grant" {
		t.Errorf("a second key by one approval: %q", why)
	}
	get := func(path string, status int) {
		t.Helper()
		res, body := get(t, g.Client(), "https://app.test"+path, "Authorization", "Bearer "+key)
		if res.StatusCode != status || status == 200 && seen(t, body).Get("X-Gatehouse-User") != "sam" {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	get("/files/x", 200)
	get("/other", 403) // not for what the site's pairing is for
	g.ok("user", "disable", "voucher:sam")
	get("/files/x", 401)
	g.ok("user", "enable", "voucher:sam")

	sam = browserOf(t, g, "as=sam&roles=staff")
	get("/files/x", 200)
	sam.Get("/.gatehouse/account").Want(t, 200, "/.gatehouse/account/keys")
	if list := g.ok("api-key", "list", "--user", "voucher:sam"); !strings.Contains(list, `"device: sync 1.0"`) {
		t.Errorf("the operator's list:\n%s", list)
	}
	mine := sam.Get("/.gatehouse/account/keys").Want(t, 200, "sync 1.0")
	eve := browserOf(t, g, "as=eve&roles=staff")
	if stolen := eve.Get("/.gatehouse/account/keys").Want(t, 200, "No program"); strings.Contains(stolen.Body, "sync") {
		t.Error("eve sees sam's keys")
	}
	sam.Submit(mine).Want(t, 303, "")
	get("/files/x", 401)
	sam.Get("/.gatehouse/account/keys?done=1").Want(t, 200, "cannot be used any more")

	g.WantEvent("device.approved", `"user":"voucher:sam"`, `"device":"sync 1.0"`, `"device_address":"127.0.0.1"`)
	g.WantEvent("api_key.created", `"user":"voucher:sam"`, `"device":"sync 1.0"`)
	g.WantEvent("api_key.revoked", "by its owner")
	for _, secret := range []string{key, device} {
		if strings.Contains(g.Log(), secret) || strings.Contains(stored(t, g.Dir), secret) {
			t.Error("a key or a device code is in the log or in the state")
		}
	}
}

// What is denied, mistyped, too much, or not switched on gives nobody a key.
func TestPairingRefused(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", pairingPolicy, "backend", "reverse_proxy "+backend(t),
		"more", "https://b.test:{{addr}} {\n{{tls}}\ngatehouse {\nallow role staff\ntenant other\ndevice_pairing\n}\nrespond hello\n}\nhttps://c.test:{{addr}} {\n{{tls}}\ngatehouse {\nallow role staff\n}\nrespond hello\n}")
	p := program{t, g.Client(), "app.test"}
	for _, tt := range []struct {
		why    string
		path   string
		fields []string
	}{
		{"invalid_request", "code", nil},
		{"invalid_request", "code", []string{"client_id", strings.Repeat("x", 65)}},
		{"invalid_request", "code", []string{"client_id", "a\nb"}},
		{"invalid_scope", "code", []string{"client_id", "x", "scope", "files.read admin"}},
		{"unsupported_grant_type", "token", []string{"grant_type", "password"}},
		{"invalid_grant", "token", []string{"grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", strings.Repeat("x", 40)}},
	} {
		if status, v := p.post("/.gatehouse/device/"+tt.path, tt.fields...); status != 400 || v["error"] != tt.why {
			t.Errorf("%s: %d %v", tt.why, status, v)
		}
	}
	sam := browserOf(t, g, "as=sam&roles=staff")
	device, user := p.ask("sync")
	b := program{t, g.Client(), "b.test"}
	if _, why := b.poll(device, "sync"); why != "invalid_grant" {
		t.Errorf("on another tenant's site: %q", why)
	}
	foreign, elsewhere := b.post("/.gatehouse/device/code", "client_id", "sync")
	code, _ := elsewhere["user_code"].(string)
	if foreign != 200 {
		t.Fatalf("%d %v", foreign, elsewhere)
	}
	sam.Get("/.gatehouse/device?user_code="+code).Want(t, 403, "That code is wrong") // of another tenant's site
	sam.Get("/.gatehouse/device?user_code="+user).Want(t, 429, "too_many_attempts")  // guesses slow down
	eve := browserOf(t, g, "as=eve&roles=staff")
	eve.Submit(eve.Get("/.gatehouse/device?user_code="+user).Want(t, 200, user), "do", "deny").Want(t, 200, "The program was denied")
	if _, why := p.poll(device, "sync"); why != "access_denied" {
		t.Errorf("denied: %q", why)
	}
	g.WantEvent("device.denied", `"user":"voucher:eve"`)

	for range 9 { // what one network may have waiting, with the one on the other site
		p.ask("flood")
	}
	if res, body := call(t, p.c, "POST", "https://app.test/.gatehouse/device/code", "client_id=flood", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/.gatehouse/device", "/.gatehouse/device/code", "/.gatehouse/device/token", "/.gatehouse/.well-known/oauth-authorization-server"} {
		if res, body := get(t, g.Client(), "https://c.test"+path); res.StatusCode != 404 {
			t.Errorf("a site without pairing: %s %d %s", path, res.StatusCode, body)
		}
	}
	_, body := get(t, g.Client(), "https://app.test/.gatehouse/.well-known/oauth-authorization-server")
	var meta map[string]any
	if err := json.Unmarshal([]byte(body), &meta); err != nil || meta["issuer"] != "https://app.test/.gatehouse" || meta["device_authorization_endpoint"] != "https://app.test/.gatehouse/device/code" || meta["token_endpoint"] != "https://app.test/.gatehouse/device/token" {
		t.Errorf("%v: %s", err, body)
	}
	for says, policy := range map[string]string{
		"device_pairing":           "allow role staff\ndevice_pairing files",
		"the options are lasts":    "allow role staff\ndevice_pairing {\nforever yes\n}",
		"within two years":         "allow role staff\ndevice_pairing {\nlasts 1000d\n}",
		"write it once":            "allow role staff\ndevice_pairing /a\ndevice_pairing /b",
		"is no method: write one ": "allow role staff\ndevice_pairing {\nmethods GE-T\n}",
	} {
		if err := g.Load(g.text("idp", "voucher", "policy", policy)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}

// Where the site asks people for a second factor, approving a program takes one, too.
func TestPairingTakesASecondFactor(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", pairingPolicy+"\nmfa 10m", "backend", "reverse_proxy "+backend(t))
	p := program{t, g.Client(), "app.test"}
	device, user := p.ask("sync")
	sam := browserOf(t, g, "as=sam&roles=staff")
	sam.Get("/.gatehouse/device").Want(t, 200, "Type the code")
	a := sam.Get("/.gatehouse/device?user_code=" + user)
	if a.StatusCode == 200 || !strings.Contains(a.Header.Get("Location")+a.Body, "/.gatehouse/mfa/verify?next=%2F.gatehouse%2Fdevice%3Fuser_code%3D"+user) {
		t.Errorf("without a second factor: %d %v\n%s", a.StatusCode, a.Header, a.Body)
	}
	if _, why := p.poll(device, "sync"); why != "authorization_pending" {
		t.Errorf("not approved: %q", why)
	}
}
