package gatetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	random "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the Caddyfile adapter
)

// Host is the site that templates usually serve; *.test is in the certificate too.
const Host = "app.test"

// Gateway is a running Caddy.
type Gateway struct {
	Addr string // 127.0.0.1:port of the TLS listener
	Dir  string // the test's directory; the state is in Dir/state

	cert, key string
	pool      *x509.CertPool
	t         testing.TB
}

// Start loads the Caddyfile and stops it when the test ends. In the text, {{addr}} is a free TCP port, {{tls}} the tls
// directive with the test's certificate, {{dir}} the test's directory, and {{house}} the global options every test
// needs; further pairs are replaced as given.
func Start(t testing.TB, caddyfile string, pairs ...string) *Gateway {
	t.Helper()
	g := &Gateway{Dir: t.TempDir(), t: t, Addr: FreeAddr(t)}
	g.makeCert()
	if err := g.Load(caddyfile, pairs...); err != nil {
		t.Fatalf("loading the configuration: %v", err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return g
}

// New prepares a gateway without loading anything: for configurations that must be refused.
func New(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{Dir: t.TempDir(), t: t, Addr: FreeAddr(t)}
	g.makeCert()
	t.Cleanup(func() { _ = caddy.Stop() })
	return g
}

// Load replaces the running configuration, always, even by an equal one.
func (g *Gateway) Load(caddyfile string, pairs ...string) error {
	g.t.Helper()
	raw, err := g.Adapt(caddyfile, pairs...)
	if err != nil {
		return err
	}
	return caddy.Load(raw, true)
}

// LoadJSON replaces the running configuration by one in Caddy's own language.
func (g *Gateway) LoadJSON(config string) error { return caddy.Load([]byte(config), true) }

// Adapt returns the configuration's JSON.
func (g *Gateway) Adapt(caddyfile string, pairs ...string) (json.RawMessage, error) {
	_, port, _ := strings.Cut(g.Addr, ":")
	house := fmt.Sprintf("admin off\n\tpersist_config off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tstorage file_system %s\n\tdefault_bind 127.0.0.1\n\tlog {\n\t\toutput file %s\n\t}",
		filepath.Join(g.Dir, "caddy"), g.LogFile())
	text := strings.NewReplacer(append([]string{
		"{{house}}", house, "{{addr}}", port, "{{dir}}", g.Dir, "{{tls}}", "tls " + g.cert + " " + g.key,
	}, pairs...)...).Replace(caddyfile)
	raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			g.t.Logf("warning: %v", w)
		}
	}
	return raw, nil
}

// LogFile is where the gateway logs, one JSON object a line.
func (g *Gateway) LogFile() string { return filepath.Join(g.Dir, "log.json") }

// Log returns what was logged so far.
func (g *Gateway) Log() string {
	b, err := os.ReadFile(g.LogFile())
	if err != nil && !os.IsNotExist(err) {
		g.t.Fatal(err)
	}
	return string(b)
}

// Transport connects to the gateway whatever host a URL names. Its TLS settings may be changed before first use.
func (g *Gateway) Transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", g.Addr)
		},
		TLSClientConfig:   &tls.Config{RootCAs: g.pool},
		ForceAttemptHTTP2: true,
	}
}

// Client follows no redirect and keeps no cookies.
func (g *Gateway) Client() *http.Client {
	tr := g.Transport()
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Cleanup has f called when the test is over, before the gateway stops.
func (g *Gateway) Cleanup(f func()) { g.t.Cleanup(f) }

// FreeAddr returns an address of this machine where nobody listens, and which no connection that is made meanwhile gets as its own:
// systems give those ports above 32767.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+random.IntN(22_000)))
		if err != nil {
			continue // somebody listens
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

func (g *Gateway) makeCert() {
	g.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gatetest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{Host, "*.test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		g.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.cert, g.key = filepath.Join(g.Dir, "cert.pem"), filepath.Join(g.Dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write := func(name string, data []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
	write(g.cert, certPEM)
	write(g.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	g.pool = x509.NewCertPool()
	g.pool.AppendCertsFromPEM(certPEM)
}
