package testenv

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestHalfAnswer: an answer that the application breaks off does not look whole to the client.
func TestHalfAnswer(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	for _, version := range []string{"1.1", "2", "3"} {
		for _, path := range []string{"/half", "/half?chunked"} {
			a, err := user.do(request{Path: path, HTTP: version})
			if err == nil && a.Status == http.StatusOK {
				t.Errorf("%s over %s: %d bytes that look like all of it", path, version, len(a.Body))
			}
			if a == nil {
				continue // nothing of it arrived
			}
			if line, err := g.accessLine(a.Header.Get("X-Request-Id")); err != nil || line["reason"] != "upstream_down" {
				t.Errorf("%s over %s: the log says %v, %v", path, version, line["reason"], err)
			}
		}
		if a, err := user.do(request{Path: "/", HTTP: version}); err != nil || a.Status != http.StatusOK {
			t.Errorf("after the half answers over %s: %v, %v", version, a, err)
		}
	}
}

// TestUpload: a large body passes as it is where it is not inspected in full, and is refused with our words where it
// would have to be.
func TestUpload(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	small := make([]byte, 64<<10)
	for i := range small {
		small[i] = byte(i * 7)
	}
	for _, version := range []string{"1.1", "2", "3"} {
		a := user.must(t, request{
			Method: "POST", Path: "/upload", HTTP: version, Body: small, Header: http.Header{"Content-Type": {"application/octet-stream"}},
		})
		if a.Status != http.StatusOK {
			t.Errorf("64 KiB over %s: status %d", version, a.Status)
		}
	}
	be.mustForget(t)
	user.must(t, request{Method: "POST", Path: "/upload", Body: small, Header: http.Header{"Content-Type": {"application/octet-stream"}}})
	if seen := be.mustSee(t); seen.Total != 1 || seen.Requests[0].Bytes != int64(len(small)) {
		t.Errorf("the application got %+v", seen.Requests)
	}
}

// TestUpstreamTLS (BRF-11): where the application is spoken to over TLS, it is one that the authority vouches for which the operator
// names, under the name that is asked for; anybody else in its place gets nothing, and people are told that it is away.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	cert, key, err := ca().leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int32)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte("over TLS"))
	}))
	app.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	app.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the gateway breaks off
	app.StartTLS()
	defer app.Close()
	be := startBackend(t)
	for _, tt := range []struct {
		what, transport string
		status          int
	}{
		{"an authority that vouches for it", "tls_trust_pool file {$CA}", http.StatusOK},
		{"an authority that does not", "tls", http.StatusBadGateway},
		{"another name", "tls_trust_pool file {$CA}\n\t\t\ttls_server_name other.test", http.StatusBadGateway},
	} {
		g := startGateway(t, config{Backend: be.Listen, Site: "public /", Rest: "reverse_proxy https://" + app.Listener.Addr().String() + " {\n\t\ttransport http {\n\t\t\t" + tt.transport + "\n\t\t}\n\t}"})
		before := asked.Load()
		a := g.stranger(t).get(t, "/")
		if a.Status != tt.status || (asked.Load() > before) != (tt.status == http.StatusOK) {
			t.Errorf("%s: status %d, want %d; %d requests arrived", tt.what, a.Status, tt.status, asked.Load()-before)
		}
	}
}
