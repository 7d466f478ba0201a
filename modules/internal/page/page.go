package page

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"gatehouse.internal/modules/internal/verdict"
)

//go:embed html
var files embed.FS

// parse returns the template of a page within the common frame. It panics on a broken one: they are compiled in.
func parse(name string) *template.Template {
	return template.Must(template.ParseFS(files, "html/frame.html", "html/style.css", "html/"+name+".html"))
}

// Page is one of the portal's pages: [Login], [Setup], [Account], [Logout], [LoggedOut], [Kept], [Loop], [Hop].
type Page interface {
	// content returns what to render; not ok when the page must not be shown, as a form that leads elsewhere.
	content(l *tongue) (c content, ok bool)
}

// script is one of the few lines of JavaScript that keep what only a browser knows: the fragment of an address. The
// policy names it by its hash, so that no other can run; what it needs to know stands in its data- attributes.
type script struct {
	Code template.JS
	hash string
}

// parseScript reads a script that is compiled in.
func parseScript(name string) *script {
	code, err := files.ReadFile("html/" + name + ".js")
	if err != nil {
		panic("page: " + err.Error()) // cannot be: the file is compiled in
	}
	sum := sha256.Sum256(code)
	return &script{Code: template.JS(code), hash: base64.StdEncoding.EncodeToString(sum[:])}
}

// content is what the frame template shows.
type content struct {
	template *template.Template
	Nonce    string
	Lang     string
	T        *words
	Script   *script // nil: none
	refresh  string  // where a browser goes on to by itself, also without scripts

	Title     string
	Site      string
	RequestID string
	Reason    string
	Alert     alert
	Page      any // the fields of the page proper
}

const (
	typeHTML    = "text/html; charset=utf-8"
	typeProblem = "application/problem+json"

	// policyNone is for documents that are not pages: should a browser render one after all, it can do nothing.
	policyNone = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

	// challenge goes with every 401 (RFC 9110 15.5.2). Browsers ask in a dialog of their own for Basic, Digest and
	// Negotiate, never for Bearer; and programs are indeed let in with a bearer token.
	challenge = `Bearer realm="gatehouse"`

	// shortOfScope begins the one challenge that goes with a 403: what a good token lacks.
	shortOfScope = `Bearer error="insufficient_scope"`
)

// policy allows the one style sheet that carries the nonce, the one script, if any, the icon, and forms to this host; no
// other script, no frame.
func policy(nonce string, s *script) string {
	scripts := ""
	if s != nil {
		scripts = "script-src 'sha256-" + s.hash + "'; "
	}
	return "default-src 'none'; " + scripts + "style-src 'nonce-" + nonce + "'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}

// Write shows a page of the portal, or its headers only for HEAD, in the language that the request asks for. It is never
// negotiated otherwise: these pages are for people. A page that must not be shown, as one whose form has an action that is not a path on the same host, becomes a refusal
// as internal. It sets and removes the headers that [WriteRefusal] does, but for Retry-After.
//
// Its Referrer-Policy is strict-origin: no other page learns the path or the query, which may hold a setup token.
// The still stricter no-referrer would make browsers send "Origin: null" with the page's own forms, so that a
// cross-site check by Origin could not tell them from foreign ones.
//
// A form's answer must not redirect to another host: form-action holds for redirects too.
//
// It must be called before anything was written to w, and only once.
func Write(w http.ResponseWriter, r *http.Request, status int, p Page) {
	var c content
	var ok bool
	l := speak(r)
	if p != nil {
		c, ok = p.content(l)
	}
	c.RequestID = traceable(c.RequestID)
	if ok {
		var body []byte
		var nonce string
		if body, nonce, ok = render(c, l); ok {
			w.Header().Add("Vary", "Accept-Language")
			w.Header().Set("Referrer-Policy", "strict-origin")
			send(w, r, status, typeHTML, l.tag, policy(nonce, c.Script), c.refresh, body)
			return
		}
	}
	WriteRefusal(w, r, Refusal{Reason: verdict.Internal, RequestID: c.RequestID, Site: c.Site})
}

// render returns the page and the nonce of its style sheet.
func render(c content, l *tongue) (body []byte, nonce string, ok bool) {
	c.Nonce, c.Lang, c.T = rand.Text(), l.tag, &l.words
	buf := bytes.NewBuffer(make([]byte, 0, 12<<10))
	if err := c.template.ExecuteTemplate(buf, "frame.html", c); err != nil {
		return nil, "", false
	}
	return buf.Bytes(), c.Nonce, true
}

// stale are the headers that may describe a body, or an answer, that is not sent after all.
var stale = [...]string{
	"Accept-Ranges", "Age", "Content-Digest", "Content-Disposition", "Content-Encoding", "Content-Location",
	"Content-Md5", "Content-Range", "Content-Security-Policy-Report-Only", "Digest", "Etag", "Expires",
	"Last-Modified", "Link", "Location", "Pragma", "Refresh", "Repr-Digest", "Trailer", "Transfer-Encoding",
}

// send writes the answer.
func send(w http.ResponseWriter, r *http.Request, status int, contentType, lang, csp, refresh string, body []byte) {
	h := w.Header()
	for _, name := range stale {
		h.Del(name)
	}
	names := [...]string{
		"Content-Type", "Content-Language", "Content-Length", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options",
	}
	values := [...]string{contentType, lang, strconv.Itoa(len(body)), "no-store", csp, "nosniff"}
	for i, name := range names { // one allocation for all; capped, so that nobody's Add runs into the next
		h[name] = values[i : i+1 : i+1]
	}
	if refresh != "" {
		h.Set("Refresh", "0;url="+refresh)
	}
	switch {
	case status == http.StatusForbidden && strings.HasPrefix(h.Get("Www-Authenticate"), shortOfScope): // RFC 6750 3.1
	case status != http.StatusUnauthorized:
		h.Del("Www-Authenticate")
	case h.Get("Www-Authenticate") == "":
		h.Set("Www-Authenticate", challenge)
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // fails only when the client has gone
	}
}
