package testenv

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDesync sends messages over HTTP/1.1 of which a gateway and an application have disagreed where they end (request smuggling,
// RFC 9112 11.2; H9, H11). What can be read in two ways is refused, and the connection ends with that. What can be read in one
// is one request to the application, with the body as that reading has it. Behind each message stands what is a request only to
// whoever ends the message too early, and then an honest one: the application must never see the first.
func TestDesync(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "public /*\n\t\t" + storyRate})
	const hello = "5\r\nhello\r\n0\r\n\r\n" // in chunks
	one := func(name, body string, lines ...string) framing {
		return framing{name: name, lines: lines, body: body, valid: true}
	}
	not := func(name, body string, lines ...string) framing { return framing{name: name, lines: lines, body: body} }
	chunked := func(name, body string) framing { return not(name, body, "Transfer-Encoding: chunked") }
	in := func(name, body, reads string) framing {
		return framing{name: name, lines: []string{"Transfer-Encoding: chunked"}, body: body, reads: reads, valid: true}
	}
	all := []framing{
		one("a length", "hello", "Content-Length: 5"),
		one("a length and spaces", "hello", "Content-Length:   5  "),
		one("a length with noughts", "hello", "Content-Length: 005"),
		one("a length in odd letters", "hello", "cOnTeNt-lEnGtH: 5"),
		in("chunks", hello, "hello"),
		not("two lengths", "hello", "Content-Length: 5", "Content-Length: 6"),
		not("two lengths in one line", "hello", "Content-Length: 5, 6"),
		not("one length twice in one line", "hello", "Content-Length: 5, 5"),
		not("a list with an empty length", "hello", "Content-Length: 5,"),
		not("a length with a sign", "hello", "Content-Length: +5"),
		not("a negative length", "hello", "Content-Length: -5"),
		not("a hexadecimal length", "hello", "Content-Length: 0x5"),
		not("a fraction", "hello", "Content-Length: 5.0"),
		not("an exponent", "hello", "Content-Length: 5e0"),
		not("a length with an underscore", "hello", "Content-Length: 0_5"),
		not("an empty length", "hello", "Content-Length:"),
		not("a huge length", "hello", "Content-Length: 18446744073709551621"),
		not("a length in other digits", "hello", "Content-Length: \u0665"),
		not("a length behind a vertical tab", "hello", "Content-Length: \v5"),
		not("a length before a NUL", "hello", "Content-Length: 5\x00"),
		not("a length with a space inside", "hello", "Content-Length: 5 5"),
		not("a space before the length's colon", "hello", "Content-Length : 5"),
		not("a tab before the length's colon", "hello", "Content-Length\t: 5"),
		not("a NUL in the length's name", "hello", "Content-Length\x00: 5"),
		one("a folded length", "hello", "Content-Length:\r\n 5"), // read as RFC 9112 5.2 has it, and sent on unfolded
		not("a bare CR before the length", "hello", "X-A: b\rContent-Length: 5"),

		not("an unknown coding", hello, "Transfer-Encoding: xchunked"),
		not("a coding in quotes", hello, `Transfer-Encoding: "chunked"`),
		not("a coding with a parameter", hello, "Transfer-Encoding: chunked;q=1"),
		not("chunked twice", hello, "Transfer-Encoding: chunked, chunked"),
		not("chunked twice, in two lines", hello, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		not("chunked and identity", hello, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
		not("identity and chunked", hello, "Transfer-Encoding: identity, chunked"),
		not("identity and a length", "hello", "Transfer-Encoding: identity", "Content-Length: 5"),
		not("chunked is not the last", hello, "Transfer-Encoding: chunked, gzip"),
		not("a coding that nobody undoes", hello, "Transfer-Encoding: gzip, chunked"),
		not("an empty element before chunked", hello, "Transfer-Encoding: , chunked"),
		not("an empty element behind chunked", hello, "Transfer-Encoding: chunked,"),
		not("an empty coding and a length", "hello", "Transfer-Encoding:", "Content-Length: 5"),
		not("chunked behind a vertical tab", hello, "Transfer-Encoding: \vchunked"),
		not("chunked before a form feed", hello, "Transfer-Encoding: chunked\f"),
		not("chunked before a NUL", hello, "Transfer-Encoding: chunked\x00"),
		not("a bare CR before chunked", hello, "Transfer-Encoding: \rchunked"),
		not("chunked behind a no-break space", hello, "Transfer-Encoding: \u00a0chunked"),
		not("a space before the coding's colon", hello, "Transfer-Encoding : chunked", "Content-Length: 15"),
		not("a tab before the coding's colon", hello, "Transfer-Encoding\t: chunked", "Content-Length: 15"),
		{name: "a folded coding", body: hello, reads: "hello", lines: []string{"Transfer-Encoding:", " chunked"}, valid: true},
		one("a coding that a line before it folds to", hello, "X-A: b", " Transfer-Encoding: chunked", "Content-Length: 15"),
		not("a bare CR before the coding", hello, "X-A: b\rTransfer-Encoding: chunked", "Content-Length: 15"),

		in("a chunk with an extension", "5;a=b\r\nhello\r\n0\r\n\r\n", "hello"),
		in("a chunk with a NUL in its extension", "5;a=\x00\r\nhello\r\n0\r\n\r\n", "hello"), // extensions are not sent on
		in("a chunk with noughts", "0005\r\nhello\r\n000\r\n\r\n", "hello"),
		in("a trailer", "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", "hello"),
		in("a trailer with a length", "5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n", "hello"),
		chunked("a chunk's size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size below nothing", "-5\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size behind a space", " 5\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size of no digits", "g\r\nhello\r\n0\r\n\r\n"),
		chunked("no chunk's size", "\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk's size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
		chunked("a chunk that is longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
		chunked("a chunk without an end of line", "5\r\nhello0\r\n\r\n"),
		chunked("a chunk that ends in CR and something", "5\r\nhello\rX0\r\n\r\n"),
		chunked("a chunk's size before a bare CR", "5\rhello\r\n0\r\n\r\n"),
		chunked("a chunk's extension without end", "5;"+strings.Repeat("a", 64<<10)+"\r\nhello\r\n0\r\n\r\n"),
	}
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) { f.check(t, g, be) })
	}
}

// framing is one message: lines say how long its body is.
type framing struct {
	name, body string
	lines      []string
	reads      string // what the body is to whoever reads it rightly; "": as it stands
	valid      bool   // it may be read, in one way
}

func (f framing) check(t *testing.T, g *gateway, be *backend) {
	be.mustForget(t)
	c, err := g.dialTLS(appHost, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second)) // on a connection that was made just now
	payload := g.lines1("POST", "/whoami?first", append(slices.Clone(f.lines), "Content-Type: text/plain")...) + f.body
	if !f.valid {
		payload += g.lines1("GET", "/whoami?smuggled")
	}
	payload += g.lines1("GET", "/whoami?last", "Connection: close")
	go func() { _, _ = io.WriteString(c, payload) }() // a server that refuses early may stop reading
	var statuses []int
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		statuses = append(statuses, res.StatusCode)
	}
	var paths []string
	var sum string
	for _, s := range be.mustSee(t).Requests {
		if paths = append(paths, s.URI); s.URI == "/whoami?first" {
			sum = s.SHA256
		}
	}
	said := fmt.Sprintf("answers %v, the application saw %v", statuses, paths)
	if !f.valid {
		if len(statuses) > 1 || len(statuses) == 1 && statuses[0] < 400 || len(paths) > 0 {
			t.Error(said + ", want a refusal that ends the connection")
		}
		return
	}
	reads := f.reads
	if reads == "" {
		reads = f.body
	}
	want := sha256.Sum256([]byte(reads))
	if !slices.Equal(paths, []string{"/whoami?first", "/whoami?last"}) || len(statuses) != 2 || sum != hex.EncodeToString(want[:]) {
		t.Error(said + ", want both requests, and the body as it was meant")
	}
}
