package waf

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// mutator makes any number of exchanges, the nth of a seed always the same.
type mutator struct {
	corpus, benign []*exchange
	attacks, leaks []string
}

// maxSeed bounds the exchanges that mutations start from: what the rules cost grows with the length, and mutations
// of long texts are mostly of the same.
const maxSeed = 6 << 10

func newMutator(corpus []*exchange) *mutator {
	m := new(mutator)
	m.attacks, m.leaks = fragments(corpus)
	for _, x := range corpus {
		if len(x.body)+len(x.page)+len(x.target) < maxSeed {
			m.corpus = append(m.corpus, x)
		}
	}
	for _, kind := range []string{"get", "json2k", "form1k", "html8k", "sqli", "xss"} {
		for _, x := range stream(kind, 8, 1) {
			x.page = x.page[:min(len(x.page), 1000)]
			m.benign = append(m.benign, x)
		}
	}
	return m
}

// exchange returns the nth of the seed.
func (m *mutator) exchange(seed, n uint64) *exchange {
	r := rand.New(rand.NewPCG(seed, n))
	x := pick(r, m.corpus).clone()
	if r.IntN(3) == 0 {
		x = pick(r, m.benign).clone()
		x.set("Cookie", "a="+letters(r, 24)+"; theme=dark") // a kilobyte would be most of the cost
	}
	if x.status == 0 && r.IntN(3) == 0 {
		x.reflect()
	}
	if r.IntN(4) == 0 {
		x.target, x.headers, x.body, x.method = "/app?"+m.pairs(r), slices.Clone(m.benign[0].headers[:4]), nil, "GET"
	}
	if r.IntN(2) == 0 {
		x.quieten()
	}
	for range 1 + r.IntN(4) {
		pick(r, mutations)(m, r, x)
	}
	x.name = fmt.Sprintf("mutation %d of seed %d, from %s", n, seed, x.name)
	return x
}

// quieten gives x what rules miss in most of the corpus, so that what else they find stands alone.
func (x *exchange) quieten() {
	x.host = "portal.example.com"
	for _, f := range []field{{"User-Agent", "Mozilla/5.0"}, {"Accept", "text/html"}, {"Accept-Language", "en"}} {
		if x.header(f.name) == "" {
			x.set(f.name, f.value)
		}
	}
}

// fragment is an attack, mostly in disguise, or something benign.
func (m *mutator) fragment(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return sentence(r, 1+r.IntN(60))
	case 1:
		return pick(r, m.attacks)
	case 2:
		return noisy(r, pick(r, m.attacks))
	case 3: // one end of an attack
		s := pick(r, m.attacks)
		return s[:r.IntN(len(s)+1)]
	}
	return disguised(r, pick(r, m.attacks))
}

// name is a parameter's.
func (m *mutator) name(r *rand.Rand) string {
	if r.IntN(6) == 0 {
		return pick(r, []string{"", "a[b]", "a.b", "__proto__", "json", "_method", "ids[]", m.fragment(r)})
	}
	return pick(r, []string{"q", "id", "name", "file", "url", "cmd", "text", "page"})
}

// pairs are one to six parameters, names repeating at times.
func (m *mutator) pairs(r *rand.Rand) string {
	var all []string
	for range 1 + r.IntN(6) {
		all = append(all, url.QueryEscape(m.name(r))+"="+url.QueryEscape(m.fragment(r)))
	}
	return strings.Join(all, "&")
}

var mutations = []func(m *mutator, r *rand.Rand, x *exchange){
	(*mutator).splice, (*mutator).splice, (*mutator).repeat, (*mutator).split, (*mutator).pack, (*mutator).pack,
	(*mutator).noise, (*mutator).method, (*mutator).contentType, (*mutator).oddHeader, (*mutator).oddCookie,
	(*mutator).framing, (*mutator).path, (*mutator).answer, (*mutator).answer,
}

// splice puts a fragment into a value of the query, the body or a header.
func (m *mutator) splice(r *rand.Rand, x *exchange) {
	fragment := m.fragment(r)
	if r.IntN(2) == 0 {
		fragment = url.QueryEscape(fragment)
	}
	switch r.IntN(4) {
	case 0:
		x.target = insert(r, x.target, fragment)
	case 1:
		if len(x.headers) > 0 {
			f := &x.headers[r.IntN(len(x.headers))]
			f.value = insert(r, f.value, fragment)
		}
	case 2:
		x.body = []byte(insert(r, string(x.body), fragment))
	case 3:
		sign := "?"
		if strings.Contains(x.target, "?") {
			sign = "&"
		}
		x.target += sign + url.QueryEscape(m.name(r)) + "=" + fragment
	}
}

// repeat makes names repeat: in the query, the form, the headers or the cookies, one of the values an attack.
func (m *mutator) repeat(r *rand.Rand, x *exchange) {
	name, n := m.name(r), 2+r.IntN(12)
	values := make([]string, n)
	for i := range values {
		values[i] = sentence(r, r.IntN(20))
	}
	values[r.IntN(n)] = m.fragment(r)
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(v), fmt.Sprint("o", len(pairs))+"=words")
	}
	switch text := strings.Join(pairs, "&"); r.IntN(4) {
	case 0:
		x.target, _, _ = strings.Cut(x.target, "?")
		x.target += "?" + text
	case 1:
		x.carry("application/x-www-form-urlencoded", text)
	case 2:
		x.set("Cookie", strings.ReplaceAll(text, "&", "; "))
	case 3:
		for _, v := range values {
			x.headers = append(x.headers, field{"X-Note", v})
		}
	}
}

// split cuts an attack over several parameters.
func (m *mutator) split(r *rand.Rand, x *exchange) {
	s, names := pick(r, m.attacks), []string{"a", "b", "a", m.name(r)}
	var pairs []string
	for len(s) > 0 {
		n := min(1+r.IntN(12), len(s))
		pairs = append(pairs, pick(r, names)+"="+url.QueryEscape(s[:n]))
		s = s[n:]
	}
	if text := strings.Join(pairs, "&"); r.IntN(2) == 0 {
		x.carry("application/x-www-form-urlencoded", text)
	} else {
		x.target = "/?" + text
	}
}

// pack sends fragments in a body of some type.
func (m *mutator) pack(r *rand.Rand, x *exchange) {
	var text strings.Builder
	a, b, c := m.fragment(r), m.fragment(r), m.name(r)
	switch r.IntN(5) {
	case 0:
		x.carry("application/x-www-form-urlencoded", m.pairs(r))
	case 1:
		value := pick(r, []any{map[string]any{c: a, "n": []any{b, 1, nil, true}}, []any{a, map[string]any{c: b}}, a, map[string]any{"a": map[string]any{"b": a}, "a.b": b}})
		data, _ := json.Marshal(value)
		x.carry(pick(r, []string{"application/json", "application/json; charset=utf-8", "application/vnd.api+json", "text/json"}), string(data))
	case 2:
		for range 1 + r.IntN(3) {
			fmt.Fprintf(&text, "--b\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n%s\r\n%s\r\n", quotable.Replace(c),
				pick(r, []string{"", "; filename=\"a.txt\"", "; filename=\"" + quotable.Replace(b) + "\""}),
				pick(r, []string{"", "Content-Type: text/plain\r\n", "Content-Type: " + quotable.Replace(b) + "\r\n", "X-Odd: 1\r\n"}), a)
		}
		x.carry("multipart/form-data; boundary=b", text.String()+"--b--\r\n")
	case 3:
		text.WriteString("<r a=\"")
		_ = xml.EscapeText(&text, []byte(a))
		text.WriteString("\"><b>")
		_ = xml.EscapeText(&text, []byte(b))
		text.WriteString("</b>" + pick(r, []string{"", "<!-- " + c + " -->", "<b>" + a + "</b>", "<?p " + c + "?>"}) + "</r>")
		x.carry(pick(r, []string{"application/xml", "text/xml", "image/svg+xml", "application/soap+xml"}), text.String())
	case 4:
		x.carry(pick(r, []string{"text/plain", "text/csv", "application/graphql", "application/x-ndjson", "application/octet-stream"}), a+"\n"+b)
	}
}

var quotable = strings.NewReplacer("\"", "%22", "\r", " ", "\n", " ")

// noise changes bytes.
func (m *mutator) noise(r *rand.Rand, x *exchange) {
	switch r.IntN(4) {
	case 0:
		x.target = noisy(r, x.target)
	case 1:
		x.body = []byte(noisy(r, string(x.body)))
	case 2:
		x.page = []byte(noisy(r, string(x.page)))
	case 3:
		if len(x.headers) > 0 {
			f := &x.headers[r.IntN(len(x.headers))]
			f.value = noisy(r, f.value)
		}
	}
}

func (m *mutator) method(r *rand.Rand, x *exchange) {
	x.method = pick(r, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE", "CONNECT", "get", "FOO"})
}

// contentType says something else about the same body.
func (m *mutator) contentType(r *rand.Rand, x *exchange) {
	value := pick(r, []string{
		"application/x-www-form-urlencoded", "application/json", "text/xml", "application/xml; charset=utf-7", "multipart/form-data; boundary=b",
		"multipart/form-data", "text/plain", "application/json; charset=utf-16", "application/foo", "image/png", "", "text/html; charset=x; charset=y", "application/x-amf", "a/b, c/d",
	})
	if r.IntN(6) == 0 {
		x.headers = append(x.headers, field{"Content-Type", value})
		return
	}
	if x.set("Content-Type", value); value == "" {
		x.drop("Content-Type")
	}
}

// oddHeader adds, changes or removes a header that rules look at.
func (m *mutator) oddHeader(r *rand.Rand, x *exchange) {
	name := pick(r, []string{
		"User-Agent", "Accept", "Referer", "Origin", "X-Forwarded-For", "X-File-Name", "Range", "Request-Range", "Expect", "Content-Length", "Connection", "Upgrade", "Authorization", "Via",
		"Accept-Encoding", "Accept-Charset", "Content-Encoding", "If-None-Match", "Lock-Token", "Translate", "X-Api-Version", "Cache-Control", "Pragma", "Keep-Alive", "Sec-Fetch-User", "X-Up-Devcap-Post-Charset",
	})
	switch r.IntN(5) {
	case 0:
		x.drop(name)
	case 1:
		x.host = pick(r, []string{"", "127.0.0.1", "localhost:8080", "portal.example.com", "[::1]", m.fragment(r)})
	case 2:
		x.headers = append(x.headers, field{"X-" + letters(r, 4), m.fragment(r)})
	default:
		x.set(name, pick(r, []string{"", "0", "-1", "close, keep-alive", "gzip", "bytes=0-", "100-continue", m.fragment(r), m.fragment(r)}))
	}
}

func (m *mutator) oddCookie(r *rand.Rand, x *exchange) {
	text := m.name(r) + "=" + m.fragment(r)
	if r.IntN(2) == 0 {
		text += pick(r, []string{"; ", ";", "; ; ", ";;"}) + "a=" + letters(r, 20) + "; $Version=1; =x; y"
	}
	if r.IntN(5) == 0 {
		x.headers = append(x.headers, field{"Cookie", text})
		return
	}
	x.set("Cookie", text)
}

// framing changes how the body travels.
func (m *mutator) framing(r *rand.Rand, x *exchange) {
	switch r.IntN(4) {
	case 0:
		x.chunked = !x.chunked
	case 1:
		x.body = x.body[:r.IntN(len(x.body)+1)]
	case 2:
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(x.body)
		_ = w.Close()
		x.body = b.Bytes()
		x.set("Content-Encoding", "gzip")
	case 3:
		x.body = append(x.body, x.body...)
	}
}

// path changes what stands before the query.
func (m *mutator) path(r *rand.Rand, x *exchange) {
	path, query, _ := strings.Cut(x.target, "?")
	path = pick(r, []string{
		path + "/" + url.PathEscape(m.fragment(r)), "/" + m.fragment(r), path + pick(r, []string{".php", ".bak", ".asp;.jpg", "/", "//", ".git/config", "%00.html"}),
		"/app/" + letters(r, 5) + "." + pick(r, []string{"html", "sql", "conf", "css", "pdf"}),
	})
	if x.target = path; query != "" {
		x.target += "?" + query
	}
}

// answer makes the backend say something.
func (m *mutator) answer(r *rand.Rand, x *exchange) {
	if x.status == 0 {
		x.reflect()
	}
	leak := pick(r, m.leaks)
	if r.IntN(3) == 0 {
		leak = noisy(r, leak)
	}
	switch r.IntN(6) {
	case 0:
		x.status = pick(r, []int{200, 204, 206, 301, 304, 400, 404, 500, 503})
	case 1:
		x.answer = append(x.answer, field{pick(r, []string{"Location", "Server", "X-Powered-By", "Set-Cookie", "Content-Type"}), pick(r, []string{m.fragment(r), leak})})
	case 2:
		x.answer[0] = field{"Content-Type", pick(r, []string{"application/json", "text/plain", "image/png", "text/event-stream", "application/problem+json", "", "x"})}
	case 3:
		x.whole = !x.whole
	default:
		x.page = []byte(insert(r, string(x.page), leak))
	}
}
