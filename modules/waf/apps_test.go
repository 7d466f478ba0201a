package waf

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
	"gatehouse.internal/rules"
)

func appEngine(t *testing.T, apps ...string) *Engine {
	t.Helper()
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Apps: apps}, NewBudget(DefaultBudget))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// blockText is what a person may write into a page, and what a WAF must take for an attack anywhere else.
const blockText = `<!-- wp:html --><script>alert(1)</script><!-- /wp:html --><p>SELECT * FROM users WHERE id='1' OR 1=1 --; cat /etc/passwd</p>`

// post is a form at a path.
func post(path string, pairs ...string) *http.Request {
	r := form(pairs...)
	r.URL.Path, r.RequestURI = path, path
	return r
}

// put is a file that is written.
func put(path, contentType, content string) *http.Request {
	return body("PUT", path, contentType, content)
}

// TestApps: what an application's own pages send is refused without its package and passes with it, and the same in
// any other argument, address or method is refused with it as well.
func TestApps(t *testing.T) {
	plain, all := appEngine(t), appEngine(t, Apps()...)
	const php = `<?php system($_GET['c']); $q = "SELECT 1 UNION SELECT password FROM users"; ?>`
	saved := func(method, path, field string) *http.Request {
		return body(method, path, "application/json", `{"id":7,"`+field+`":"`+blockText+`"}`)
	}
	tests := []struct {
		app, name string
		r         func() *http.Request
		passes    bool // with the package
	}{
		{"wordpress", "a password", func() *http.Request {
			return post("/wp-login.php", "log", "ada", "pwd", `' OR 1=1 --<script>alert(1)</script>`)
		}, true},
		{"wordpress", "a new password", func() *http.Request {
			return post("/wp-admin/profile.php", "pass1", `<script>alert(1)</script>`, "pass2", `<script>alert(1)</script>`)
		}, true},
		{"wordpress", "an attack as a user name", func() *http.Request { return post("/wp-login.php", "log", `' OR 1=1 --<script>alert(1)</script>`) }, false},
		{"wordpress", "a password elsewhere", func() *http.Request { return post("/wp-login.php/x", "pwd", `' UNION SELECT 1,2 FROM users--`) }, false},
		{"wordpress", "the block editor", func() *http.Request { return saved("POST", "/wp-json/wp/v2/posts/7?_locale=user", "content") }, true},
		{"wordpress", "the block editor saves by itself", func() *http.Request { return saved("POST", "/wp-json/wp/v2/pages/7/autosaves", "content") }, true},
		{"wordpress", "another argument", func() *http.Request { return saved("POST", "/wp-json/wp/v2/posts/7", "slug") }, false},
		{"wordpress", "another address", func() *http.Request { return saved("POST", "/wp-json/wp/v2/users/7", "content") }, false},
		{"wordpress", "a comment", func() *http.Request { return post("/wp-comments-post.php", "content", blockText) }, false},
		{"wordpress", "the classic editor", func() *http.Request { return post("/wp-admin/post.php", "post_title", "a", "content", blockText) }, true},
		{"wordpress", "the classic editor's query", func() *http.Request { return get("/wp-admin/post.php?content=%3Cscript%3Ealert(1)%3C/script%3E") }, false},
		{"nextcloud", "a text file", func() *http.Request {
			return put("/remote.php/dav/files/ada/notes.md", "text/markdown", php+blockText)
		}, true},
		{"nextcloud", "a page", func() *http.Request { return put("/remote.php/webdav/index.html", "text/html", php+blockText) }, true},
		{"nextcloud", "an unknown type", func() *http.Request { return put("/remote.php/dav/files/ada/a.kdbx", "application/x-keepass2", "x") }, true},
		{"nextcloud", "a database dump", func() *http.Request {
			return put("/remote.php/dav/files/ada/backup.sql", "application/octet-stream", "x")
		}, true},
		{"nextcloud", "reading .htaccess", func() *http.Request { return get("/remote.php/dav/files/ada/.htaccess") }, true},
		{"nextcloud", "a password", func() *http.Request {
			return post("/index.php/login", "user", "ada", "password", `' UNION SELECT 1,2 FROM users--`)
		}, true},
		{"nextcloud", "an attack as a user name", func() *http.Request { return post("/index.php/login", "user", `' UNION SELECT 1,2 FROM users--`) }, false},
		{"nextcloud", "a text file as a form", func() *http.Request {
			return body("POST", "/remote.php/dav/files/ada/notes.md", "text/markdown", php+blockText)
		}, false},
		{"nextcloud", "the server's own .htaccess", func() *http.Request { return get("/.htaccess") }, false},
		{"nextcloud", "an attack in the query", func() *http.Request {
			return get("/remote.php/dav/files/ada/x?q=%3Cscript%3Ealert(1)%3C/script%3E")
		}, false},
		{"node-red", "a deploy", func() *http.Request { return saved("POST", "/flows", "func") }, true},
		{"node-red", "a deploy elsewhere", func() *http.Request { return saved("POST", "/flow", "func") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.app+"/"+tt.name, func(t *testing.T) {
			if v, _ := judge(plain, tt.r()); v.Reason != verdict.WAFBlocked {
				t.Errorf("without the package: %+v: it proves nothing", v)
			}
			v, i := judge(all, tt.r())
			if v.Given() == tt.passes {
				t.Errorf("with the package: %+v, rules %v", v, i.found.Rules)
			}
		})
	}
}

func TestAppsArePartOfTheEngine(t *testing.T) {
	for _, name := range Apps() {
		e := appEngine(t, name)
		if e.Rules() <= engineAt(t, 1, Block).Rules() {
			t.Errorf("%s adds no rule", name)
		}
		if len(appFiles([]string{name}, "before")) == 0 {
			t.Errorf("%s has no file", name)
		}
	}
	one, other := Config{Apps: []string{"wordpress", "nextcloud"}}, Config{Apps: []string{"nextcloud", "wordpress"}}
	if one.Key() != other.Key() {
		t.Error("the order makes a difference")
	}
	if one.Key() == (Config{Apps: []string{"nextcloud"}}).Key() || one.Key() == (Config{}).Key() {
		t.Error("the applications are not part of the key")
	}
	for _, apps := range [][]string{{"unknown"}, {"../before"}, {"wordpress", "wordpress"}} {
		if _, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: 1, Apps: apps}, NewBudget(1)); err == nil {
			t.Errorf("%q is accepted", apps)
		}
	}
}

// TestAppFilesKeepTheSitesLimits: a package may say no more than a site's own directory.
func TestAppFilesKeepTheSitesLimits(t *testing.T) {
	for _, folder := range []string{"before", "after"} {
		for _, name := range append(appFiles(Apps(), folder), ours("virtual-patches")...) {
			text, err := rules.FS.ReadFile(strings.TrimPrefix(name, oursDir+"/"))
			if err != nil {
				t.Fatal(err)
			}
			if err := lintFile(name, string(text)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestVirtualPatches: each refuses its canary by a rule of its own, at the lowest paranoia, and lets the harmless
// neighbour pass.
func TestVirtualPatches(t *testing.T) {
	patches, err := rules.Patches()
	if err != nil {
		t.Fatal(err)
	}
	e := engineAt(t, 1, Block)
	for _, p := range patches {
		t.Run(p.CVE, func(t *testing.T) {
			text, err := rules.FS.ReadFile(p.File)
			if err != nil {
				t.Fatal(err)
			}
			v, i := judge(e, sketch(p.Canary))
			rule, _ := strings.CutPrefix(v.Detail, "rule ")
			if v.Reason != verdict.WAFBlocked || rule == "" || !strings.Contains(string(text), "id:"+rule+",") {
				t.Errorf("the canary: %+v, rules %v: not refused by a rule of %s", v, i.found.Rules, p.File)
			}
			if v, i := judge(e, sketch(p.Harmless)); v.Given() {
				t.Errorf("the harmless neighbour: %+v, rules %v", v, i.found.Rules)
			}
		})
	}
	if v, i := judge(e, form("bootstrapStatusProvider.applicationConfig.setupComplete", "false")); !slices.Contains(i.found.Rules, 95001) {
		t.Errorf("CVE-2023-22515 in a form: %+v, rules %v", v, i.found.Rules)
	}
}

// sketch is a request of a method and a target.
func sketch(text string) *http.Request {
	method, target, _ := strings.Cut(text, " ")
	r := get(target)
	r.Method = method
	return r
}

// TestExpiredPatches: lint says when a virtual patch should be gone.
func TestExpiredPatches(t *testing.T) {
	if found, err := expiredPatches(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
	found, err := expiredPatches(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || len(found) == 0 || !strings.Contains(found[0].Text, "CVE-") || !strings.Contains(found[0].Text, "expired on 20") {
		t.Errorf("%v %v", found, err)
	}
}
