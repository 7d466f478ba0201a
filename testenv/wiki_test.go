package testenv

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// wikiPassword is one that a WAF takes for an attack.
const wikiPassword = `it's 7 or 1=1 -- <svg/onload=alert(1)>; $(id)`

// runbook is what people who run servers write into a wiki.
const runbook = `====== Grüße aus Köln: when the database is down ======
It's **not** //always// the disk; see [[https://example.com/a?b=1&c=2#d|the graphs]], [[:start|home]] and {{:wiki:logo.png?64|it's a picture}}.

^ Straße ^ what ^
| 1 < 2 & 3 | ../../etc/hosts |
| ${jndi:ldap://x} | %%{{7*7}}%% |

<code sql>
SELECT name, password FROM users WHERE id = 1 OR 1=1; -- ' UNION SELECT 1,2
DROP TABLE users; EXEC xp_cmdshell 'dir'; INSERT INTO x VALUES ('a', sleep(5));
</code>
<code>
ERROR 1064 (42000): You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version
ORA-00933: SQL command not properly ended
</code>
<code bash>
curl -s http://127.0.0.1/install.sh | sudo bash; cat /etc/passwd; rm -rf /tmp/x && wget -qO- https://example.com
ssh root@10.0.0.1 'tail -f /var/log/auth.log' > /dev/tcp/10.0.0.1/4444; python3 -c 'import os; os.system("id")'
</code>
<code php>
<?php $f = fopen($_GET['c'], 'r'); eval(base64_decode($x)); readfile('x'); ?>
</code>
<file javascript x.js>
document.write("<b>" + document.cookie + "</b>"); require('child_process').exec('ls'); alert(1);
</file>
<html><script>alert(1)</script></html>
`

// dokuwikiSite is what a site with DokuWiki says.
func dokuwikiSite(app string) string {
	return "allow role staff\n\t\twaf {\n\t\t\tparanoia 1\n\t\t\tresponse_inspection\n\t\t\t" + app + "\n\t\t}"
}

// TestDokuWiki: a whole working day in a wiki that we did not write, without a false alarm.
func TestDokuWiki(t *testing.T) {
	t.Parallel()
	// One worker: DokuWiki's cookies are named after the port that it runs on.
	app := startPHP(t, "dokuwiki", "/usr/share/dokuwiki/doku.php", 1, nil)
	g := startGateway(t, config{Backend: app.addr, Site: dokuwikiSite("app dokuwiki")})
	user := g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	w := &dokuwiki{p: p, g: g, app: app, began: time.Now()}
	p.open(t, g.origin()+"/")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.session(t, g)
	w.setUp(t)
	w.write(t)
	w.files(t)
	w.read(t)
	w.administer(t)
	w.remove(t)
	g.unrefused(t)
	refused, other := app.again(t, dokuwikiSite(""))
	mustExplain(t, refused, dokuwikiAlarms)
	w.attacked(t, user)
	dokuwikiAnswers(t, user, other)
}

// dokuwikiAlarms are what rules/apps/dokuwiki is there for.
var dokuwikiAlarms = []falseAlarm{
	{"a password at the installation", `^POST /install\.php`, `ARGS:\*`},
	{"a password at the login", `^POST /doku\.php\?id=start`, `ARGS:p `},
	{"a new user's password", `^POST /doku\.php`, `ARGS:userpass `},
	{"one's own new password", `^POST /doku\.php`, `ARGS:newpass `},
	{"a page", `^POST /doku\.php`, `ARGS:wikitext`},
	{"what stands before a section", `^POST /doku\.php`, `ARGS:prefix`},
	{"a draft", `^POST /lib/exe/ajax\.php$`, `ARGS:wikitext`},
	{"what stands after a section", `^POST /doku\.php`, `ARGS:suffix`},
	{"what was changed", `^POST /doku\.php`, `ARGS:summary`},
	{"the settings as they come", `^POST /doku\.php`, `^932130 ARGS:\*[^,]*$`},
	{"a file", `^POST /lib/exe/ajax\.php\?.*call=mediaupload`, `ARGS_NAMES`},
}

// dokuwiki is a person at work in DokuWiki.
type dokuwiki struct {
	p     *tab
	g     *gateway
	app   *phpApp
	began time.Time
}

func (w *dokuwiki) step(t *testing.T, name string) {
	t.Helper()
	t.Logf("%6v %s", time.Since(w.began).Round(time.Millisecond), name)
	w.p.shot(t, name)
}

func (w *dokuwiki) open(t *testing.T, path string) {
	t.Helper()
	if r := w.p.open(t, w.g.origin()+path); r.Status != http.StatusOK {
		t.Errorf("%s: status %d", path, r.Status)
	}
}

// setUp goes through DokuWiki's own installation and logs in.
func (w *dokuwiki) setUp(t *testing.T) {
	t.Helper()
	p := w.p
	w.open(t, "/install.php")
	p.retype(t, "#title", "Zoë's Ünïcode & Co. <Notes>", "#superuser", "ada", "#fullname", "Ada O'Hara", "#email", "ada@example.com", "#password", wikiPassword, "#confirm", wikiPassword)
	w.step(t, "01-install")
	p.click(t, "form:has(#superuser) button[type=submit]")
	p.mustSay(t, "The configuration was finished successfully")
	w.step(t, "02-installed")
	w.open(t, "/doku.php?id=start&do=login")
	p.retype(t, "input[name=u]", "ada", "input[name=p]", wikiPassword)
	p.click(t, "#dw__login button[type=submit]")
	p.mustSay(t, "Logged in as", "Ada O'Hara")
}

// fillIn puts a text into the editor and tells DokuWiki's scripts so.
func (w *dokuwiki) fillIn(t *testing.T, text string) {
	t.Helper()
	quoted, _ := json.Marshal(text)
	eval[bool](t, w.p, `jQuery("#wiki__text").val(`+string(quoted)+`).trigger("change").trigger("keyup"), true`)
	w.p.do(t, "typing", typing("#wiki__text", " ")...)
}

// write writes pages, previews them, lets them save themselves as drafts, saves them, and changes one section of one.
func (w *dokuwiki) write(t *testing.T) {
	t.Helper()
	p := w.p
	w.open(t, "/doku.php?id=ops:database&do=edit")
	w.fillIn(t, runbook)
	p.retype(t, "#edit__summary", "It's new: SELECT * FROM users; <b>&</b>")
	w.step(t, "03-editor")
	p.click(t, "#edbtn__preview")
	p.mustSay(t, "This is a preview", "Grüße aus Köln", "DROP TABLE users")
	w.step(t, "04-preview")
	w.draft(t)
	p.click(t, "#edbtn__save")
	p.mustSay(t, "Grüße aus Köln", "DROP TABLE users", "You have an error in your SQL syntax", "readfile('x')")
	w.step(t, "05-saved")
	w.open(t, "/doku.php?id=ops:database&do=edit")
	w.fillIn(t, runbook+"\n===== And then =====\nAsk Zoë; ''SELECT 1 FROM x WHERE 1=1''.\n")
	p.click(t, "#edbtn__save")
	p.mustSay(t, "And then")
	eval[bool](t, p, `[...document.querySelectorAll(".secedit button")].at(-1).id = "last-section", true`)
	p.click(t, "#last-section")
	w.fillIn(t, "===== And then =====\nAsk Zoë, again; ''SELECT 1 FROM x WHERE 1=1''.\n")
	w.step(t, "05-section")
	p.click(t, "#edbtn__save")
	p.mustSay(t, "Ask Zoë, again", "DROP TABLE users")
	w.open(t, "/doku.php?id=start&do=edit")
	w.fillIn(t, "====== Start ======\n  * [[ops:database]]\n  * it's all here; don't panic\n===== Then =====\n''curl http://127.0.0.1/x | sh; cat /etc/passwd''\n")
	p.retype(t, "#edit__summary", "Why SELECT * FROM users WHERE 1=1; cat /etc/passwd is slow")
	p.click(t, "#edbtn__save")
	p.mustSay(t, "don't panic")
	p.click(t, ".secedit button")
	w.fillIn(t, "====== Start ======\n  * [[ops:database]]\n  * Grüße\n")
	p.click(t, "#edbtn__save")
	p.mustSay(t, "Grüße", "cat /etc/passwd")
}

// draft does what the editor does while somebody types, without the wait.
func (w *dokuwiki) draft(t *testing.T) {
	t.Helper()
	said := eval[string](t, w.p, `jQuery.post(DOKU_BASE + "lib/exe/ajax.php", jQuery("#dw__editform").find("input[type=hidden],textarea,input[name=summary]").serialize() + "&call=lock")`)
	if !strings.Contains(said, "Draft autosaved") {
		t.Errorf("a draft: %s", said)
	}
}

// files uploads a picture and a text.
func (w *dokuwiki) files(t *testing.T) {
	t.Helper()
	for name, content := range map[string]string{
		"it's our notes & tables.txt": "'SELECT * FROM users; -- x\\nrm -rf /; curl http://127.0.0.1/x | sh; cat /etc/passwd'",
		"Käse und Brot.png":           `await new Promise(done => { const c = document.createElement("canvas"); c.width = c.height = 64; c.getContext("2d").fillText("hello", 5, 30); c.toBlob(done) })`,
	} {
		quoted, _ := json.Marshal(name)
		got := eval[string](t, w.p, `(async () => { const f = new File([`+content+`], `+string(quoted)+`); const token = document.querySelector("input[name=sectok]") ? document.querySelector("input[name=sectok]").value : "";
			return fetch(DOKU_BASE + "lib/exe/ajax.php?call=mediaupload&ns=ops&sectok=" + token + "&qqfile=" + encodeURIComponent(f.name), {method: "POST", headers: {"X-Requested-With": "XMLHttpRequest", "X-File-Name": encodeURIComponent(f.name), "Content-Type": "application/octet-stream"}, body: f}).then(r => r.text()) })()`)
		if !strings.Contains(got, `"success":true`) {
			t.Errorf("uploading %s: %s", name, excerpt([]byte(got), 300))
		}
	}
	w.open(t, "/lib/exe/mediamanager.php?ns=ops")
	name := filepath.Join(w.app.dir, "O'Hara's notes.txt")
	if err := os.WriteFile(name, []byte("We SELECT * FROM users; -- and cat /etc/passwd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.p.do(t, "choosing a file", chromedp.SetUploadFiles(chromedp.CSS(".qq-upload-button input"), []string{name}, chromedp.NodeReady))
	w.p.do(t, "uploading it", chromedp.Click(chromedp.CSS("#mediamanager__upload_button")))
	w.p.until(t, "the file is there", `document.querySelector(".qq-upload-success") != null`)
	w.step(t, "06-media")
	w.open(t, "/doku.php?id=start&do=media&ns=ops")
}

// read looks at what was written as readers do, and searches.
func (w *dokuwiki) read(t *testing.T) {
	t.Helper()
	w.open(t, "/doku.php?id=ops:database")
	w.p.mustSay(t, "Grüße aus Köln", "sleep(5)")
	w.step(t, "07-page")
	for _, path := range []string{"/doku.php?id=ops:database&do=revisions", "/doku.php?id=ops:database&do=diff", "/doku.php?id=ops:database&do=backlink", "/doku.php?id=start&do=recent", "/doku.php?id=start&do=index",
		"/doku.php?do=search&id=start&q=how+to+select+users+from+a+table+%26+it%27s+%22Gr%C3%BC%C3%9Fe%22", "/doku.php?do=search&id=start&q=database+%40ops", "/doku.php?id=ops:database&do=export_raw", "/doku.php?id=ops:database&do=export_xhtml", "/doku.php?id=ops:database&do=export_code&codeblock=0", "/feed.php"} {
		a := eval[float64](t, w.p, `fetch("`+path+`").then(r => r.status)`)
		if a != http.StatusOK {
			t.Errorf("%s: status %v", path, a)
		}
	}
	if got := eval[string](t, w.p, `jQuery.post(DOKU_BASE + "lib/exe/ajax.php", {call: "qsearch", q: "database & select"})`); strings.Contains(got, "waf_blocked") {
		t.Error(got)
	}
	if got := eval[string](t, w.p, `jQuery.post(DOKU_BASE + "lib/exe/ajax.php", {call: "linkwiz", q: "ops:data"})`); !strings.Contains(got, "database") {
		t.Errorf("the link wizard: %s", got)
	}
	w.open(t, "/doku.php?do=search&id=start&q=database")
	w.step(t, "08-search")
}

// administer goes through the pages of the administration.
func (w *dokuwiki) administer(t *testing.T) {
	t.Helper()
	p := w.p
	for _, page := range []string{"", "&page=acl", "&page=extension", "&page=styling", "&page=logviewer", "&page=popularity", "&page=revert"} {
		w.open(t, "/doku.php?id=start&do=admin"+page)
	}
	w.open(t, "/doku.php?id=start&do=admin&page=config")
	p.retype(t, "#config___tagline", "It's \"the\" wiki; select & drop")
	p.click(t, "#dw__configform button[type=submit]")
	p.mustSay(t, "Settings updated successfully")
	w.step(t, "09-settings")
	w.open(t, "/doku.php?id=start&do=admin&page=usermanager")
	p.retype(t, "#add_userid", "zoe", "#add_userpass", wikiPassword, "#add_userpass2", wikiPassword, "#add_username", "Zoë O'Hara", "#add_usermail", "zoe@example.com")
	p.click(t, "button[name='fn[add]']")
	p.mustSay(t, "User added successfully")
	w.step(t, "10-users")
	w.open(t, "/doku.php?id=start&do=profile")
	p.retype(t, "input[name=fullname]", "Ada O'Hara", "input[name=newpass]", wikiPassword, "input[name=passchk]", wikiPassword, "input[name=oldpass]", wikiPassword)
	p.click(t, "#dw__register button[type=submit]")
	p.mustSay(t, "User profile successfully updated")
}

// remove deletes a page as one does in DokuWiki: by emptying it.
func (w *dokuwiki) remove(t *testing.T) {
	t.Helper()
	w.open(t, "/doku.php?id=ops:database&do=edit")
	eval[bool](t, w.p, `jQuery("#wiki__text").val("").trigger("change"), true`)
	w.p.click(t, "#edbtn__save")
	w.p.mustSay(t, "This page does not exist anymore")
	w.step(t, "11-removed")
}

var _ = url.Values{}

// attacked sends what the exclusions do not name.
func (w *dokuwiki) attacked(t *testing.T, user *client) {
	t.Helper()
	const sqli, xss, rce = "1' UNION SELECT user,password FROM users-- -", "<script>alert(document.cookie)</script>", "; cat /etc/passwd"
	const forms, octets = "application/x-www-form-urlencoded", "application/octet-stream"
	stranger := w.g.stranger(t)
	seen := len(w.app.passed())
	for _, tt := range []struct{ name, method, path, contentType, body string }{
		{"a page's name", "GET", "/doku.php?id=../../../../etc/passwd", "", ""},
		{"a search", "GET", "/doku.php?do=search&q=" + url.QueryEscape(sqli), "", ""},
		{"text in the query", "GET", "/doku.php?do=preview&wikitext=" + url.QueryEscape(xss), "", ""},
		{"text in another form", "POST", "/lib/exe/mediamanager.php", forms, url.Values{"wikitext": {xss}}.Encode()},
		{"text for XML-RPC", "POST", "/lib/exe/xmlrpc.php", forms, url.Values{"wikitext": {xss}}.Encode()},
		{"a page's number", "POST", "/doku.php", forms, url.Values{"id": {"a"}, "wikitext": {"x"}, "rev": {sqli}}.Encode()},
		{"what is to be done", "POST", "/doku.php", forms, url.Values{"do": {rce}, "wikitext": {"x"}}.Encode()},
		{"a user's name", "POST", "/doku.php", forms, url.Values{"u": {sqli}, "p": {"x"}}.Encode()},
		{"a password in the query", "GET", "/doku.php?do=login&p=" + url.QueryEscape(sqli), "", ""},
		{"a password elsewhere", "POST", "/feed.php", forms, url.Values{"p": {sqli}}.Encode()},
		{"a setting", "POST", "/doku.php", forms, url.Values{"config[title]": {xss}}.Encode()},
		{"the signature, another attack", "POST", "/doku.php", forms, url.Values{"config[signature]": {xss}}.Encode()},
		{"the installation's other fields", "POST", "/install.php", forms, url.Values{"d[title]": {xss}}.Encode()},
		{"another call", "POST", "/lib/exe/ajax.php", forms, url.Values{"call": {"linkwiz"}, "q": {sqli}}.Encode()},
		{"a form for a file", "POST", "/lib/exe/ajax.php?call=mediaupload", forms, url.Values{"q": {sqli}}.Encode()},
		{"a file for another call", "POST", "/lib/exe/ajax.php?call=linkwiz", octets, "SELECT 1; cat /etc/passwd; ' UNION SELECT 1,2 FROM users-- -"},
		{"a file for another address", "POST", "/lib/exe/fetch.php?call=mediaupload", octets, "SELECT 1; cat /etc/passwd; ' UNION SELECT 1,2 FROM users-- -"},
		{"a file's name", "POST", "/lib/exe/ajax.php?call=mediaupload&qqfile=" + url.QueryEscape("../../../etc/passwd"), octets, "x"},
	} {
		r := request{Method: tt.method, Path: tt.path, Body: []byte(tt.body), Header: http.Header{"Content-Type": {tt.contentType}}}
		if tt.contentType == "" {
			r.Header, r.Body = nil, nil
		}
		if err := user.must(t, r).refusedAs("waf_blocked", http.StatusForbidden); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if a := stranger.must(t, r); a.Status != http.StatusForbidden && a.Status != http.StatusUnauthorized {
			t.Errorf("%s, from a stranger: status %d", tt.name, a.Status)
		}
	}
	for _, p := range w.app.passed()[seen:] {
		t.Errorf("%s %s reached DokuWiki", p.Method, p.URI)
	}
}

// dokuwikiAnswers: a page may quote an error; source text, and what is no page, stay where they are.
func dokuwikiAnswers(t *testing.T, with, without *client) {
	t.Helper()
	const page, source = "ORA-00933: SQL command not properly ended. Call fopen.", "<?php $db = mysqli_connect('localhost', 'root', 'secret');"
	for user, rows := range map[*client][]struct {
		path, say string
		status    int
	}{
		without: {{"/doku.php?id=x", page, http.StatusForbidden}, {"/doku.php?id=x&do=export_raw", source, http.StatusForbidden}},
		with: {
			{"/doku.php?id=x", page, http.StatusOK},
			{"/doku.php?id=x&do=export_raw", source, http.StatusOK},
			{"/doku.php?id=x", source, http.StatusForbidden},
			{"/lib/exe/fetch.php?media=x", page, http.StatusForbidden},
			{"/doku.php?id=x", "java.lang.NullPointerException at com.example.Main(Main.java:1)", http.StatusForbidden},
		},
	} {
		for _, tt := range rows {
			if a := user.must(t, request{Path: tt.path, Header: http.Header{"X-Say": {tt.say}}}); a.Status != tt.status {
				t.Errorf("%q at %s, with the package %v: status %d, want %d", tt.say, tt.path, user == with, a.Status, tt.status)
			}
		}
	}
}
