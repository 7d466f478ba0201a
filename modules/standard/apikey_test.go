package standard_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const keyPolicy = `allow role robot
		route /reports/* {
			allow service_account backup
		}
		route /scoped/* {
			allow scope reports.read
		}
		public /open/*
		api_key_header X-Api-Key`

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// A key is for what it was made for, in every place in which it may stand, and its text goes nowhere (CAL-27, PAINS 12).
func TestAPIKeys(t *testing.T) {
	g := operate(t, "policy", keyPolicy, "backend", "reverse_proxy "+backend(t))
	c := g.Client()
	g.ok("service-account", "add", "backup", "--role", "robot", "--note", "the nightly one")
	g.no("already", "service-account", "add", "backup")
	g.no("use 1 to 64", "service-account", "add", "Backup!")
	key := g.ok("api-key", "create", "--account", "backup", "--host", "app.test", "--path", "/files/*,/reports/*,/scoped/*", "--method", "GET,PUT",
		"--network", "127.0.0.0/8", "--scope", "reports.read")
	elsewhere := g.ok("api-key", "create", "--account", "backup", "--host", "other.test")
	foreign := g.ok("api-key", "create", "--account", "backup", "--host", "app.test", "--network", "192.0.2.0/24")

	other := map[bool]string{true: "y", false: "x"}[key[len(key)-8] == 'x']
	changed := key[:len(key)-8] + other + key[len(key)-7:]
	tests := []struct {
		name, method, path string
		header             []string
		status             int
		reason             string
	}{
		{"bearer", "GET", "/files/x", []string{"Authorization", "Bearer " + key}, 200, ""},
		{"bearer, in lower case", "GET", "/files/x", []string{"Authorization", "bearer " + key}, 200, ""},
		{"password of Basic", "GET", "/files/x", []string{"Authorization", basic("backup", key)}, 200, ""},
		{"password of Basic, whoever", "PUT", "/files/x", []string{"Authorization", basic("", key)}, 200, ""},
		{"a header of the site's", "GET", "/files/x", []string{"X-Api-Key", key}, 200, ""},
		{"twice the same", "GET", "/files/x", []string{"X-Api-Key", key, "Authorization", "Bearer " + key}, 200, ""},
		{"HEAD, where GET is", "HEAD", "/files/x", []string{"X-Api-Key", key}, 200, ""},
		{"by the account's name", "GET", "/reports/1", []string{"X-Api-Key", key}, 200, ""},
		{"by its scope", "GET", "/scoped/1", []string{"X-Api-Key", key}, 200, ""},
		{"another path", "GET", "/", []string{"X-Api-Key", key}, 403, "insufficient_scope"},
		{"another spelling", "GET", "/FILES/x", []string{"X-Api-Key", key}, 403, "insufficient_scope"},
		{"a public path that it is not for", "GET", "/open/x", []string{"X-Api-Key", key}, 403, "insufficient_scope"},
		{"another method", "POST", "/files/x", []string{"X-Api-Key", key}, 403, "insufficient_scope"},
		{"another network", "GET", "/files/x", []string{"X-Api-Key", foreign}, 403, "insufficient_scope"},
		{"another host's", "GET", "/files/x", []string{"X-Api-Key", elsewhere}, 403, "insufficient_scope"},
		{"changed", "GET", "/files/x", []string{"X-Api-Key", changed}, 401, "invalid_token"},
		{"cut", "GET", "/files/x", []string{"X-Api-Key", key[:len(key)-1]}, 401, "invalid_token"},
		{"only its beginning", "GET", "/files/x", []string{"Authorization", "Bearer ghk_"}, 401, "invalid_token"},
		{"two different ones", "GET", "/files/x", []string{"X-Api-Key", key, "Authorization", "Bearer " + foreign}, 401, "invalid_token"},
		{"two headers", "GET", "/files/x", []string{"X-Api-Key", key, "X-Api-Key", key}, 401, "invalid_token"},
		{"two headers, another key first", "GET", "/files/x", []string{"Authorization", basic("a", "b"), "Authorization", "Bearer " + key}, 401, "invalid_token"},
		{"a header that the site does not name", "GET", "/files/x", []string{"X-Token", key}, 401, "login_required"},
		{"in the query", "GET", "/files/x?api_key=" + key, nil, 401, "login_required"},
		{"another application's token", "GET", "/files/x", []string{"Authorization", "Bearer something"}, 401, "login_required"},
		{"the WAF judges them all", "GET", "/files/x?q=<script>alert(1)</script>", []string{"X-Api-Key", key}, 403, "waf_blocked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := call(t, c, tt.method, "https://app.test"+tt.path, "", tt.header...)
			if res.StatusCode != tt.status || tt.reason != "" && !strings.Contains(body, `"reason":"`+tt.reason+`"`) {
				t.Fatalf("%d %s", res.StatusCode, body)
			}
			if res.StatusCode != 200 || tt.method == "HEAD" {
				return
			}
			h := seen(t, body)
			if h.Get("X-Gatehouse-User") != "backup" || h.Get("X-Gatehouse-Roles") != "robot" || h.Get("X-Api-Key") != "" || h.Get("Authorization") != "" {
				t.Errorf("the backend saw %v", h)
			}
		})
	}
	// What is no key of ours is the application's own business.
	if _, body := get(t, c, "https://app.test/open/x", "Authorization", basic("ada", "secret"), "X-Api-Key", "the application's"); seen(t, body).Get("Authorization") == "" || seen(t, body).Get("X-Api-Key") == "" {
		t.Errorf("the application's own credentials are gone: %s", body)
	}
	if _, body := get(t, c, "https://app.test/files/x", "Authorization", basic("ada", "secret"), "X-Api-Key", key); seen(t, body).Get("Authorization") == "" {
		t.Errorf("a key beside the application's own credentials: %s", body)
	}

	list := g.ok("api-key", "list", "--account", "backup", "--json")
	var keys struct {
		Keys []struct {
			ID       string    `json:"id"`
			LastUsed time.Time `json:"last_used"`
			Hash     []byte    `json:"hash"`
		}
	}
	if err := json.Unmarshal([]byte(list), &keys); err != nil || len(keys.Keys) != 3 || strings.Contains(list, key) {
		t.Fatalf("%v: %s", err, list)
	}
	used := 0
	for _, k := range keys.Keys {
		if !k.LastUsed.IsZero() {
			used++
		}
		if k.Hash != nil {
			t.Error("a list shows a key's hash")
		}
	}
	if used != 1 {
		t.Errorf("%d keys were used: %s", used, list)
	}
	if table := g.ok("api-key", "list"); !strings.Contains(table, key[4:14]) || !strings.Contains(table, `"service:backup"`) {
		t.Errorf("the list:\n%s", table)
	}
	for _, text := range []string{key, key[14:]} {
		if strings.Contains(g.Log(), text) {
			t.Error("a key is in the log")
		}
	}
	if log := g.Log(); !strings.Contains(log, "api_key.created") || !strings.Contains(log, `"session":"`+key[4:14]+`"`) || !strings.Contains(log, `"operator":"olga"`) {
		t.Error("the log does not say which key, or who made it")
	}
}

// What is revoked, disabled or deleted lets nobody in from the next request on.
func TestKeysEnd(t *testing.T) {
	g := operate(t, "policy", keyPolicy, "backend", "reverse_proxy "+backend(t))
	c := g.Client()
	status := func(key string) int {
		res, _ := get(t, c, "https://app.test/files/x", "X-Api-Key", key)
		return res.StatusCode
	}
	g.ok("service-account", "add", "backup", "--role", "robot")
	a := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	b := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	if status(a) != 200 || status(b) != 200 {
		t.Fatal("keys do not work")
	}
	g.ok("api-key", "revoke", a[4:14])
	if status(a) != 401 || status(b) != 200 {
		t.Error("a revoked key works, or another one does not")
	}
	g.no("no such record", "api-key", "revoke", a[4:14])
	g.ok("service-account", "disable", "backup")
	if status(b) != 401 {
		t.Error("the key of a disabled account works")
	}
	g.no("disabled", "api-key", "create", "--account", "backup", "--host", "app.test")
	g.ok("service-account", "enable", "backup")
	if status(b) != 200 {
		t.Error("the key of an enabled account does not work")
	}
	if out := g.ok("service-account", "delete", "backup"); !strings.Contains(out, "revoked 1 keys") {
		t.Errorf("delete said %q", out)
	}
	g.ok("service-account", "add", "backup", "--role", "robot")
	if status(b) != 401 {
		t.Error("the key of a deleted account works for another one of its name")
	}
	g.no("two years", "api-key", "create", "--account", "backup", "--host", "app.test", "--lasts", "800d")
	g.no("two years", "api-key", "create", "--account", "backup", "--host", "app.test", "--lasts", "-1h")
	g.no("has not logged in", "api-key", "create", "--user", "local:nobody", "--host", "app.test")
	g.no("no such service account", "api-key", "create", "--account", "nobody", "--host", "app.test")
	g.no("a host and a path", "api-key", "create", "--account", "backup")
	c2 := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	if status(c2) != 200 {
		t.Error("a new key does not work")
	}
	g.ok("api-key", "revoke", c2) // pasted whole, as it was found somewhere
	if status(c2) != 401 {
		t.Error("a key that was revoked by its text works")
	}
}

// What runs by a key is cut within a second of its account being disabled (CER-14).
func TestStreamsEndWithTheAccount(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer app.Close()
	g := operate(t, "policy", keyPolicy, "backend", "reverse_proxy "+strings.TrimPrefix(app.URL, "http://"))
	g.ok("service-account", "add", "backup", "--role", "robot")
	key := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	req, _ := http.NewRequest(http.MethodGet, "https://app.test/files/x", nil)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	g.ok("service-account", "disable", "backup")
	began := time.Now()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	if took := time.Since(began); took > 2*time.Second { // a second, and another for a busy machine
		t.Errorf("the stream went on for %v", took)
	}
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(g.Log(), `"session_cut":"the service account is disabled"`); {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say that it was cut:\n%s", g.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Browsers keep the password of Basic and send it by themselves: another site's page must not act by it.
func TestKeysInBrowsersAreShielded(t *testing.T) {
	g := operate(t, "policy", keyPolicy, "backend", "reverse_proxy "+backend(t))
	c := g.Client()
	g.ok("service-account", "add", "backup", "--role", "robot")
	key := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	res, body := call(t, c, "POST", "https://app.test/files/x", "a=1", "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("x", key), "Sec-Fetch-Site", "cross-site")
	if res.StatusCode != 403 || !strings.Contains(body, "cross_origin") {
		t.Errorf("another site's form: %d %s", res.StatusCode, body)
	}
	for _, site := range []string{"same-origin", "none"} {
		if res, body := call(t, c, "POST", "https://app.test/files/x", "a=1", "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("x", key), "Sec-Fetch-Site", site); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", site, res.StatusCode, body)
		}
	}
	if res, body := call(t, c, "POST", "https://app.test/files/x", "a=1", "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("x", key)); res.StatusCode != 200 {
		t.Errorf("a program: %d %s", res.StatusCode, body)
	}
}

// A person's key is good for what they are, as of their latest login, and for nothing when they may not use the house.
func TestKeysOfPeople(t *testing.T) {
	g := operate(t, "idp", "voucher\n mfa {\n insecure_admins_without_factor\n}", "policy", "allow role staff\nroute /admin/* {\nallow role admin\n}\nroute /factor/* {\nallow cel `amr.exists(a, a == \"otp\")`\n}", "backend", "reverse_proxy "+backend(t))
	g.no("has not logged in", "api-key", "create", "--user", "voucher:sam", "--host", "app.test")
	as(t, g.Gateway, "app.test", "as=sam&roles=staff,admin")
	g.no("--tenant goes with --user", "api-key", "create", "--account", "x", "--tenant", "y", "--host", "app.test")
	g.no("has not logged in", "api-key", "create", "--user", "voucher:sam", "--tenant", "other", "--host", "app.test")
	key := g.ok("api-key", "create", "--user", "voucher:sam", "--host", "app.test")
	c := g.Client()
	want := func(what, path string, status int) {
		t.Helper()
		res, body := get(t, c, "https://app.test"+path, "Authorization", "Bearer "+key)
		if res.StatusCode != status {
			t.Fatalf("%s: %d %s", what, res.StatusCode, body)
		}
		if status == 200 && seen(t, body).Get("X-Gatehouse-User") != "sam" {
			t.Errorf("%s: the backend saw %s", what, body)
		}
	}
	want("a key", "/x", 200)
	want("a key of an administrator's", "/admin/x", 200)
	want("a key proves no second factor", "/factor/x", 403)
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	want("a role that they have lost since", "/admin/x", 403)
	want("a role that they still have", "/x", 200)
	g.ok("user", "disable", "voucher:sam")
	want("of somebody disabled", "/x", 401)
	g.ok("user", "enable", "voucher:sam")
	want("of somebody enabled, who has not logged in since", "/x", 401)
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	want("of somebody who has logged in since", "/x", 200)
}

// A key is nothing in another workspace than its own.
func TestKeysAndWorkspaces(t *testing.T) {
	i := newIssuer(t)
	policy := keyPolicy + `
		api /ws/* {
			issuer partner ` + i.URL + `
			audience x
			workspace_claim w
			workspace path /ws/{workspace}/*
		}`
	g := operate(t, "policy", policy, "backend", "reverse_proxy "+backend(t))
	c := g.Client()
	g.ok("service-account", "add", "backup", "--role", "robot")
	key := g.ok("api-key", "create", "--account", "backup", "--host", "app.test", "--workspace", "a")
	none := g.ok("api-key", "create", "--account", "backup", "--host", "app.test")
	for _, tt := range []struct {
		key, path string
		status    int
	}{
		{key, "/ws/a/x", 200}, {key, "/ws/b/x", 403}, {key, "/WS/a/x", 403}, {key, "/ws/a;b/x", 403}, {key, "/ws", 403}, {key, "/files/x", 200},
		{none, "/ws/a/x", 403}, {none, "/files/x", 200},
	} {
		res, body := get(t, c, "https://app.test"+tt.path, "X-Api-Key", tt.key)
		if res.StatusCode != tt.status || tt.status == 403 && !strings.Contains(body, "workspace_mismatch") {
			t.Errorf("%s: %d %s", tt.path, res.StatusCode, body)
		}
	}
}
