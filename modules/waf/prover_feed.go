package waf

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// feed shows a transaction what one phase is about and runs the phase. It can be repeated on another transaction.
type feed interface {
	to(tx types.Transaction) *types.Interruption
}

// A head has two ways: as the rules see it, and what the parser needs of it, where that is less.
type head interface {
	feed
	toParser(t *trial) *types.Interruption
}

// The feeds of the phases. Bodies may be empty; they must not change while the feed is in use.
type (
	requestHead struct{ *heading }
	requestBody struct {
		data []byte
		as   string // the name of Coraza's processor for it; "": whichever the rules have chosen
	}
	responseHead struct{ *heading }
	responseBody []byte
)

// heading is a request line or a status line with the headers, as the rules see them. It is kept because the
// other rooms change a request's headers before its body is judged.
type heading struct {
	client, uri, method, proto, host string
	status                           int
	headers                          []line
	bodiless                         bool // nothing about a body is in it, and none comes
}

type line struct{ name, value string }

func (h *heading) add(name, value string) { h.headers = append(h.headers, line{name, value}) }

// describe takes down the request: as the backend will get it, but for our own cookies.
func describe(r *http.Request, client netip.Addr) *heading {
	h := &heading{uri: requestURI(r), method: r.Method, proto: r.Proto, host: r.Host}
	h.headers = make([]line, 0, len(r.Header)+4)
	h.bodiless = !hasBody(r)
	if client.IsValid() {
		h.client = client.String()
	}
	h.add("Host", r.Host)
	for name, values := range r.Header {
		h.bodiless = h.bodiless && !strings.EqualFold(name, "Content-Type")
		for _, value := range values {
			if name == "Cookie" {
				if value = withoutOurs(value); value == "" {
					continue
				}
			}
			h.add(name, value)
		}
	}
	// What Go's server takes out of the headers, or HTTP/2 and 3 never had there.
	for _, value := range r.TransferEncoding {
		h.add("Transfer-Encoding", value)
	}
	if r.ContentLength > 0 && r.Header["Content-Length"] == nil {
		h.add("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	return h
}

// requestURI is r.URL.RequestURI(), without writing it anew when it is as it was sent.
func requestURI(r *http.Request) string {
	if sent, u := r.RequestURI, r.URL; u.Opaque == "" && !u.ForceQuery {
		path, query, _ := strings.Cut(sent, "?")
		if path != "" && path == u.EscapedPath() && query == u.RawQuery && (query != "" || len(path) == len(sent)) {
			return sent
		}
	}
	return r.URL.RequestURI()
}

func (h requestHead) to(tx types.Transaction) *types.Interruption {
	h.show(tx)
	for _, f := range h.headers {
		tx.AddRequestHeader(f.name, f.value)
	}
	return tx.ProcessRequestHeaders()
}

// toParser leaves out the rules when all that they would change is how a body is read, and there is none. Then Coraza leaves
// out those of phase 2 likewise, of which the same is true.
//
// The proof is given the headers as the transaction is: Coraza keeps them as they are, and nothing adds to them.
func (h requestHead) toParser(t *trial) *types.Interruption {
	h.show(t.parser)
	name := t.by.names()
	for _, f := range h.headers {
		n := name(f.name)
		t.parser.AddRequestHeader(n, f.value)
		t.proof.Give(variables.RequestHeaders, n, f.value)
	}
	if h.bodiless && t.by.ofBodies {
		return nil
	}
	return t.parser.ProcessRequestHeaders()
}

// show tells the transaction about the connection and the request line.
func (h requestHead) show(tx types.Transaction) {
	tx.ProcessConnection(h.client, 0, "", 0)
	tx.ProcessURI(h.uri, h.method, h.proto)
	host := h.host
	if strings.IndexByte(host, ':') >= 0 {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	tx.SetServerName(host)
}

func (h responseHead) to(tx types.Transaction) *types.Interruption {
	for _, f := range h.headers {
		tx.AddResponseHeader(f.name, f.value)
	}
	return tx.ProcessResponseHeaders(h.status, h.proto)
}

func (h responseHead) toParser(t *trial) *types.Interruption {
	name := t.by.names()
	for _, f := range h.headers {
		n := name(f.name)
		t.parser.AddResponseHeader(n, f.value)
		t.proof.Give(variables.ResponseHeaders, n, f.value)
	}
	return t.parser.ProcessResponseHeaders(h.status, h.proto)
}

func (b requestBody) to(tx types.Transaction) *types.Interruption {
	if len(b.data) > 0 {
		if b.as != "" {
			setProcessor(tx, b.as)
		}
		stop, n, err := tx.WriteRequestBody(b.data)
		if stop != nil {
			return stop
		}
		taken(n, len(b.data), err)
	}
	stop, err := tx.ProcessRequestBody()
	if err != nil {
		panic(err)
	}
	return stop
}

func (data responseBody) to(tx types.Transaction) *types.Interruption {
	if len(data) > 0 {
		stop, n, err := tx.WriteResponseBody(data)
		if stop != nil {
			return stop
		}
		taken(n, len(data), err)
	}
	stop, err := tx.ProcessResponseBody()
	if err != nil {
		panic(err)
	}
	return stop
}

// variablesOf shows a transaction's variables; New has made sure that it can.
func variablesOf(tx types.Transaction) plugintypes.TransactionVariables {
	return tx.(plugintypes.TransactionState).Variables()
}

// processorOf is the name of Coraza's parser for the body of tx; "" means that it is read as text.
func processorOf(tx types.Transaction) string { return variablesOf(tx).RequestBodyProcessor().Get() }

// setProcessor says which of Coraza's parsers reads the body, as ctl:requestBodyProcessor would.
func setProcessor(tx types.Transaction, name string) {
	if v, ok := variablesOf(tx).RequestBodyProcessor().(interface{ Set(string) }); ok {
		v.Set(name)
	}
}

// size is how many bytes of a body a feed holds.
func size(f feed) int {
	switch body := f.(type) {
	case requestBody:
		return len(body.data)
	case responseBody:
		return len(body)
	}
	return 0
}

// taken panics, which guard makes a verdict of, when not all of a body was taken.
func taken(n, length int, err error) {
	if err != nil || n != length {
		panic(fmt.Sprintf("%d of %d bytes written: %v", n, length, err))
	}
}
