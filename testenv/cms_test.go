package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// wordpressPassword is one that a WAF takes for an attack. WordPress's installation takes no quotes.
const wordpressPassword = `7 or 1=1 -- <svg/onload=alert(1)>; $(id)`

// article is what people write into a page: prose in several languages, and code about code.
const article = `<!-- wp:heading --><h2>Grüße aus Köln &amp; «Łódź»</h2><!-- /wp:heading -->
<!-- wp:paragraph --><p>It's a <a href="https://example.com/a?b=1&amp;c=2#d">link</a>; don't forget: “quotes”, <em>100 %</em> &amp; <code>rm -rf /tmp/x</code>.</p><!-- /wp:paragraph -->
<!-- wp:code --><pre class="wp-block-code"><code>SELECT name, password FROM users WHERE id = 1 OR 1=1; -- ' UNION SELECT 1,2
curl -s http://127.0.0.1/install.sh | sudo bash; cat /etc/passwd; wget -qO- https://example.com
&lt;?php system($_GET['c']); eval(base64_decode($x)); readfile(fopen('x')); ?&gt;
var x = document.cookie; require('child_process').exec('ls');</code></pre><!-- /wp:code -->
<!-- wp:table --><figure class="wp-block-table"><table><tbody><tr><td>Straße</td><td>1 &lt; 2</td></tr><tr><td>../../etc/hosts</td><td>${jndi:ldap://x}</td></tr></tbody></table></figure><!-- /wp:table -->
<!-- wp:html --><div onclick="alert(1)"><iframe src="https://example.com/"></iframe><script>document.write("<b>hello</b>")</script></div><!-- /wp:html -->`

// startWordPress starts WordPress with its database, as Debian has them, before anybody has set it up.
func startWordPress(t testing.TB) *phpApp {
	t.Helper()
	mariadbd := needProgram(t, "mariadb-server-core", "mariadbd", "/usr/sbin/mariadbd")
	return startPHP(t, "wordpress", "/usr/share/wordpress/wp-load.php", 3, func(dir string) {
		first := filepath.Join(dir, "first.sql")
		if err := os.WriteFile(first, []byte("CREATE DATABASE wordpress CHARACTER SET utf8mb4;\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		socket, out := filepath.Join(dir, "db.sock"), filepath.Join(dir, "db.txt")
		args := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "db"), "--socket=" + socket, "--pid-file=" + filepath.Join(dir, "db.pid"),
			"--skip-networking", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--init-file=" + first}
		if os.Getuid() == 0 {
			args = append(args, "--user=root") // otherwise it refuses to be root's
		}
		proc, err := startProcess(mariadbd, args, []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}, dir, out, out)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = proc.stop(syscall.SIGTERM, 20*time.Second) })
		eventually(t, readyIn, "MariaDB answers", func() bool { return proc.ended() || listens("unix", socket) })
		if proc.ended() {
			t.Fatalf("MariaDB ended:\n%s", tail(out, 20))
		}
	})
}

// wordpressSite is what a site with WordPress says.
func wordpressSite(app string) string {
	return "allow role staff\n\t\twaf {\n\t\t\tparanoia 1\n\t\t\tresponse_inspection\n\t\t\t" + app + "\n\t\t}\n\t\tempty_segments\n\t\tkeep_header X-HTTP-Method-Override"
}

// TestWordPress: a whole working day in a CMS that we did not write, without a false alarm.
func TestWordPress(t *testing.T) {
	t.Parallel()
	app := startWordPress(t)
	g := startGateway(t, config{Backend: app.addr, Site: wordpressSite("app wordpress")})
	user := g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	w := &wordpress{p: p, g: g, app: app, began: time.Now()}
	p.open(t, g.origin()+"/")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.session(t, g)
	w.setUp(t)
	id := w.write(t, "plain")
	w.files(t)
	w.read(t, id)
	w.administer(t)
	w.write(t, "named")
	w.siteEditor(t)
	w.remove(t, id)
	g.unrefused(t)
	refused, other := app.again(t, wordpressSite(""))
	mustExplain(t, refused, wordpressAlarms)
	w.attacked(t, user)
	wordpressAnswers(t, user, other)
}

// wordpressAlarms are what rules/apps/wordpress is there for.
var wordpressAlarms = []falseAlarm{
	{"a password at the installation", `^POST /wp-admin/install\.php`, `ARGS:admin_password`},
	{"a password at the login", `^POST /wp-login\.php`, `ARGS:pwd`},
	{"a new user's password", `^POST /wp-admin/user-new\.php`, `ARGS:pass1`},
	{"a method in a header", `^POST /(index\.php\?rest_route=|wp-json/)`, `^920450 `},
	{"an article, no permalinks", `^POST /index\.php\?rest_route=%2Fwp%2Fv2%2Fposts%2F\d+&`, `ARGS:json\.content`},
	{"an article that saves itself, no permalinks", `^POST /index\.php\?rest_route=%2Fwp%2Fv2%2Fposts%2F\d+%2Fautosaves&`, `ARGS:json\.content`},
	{"an article", `^POST /wp-json/wp/v2/posts/\d+\?`, `ARGS:json\.content`},
	{"an article that saves itself", `^POST /wp-json/wp/v2/posts/\d+/autosaves\?`, `ARGS:json\.content`},
	{"a title", `^POST .*%2Fposts%2F\d+&`, `ARGS:json\.title`},
	{"a menu", `^POST /wp-json/wp/v2/navigation\?`, `ARGS:json\.content`},
	{"an excerpt", `^POST .*wp/v2/posts/|%2Fposts`, `ARGS:json\.excerpt`},
	{"a block", `^POST .*%2Fblocks`, `ARGS:json\.content`},
	{"a template", `^POST /wp-json/wp/v2/templates/[a-z]+//index`, `ARGS:json\.content`},
	{"a part of a template", `^POST /wp-json/wp/v2/template-parts/[a-z]+//footer`, `ARGS:json\.content`},
	{"a caption", `^POST .*%2Fmedia%2F\d+`, `ARGS:json\.caption`},
	{"a description", `^POST .*%2Fmedia%2F\d+`, `ARGS:json\.description`},
	{"a file's name", `^POST .*%2Fmedia&`, `920120 FILES`},
	{"a quick draft", `^POST /wp-admin/post\.php`, `ARGS:content`},
	{"a title in the list", `^POST /wp-admin/admin-ajax\.php`, `ARGS:post_title`},
	{"words that hold comments back", `^POST /wp-admin/options\.php`, `ARGS:moderation_keys`},
	{"words that throw comments away", `^POST /wp-admin/options\.php`, `ARGS:disallowed_keys`},
}

// wordpress is a person at work in WordPress.
type wordpress struct {
	p     *tab
	g     *gateway
	app   *phpApp
	began time.Time
}

func (w *wordpress) step(t *testing.T, name string) {
	t.Helper()
	t.Logf("%6v %s", time.Since(w.began).Round(time.Millisecond), name)
	w.p.shot(t, name)
}

// setUp goes through WordPress's own installation and logs in.
func (w *wordpress) setUp(t *testing.T) {
	t.Helper()
	p := w.p
	p.open(t, w.g.origin()+"/wp-admin/install.php")
	w.step(t, "01-install")
	p.mustSay(t, "Site Title")
	p.do(t, "the form is ready", chromedp.WaitVisible(chromedp.CSS("#pass1")))
	p.retype(t, "#weblog_title", "Zoë's Ünïcode & Co. <Notes>", "#user_login", "ada", "#admin_email", "ada@example.com")
	p.password(t)
	p.click(t, "#submit")
	p.mustSay(t, "Success!")
	w.step(t, "02-installed")
	p.open(t, w.g.origin()+"/wp-login.php")
	p.retype(t, "#user_login", "ada", "#user_pass", wordpressPassword)
	p.click(t, "#wp-submit")
	p.mustSay(t, "Dashboard", "At a Glance")
	w.step(t, "03-dashboard")
}

// password puts the password where WordPress proposes one of its own, once it has: its scripts copy it.
func (p *tab) password(t *testing.T) {
	t.Helper()
	password, _ := json.Marshal(wordpressPassword)
	p.until(t, "WordPress has proposed a password", `jQuery("#pass1").val() != "" && jQuery("#pass1").data("pw") != null`)
	eval[bool](t, p, `jQuery("#pass1").data("pw", `+string(password)+`).val(`+string(password)+`).trigger("pwupdate"), jQuery("input[name=pw_weak]:visible").prop("checked", true).trigger("change"), true`)
}

// retype types into fields whatever is there already: selector, text, selector, text … Pages that redraw themselves, or
// move the focus, while somebody types are typed into once more: what counts is what all the fields hold in the end.
// WordPress's login puts the focus on the name a moment after it has loaded, and so a password that is being typed.
func (p *tab) retype(t testing.TB, pairs ...string) {
	t.Helper()
	value := func(field string) string {
		return eval[string](t, p, fmt.Sprintf(`document.querySelector(%q).value`, field))
	}
	eventually(t, pageIn, "the fields hold what was typed", func() bool {
		for i := 0; i+1 < len(pairs); i += 2 {
			if field, want := pairs[i], pairs[i+1]; value(field) != want {
				eval[bool](t, p, fmt.Sprintf(`document.querySelector(%q).value = "", true`, field))
				p.do(t, "typing into "+field, typing(field, want)...)
			}
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if value(pairs[i]) != pairs[i+1] {
				return false
			}
		}
		return true
	})
}

// write writes, saves and publishes in the block editor, and returns the post's number.
func (w *wordpress) write(t *testing.T, name string) int {
	t.Helper()
	p := w.p
	p.open(t, w.g.origin()+"/wp-admin/post-new.php")
	w.editor(t)
	text, _ := json.Marshal(article)
	eval[bool](t, p, `wp.data.dispatch("core/block-editor").resetBlocks(wp.blocks.parse(`+string(text)+`)), true`)
	p.do(t, "typing a title", typing(".editor-post-title__input", "How to SELECT name FROM users WHERE 1=1 & <em>alert(document.cookie)</em>: Ümläute")...)
	w.saved(t, `wp.data.dispatch("core/editor").savePost()`)
	w.step(t, "04-draft-"+name)
	w.saved(t, `(wp.data.dispatch("core/editor").editPost({excerpt: "SELECT a FROM b; <script>hi=1</"+"script> $(cat /etc/passwd)"}), wp.data.dispatch("core/editor").autosave())`)
	w.saved(t, `(wp.data.dispatch("core/editor").editPost({status: "publish", slug: "select-from-users"}), wp.data.dispatch("core/editor").savePost())`)
	w.saved(t, `(wp.data.dispatch("core/block-editor").insertBlocks(wp.blocks.createBlock("core/paragraph", {content: "And then <code>DROP TABLE x; exec xp_cmdshell 'dir'</code>"})), wp.data.dispatch("core/editor").autosave())`)
	w.saved(t, `wp.data.dispatch("core/editor").savePost()`)
	w.step(t, "05-published-"+name)
	return eval[int](t, p, `wp.data.select("core/editor").getCurrentPostId()`)
}

// editor waits for the block editor.
func (w *wordpress) editor(t *testing.T) {
	t.Helper()
	w.p.until(t, "the block editor is there", `!!(window.wp && wp.data && wp.data.select("core/editor") && wp.data.select("core/editor").getCurrentPostId() > 0 && document.querySelector(".editor-post-title__input"))`)
	eval[bool](t, w.p, `wp.data.select("core/edit-post").isFeatureActive("welcomeGuide") && wp.data.dispatch("core/edit-post").toggleFeature("welcomeGuide"), true`)
}

// saved does something in the block editor and waits until it is saved.
func (w *wordpress) saved(t *testing.T, do string) {
	t.Helper()
	got := eval[string](t, w.p, `(async () => { await `+do+`; const e = wp.data.select("core/editor");
		return e.didPostSaveRequestFail() ? "failed: " + JSON.stringify(wp.data.select("core/notices").getNotices().map(n => n.content)) : "" })()`)
	if got != "" {
		t.Errorf("%s: %s", do, got)
	}
}

// api asks WordPress's REST interface in the words of its own scripts; each is an expression in a page of the editor.
func (w *wordpress) api(t *testing.T, what, options string) {
	t.Helper()
	got := eval[string](t, w.p, `wp.apiFetch(`+options+`).then(() => "", e => JSON.stringify(e))`)
	if got != "" {
		t.Errorf("%s: %s", what, got)
	}
}

// files uploads through both of WordPress's ways, and describes what it has uploaded.
func (w *wordpress) files(t *testing.T) {
	t.Helper()
	const notes = `new File(["# notes\nSELECT * FROM users; -- x\\nrm -rf /; curl http://127.0.0.1/x | sh; cat /etc/passwd"], "it's notes & more.txt", {type: "text/plain"})`
	const picture = `await new Promise(done => { const c = document.createElement("canvas"); c.width = c.height = 64; c.getContext("2d").fillText("hello", 5, 30); c.toBlob(b => done(new File([b], "Käse und Brot.png", {type: "image/png"}))) })`
	for _, f := range []string{notes, picture} {
		got := eval[string](t, w.p, `(async () => { const body = new FormData(); const f = `+f+`; body.append("file", f, f.name);
			return wp.apiFetch({path: "/wp/v2/media", method: "POST", body}).then(m => wp.apiFetch({path: "/wp/v2/media/" + m.id, method: "POST", data: {alt_text: "a <b> & 'c'", caption: "Ein <em>Bild</em>; SELECT * FROM users WHERE 1=1 <script>x()</scr"+"ipt>", description: "curl http://x | sh; cat /etc/passwd"}})).then(() => "", e => JSON.stringify(e)) })()`)
		if got != "" {
			t.Errorf("uploading with the block editor: %s", got)
		}
	}
	w.p.open(t, w.g.origin()+"/wp-admin/media-new.php?browser-uploader")
	name := filepath.Join(w.app.dir, "Über uns.txt")
	if err := os.WriteFile(name, []byte("We SELECT * FROM users; -- and cat /etc/passwd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.p.do(t, "choosing a file", chromedp.SetUploadFiles(chromedp.CSS("#async-upload"), []string{name}))
	w.p.click(t, "#html-upload")
	w.p.mustSay(t, "Media Library")
	w.step(t, "06-media")
}

// read looks at what was written as readers do, searches and comments.
func (w *wordpress) read(t *testing.T, id int) {
	t.Helper()
	p := w.p
	p.open(t, w.g.origin()+fmt.Sprintf("/?p=%d", id))
	p.mustSay(t, "Grüße aus Köln", "SELECT name, password FROM users", "xp_cmdshell", "Leave a Reply")
	w.step(t, "07-post")
	p.retype(t, "#comment", "I'm sure you don't want that: use <em>a join</em>; Grüße, Zoë")
	p.click(t, "#submit")
	p.mustSay(t, "use a join; Grüße")
	p.open(t, w.g.origin()+"/?s=how+to+select+users+from+a+table+%26+it%27s+%22Gr%C3%BC%C3%9Fe%22")
	p.open(t, w.g.origin()+"/?feed=rss2")
	p.open(t, w.g.origin()+fmt.Sprintf("/wp-admin/post.php?post=%d&action=edit", id))
	w.editor(t)
	w.api(t, "a title", fmt.Sprintf(`{path: "/wp/v2/posts/%d", method: "POST", data: {title: "How to SELECT name FROM users WHERE 1=1 & <em>alert(document.cookie)</em>: Ümläute"}}`, id))
	w.api(t, "revisions", fmt.Sprintf(`{path: "/wp/v2/posts/%d/revisions?context=edit"}`, id))
	w.api(t, "a search for a link", `{path: "/wp/v2/search?search=it%27s%20select%20users%20from&per_page=20&type=post"}`)
	w.api(t, "a block that the server renders", `{path: "/wp/v2/block-renderer/core/latest-posts?context=edit&attributes%5BpostsToShow%5D=5&attributes%5BdisplayPostContent%5D=true"}`)
	w.api(t, "a reusable block", `{path: "/wp/v2/blocks", method: "POST", data: {title: "a <script>", content: "<!-- wp:html --><script>hi=1</scr"+"ipt><!-- /wp:html -->", status: "publish"}}`)
	w.api(t, "a category", `{path: "/wp/v2/categories", method: "POST", data: {name: "C++ & SQL; it's new", description: "How to <em>select</em> from a table, drop & join"}}`)
	w.api(t, "one's own notes", `{path: "/wp/v2/users/me", method: "POST", data: {description: "Zoë's friend <a href='https://example.com/'>me</a> & 'you'", url: "https://example.com/~ada?x=1"}}`)
	w.api(t, "the site's title", `{path: "/wp/v2/settings", method: "POST", data: {title: "Zoë's Ünïcode", description: "Just another <b>site</b>; it's 'ours'"}}`)
}

// administer goes through the pages of the administration.
func (w *wordpress) administer(t *testing.T) {
	t.Helper()
	p := w.p
	for _, page := range []string{"edit.php?s=select+from+users&post_status=all&post_type=post", "upload.php?mode=list", "edit-comments.php", "themes.php", "plugins.php",
		"users.php", "site-health.php", "export.php", "options-privacy.php", "about.php", "profile.php", "plugin-editor.php"} {
		if r := p.open(t, w.g.origin()+"/wp-admin/"+page); r.Status != 200 {
			t.Errorf("%s: status %d", page, r.Status)
		}
	}
	w.step(t, "08-plugin-editor")
	p.open(t, w.g.origin()+"/wp-admin/options-general.php")
	p.retype(t, "#blogdescription", "It's \"the\" site; select & <drop>")
	p.click(t, "#submit")
	p.mustSay(t, "Settings saved.")
	p.open(t, w.g.origin()+"/wp-admin/options-discussion.php")
	p.retype(t, "#moderation_keys", "<script>\nunion select\nviagra\n/etc/passwd", "#disallowed_keys", "javascript:\n; drop table")
	p.click(t, "#submit")
	p.mustSay(t, "Settings saved.")
	w.step(t, "09-settings")
	p.open(t, w.g.origin()+"/wp-admin/user-new.php")
	p.retype(t, "#user_login", "zoe", "#email", "zoe@example.com", "#first_name", "Zoë", "#last_name", "O'Hara")
	p.password(t)
	p.click(t, "#createusersub")
	p.mustSay(t, "New user created.")
	p.open(t, w.g.origin()+"/wp-admin/edit-tags.php?taxonomy=post_tag")
	p.retype(t, "#tag-name", "C# & SQL", "#tag-description", "It's all about select, where & group by")
	p.do(t, "adding a tag", chromedp.Click(chromedp.CSS("#submit")))
	p.until(t, "the tag is there", `document.querySelectorAll("#the-list tr.level-0").length > 0`)
	w.quickEdit(t)
	p.open(t, w.g.origin()+"/wp-admin/index.php")
	p.retype(t, "#title", "Draft <script>hi=1</script>", "#content", "SELECT * FROM users; <script>hi=1</script> $(cat /etc/passwd)")
	p.do(t, "a quick draft", chromedp.Click(chromedp.CSS("#save-post")))
	p.until(t, "the quick draft is there", `document.querySelector("#dashboard_quick_press .drafts li") != null`)
	p.open(t, w.g.origin()+"/wp-admin/options-permalink.php")
	p.do(t, "choosing an address", chromedp.Click(chromedp.CSS("#permalink-input-post-name, input[value='/%postname%/']")))
	p.click(t, "#submit")
	p.mustSay(t, "Permalink structure updated")
	w.step(t, "10-permalinks")
}

// remove deletes.
func (w *wordpress) remove(t *testing.T, id int) {
	t.Helper()
	w.p.open(t, w.g.origin()+fmt.Sprintf("/wp-admin/post.php?post=%d&action=edit", id))
	w.editor(t)
	w.api(t, "into the trash", fmt.Sprintf(`{path: "/wp/v2/posts/%d", method: "DELETE"}`, id))
	w.p.open(t, w.g.origin()+"/wp-admin/edit.php?post_status=trash&post_type=post")
	w.p.mustSay(t, "How to SELECT name")
	w.step(t, "11-trash")
	w.p.click(t, "#delete_all")
	w.p.mustSay(t, "permanently deleted")
}

// siteEditor changes the theme's templates and styles.
func (w *wordpress) siteEditor(t *testing.T) {
	t.Helper()
	themes, err := filepath.Glob(filepath.Join(w.app.dir, "www", "wp-content", "themes", "twenty*"))
	if err != nil || len(themes) == 0 {
		t.Fatalf("no theme (%v): run `sh testenv/install.sh`", err)
	}
	theme := filepath.Base(themes[0])
	w.p.open(t, w.g.origin()+"/wp-admin/site-editor.php")
	w.p.until(t, "the site editor is there", `!!(window.wp && wp.data && wp.data.select("core/edit-site") && wp.data.select("core/edit-site").getEditedPostId())`)
	w.api(t, "a template", `{path: "/wp/v2/templates/`+theme+`//index", method: "PUT", data: {content: "<!-- wp:html --><script>hi=1</scr"+"ipt><p>SELECT * FROM users</p><!-- /wp:html -->"}}`)
	w.api(t, "a part of a template", `{path: "/wp/v2/template-parts/`+theme+`//footer", method: "PUT", data: {content: "<!-- wp:html --><script>hi=1</scr"+"ipt><!-- /wp:html -->"}}`)
	w.api(t, "a menu", `{path: "/wp/v2/navigation", method: "POST", data: {title: "Menu", status: "publish", content: "<!-- wp:navigation-link {\"label\":\"<b>x</b>\",\"url\":\"https://example.com/?a=1\",\"kind\":\"custom\"} /-->"}}`)
	w.step(t, "12-site-editor")
	const call = `<?xml version=\"1.0\"?><methodCall><methodName>system.listMethods</methodName><params></params></methodCall>`
	if got := eval[string](t, w.p, "fetch('/xmlrpc.php', {method: 'POST', headers: {'Content-Type': 'text/xml'}, body: `"+call+"`}).then(r => r.text())"); !strings.Contains(got, "metaWeblog.newPost") {
		t.Errorf("XML-RPC: %s", excerpt([]byte(got), 400))
	}
}

// quickEdit changes a title in the list of posts.
func (w *wordpress) quickEdit(t *testing.T) {
	t.Helper()
	w.p.open(t, w.g.origin()+"/wp-admin/edit.php")
	eval[bool](t, w.p, `document.querySelector("#the-list .editinline").click(), true`)
	w.p.retype(t, ".inline-edit-row .ptitle", "How to SELECT name FROM users WHERE 1=1 & <em>alert(document.cookie)</em>, again")
	w.p.do(t, "saving", chromedp.Click(chromedp.CSS(".inline-edit-row .button-primary.save")))
	w.p.until(t, "the title has changed", `document.querySelector("#the-list .row-title") != null && document.querySelector("#the-list").innerText.includes(", again")`)
}
