package testenv

import (
	"net/http"
	"net/url"
	"testing"
)

// attacked sends what the exclusions do not name.
func (w *wordpress) attacked(t *testing.T, user *client) {
	t.Helper()
	const sqli, xss, rce = "1' UNION SELECT user_login,user_pass FROM wp_users-- -", "<script>alert(document.cookie)</script>", "; cat /etc/passwd"
	stranger := w.g.stranger(t)
	seen := len(w.app.passed())
	const forms, jsons = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct{ name, method, path, contentType, body string }{
		{"SQL as a user's name", "POST", "/wp-login.php", forms, url.Values{"log": {sqli}, "pwd": {"x"}}.Encode()},
		{"SQL as an e-mail address", "POST", "/wp-admin/user-new.php", forms, url.Values{"email": {sqli}, "pass1": {"x"}}.Encode()},
		{"a password in the query", "GET", "/wp-login.php?pwd=" + url.QueryEscape(sqli), "", ""},
		{"a password elsewhere", "POST", "/wp-comments-post.php", forms, url.Values{"pwd": {xss}}.Encode()},
		{"a comment", "POST", "/wp-comments-post.php", forms, url.Values{"comment": {xss}}.Encode()},
		{"a slug", "POST", "/wp-json/wp/v2/posts/1", jsons, `{"slug":"` + sqli + `","content":"x"}`},
		{"a slug, no permalinks", "POST", "/index.php?rest_route=/wp/v2/posts/1", jsons, `{"slug":"` + sqli + `"}`},
		{"content for the users", "POST", "/wp-json/wp/v2/users/1", jsons, `{"content":"` + xss + `"}`},
		{"content for the users, no permalinks", "POST", "/?rest_route=/wp/v2/users/1", jsons, `{"content":"` + xss + `"}`},
		{"content for two routes", "POST", "/?rest_route=/wp/v2/posts/1&rest_route=/wp/v2/users/1", jsons, `{"content":"` + xss + `"}`},
		{"content for two routes as PHP reads them", "POST", "/?rest_route=/wp/v2/posts/1&rest.route=/wp/v2/users/1", jsons, `{"content":"` + xss + `"}`},
		{"content for two routes in a list", "POST", "/?rest_route=/wp/v2/posts/1&rest_route[]=/wp/v2/users/1", jsons, `{"content":"` + xss + `"}`},
		{"content in a further object", "POST", "/wp-json/wp/v2/posts/1", jsons, `{"meta":{"content":"` + xss + `"}}`},
		{"the query of an article", "POST", "/wp-json/wp/v2/posts/1?content=" + url.QueryEscape(xss), jsons, `{}`},
		{"a shell below an article", "POST", "/wp-json/wp/v2/posts/1", jsons, `{"status":"` + rce + `"}`},
		{"a plugin's REST route", "POST", "/wp-json/shop/v1/orders", jsons, `{"content":"` + xss + `"}`},
		{"a caption in the query", "GET", "/wp-json/wp/v2/media/1?caption=" + url.QueryEscape(xss), "", ""},
		{"the title in the list, elsewhere", "POST", "/wp-admin/edit.php", forms, url.Values{"post_title": {xss}}.Encode()},
		{"another action's argument", "POST", "/wp-admin/admin-ajax.php", forms, url.Values{"action": {"x"}, "img": {"../../../../etc/passwd"}}.Encode()},
		{"the words, in the query", "GET", "/wp-admin/options.php?moderation_keys=" + url.QueryEscape(xss), "", ""},
		{"another setting", "POST", "/wp-admin/options.php", forms, url.Values{"siteurl": {xss}}.Encode()},
		{"a plugin's source text", "POST", "/wp-admin/admin-ajax.php", forms, url.Values{"action": {"edit-theme-plugin-file"}, "newcontent": {"<?php system($_GET['c']); ?>"}}.Encode()},
		{"a file's name with a quote", "POST", "/wp-json/wp/v2/media", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a';b.png\"\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"},
		{"a program for a picture", "POST", "/wp-json/wp/v2/media", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"it's.php\"\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"},
		{"a search", "GET", "/?s=" + url.QueryEscape(sqli), "", ""},
		{"XML-RPC", "POST", "/xmlrpc.php", "text/xml", "<methodCall><methodName>" + sqli + "</methodName></methodCall>"},
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
	// The other headers that 920450 is about, and the method in a header where no editor sends it.
	for _, tt := range []struct{ name, path, header, value string }{
		{"another header", "/wp-json/wp/v2/posts/1", "Lock-Token", "<urn:x>"},
		{"another method", "/wp-json/wp/v2/posts/1", "X-HTTP-Method-Override", "TRACE"},
		{"another address", "/wp-login.php", "X-HTTP-Method-Override", "PUT"},
	} {
		a := user.must(t, request{Method: "POST", Path: tt.path, Body: []byte(`{}`), Header: http.Header{"Content-Type": {jsons}, tt.header: {tt.value}}})
		if a.Status != http.StatusForbidden && a.Status != http.StatusBadRequest {
			t.Errorf("%s: status %d", tt.name, a.Status)
		}
	}
	for _, p := range w.app.passed()[seen:] {
		t.Errorf("%s %s reached WordPress", p.Method, p.URI)
	}
}

// wordpressAnswers: an article may be about PHP; source text, errors and what is not an article stay where they are.
func wordpressAnswers(t *testing.T, with, without *client) {
	t.Helper()
	const article, source = "Call fopen, then readfile.", "<?php $db = mysqli_connect('localhost', 'root', 'secret');"
	for user, rows := range map[*client][]struct {
		path, say string
		status    int
	}{
		without: {{"/about-php/", article, http.StatusForbidden}},
		with: {
			{"/about-php/", article, http.StatusOK},
			{"/wp-includes/load.php", article, http.StatusForbidden},
			{"/about-php/", source, http.StatusForbidden},
			{"/about-php/", "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version", http.StatusForbidden},
		},
	} {
		for _, tt := range rows {
			if a := user.must(t, request{Path: tt.path, Header: http.Header{"X-Say": {tt.say}}}); a.Status != tt.status {
				t.Errorf("%q at %s, with the package %v: status %d, want %d", tt.say, tt.path, user == with, a.Status, tt.status)
			}
		}
	}
}
