package waf

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/verdict"
)

// exchange is one request and the answer that its backend would give, as data: engines are compared on it.
type exchange struct {
	name           string // where it comes from
	method, target string
	host           string
	headers        []field // Host aside, in order; names may repeat
	body           []byte
	chunked        bool // the length is not declared

	status int     // of the answer; 0: none comes
	answer []field // its headers
	page   []byte  // its body
	whole  bool    // which came to its end
}

type field struct{ name, value string }

// clone copies x as far as mutations change it in place.
func (x *exchange) clone() *exchange {
	c := *x
	c.headers, c.answer = slices.Clone(x.headers), slices.Clone(x.answer)
	c.body, c.page = slices.Clone(x.body), slices.Clone(x.page)
	return &c
}

// header returns the first value under name; names are compared as HTTP does.
func (x *exchange) header(name string) string {
	for _, f := range x.headers {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// set replaces every header of this name by one.
func (x *exchange) set(name, value string) {
	x.drop(name)
	x.headers = append(x.headers, field{name, value})
}

// drop removes the headers of this name.
func (x *exchange) drop(name string) {
	x.headers = slices.DeleteFunc(x.headers, func(f field) bool { return strings.EqualFold(f.name, name) })
}

// carry gives the request a body of this type.
func (x *exchange) carry(contentType, body string) {
	if x.method == "GET" || x.method == "HEAD" || x.method == "" {
		x.method = "POST"
	}
	x.body = []byte(body)
	x.set("Content-Type", contentType)
	x.set("Content-Length", fmt.Sprint(len(body)))
}

// request is what Go's server would hand to the row, except that targets pass which it would refuse: engines must
// agree on those as well. Header names are canonical, as the server makes them.
func (x *exchange) request() *http.Request {
	u, err := url.ParseRequestURI(x.target)
	if err != nil {
		u = &url.URL{Opaque: x.target}
	}
	r := &http.Request{
		Method: x.method, URL: u, RequestURI: x.target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(x.headers)), Host: x.host, Body: http.NoBody,
	}
	fill(r.Header, x.headers)
	if x.chunked {
		r.TransferEncoding = []string{"chunked"}
		delete(r.Header, "Content-Length")
	}
	if len(x.body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
		if x.chunked {
			r.ContentLength = -1
		}
	}
	return r
}

func fill(h http.Header, fields []field) {
	for _, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(f.name)
		h[name] = append(h[name], f.value)
	}
}

// String is the exchange as it would be on the wire, so that it can be read and sent again.
func (x *exchange) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n%s %q HTTP/1.1\nHost: %q\n", x.name, x.method, x.target, x.host)
	for _, f := range x.headers {
		fmt.Fprintf(&b, "%s: %q\n", f.name, f.value)
	}
	fmt.Fprintf(&b, "body (chunked %v): %q\n", x.chunked, x.body)
	if x.status != 0 {
		fmt.Fprintf(&b, "answer %d %q\npage (whole %v): %q\n", x.status, x.answer, x.whole, x.page)
	}
	return b.String()
}

// judgeExchange sends x through every phase of e, as the handlers do, and returns the inspection, closed, with the
// verdict: the request's, or the answer's if the request was let through.
func judgeExchange(e *Engine, x *exchange) (*Inspection, verdict.Verdict) {
	return ready(x).judge(e)
}

// prepared is an exchange as the server has it before the WAF's work begins: what is measured begins here.
type prepared struct {
	*exchange
	r    *http.Request
	body bytes.Reader
	held io.ReadCloser // body
	h    http.Header   // of the answer
}

func ready(x *exchange) *prepared {
	p := &prepared{exchange: x, r: x.request(), h: make(http.Header, len(x.answer))}
	p.held = io.NopCloser(&p.body)
	fill(p.h, x.answer)
	return p
}

// judge may be called again and again, by one goroutine at a time.
func (p *prepared) judge(e *Engine) (*Inspection, verdict.Verdict) {
	i := e.Inspect("req-1")
	defer i.Close()
	if len(p.exchange.body) > 0 {
		p.body.Reset(p.exchange.body)
		p.r.Body = p.held
	}
	if v := i.Head(p.r, testClient); v.Given() {
		return i, v
	}
	if v := i.Body(p.r); v.Given() || p.status == 0 {
		return i, v
	}
	hold, v := i.ResponseHead(p.r, p.status, p.h)
	if hold && !v.Given() {
		v = i.ResponseBody(p.r.Context(), p.page, p.whole)
	}
	return i, v
}
