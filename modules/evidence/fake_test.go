package evidence

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// fake is a stand-in for a gateway, which keeps its promises but for what a test takes away.
type fake struct {
	tls     func(*tls.Config)
	cert    func(*x509.Certificate) // changes the certificate before it is signed
	bits    int                     // of an RSA key; 0: ECDSA P-256
	answer  func(w http.ResponseWriter, r *http.Request) bool
	run     func(*Run)
	another http.Handler // what answers at the port of HTTP; nil: nothing
}

const fakeHost = "app.test"

// start runs the stand-in, and returns what probes it.
func (f fake) start(t *testing.T) *Run {
	t.Helper()
	pool := x509.NewCertPool()
	cert := f.certificate(t, pool)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	if f.tls != nil {
		f.tls(config)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.answer == nil || !f.answer(w, r) {
			good(w, r)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = config
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c, err := ReadConfig([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{Config: c, Connect: srv.Listener.Addr().String(), Roots: pool, Echo: "/echo", HTTPPort: closedPort(t), Told: []byte(sample)}
	if f.another != nil {
		plain := httptest.NewServer(f.another)
		t.Cleanup(plain.Close)
		_, r.HTTPPort, _ = net.SplitHostPort(plain.Listener.Addr().String())
	}
	house(t, r)
	if f.run != nil {
		f.run(r)
	}
	return r
}

func closedPort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

func (f fake) certificate(t *testing.T, pool *x509.CertPool) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fakeHost}, DNSNames: []string{fakeHost}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(90 * day), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	if f.cert != nil {
		f.cert(template)
	}
	var private, public any
	if f.bits > 0 {
		k, err := rsa.GenerateKey(rand.Reader, f.bits)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, &k.PublicKey
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, &k.PublicKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}

// good answers as a gateway does.
func good(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	h.Set("X-Request-Id", "ID"+nonce())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	refuse := func(status int, reason string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"reason":%q,"request_id":%q}`, reason, h.Get("X-Request-Id"))
	}
	query, _ := url.QueryUnescape(r.URL.RawQuery)
	switch {
	case !strings.HasPrefix(r.Host, fakeHost):
		refuse(421, "misdirected")
	case r.Method != http.MethodGet:
		refuse(405, "method_not_allowed")
	case strings.Contains(r.URL.Path, ".."):
		refuse(400, "bad_path")
	case strings.ContainsAny(query, "'<;") || strings.Contains(query, "etc/passwd"):
		refuse(403, "waf_blocked")
	case r.URL.Path == "/echo":
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Evidence-") {
				fmt.Fprintln(w, name, values)
			}
		}
	case r.URL.Path == "/.well-known/security.txt":
		fmt.Fprintf(w, "Contact: mailto:security@example.com\nExpires: %s\n", time.Now().Add(90*day).UTC().Format(time.RFC3339))
	case r.URL.Path == "/.gatehouse/login":
		h.Set("Ratelimit-Policy", `"login";q=100;w=10`)
		h.Set("Set-Cookie", "__Host-x=1; Path=/; Secure; HttpOnly; SameSite=Lax")
		w.WriteHeader(200)
	case strings.HasPrefix(r.URL.Path, "/.gatehouse/"):
		refuse(404, "not_found")
	case r.Header.Get("Sec-Fetch-Mode") == "navigate":
		h.Set("Location", "/.gatehouse/login?next=%2F")
		w.WriteHeader(302)
	default:
		refuse(401, "login_required")
	}
}

// house gives the run a state directory, an audit log and a process that are as they should be.
func house(t *testing.T, r *Run) {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	must(os.Mkdir(state, 0o700))
	r.Facts = Facts{Host: "gw", Version: "v1", Revision: "abc", PID: 7, StateDir: state, KeysFile: filepath.Join(state, "keys"), Audit: filepath.Join(state, "audit"), Origin: "gw/audit/1"}
	must(os.WriteFile(r.Facts.KeysFile, []byte("keys"), 0o600))
	c, err := chain.Open(r.Facts.Audit, chain.Options{Origin: r.Facts.Origin})
	must(err)
	for _, e := range []event.Event{
		{Time: time.Now(), Kind: event.HouseStarted}, {Time: time.Now(), Kind: event.FactorUsed}, {Time: time.Now(), Kind: event.SessionEnded, Detail: "idle"},
	} {
		must(c.Record(e))
	}
	must(c.Destruct())
	socket := filepath.Join(dir, "a.sock")
	must(os.WriteFile(socket, nil, 0o600))
	r.Config.Admin.Listen = "unix/" + socket
	r.Logs = []LogFile{{File: "/l", Keep: 30 * day, Oldest: time.Now().Add(-29 * day), Swept: time.Now()}}
	r.Backup = new(Backup)
	must(json.Unmarshal(fmt.Appendf(nil, `{"every":"1h","made":{"time":%q},"verified":{"time":%q}}`, time.Now().Add(-time.Hour).Format(time.RFC3339), time.Now().Add(-day).Format(time.RFC3339)), r.Backup))

	r.proc = filepath.Join(dir, "proc")
	must(os.MkdirAll(filepath.Join(r.proc, "7", "fd"), 0o700))
	must(os.MkdirAll(filepath.Join(r.proc, "7", "net"), 0o700))
	must(os.Symlink("socket:[4711]", filepath.Join(r.proc, "7", "fd", "3")))
	must(os.WriteFile(filepath.Join(r.proc, "7", "net", "tcp"), []byte(procTCP(8443)), 0o600))
	must(os.WriteFile(filepath.Join(r.proc, "7", "status"), []byte("Name:\tgatehouse\nCapEff:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n"), 0o600))
}

// procTCP is a table of the kernel's with one socket that listens.
func procTCP(port int) string {
	return "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n", port) +
		fmt.Sprintf("   1: 0100007F:%04X 0771CB00:C001 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n", port) + // somebody who came
		"   2: 0100007F:C002 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n" // the application
}
