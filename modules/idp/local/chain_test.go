package local_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse.internal/modules/idp/local"
	"gatehouse.internal/modules/internal/gatetest"
	_ "gatehouse.internal/modules/standard"
)

const localSite = `{
	{{house}}
	admin {{admin}}
	gatehouse {
		state_dir {{dir}}/state
		local {
			{{local}}
		}
		{{words}}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		allow role staff
		forward user roles {
			roles *
		}
		insecure_waf_off
		rate_limit 1000r/s burst 1000 /.gatehouse/* # everybody here has one address, and knocks every 5 ms
	}
	reverse_proxy {{backend}}
}
`

// gate is a gateway with accounts of its own, an application behind it, and an administrator's command line.
type gate struct {
	*gatetest.Gateway
	t     testing.TB
	admin string

	mu   sync.Mutex
	seen []string // guarded by mu; paths that the application saw
}

func open(t testing.TB, pairs ...string) *gate {
	t.Helper()
	h := &gate{t: t, admin: gatetest.FreeAddr(t)}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.seen = append(h.seen, r.URL.Path)
		h.mu.Unlock()
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "first\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "the application, for %s with %s", r.Header.Get("X-Gatehouse-User"), r.Header.Get("X-Gatehouse-Roles"))
	}))
	t.Cleanup(app.Close)
	text := strings.NewReplacer(append(pairs, "{{local}}", "", "{{words}}", "")...).Replace(localSite)
	h.Gateway = gatetest.Start(t, text, "{{admin}}", h.admin, "{{backend}}", strings.TrimPrefix(app.URL, "http://"))
	return h
}

// run runs `gatehouse <args>` and returns what it wrote.
func (h *gate) run(args ...string) (string, error) {
	h.t.Helper()
	return gatetest.Run(h.t, "", append(args, "--address", h.admin, "--operator", "olga")...)
}

// ok runs a command that must succeed and say that.
func (h *gate) ok(says string, args ...string) string {
	h.t.Helper()
	out, err := h.run(args...)
	if err != nil || !strings.Contains(out, says) {
		h.t.Fatalf("gatehouse %s: %v, said %q, want %q", strings.Join(args, " "), err, out, says)
	}
	return out
}

// no runs a command that must fail and say why.
func (h *gate) no(says string, args ...string) {
	h.t.Helper()
	if out, err := h.run(args...); err == nil || !strings.Contains(err.Error(), says) {
		h.t.Errorf("gatehouse %s: said %q, %v, want %q", strings.Join(args, " "), out, err, says)
	}
}

// as returns a browser in which somebody has logged in.
func (h *gate) as(user, password string) *gatetest.Browser {
	h.t.Helper()
	b := h.Browser()
	b.Login(user, password).Want(h.t, http.StatusSeeOther, "")
	return b
}

var linkIn = regexp.MustCompile(`https://\S+(/\.gatehouse/login/local/password\?token=[\w-]+)`)

// link is the path of the link in what a command said.
func link(t testing.TB, said string) string {
	t.Helper()
	m := linkIn.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no link in %q", said)
	}
	return m[1]
}

const (
	phrase  = "wander quilt marble"
	another = "copper lantern orchard"
)

// person makes an account with the password phrase, as an administrator and its owner do.
func (h *gate) person(name string, roles ...string) {
	h.t.Helper()
	args := []string{"user", "add", name, "--approve"}
	for _, role := range roles {
		args = append(args, "--role", role)
	}
	b, path := h.Browser(), link(h.t, h.ok("made local:"+name, args...))
	b.Submit(b.Get(path).Want(h.t, 200, "Choose a password"), "password", phrase, "password_again", phrase).Want(h.t, 303, "")
}

// TestAccountLife tells an account's story, from the administrator's command to its end (CER-10, CER-14).
func TestAccountLife(t *testing.T) {
	h := open(t, "allow role staff", "allow role staff\n\t\tforward user roles {\n\t\t\troles guest\n\t\t}")
	said := h.ok("made local:ada, pending", "user", "add", "Ada", "--role", "staff", "--display-name", "Ada L.", "--email", "ada@example.com")
	h.no("the user exists", "user", "add", "ada")
	h.no("not a user name", "user", "add", "a b")
	h.no("user list", "user", "approve", "eve")
	b, path := h.Browser(), link(t, said)

	// The link sets a password; that alone lets nobody in.
	form := b.Get(path).Want(t, 200, `value="ada"`)
	b.Submit(form, "password", "short", "password_again", "short").Want(t, 422, "too short")
	b.Submit(form, "password", phrase, "password_again", another).Want(t, 422, "not the same")
	b.Submit(form, "password", phrase, "password_again", phrase).Want(t, 403, "waiting for approval")
	b.Get(path).Want(t, 400, "does not work any more")
	h.Browser().Login("ada", phrase).Want(t, 403, "waiting for approval")
	if len(h.seen) != 0 {
		t.Errorf("the application saw %q", h.seen)
	}
	h.ok(`local:ada  pending   staff`[:16], "user", "list", "--state", "pending")

	h.ok("local:ada is approved", "user", "approve", "ada", "--note", "asked by the team lead")
	h.no("decided already", "user", "approve", "local:ada")
	b = h.as("ADA", phrase)
	b.Get("/").Want(t, 200, "for ada with staff")
	b.Get("/.gatehouse/account").Want(t, 200, "Ada L.")

	// Other roles end the session, which carries them.
	h.ok("has the roles: guest staff; 1 sessions ended", "user", "change", "ada", "--role", "guest", "--role", "staff")
	if b.Alive() {
		t.Error("a session has the roles of before")
	}
	b = h.as("ada", phrase)
	b.Get("/").Want(t, 200, "with guest,staff")

	// Disabling ends everything at once, also what streams.
	stream, err := b.HTTP.Get("https://app.test/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if _, err := io.ReadFull(stream.Body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h.ok("local:ada is disabled; 1 sessions ended", "user", "disable", "ada", "--note", "left")
	_, err = io.ReadAll(stream.Body)
	if took := time.Since(began); err == nil || took > time.Second {
		t.Errorf("the stream went on for %v: %v", took, err)
	}
	if b.Alive() {
		t.Error("the session lives")
	}
	h.Browser().Login("ada", phrase).Want(t, 403, "cannot be used")
	h.no("does not wait for approval", "user", "reject", "ada")
	h.ok(`"left"`, "user", "list")
	h.ok("local:ada is approved", "user", "enable", "ada")
	h.no("is not disabled", "user", "enable", "ada")
	b = h.as("ada", phrase)

	h.no("--yes", "user", "delete", "ada")
	h.ok("local:ada is deleted; 1 sessions ended", "user", "delete", "ada", "--yes")
	h.Browser().Login("ada", phrase).Want(t, 403, "do not belong together")
	if out := h.ok("STATE", "user", "list"); strings.Contains(out, "ada") {
		t.Errorf("a deleted account is listed: %s", out)
	}
	h.ok("deleted", "user", "list", "--state", "deleted")
	h.ok("made local:ada, pending", "user", "add", "ada")
	for _, kind := range []string{"created", "pending", "approved", "changed", "disabled", "enabled", "deleted"} {
		h.WantEvent("user."+kind, `"user":"local:ada"`, `"operator":"olga"`)
	}
	h.WantEvent("user.password_changed", `"user":"local:ada"`)
	if log := h.Log(); strings.Contains(log, phrase) || strings.Contains(log, strings.Split(path, "=")[1]) {
		t.Error("a secret is in the log")
	}
}

// TestLostPasswords: what is known to others can be voided in two ways, and whoever owns the account gets it back.
// Controls: CER-09.
func TestLostPasswords(t *testing.T) {
	h := open(t)
	h.person("ada", "staff")
	here, there := h.as("ada", phrase), h.as("ada", phrase)
	h.ok("must choose a new password at the next login; 3 sessions ended", "user", "compromise", "ada", "--note", "phished")
	if here.Alive() || there.Alive() {
		t.Error("sessions live")
	}
	here = h.Browser()
	form := here.Login("ada", phrase).Want(t, 200, "Somebody else may know your password")
	if here.Alive() {
		t.Fatal("logged in without a new password")
	}
	here.Submit(form, "password", phrase, "password_again", phrase).Want(t, 422, "have already")
	here.Submit(form, "password", another, "password_again", another).Want(t, 303, "")
	here.Get("/").Want(t, 200, "for ada")
	here.Submit(form, "password", phrase, "password_again", phrase).Want(t, 400, "") // the ticket is for the old one
	h.Browser().Login("ada", phrase).Want(t, 403, "do not belong together")
	h.WantEvent("user.compromised", `"detail":"phished"`)

	said := h.ok("has no password now; 1 sessions ended", "user", "reset-password", "ada")
	if here.Alive() {
		t.Error("the session lives")
	}
	eve := h.Browser()
	eve.Login("ada", another).Want(t, 403, "do not belong together")
	first := link(t, said)
	second := link(t, h.ok("has no password", "user", "reset-password", "ada"))
	eve.Get(first).Want(t, 400, "does not work any more")
	here = h.Browser()
	here.Submit(here.Get(second), "password", phrase, "password_again", phrase).Want(t, 303, "")
	h.ok("had 0 second factors, and has none now", "user", "reset-mfa", "ada")
}

// TestOwnPassword: people change their own password, if they know it.
// Controls: CER-09.
func TestOwnPassword(t *testing.T) {
	list := filepath.Join(t.TempDir(), "leaked")
	if err := os.WriteFile(list, []byte("tiger bicycle marmalade\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, "{{local}}", "breached_list "+list)
	h.person("ada", "staff")
	here, there := h.as("ada", phrase), h.as("ada", phrase)
	h.Browser().Get("/.gatehouse/account/password").Want(t, 302, "")
	here.Get("/.gatehouse/account").Want(t, 200, `href="/.gatehouse/account/password"`)
	form := here.Get("/.gatehouse/account/password").Want(t, 200, "Change your password")
	change := func(current, fresh, again string) gatetest.Answer {
		t.Helper()
		return here.Submit(form, "current", current, "password", fresh, "password_again", again)
	}
	change(phrase, "short", "short").Want(t, 422, "too short")
	change(phrase, "tiger bicycle marmalade", "tiger bicycle marmalade").Want(t, 422, "known in a leak")
	change(phrase, another, phrase).Want(t, 422, "not the same")
	change(phrase, phrase, phrase).Want(t, 422, "have already")
	change("not the password", another, another).Want(t, 422, "current password is not right")
	if a := change(phrase, another, another); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("guessing on: status %d", a.StatusCode)
	}
	h.WantEvent("login.failed", "change of password", `"attempted_user":"ada"`)
	if !there.Alive() {
		t.Error("the other session ended too early")
	}
	foreign := there.Submit(form, "current", phrase, "password", another, "password_again", another)
	foreign.Want(t, 403, "") // another session's form
	gatetest.Eventually(t, "the pause is over", func() bool { return change(phrase, another, another).StatusCode == 303 })
	here.Get("/.gatehouse/account/password?done=1").Want(t, 200, "was changed")
	if !here.Alive() || there.Alive() {
		t.Errorf("this session lives: %v, the other one: %v", here.Alive(), there.Alive())
	}
	there.Login("ada", another).Want(t, 303, "")
	h.WantEvent("user.password_changed", `"session":"`)
}

// TestImport: people of another system come with their hashes, wait for approval like everybody, and are hashed anew when
// they log in (CAL-04).
// Controls: BRF-13, NAT-09.
func TestImport(t *testing.T) {
	// Of libxcrypt: the phrase, and a password that would not be accepted here.
	const rasmus, weak = "$2y$08$abcdefghijklmnopqrstuuybg2IdwwIm5aBKq31AVVaBlhpMs8y0W", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"
	h := open(t)
	file := func(name, text string) string {
		path := filepath.Join(h.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	h.ok("made local:ada", "user", "add", "ada")
	users := file("users", "rasmus:"+rasmus+"\nbob:\n")
	h.ok("would import 2 accounts", "user", "import", users, "--dry-run")
	h.no("line 2 (bob): MD5", "user", "import", file("old", "rasmus:"+rasmus+"\nbob:$apr1$x$y\n"))
	h.no("ada: the user exists", "user", "import", file("more.csv", "name\nada\neve\n"))
	if out := h.ok("STATE", "user", "list"); strings.Contains(out, "eve") || strings.Contains(out, "rasmus") {
		t.Fatalf("something was imported: %s", out)
	}
	h.ok("1 of them have no password", "user", "import", users, "--role", "staff")
	h.ok("imported 1 accounts, skipped 1", "user", "import", file("more.json", `[{"name":"ada"},{"name":"eve","roles":["a","b"]}]`), "--skip-existing", "--approve")
	h.ok("local:rasmus  pending   staff  bcrypt", "user", "list")
	h.Browser().Login("rasmus", phrase).Want(t, 403, "waiting for approval")
	h.ok("is approved", "user", "approve", "rasmus")
	b := h.as("rasmus", phrase)
	b.Get("/").Want(t, 200, "for rasmus with staff")
	h.ok("local:rasmus  approved  staff  argon2id", "user", "list")
	h.ok("imported 1", "user", "import", file("weak", "lerdorf:"+weak), "--approve")
	h.Browser().Login("lerdorf", "rasmuslerdorf").Want(t, 200, "shorter or easier to guess than what is asked for here")
	h.WantEvent("user.imported", `"user":"local:rasmus"`, `"operator":"olga"`)
}

// TestRegister: people may ask for an account where the operator lets them, and learn nothing about others.
func TestRegister(t *testing.T) {
	h := open(t, "{{local}}", "register")
	h.person("ada", "staff")
	b := h.Browser()
	b.Get("/.gatehouse/login").Want(t, 200, `href="/.gatehouse/login/local/register"`)
	form := b.Get("/.gatehouse/login/local/register").Want(t, 200, "Ask for an account")
	ask := func(name, password string) gatetest.Answer {
		t.Helper()
		return b.Submit(form, "username", name, "name", "Eve\r\nAdmin", "email", "eve@example.com", "password", password, "password_again", password)
	}
	ask("e v e", phrase).Want(t, 422, "another user name")
	ask("eve", "eveeveeveeve").Want(t, 422, "too easy")
	taken, free := ask("ada", another), ask("eve", another)
	for _, a := range []gatetest.Answer{taken, free} {
		a.Want(t, 200, "Your request was taken")
	}
	h.WantEvent("user.pending", `"user":"local:eve"`, `"client_ip":"127.0.0.1"`)
	h.Browser().Login("ada", another).Want(t, 403, "do not belong together") // nobody's password was changed
	h.Browser().Login("eve", another).Want(t, 403, "waiting for approval")
	if out := h.ok("EveAdmin", "user", "list", "--state", "pending"); strings.Contains(out, "ada") {
		t.Errorf("pending: %s", out)
	}
	ask("eve", phrase).Want(t, 200, "was taken") // once more, with another password: the first one counts
	h.ok("local:eve is rejected", "user", "reject", "eve")
	h.Browser().Login("eve", another).Want(t, 403, "cannot be used")
	var last gatetest.Answer
	for i := range 12 {
		if last = ask(fmt.Sprint("user", i), phrase); last.StatusCode != 200 {
			break
		}
	}
	if last.Want(t, 429, ""); last.Header.Get("Retry-After") == "" {
		t.Error("how long to wait is not said")
	}
	if strings.Contains(h.Browser().Get("/.gatehouse/login/local/register").Body, "<script") {
		t.Error("a script")
	}

	closed := open(t)
	closed.Browser().Get("/.gatehouse/login/local/register").Want(t, 404, "")
}

// TestKnownDevice: whoever guesses at a victim's password, from the same network even, keeps nobody out of the browser in
// which they have logged in before (NAT-10); there, failures count for themselves.
func TestKnownDevice(t *testing.T) {
	if local.RaceEnabled {
		t.Skip("the race detector makes a hash take longer than the first pause")
	}
	h := open(t)
	h.person("ada", "staff")
	h.person("eve", "staff")
	home := h.as("ada", phrase)
	eve := h.as("eve", phrase)
	attempt := func(b *gatetest.Browser, password string) int {
		t.Helper()
		return b.Submit(b.Get("/.gatehouse/login"), "username", "ada", "password", password).StatusCode
	}
	home.Submit(home.Get("/.gatehouse/logout").Want(t, 200, "")).Want(t, 200, "")
	eve.Submit(eve.Get("/.gatehouse/logout").Want(t, 200, "")).Want(t, 200, "")
	for _, guess := range []struct {
		b    *gatetest.Browser
		want int
	}{{h.Browser(), 403}, {h.Browser(), 429}, {eve, 429}} { // a device of one's own opens no further lane
		if got := attempt(guess.b, "wrong wrong wrong"); got != guess.want {
			t.Fatalf("a guess: status %d, want %d", got, guess.want)
		}
	}
	if got := attempt(h.Browser(), phrase); got != 429 {
		t.Errorf("from an unknown browser, in the pause: status %d", got)
	}
	if got := attempt(home, phrase); got != 303 {
		t.Errorf("from the known browser: status %d", got)
	}
	home.Submit(home.Get("/.gatehouse/logout"))
	if got := attempt(home, "a slip of the hand"); got != 403 {
		t.Errorf("status %d", got)
	}
	if got := attempt(home, phrase); got != 429 {
		t.Errorf("failures in a known browser do not count: status %d", got)
	}
	for _, c := range home.HTTP.Jar.Cookies(&url.URL{Scheme: "https", Host: "app.test"}) {
		if strings.Contains(c.Value, "ada") {
			t.Errorf("%s names the user", c.Name)
		}
	}
}

// TestEachFailureIsAnEvent: failures are events of their own, each, and counted (NAT-08).
func TestEachFailureIsAnEvent(t *testing.T) {
	h := open(t)
	h.person("ada", "staff")
	for i := range 20 {
		b := h.Browser()
		b.Submit(b.Get("/.gatehouse/login"), "username", []string{"ada", "nobody"}[i%2], "password", "wrong wrong wrong")
	}
	gatetest.Eventually(t, "20 events", func() bool { return h.Events("login.failed", `"provider":"local"`) == 20 })
	if ada, nobody := h.Events("login.failed", `"attempted_user":"ada"`), h.Events("login.failed", `"attempted_user":"nobody"`); ada != 10 || nobody != 10 {
		t.Errorf("%d and %d", ada, nobody)
	}
	res, err := http.Get("http://" + h.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if !regexp.MustCompile(`gatehouse_logins_total\{outcome="(login_failed|too_many_attempts)",provider="local"\} [1-9]`).Match(text) {
		t.Error("no metric counts failed logins")
	}
}
