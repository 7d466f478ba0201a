package page

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse.internal/modules/internal/verdict"
)

// FuzzWriteRefusal: whatever a caller passes, the problem stays one JSON object that says it, and the page keeps
// exactly the elements and attributes that it has with harmless values.
func FuzzWriteRefusal(f *testing.F) {
	f.Add("waf_blocked", "01K5QZ8M3V", "site.example", "/.gatehouse/login", int64(0))
	f.Add("login_required", `"><script>alert(1)</script>`, "</title><script>", "//evil.example", int64(1))
	f.Add("nope", "a\r\nb", "\x00\xff", `/\evil`, int64(-1))
	f.Add("forbidden", "{{.}}", "javascript:", `/" onclick="x`, int64(1<<62))
	f.Fuzz(func(t *testing.T, reason, id, site, login string, wait int64) {
		ref := Refusal{Reason: verdict.Reason(reason), RequestID: id, Site: site, LoginURL: login, RetryAfter: time.Duration(wait)}
		w := httptest.NewRecorder()
		WriteRefusal(w, program("GET"), ref)
		p := decode(t, w.Body.Bytes())
		if bytes.ContainsAny(w.Body.Bytes(), "<>&\r\n\x00") {
			t.Errorf("unescaped: %q", w.Body)
		}
		if !verdict.Reason(p.Reason).Known() || p.Status != w.Code {
			t.Errorf("reason %q, status %d", p.Reason, p.Status)
		}
		if p.RequestID != "" && p.RequestID != id || p.LoginURL != "" && p.LoginURL != login {
			t.Errorf("changed: %+v", p)
		}

		plain := ref
		if plain.RequestID = p.RequestID; plain.RequestID != "" {
			plain.RequestID = "id"
		}
		if plain.LoginURL = p.LoginURL; plain.LoginURL != "" {
			plain.LoginURL = "/l"
		}
		if plain.Site != "" {
			plain.Site = "site"
		}
		if got, want := skeleton(t, ref), skeleton(t, plain); got != want {
			t.Errorf("the page's structure follows its content:\n%s\nwant\n%s", got, want)
		}
	})
}

// skeleton returns the page's elements and the names of their attributes.
func skeleton(t *testing.T, ref Refusal) string {
	w := httptest.NewRecorder()
	WriteRefusal(w, navigate("GET"), ref)
	page := bytes.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r >= 0xfffe { // text to HTML, but refused by encoding/xml
			return '.'
		}
		return r
	}, styleSheet.ReplaceAll(w.Body.Bytes(), []byte("$1$2")))
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var s strings.Builder
	for {
		token, err := d.Token()
		if err == io.EOF {
			return s.String()
		}
		if err != nil {
			t.Fatalf("not well nested: %v\n%s", err, page)
		}
		switch token := token.(type) {
		case xml.StartElement:
			s.WriteString("<" + token.Name.Local)
			for _, a := range token.Attr {
				s.WriteString(" " + a.Name.Local)
			}
		case xml.EndElement:
			s.WriteString("</" + token.Name.Local)
		}
	}
}

// FuzzLocal: what is taken for a path on the same host resolves to one, also after what browsers do to it first.
func FuzzLocal(f *testing.F) {
	for _, s := range []string{"", "/", "/a?b#c", "//evil", `/\evil`, "/\t/evil", "\t//evil", "https:/evil", "/..//evil", "/%2f/evil", "/a//b"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://here.example/a/b")
	browser := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/")
	f.Fuzz(func(t *testing.T, s string) {
		if !local(s) {
			return
		}
		seen := browser.Replace(strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }))
		if seen != s {
			t.Fatalf("a browser reads %q as %q", s, seen)
		}
		if u, err := base.Parse(seen); err == nil && (u.Host != "here.example" || u.Scheme != "https") {
			t.Fatalf("%q leads to %s", s, u)
		}
	})
}

func FuzzNavigation(f *testing.F) {
	f.Add("POST", "text/html;q=0.1,,;=;q", "multipart/form-data", "", "")
	f.Add("GET", "*/*", "", "navigate", "document")
	f.Fuzz(func(t *testing.T, method, accept, contentType, mode, dest string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		r.Header = map[string][]string{"Accept": {accept}, "Content-Type": {contentType}, "Sec-Fetch-Mode": {mode}, "Sec-Fetch-Dest": {dest}}
		if Navigation(r) && mode != "navigate" && mode != "" {
			t.Errorf("mode %q is a navigation", mode)
		}
	})
}
