package standard_test

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/gatetest"
)

// analyst makes an age identity: the file with it, and its recipient.
func analyst(t testing.TB) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "analyst.key")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}

var spareField = regexp.MustCompile(`[0-9a-hj-km-np-tv-z]{4}-[0-9a-hj-km-np-tv-z]{4}-[0-9a-hj-km-np-tv-z]{4}`)

// spare sets an authenticator application up, and returns its key and backup codes.
func (p *place) spare() (key string, codes []string) {
	p.t.Helper()
	page := p.want("setting a factor up", "/.gatehouse/mfa/app", 200, "")
	m := keyField.FindStringSubmatch(page)
	if m == nil {
		p.t.Fatalf("no key:\n%s", page)
	}
	key = strings.ReplaceAll(m[1]+m[2], " ", "")
	form := []string{"code", code(p.t, key, 0)}
	for _, name := range []string{"flow", "key", "enrol", "secret", "next"} {
		if m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page); m != nil {
			form = append(form, name, html.UnescapeString(m[1]))
		}
	}
	codes = spareField.FindAllString(p.post("the factor is set up", "/.gatehouse/mfa/app", page, 200, "", form...), -1)
	if len(codes) < 10 {
		p.t.Fatalf("%d backup codes", len(codes))
	}
	return key, codes
}

// manualsPrivacy is the block that the manual shows, for these recipients and the identity provider of tests.
func manualsPrivacy(t testing.TB, recipient string) string {
	t.Helper()
	m := regexp.MustCompile(`(?s)\n\t\t(privacy \{\n.*?\n\t\t\})\n`).FindStringSubmatch(content("../../caddyfiles/README.md"))
	if m == nil {
		t.Fatal("the manual shows no privacy block")
	}
	words := regexp.MustCompile(`age1[a-z0-9]+`).ReplaceAllString(m[1], recipient)
	return strings.ReplaceAll(words, "corp:", "voucher:")
}

func private(t testing.TB, words string, change ...string) *operated {
	t.Helper()
	return operate(t, append([]string{"idp", "voucher\n" + words, "backend", "reverse_proxy " + backend(t)}, change...)...)
}

// attack sends something that the rules refuse, and returns the request's id.
func attack(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	res, body := call(t, c, "GET", url, "")
	if res.StatusCode != 403 || !strings.Contains(body, "waf_blocked") {
		t.Fatalf("the attack: %d %s", res.StatusCode, body)
	}
	return res.Header.Get("X-Request-Id")
}

// What the rules matched is handed out to who has the role, a reason, a second factor and a second person's word, in this order
// on record; each of these missing is refused and on record too.
// Controls: NAT-07.
func TestReveal(t *testing.T) {
	key, recipient := analyst(t)
	g := private(t, manualsPrivacy(t, recipient))
	ada := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=ada&roles=staff,analyst")
	_, adas := ada.spare()
	olga := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=olga&roles=staff,analyst")
	app, olgas := olga.spare()
	sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	_, sams := sam.spare()
	const canary = "Q9ZmCANARY41"
	id := attack(t, g.Client(), "https://app.test/?q=%3Cscript%3Ealert('"+canary+"')%3C/script%3E")

	ask := func(who, code string, more ...string) []string {
		return append([]string{"reveal", id, "--as", "voucher:" + who, "--code", code, "--why", "ticket 42"}, more...)
	}
	g.no("it takes the role analyst", ask("sam", sams[0])...)
	g.no("nobody has approved it", ask("ada", adas[0])...)
	g.no("is not logged in", ask("eve", "123456")...)
	g.no("the code is wrong", ask("ada", "000000")...)
	g.no("was used before", ask("ada", adas[0])...)
	g.no("what it is for", "reveal", id, "--as", "voucher:ada", "--code", "1")
	g.no("prove a second factor", "reveal", id, "--as", "voucher:ada", "--why", "ticket 42") // nothing is typed
	g.no("the Caddyfile names voucher:olga", "reveal", "approve", id, "--for", "voucher:olga", "--as", "voucher:sam", "--code", sams[0], "--why", "a favour")
	g.no("nobody approves what they ask for themselves", "reveal", "approve", id, "--for", "voucher:olga", "--as", "voucher:olga", "--code", olgas[0], "--why", "a favour")
	g.WantEvent("factor.failed", `"user":"voucher:ada"`, "reveal")
	if n := g.Events("payload.revealed"); n != 0 {
		t.Fatalf("revealed %d times", n)
	}

	g.ok("reveal", "approve", id, "--for", "voucher:ada", "--as", "voucher:olga", "--code", code(t, app, 1), "--why", "I know of ticket 42")
	g.no("nobody has approved it", append(ask("olga", olgas[1]), "--identity", key)...) // it is ada's
	out := g.ok(ask("ada", adas[1], "--identity", key)...)
	if !strings.Contains(out, canary) || !strings.Contains(out, `ARGS:"q"`) || !strings.Contains(out, id) {
		t.Errorf("revealed:\n%s", out)
	}
	g.WantEvent("payload.revealed", `"user":"voucher:ada"`, id, `"approver":"voucher:olga"`, "ticket 42", `"factor":"backup_code"`)
	g.no("nobody has approved it", ask("ada", adas[2])...) // it was good once
	nothing(t, g.Gateway, canary)

	// The record has what was asked for, then that it is handed out, then that it was; and each refusal, with why.
	show := g.ok("audit", "show", filepath.Join(g.Dir, "state", "audit"))
	at := 0
	for _, want := range []string{"admin.requested", "admin.refused", "it takes the role analyst", "nobody has approved it", "payload.approved", "payload.revealed", "admin.done"} {
		i := strings.Index(show[at:], want)
		if i < 0 {
			t.Fatalf("the audit log has no %q after %d:\n%s", want, at, show)
		}
		at += i
	}
	if strings.Contains(show, adas[0]) || strings.Contains(show, adas[1]) {
		t.Error("the audit log holds a code")
	}
	g.ok("audit", "verify", filepath.Join(g.Dir, "state", "audit"))
}

// nothing fails the test if a file of the gateway's, its log included, has the text in it, but for those that are named.
func nothing(t testing.TB, g *gatetest.Gateway, text string, but ...string) {
	t.Helper()
	read := 0
	err := filepath.WalkDir(g.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if read++; slices.Contains(but, d.Name()) {
			return nil
		}
		if strings.Contains(path, text) {
			t.Errorf("a file is called %s", path)
		}
		if bytes.Contains([]byte(content(path)), []byte(text)) {
			t.Errorf("%s has %q in it", path, text)
		}
		return nil
	})
	if err != nil || read < 5 {
		t.Fatalf("%d files read, %v", read, err)
	}
}

// A secret that stands in a matched value, wherever in a request, is in the sealed record and in nothing else that the gateway
// writes; what proved who made a request is not even there.
func TestPayloadsHideACanary(t *testing.T) {
	const canary, evil = "Q9ZmCANARY41", "<script>alert('Q9ZmCANARY41')</script>"
	key, recipient := analyst(t)
	g := private(t, "privacy {\npayloads "+recipient+"\nreveal role analyst\n}", "policy", "allow role staff\nwaf {\nparanoia 2\n}")
	ada := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=ada&roles=staff,analyst")
	app, codes := ada.spare()
	codes = append([]string{code(t, app, 1)}, codes...)
	make := func(method, path, body string, header ...string) *http.Request {
		r, err := http.NewRequest(method, "https://app.test"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	var upload bytes.Buffer
	w := multipart.NewWriter(&upload)
	_ = w.WriteField("note", evil)
	_ = w.Close()
	object, _ := json.Marshal(map[string]string{"note": evil})
	type sent struct{ what, id string }
	var all []sent
	for what, r := range map[string]*http.Request{
		"path":      make("GET", "/"+strings.NewReplacer("<", "%3C", ">", "%3E", "/", "%20").Replace(evil), ""),
		"query":     make("GET", "/?q="+strings.NewReplacer("<", "%3C", ">", "%3E", "'", "%27").Replace(evil), ""),
		"header":    make("GET", "/", "", "Referer", "https://app.test/?q="+evil),
		"cookie":    make("GET", "/", "", "Cookie", "a="+strings.ReplaceAll(evil, ";", "")),
		"bearer":    make("GET", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "", "Authorization", "Bearer "+canary),
		"form":      make("POST", "/save", "note="+strings.NewReplacer("<", "%3C", ">", "%3E", "'", "%27").Replace(evil), "Content-Type", "application/x-www-form-urlencoded"),
		"json":      make("POST", "/save", string(object), "Content-Type", "application/json"),
		"multipart": make("POST", "/save", upload.String(), "Content-Type", w.FormDataContentType()),
	} {
		c := ada.Client
		if what == "bearer" || what == "cookie" {
			c = g.Client()
		}
		r.Header.Set("Origin", "https://app.test")
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(what, err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 403 || !strings.Contains(string(body), "waf_blocked") {
			t.Errorf("%s: %d %s", what, res.StatusCode, body)
			continue
		}
		all = append(all, sent{what, res.Header.Get("X-Request-Id")})
	}
	sealed := filepath.Join(g.Dir, "state", "payloads")
	eventually(t, "a record of each request", func() bool {
		files, _ := os.ReadDir(sealed)
		return len(files) == len(all)
	})
	nothing(t, g.Gateway, canary, "log.json")
	for line := range strings.Lines(g.Log()) { // on this machine the log has paths (and user agents), and nothing else of a request
		var l map[string]any
		_ = json.Unmarshal([]byte(line), &l)
		delete(l, "path")
		if rest, _ := json.Marshal(l); bytes.Contains(rest, []byte(canary)) {
			t.Errorf("the log has the canary elsewhere than in a path: %s", line)
		}
	}
	// All of them with one proof each: there are no more codes than that in a quarter of a minute.
	id, err := os.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	identities, err := age.ParseIdentities(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		files, _ := filepath.Glob(filepath.Join(sealed, "*_"+s.id+".age"))
		if len(files) != 1 {
			t.Fatalf("%s: %d records", s.what, len(files))
		}
		head, box, _ := bytes.Cut([]byte(content(files[0])), []byte{'\n'})
		r, err := age.Decrypt(bytes.NewReader(box), identities...)
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := io.ReadAll(r)
		if has := bytes.Contains(plain, []byte(canary)); has != (s.what != "bearer") {
			t.Errorf("%s: the canary is in the sealed record: %v\n%s", s.what, has, plain)
		}
		if !bytes.Contains(head, []byte(s.id)) || !bytes.Contains(head, []byte(`"rules":[94`)) {
			t.Errorf("%s: the head says %s", s.what, head)
		}
	}
	out := g.ok("reveal", all[0].id, "--as", "voucher:ada", "--code", codes[0], "--why", "ticket 42", "--identity", key)
	if !strings.Contains(out, all[0].id) {
		t.Errorf("revealed:\n%s", out)
	}
	if out := g.ok("reveal", all[1].id, "--as", "voucher:ada", "--code", codes[1], "--why", "ticket 42"); !strings.HasPrefix(out, "-----BEGIN AGE ENCRYPTED FILE-----") {
		t.Errorf("without an identity:\n%s", out)
	}
}

// Each way to get the words wrong is refused with a sentence that names the fix.
func TestPrivacyRefused(t *testing.T) {
	key, recipient := analyst(t)
	for words, says := range map[string]string{
		"payloads age1nonsense\nreveal role analyst":                            "age recipient",
		"payloads " + strings.TrimSpace(content(key)) + "\nreveal role analyst": "an identity, which is secret",
		"payloads " + recipient:                                                 "reveal role analyst",
		"reveal role analyst":                                                   "payloads age1",
		"payloads " + recipient + "\nreveal analyst":                            "reveal role",
		"payloads " + recipient + " {\nrecords 0\n}\nreveal role a":             "1 or more",
		"payloads " + recipient + " {\nretention 1m\n}\nreveal role a":          "an hour or more",
		"payloads " + recipient + "\nreveal role a {\napprovers olga\n}":        "provider:subject",
		"payloads " + recipient + "\nreveal role a\nseal all":                   "the options are",
	} {
		g := gatetest.New(t)
		err := g.Load(fill(newcomer, pairs("idp", "voucher\nprivacy {\n"+words+"\n}")))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", words, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY") {
			t.Error("the refusal shows the identity")
		}
	}
}
