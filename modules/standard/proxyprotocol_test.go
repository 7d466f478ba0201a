package standard_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// The PROXY protocol's two forms (haproxy.org/download/3.0/doc/proxy-protocol.txt) that name 203.0.113.9.
const (
	proxyV1 = "PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\n"
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x9c\x40\x01\xbb"
)

// Who may say from where a connection comes is who the operator says, in either form of the PROXY protocol; and what such a
// client says in a header counts as much as it does otherwise.
func TestProxyProtocol(t *testing.T) {
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "from "+strings.Join(r.Header["X-Forwarded-For"], ","))
	})
	wrapper := func(who string) string {
		return "servers {\n listener_wrappers {\n proxy_protocol {\n " + who + "\n }\n tls\n }\n }"
	}
	for _, tt := range []struct{ name, global, preamble, forwarded, want string }{
		{"nobody is asked, v1", "", proxyV1, "", ""},
		{"nobody is asked, v2", "", proxyV2, "", ""},
		{"allowed, v1", wrapper("allow 127.0.0.0/8"), proxyV1, "", "from 203.0.113.9"},
		{"allowed, v2", wrapper("allow 127.0.0.0/8"), proxyV2, "", "from 203.0.113.9"},
		{"allowed, without", wrapper("allow 127.0.0.0/8"), "", "", "from 127.0.0.1"},
		{"allowed, and a header that lies", wrapper("allow 127.0.0.0/8"), proxyV1, "198.51.100.7", "from 203.0.113.9"},
		{"another is allowed, v1", wrapper("allow 192.0.2.0/24"), proxyV1, "", "from 127.0.0.1"},
		{"another is allowed, v2", wrapper("allow 192.0.2.0/24"), proxyV2, "", "from 127.0.0.1"},
		{"denied, v1", wrapper("deny 127.0.0.0/8"), proxyV1, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := openSite(t, "backend", "reverse_proxy "+up, "global", tt.global)
			if got := throughProxy(t, g, tt.preamble, tt.forwarded); got != tt.want {
				t.Errorf("the application saw %q, want %q", got, tt.want)
			}
		})
	}
}

// throughProxy sends the preamble, then TLS and a request, and returns the answer's text, or "" when there is none.
func throughProxy(t *testing.T, g *gatetest.Gateway, preamble, forwarded string) string {
	t.Helper()
	raw, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(raw, preamble); err != nil {
		return ""
	}
	conf := g.Transport().TLSClientConfig.Clone()
	conf.ServerName = "app.test"
	c := tls.Client(raw, conf)
	if c.Handshake() != nil {
		return ""
	}
	head := "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n"
	if forwarded != "" {
		head += "X-Forwarded-For: " + forwarded + "\r\nForwarded: for=" + forwarded + "\r\n"
	}
	if _, err := fmt.Fprint(c, head+"\r\n"); err != nil {
		return ""
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// Behind such a proxy, which brings many clients, its own connections are not counted as one client's.
func TestProxyProtocolIsManyClients(t *testing.T) {
	g := limited(t, "connections 2", "global", "servers {\n listener_wrappers {\n proxy_protocol {\n allow 127.0.0.0/8\n }\n tls\n }\n }")
	for i := range 4 {
		if hold(t, g) == nil {
			t.Fatalf("connection %d is closed", i+1)
		}
	}
}

// Of forwarded addresses the last one counts that no trusted proxy has, and only a trusted proxy's word; Forwarded, and what
// is no address, is nobody's.
func TestForwardedFor(t *testing.T) {
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "from "+strings.Join(append(r.Header["X-Forwarded-For"], r.Header["Forwarded"]...), ","))
	})
	trusting := openSite(t, "backend", "reverse_proxy "+up, "global", "servers {\n trusted_proxies static 127.0.0.0/8\n }")
	for _, tt := range []struct{ header, value, want string }{
		{"X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
		{"X-Forwarded-For", "6.6.6.6, 203.0.113.9", "203.0.113.9"},
		{"X-Forwarded-For", "203.0.113.9, 127.0.0.5", "203.0.113.9"},
		{"X-Forwarded-For", "::ffff:203.0.113.9", "203.0.113.9"},
		{"X-Forwarded-For", "2001:db8::9", "2001:db8::9"},
		{"X-Forwarded-For", "127.0.0.5", "127.0.0.1"},
		{"X-Forwarded-For", "unknown", "127.0.0.1"},
		{"Forwarded", "for=203.0.113.9", "127.0.0.1"},
		{"X-Real-Ip", "203.0.113.9", "127.0.0.1"},
		{"True-Client-Ip", "203.0.113.9", "127.0.0.1"},
	} {
		if got := forwardedAs(t, trusting, tt.header, tt.value); got != "from "+tt.want+", 127.0.0.1" { // with the proxy behind
			t.Errorf("a trusted proxy's %s: %s: %q, want %s", tt.header, tt.value, got, tt.want)
		}
	}
	if err := trusting.Load(fill(newcomer, pairs("policy", "public /*", "backend", "reverse_proxy "+up))); err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"} {
		if got := forwardedAs(t, trusting, header, "203.0.113.9"); got != "from 127.0.0.1" {
			t.Errorf("anybody's %s: %q", header, got)
		}
	}
}

func forwardedAs(t *testing.T, g *gatetest.Gateway, header, value string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://app.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}
