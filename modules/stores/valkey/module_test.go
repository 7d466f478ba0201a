package valkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/store"
)

// parse reads what follows the word store.
func parse(t *testing.T, text string) (*Store, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser(text)
	s := new(Store)
	if err := s.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	return s, s.Provision(ctx)
}

func TestRefusedSettings(t *testing.T) {
	for text, want := range map[string]string{
		"valkey":                                             "needs an address",
		"valkey nowhere":                                     "write host:port",
		"valkey unix//a unix//b":                             "one server's",
		"valkey a:1 {\n passwort x\n}":                       "the options are",
		"valkey a:1 {\n password {env.NOT_SET}\n}":           "password",
		"valkey a:1 {\n trust_pem /nowhere.pem\n}":           "/nowhere.pem",
		"valkey a:1 {\n trust_pem x\n insecure_plaintext\n}": "take one of them out",
		"valkey a:1 {\n replicas none\n}":                    "write one like 1",
		"valkey a:1 {\n replicas 17\n}":                      "1 to 16",
		"valkey a:1 {\n replicas 1 soon\n}":                  "write one like 1s",
		"valkey a:1 {\n replicas 1 1m\n}":                    "10ms to 4s",
		"valkey a:1 b:1 {\n replicas 1\n}":                   "min-replicas-to-write",
	} {
		if _, err := parse(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something about %q", text, err, want)
		}
	}
}

// TestEncryptedByDefault: what leaves the machine is encrypted unless the operator says the word.
func TestEncryptedByDefault(t *testing.T) {
	for text, want := range map[string]uint16{
		"valkey unix//run/valkey.sock":               0,
		"valkey 127.0.0.1:6379":                      0,
		"valkey localhost:6379":                      0,
		"valkey 192.0.2.1:6379":                      tls.VersionTLS13,
		"valkey 127.0.0.1:6379 valkey.internal:6379": tls.VersionTLS13,
		"valkey a:1 {\n insecure_tls12\n}":           tls.VersionTLS12,
		"valkey a:1 {\n insecure_plaintext\n}":       0,
	} {
		s, err := parse(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if s.tls == nil && want != 0 || s.tls != nil && s.tls.MinVersion != want {
			t.Errorf("%q: TLS %+v, want at least %x", text, s.tls, want)
		}
	}
}

// TestOverTLS: a server on a TLS port, with the user of the manual's access list.
func TestOverTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cert, key := certificate(t)
	s := startServer(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	if err := s.do("ACL", "SETUSER", "gatehouse", "on", ">s3cret", "~{gatehouse:gatehouse}:*", "&{gatehouse:gatehouse}:*", "+@all", "-@dangerous").Error(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VALKEY_PASSWORD", "s3cret")
	settings, err := parse(t, "valkey 127.0.0.1:"+port+" {\n user gatehouse {env.VALKEY_PASSWORD}\n trust_pem "+cert+"\n}")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(settings.StoreKey(), "s3cret") {
		t.Error("the password is in what tells stores apart")
	}
	bus := event.NewBus()
	defer bus.Close()
	st, err := settings.OpenStore("", testKeys, bus)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	k := store.Key{Bucket: "user", ID: "u"}
	feed, err := st.Watch(t.Context(), "user")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t, "").Put(ctx, k, []byte("v"), store.PutOptions{}); err != nil { // another node, over the socket
		t.Fatal(err)
	}
	if ev := next(t, feed); ev != (store.Event{Kind: store.Set, Key: k}) {
		t.Errorf("event %+v", ev)
	}
	if it, err := st.Get(ctx, k); err != nil || string(it.Value) != "v" {
		t.Errorf("Get = %q, %v", it.Value, err)
	}

	wrong := *settings
	wrong.password = secret.New("guessed")
	if _, err := wrong.OpenStore("", testKeys, bus); err == nil || strings.Contains(err.Error(), "guessed") {
		t.Errorf("a wrong password: %v", err)
	}
	stranger := *settings
	stranger.tls = &tls.Config{MinVersion: tls.VersionTLS13}
	if _, err := stranger.OpenStore("", testKeys, bus); err == nil {
		t.Error("a server with a certificate that nobody vouches for was believed")
	}
}

func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "valkey"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
