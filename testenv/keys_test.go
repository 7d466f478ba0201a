package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// masterKeys is a key file, which stories change as time would: by setting when a key began.
type masterKeys struct {
	g    *gateway
	file string
}

// ids are the keys in the file, in its order.
func (m masterKeys) ids(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, line := range regexp.MustCompile(`(?m)^([0-9a-f]{8}) `).FindAllStringSubmatch(string(text), -1) {
		ids = append(ids, line[1])
	}
	return ids
}

// began has the key have begun so long ago.
func (m masterKeys) began(t testing.TB, id string, ago time.Duration) {
	t.Helper()
	m.edit(t, `(?m)^(`+id+`) \S+`, "$1 "+time.Now().Add(-ago).UTC().Format(time.RFC3339))
}

func (m masterKeys) edit(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	changed := regexp.MustCompile(from).ReplaceAll(text, []byte(to))
	if string(changed) == string(text) {
		t.Fatalf("nothing in the key file is %s", from)
	}
	if err := os.WriteFile(m.file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run is `gatehouse keys …`; why is what it must say when it refuses, "" for that it must not.
func (m masterKeys) run(t testing.TB, why string, words ...string) string {
	t.Helper()
	out, stderr, code, err := m.g.command(append(append([]string{"keys"}, words...), "--config", m.g.conf, "--adapter", "caddyfile", "--operator", "olga")...)
	if err != nil || (code != 0) != (why != "") || !strings.Contains(stderr, why) {
		t.Fatalf("keys %v: exit code %d, %v\n%s%s", words, code, err, out, stderr)
	}
	return out
}

// TestKeyRotation (CTB-05): master keys are rotated under load. Nobody is logged out, neither who has a password here nor who came from
// a provider; applications know a new key before they are told anything with it; the old one counts until it is retired, and then
// what others hand in with it is nobody's, while what is in the store still opens. All is on record.
// Controls: CAL-14, NAT-19.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	told := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/told" { // asked by one at a time
			told <- r.Header.Get("X-Gatehouse-Assertion")
		}
		_, _ = fmt.Fprint(w, "the application")
	}))
	defer app.Close()
	op := newProvider(t)
	op.everybody()
	g := op.relying(t, true, config{
		Backend: strings.TrimPrefix(app.URL, "http://"), House: op.house() + "\n\t\tlocal {\n\t\t\tfirst_user_roles admin staff\n\t\t}",
		Site: "allow role staff\n\t\tforward user roles {\n\t\t\tassertion\n\t\t}",
	})
	keys := masterKeys{g, filepath.Join(g.env["STATE"], "keys")}
	old := keys.ids(t)[0]
	keys.began(t, old, 72*time.Hour)
	keys.run(t, "", "adopt")

	alice := g.newUser(t, "alice", alicesPassword)
	ada := op.seeker(t, g)
	to, err := url.Parse(ada.visit(t, "/.gatehouse/login/oidc?next=/").Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), op.Issuer) {
		t.Fatalf("the login leads to %v, %v", to, err)
	}
	if err := ada.expectLogin(ada.back(t, ada.atProvider(t, to, "ada"))); err != nil {
		t.Fatal(err)
	}
	people := map[string]*client{"alice": alice, "ada": ada.client}
	loads := map[string]*load{}
	for name, c := range people {
		loads[name] = startLoad(1, func(ctx context.Context, _ int) error {
			return fetch(ctx, c.http["2"], g.origin()+"/", "the application")
		})
	}
	assertion := func() (string, error) {
		alice.get(t, "/told")
		var token string
		select {
		case token = <-told:
		case <-time.After(readyIn):
			t.Fatal("the application was asked nothing")
		}
		set := jose.JSONWebKeySet{}
		if err := json.Unmarshal(g.stranger(t).get(t, "/.gatehouse/jwks.json").Body, &set); err != nil {
			t.Fatal(err)
		}
		signed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatalf("%q: %v", token, err)
		}
		_, err = signed.Verify(set)
		return signed.Signatures[0].Header.KeyID, err
	}
	published := func() (ids []string) {
		set := jose.JSONWebKeySet{}
		if err := json.Unmarshal(g.stranger(t).get(t, "/.gatehouse/jwks.json").Body, &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	signs := func(when, want string) {
		t.Helper()
		if id, err := assertion(); err != nil || id != want {
			t.Errorf("%s: applications are told with key %s, %v; want %s", when, id, err, want)
		}
	}
	begun := func() (*client, form) { // a login that somebody has begun
		c := g.stranger(t)
		f, err := c.visit(t, "/.gatehouse/login?next=/").form()
		if err != nil {
			t.Fatal(err)
		}
		return c, f.person("alice", alicesPassword)
	}

	early, begunEarly := begun()
	if out := keys.run(t, "", "rotate"); !strings.Contains(out, "waits") {
		t.Errorf("keys rotate:\n%s", out)
	}
	fresh := keys.ids(t)[1]
	if ids := published(); !slices.Contains(ids, fresh) {
		t.Errorf("the new key is not published before it signs: %v", ids)
	}
	signs("before the new key's time", old)

	keys.began(t, fresh, time.Hour) // an hour has passed
	keys.run(t, "", "adopt")
	signs("after its time", fresh)
	if a, err := early.submit(begunEarly); err != nil || early.expectLogin(a) != nil {
		t.Errorf("a login that began before the rotation does not end well: %v, %v", err, early.expectLogin(a))
	}
	keys.run(t, "is honoured until", "retire", old)
	keys.run(t, "rotate first", "retire", fresh, "--at-once")

	keys.began(t, fresh, -time.Hour) // somebody begins a login while the old key seals
	keys.run(t, "", "adopt")
	late, begunLate := begun()
	keys.began(t, fresh, 25*time.Hour) // a day has passed
	keys.run(t, "", "adopt")
	if out := keys.run(t, "", "retire", old); !regexp.MustCompile(old + ` .*retired`).MatchString(out) {
		t.Errorf("keys retire:\n%s", out)
	}
	if ids := published(); !slices.Equal(ids, []string{fresh}) {
		t.Errorf("published after the retirement: %v", ids)
	}
	signs("after the retirement", fresh)
	if a, err := late.submit(begunLate); err != nil || a.Status < 400 || late.cookie(sessionCookie) != "" {
		t.Errorf("a login of the retired key: %v, status %d", err, a.Status)
	}
	for name, l := range loads {
		l.end()
		t.Logf("%s: %v", name, l)
		if l.failed.Load() > 0 || l.ok.Load() == 0 {
			t.Errorf("%s: %v", name, l)
		}
	}
	if out, stderr, code, err := g.command("keys", "rotate", keys.file); err != nil || code != 0 || !strings.Contains(out, "waits") { // and the gateway is not told
		t.Fatalf("keys rotate <file>: exit code %d, %v\n%s%s", code, err, out, stderr)
	}
	unseen := keys.ids(t)[2]
	// What the old key sealed is still there, in another process too: sessions, and alice's password.
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	for name, c := range people {
		if alive, err := c.alive(); err != nil || !alive {
			t.Errorf("%s was logged out: %v", name, err)
		}
	}
	if _, err := g.stranger(t).login("alice", alicesPassword, "/"); err != nil {
		t.Errorf("alice cannot log in any more: %v", err)
	}
	if out := keys.run(t, "", "list", "--count"); !regexp.MustCompile(old + ` .*retired +[1-9][0-9]* records`).MatchString(out) {
		t.Errorf("keys list:\n%s", out)
	}
	whole, err := os.ReadFile(keys.file)
	if err != nil {
		t.Fatal(err)
	}
	keys.edit(t, `(?m)^`+old+` .*\n`, "")
	keys.run(t, "records are sealed with it", "adopt")
	if err := os.WriteFile(keys.file, whole, 0o600); err != nil {
		t.Fatal(err)
	}

	record, stderr, code, err := g.command("audit", "show", filepath.Join(g.env["STATE"], "audit"))
	if err != nil || code != 0 {
		t.Fatalf("audit show: %v\n%s", err, stderr)
	}
	for _, want := range []string{
		`admin.requested .*path="/gatehouse/keys/rotate" .*operator="olga"`, `keys.changed seals="` + old + `" waits="` + fresh + ` from `,
		`admin.done .*path="/gatehouse/keys/retire" status="200" .*operator="olga" .*key="` + old + `"`, `keys.changed seals="` + fresh + `" retired="` + old + `"`,
		`admin.refused .*path="/gatehouse/keys/retire"`,
		`house.started .* seals="` + fresh + `" waits="` + unseen + ` from \S+" retired="` + old + `"`,
	} {
		if !regexp.MustCompile(want).MatchString(record) {
			t.Errorf("the record does not say %s:\n%s", want, record)
		}
	}
}

// TestOtherKeysThanTheStates (CTB-05): a gateway whose state was sealed with other master keys does not start, and says so; one whose
// key file is gone, as with a volume that is not mounted, makes up none that would do.
func TestOtherKeysThanTheStates(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	alice := g.newUser(t, "alice", alicesPassword)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(g.env["STATE"], "keys")
	if err := os.Rename(file, file+".right"); err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		err := g.start()
		if err == nil || !strings.Contains(err.Error(), "sealed with other master keys") || !strings.Contains(err.Error(), "put the right key file there") {
			t.Errorf("%s: the gateway starts, or does not say why not: %v", what, err)
		}
	}
	refused("without the key file")
	if _, err := os.Stat(file); err == nil {
		t.Error("a key file was left behind in the place of the right one")
	}
	if _, stderr, code, err := g.command("keys", "create", file); err != nil || code != 0 {
		t.Fatalf("keys create: %v\n%s", err, stderr)
	}
	refused("with another key file")
	if err := os.Rename(file+".right", file); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	if alive, err := alice.alive(); err != nil || !alive {
		t.Errorf("with the right one: alice is logged out, %v", err)
	}
}
