package standard_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"gatehouse.internal/modules/internal/gatetest"
)

// authority issues certificates to clients.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // its certificate, in PEM
	n    int64
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, n: 16}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.file = filepath.Join(t.TempDir(), name+".pem")
	a.write(a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue makes a certificate for a client, changed.
func (a *authority) issue(name string, change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// revoke writes a revocation list with these certificates, which counts until then.
func (a *authority) revoke(file string, until time.Time, certs ...tls.Certificate) {
	a.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: until}
	for _, c := range certs {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file, "X509 CRL", der)
}

func sumOf(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return "sha256:" + hex.EncodeToString(sum[:])
}

// overEveryVersion is what the house says where tests speak HTTP/3 as well.
const overEveryVersion = "local\n insecure_http3"

// showing returns a client that shows the certificate, over HTTP/1.1, 2 or 3; whatever authorities the server names.
func showing(g *gatetest.Gateway, version string, certs ...tls.Certificate) *http.Client {
	conf := g.Transport().TLSClientConfig.Clone()
	if len(certs) > 0 {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
	}
	return speaking(g, version, conf)
}

func speaking(g *gatetest.Gateway, version string, conf *tls.Config) *http.Client {
	c := g.Client()
	if version == "3" {
		h3 := &http3.Transport{TLSClientConfig: conf, Dial: func(ctx context.Context, _ string, tlsConf *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, g.Addr, tlsConf, q)
		}}
		c.Transport = h3
		g.Cleanup(func() { _ = h3.Close() })
		return c
	}
	tr := c.Transport.(*http.Transport)
	tr.TLSClientConfig = conf
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(version == "1")
	tr.Protocols.SetHTTP2(version == "2")
	return c
}

const certPolicy = `allow role robot
		route /reports/* {
			allow service_account backup
		}
		public /open/*
		client_certificates {
			ca {{ca}}
			optional
			crl {{crl}}
		}`

// A certificate lets in whom it is bound to, and nobody else; one that does not count is refused with a reason, over every
// version of HTTP.
func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t, "clients"), newAuthority(t, "others")
	crl := filepath.Join(t.TempDir(), "clients.crl")
	withdrawn := ca.issue("withdrawn")
	ca.revoke(crl, time.Now().Add(time.Hour), withdrawn)
	g := operate(t, "idp", overEveryVersion, "policy", strings.NewReplacer("{{ca}}", ca.file, "{{crl}}", crl).Replace(certPolicy), "backend", "reverse_proxy "+backend(t))
	bound, unbound, revoked := ca.issue("backup"), ca.issue("stranger"), ca.issue("lost")
	named := ca.issue("", func(c *x509.Certificate) { c.DNSNames = []string{"Backup.example.com"} })
	torn := ca.issue("", func(c *x509.Certificate) { c.DNSNames = []string{"backup.example.com", "monitor.example.com"} })
	elsewhere := ca.issue("elsewhere")

	g.ok("service-account", "add", "backup", "--role", "robot")
	g.ok("service-account", "add", "monitor", "--role", "robot")
	pemFile := filepath.Join(t.TempDir(), "backup.pem")
	ca.write(pemFile, "CERTIFICATE", bound.Certificate[0])
	if out := g.ok("client-certificate", "bind", pemFile, "--account", "backup", "--host", "app.test", "--path", "/files/*,/reports/*"); !strings.Contains(out, "service:backup") ||
		!strings.Contains(out, bound.Leaf.NotAfter.UTC().Format(time.DateTime)) {
		t.Errorf("bind said %q; want the owner, and an end that is the certificate's", out)
	}
	g.no("bound already", "client-certificate", "bind", sumOf(bound), "--account", "monitor", "--host", "app.test")
	g.no("no such service account", "client-certificate", "bind", sumOf(unbound), "--account", "nobody", "--host", "app.test")
	g.no("has not logged in", "client-certificate", "bind", sumOf(unbound), "--user", "local:nobody", "--host", "app.test")
	g.no("a host and a path", "client-certificate", "bind", sumOf(unbound), "--account", "backup")
	g.no("64 hexadecimal digits", "client-certificate", "bind", "sha256:00", "--account", "backup", "--host", "app.test")
	g.ok("client-certificate", "bind", "dns:backup.EXAMPLE.com", "--account", "backup", "--host", "app.test")
	g.ok("client-certificate", "bind", "dns:monitor.example.com", "--account", "monitor", "--host", "app.test")
	g.ok("client-certificate", "bind", sumOf(elsewhere), "--account", "backup", "--host", "other.test")
	g.ok("client-certificate", "bind", sumOf(revoked), "--account", "backup", "--host", "app.test")
	g.ok("client-certificate", "revoke", sumOf(revoked), "--note", "stolen")
	serial := ca.issue("by its number")
	g.ok("client-certificate", "revoke", "serial:0"+serial.Leaf.SerialNumber.Text(16))

	tests := []struct {
		name   string
		certs  []tls.Certificate
		path   string
		header []string
		status int
		reason string
	}{
		{"none", nil, "/files/x", nil, 401, "login_required"},
		{"none, and a public path", nil, "/open/x", nil, 200, ""},
		{"none, but headers that claim one", nil, "/files/x", []string{"Client-Cert", ":AAAA:", "X-Client-Cert", "x", "X-SSL-Client-Verify", "SUCCESS", "Ssl-Client-S-Dn", "CN=backup"}, 401, "login_required"},
		{"bound by its sum", []tls.Certificate{bound}, "/files/x", nil, 200, ""},
		{"by the account's name", []tls.Certificate{bound}, "/reports/x", nil, 200, ""},
		{"bound by a name", []tls.Certificate{named}, "/files/x", nil, 200, ""},
		{"not for this path", []tls.Certificate{bound}, "/", nil, 401, "login_required"},
		{"not for this host", []tls.Certificate{elsewhere}, "/files/x", nil, 401, "login_required"},
		{"names of two owners", []tls.Certificate{torn}, "/files/x", nil, 401, "login_required"},
		{"bound to nobody", []tls.Certificate{unbound}, "/files/x", nil, 401, "login_required"},
		{"bound to nobody, and a public path", []tls.Certificate{unbound}, "/open/x", nil, 200, ""},
		{"expired", []tls.Certificate{ca.issue("x", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}, "/open/x", nil, 403, "certificate_refused"},
		{"not valid yet", []tls.Certificate{ca.issue("x", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })}, "/open/x", nil, 403, "certificate_refused"},
		{"of another authority", []tls.Certificate{other.issue("backup")}, "/open/x", nil, 403, "certificate_refused"},
		{"for servers", []tls.Certificate{ca.issue("x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}, "/open/x", nil, 403, "certificate_refused"},
		{"revoked by an operator", []tls.Certificate{revoked}, "/open/x", nil, 403, "certificate_refused"},
		{"revoked by its number", []tls.Certificate{serial}, "/open/x", nil, 403, "certificate_refused"},
		{"revoked by its authority", []tls.Certificate{withdrawn}, "/open/x", nil, 403, "certificate_refused"},
	}
	for _, version := range []string{"1", "2", "3"} {
		for _, tt := range tests {
			t.Run("HTTP/"+version+" "+tt.name, func(t *testing.T) {
				res, body := get(t, showing(g.Gateway, version, tt.certs...), "https://app.test"+tt.path, tt.header...)
				if res.StatusCode != tt.status || tt.reason != "" && !strings.Contains(body, `"reason":"`+tt.reason+`"`) || res.Proto[5:6] != version {
					t.Fatalf("%s %d %s", res.Proto, res.StatusCode, body)
				}
				if res.StatusCode != 200 || strings.HasPrefix(tt.path, "/open") {
					return
				}
				if h := seen(t, body); h.Get("X-Gatehouse-User") != "backup" || h.Get("X-Gatehouse-Roles") != "robot" {
					t.Errorf("the backend saw %v", h)
				}
			})
		}
	}
	for _, why := range []string{
		"the certificate has expired", "the certificate is not valid yet", "no authority that the site trusts", "not for TLS clients", "was revoked",
		`"client_certificate_unused":"the certificate's binding is not for this request`, "bound to several owners", `"credential":"client_certificate"`,
	} {
		gatetest.Eventually(t, "the log says "+why, func() bool { return strings.Contains(g.Log(), why) })
	}
	if list := g.ok("client-certificate", "list"); !strings.Contains(list, sumOf(bound)) || !strings.Contains(list, "dns:backup.example.com") {
		t.Errorf("the list:\n%s", list)
	}
	if list := g.ok("client-certificate", "list", "--revoked"); !strings.Contains(list, sumOf(revoked)) || !strings.Contains(list, "stolen") {
		t.Errorf("the revoked:\n%s", list)
	}
	for _, kind := range []string{"client_certificate.bound", "client_certificate.revoked"} {
		g.WantEvent(kind, `"operator":"olga"`)
	}

	// What changes holds from the next request on, on connections that stand.
	c := showing(g.Gateway, "2", bound)
	want := func(what string, status int) {
		t.Helper()
		if res, body := get(t, c, "https://app.test/files/x"); res.StatusCode != status {
			t.Errorf("%s: %d %s", what, res.StatusCode, body)
		}
	}
	want("bound", 200)
	g.ok("service-account", "disable", "backup")
	want("disabled", 401)
	g.ok("service-account", "enable", "backup")
	want("enabled", 200)
	g.ok("client-certificate", "revoke", pemFile)
	want("revoked", 403)
	g.no("revoked already", "client-certificate", "revoke", pemFile)
	g.ok("client-certificate", "restore", pemFile)
	want("restored", 200)
	g.ok("client-certificate", "unbind", sumOf(bound))
	want("unbound", 401)
	g.no("no such record", "client-certificate", "unbind", sumOf(bound))

	// A list of the authority's that changes is read again; one that is over lets nobody in.
	c = showing(g.Gateway, "2", named)
	want("not revoked", 200)
	ca.revoke(crl, time.Now().Add(time.Hour), withdrawn, named)
	gatetest.Eventually(t, "the new list counts", func() bool {
		res, _ := get(t, c, "https://app.test/files/x")
		return res.StatusCode == 403
	})
}

// Where a certificate is required, TLS lets no client without a good one send a request, and says why.
func TestRequiredClientCertificates(t *testing.T) {
	ca, other := newAuthority(t, "clients"), newAuthority(t, "others")
	g := operate(t, "idp", overEveryVersion, "policy", "public /open/*\nallow role robot\nclient_certificates {\nca "+ca.file+"\n}", "backend", "reverse_proxy "+backend(t))
	good, lost := ca.issue("good"), ca.issue("lost")
	g.ok("service-account", "add", "backup", "--role", "robot")
	g.ok("client-certificate", "bind", sumOf(good), "--account", "backup", "--host", "app.test")
	g.ok("client-certificate", "revoke", sumOf(lost))
	for _, version := range []string{"1", "2", "3"} {
		for name, tt := range map[string]struct {
			certs []tls.Certificate
			alert string
		}{
			"none":          {nil, "certificate required"},
			"expired":       {[]tls.Certificate{ca.issue("x", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}, "expired certificate"},
			"another's":     {[]tls.Certificate{other.issue("x")}, "unknown certificate authority"},
			"for servers":   {[]tls.Certificate{ca.issue("x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}, "bad certificate"},
			"its own maker": {[]tls.Certificate{selfSigned(t)}, "unknown certificate authority"},
		} {
			res, err := showing(g.Gateway, version, tt.certs...).Get("https://app.test/open/x")
			if err == nil {
				res.Body.Close()
				t.Errorf("HTTP/%s, %s: %d", version, name, res.StatusCode)
				continue
			}
			if version != "3" { // over TCP, what the client writes may fail before it has read the alert
				err = alertOf(g.Gateway, tt.certs...)
			}
			if !strings.Contains(err.Error(), tt.alert) {
				t.Errorf("HTTP/%s, %s: %v, want %q", version, name, err, tt.alert)
			}
		}
		if res, body := get(t, showing(g.Gateway, version, good), "https://app.test/files/x"); res.StatusCode != 200 {
			t.Errorf("HTTP/%s: %d %s", version, res.StatusCode, body)
		}
		if res, body := get(t, showing(g.Gateway, version, lost), "https://app.test/open/x"); res.StatusCode != 403 || !strings.Contains(body, "certificate_refused") {
			t.Errorf("HTTP/%s, revoked: %d %s", version, res.StatusCode, body)
		}
	}
}

// alertOf is with what TLS ends a connection on which the client says nothing.
func alertOf(g *gatetest.Gateway, certs ...tls.Certificate) error {
	conf := g.Transport().TLSClientConfig.Clone()
	conf.ServerName = "app.test"
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(certs) == 0 {
			return new(tls.Certificate), nil
		}
		return &certs[0], nil
	}
	conn, err := tls.Dial("tcp", g.Addr, conf)
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil {
		err = errors.New("no alert")
	}
	return err
}

func selfSigned(t testing.TB) tls.Certificate {
	a := newAuthority(t, "self")
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// A certificate is one site's: others are not asked for one, or take another authority's, and no TLS session carries it over.
func TestCertificatesStayWithTheirSite(t *testing.T) {
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	site := func(name, more string) string {
		return "https://" + name + ".test:{{addr}} {\n{{tls}}\ngatehouse {\nallow role robot\npublic /open/*\n" + more + "\n}\nreverse_proxy " + backend(t) + "\n}\n"
	}
	optional := func(a *authority) string { return "client_certificates {\nca " + a.file + "\noptional\n}" }
	g := operate(t, "idp", overEveryVersion, "policy", "allow role robot\npublic /open/*\n"+optional(a), "backend", "reverse_proxy "+backend(t), "more", site("b", optional(b))+site("c", "")+site("wide", optional(a)))
	cert := a.issue("backup")
	g.ok("service-account", "add", "backup", "--role", "robot")
	g.ok("client-certificate", "bind", sumOf(cert), "--account", "backup", "--host", "app.test,b.test,c.test")

	for _, version := range []string{"1", "2", "3"} {
		for _, order := range [][]string{{"app", "b", "c", "app"}, {"c", "b", "app", "app"}} {
			cache, asked := &oneForAll{}, 0
			for i, name := range order {
				conf := g.Transport().TLSClientConfig.Clone()
				conf.ClientSessionCache = cache // offers any site's session to any other
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { asked++; return &cert, nil }
				asked = 0
				path := "/files/x"
				if name == "b" {
					path = "/open/x"
				}
				res, body := get(t, speaking(g.Gateway, version, conf), "https://"+name+".test"+path)
				want, ask := map[string]int{"app": 200, "b": 403, "c": 401}[name], map[string]int{"app": 1, "b": 1, "c": 0}[name]
				if res.StatusCode != want || asked != ask || name != "c" && res.TLS.DidResume {
					t.Errorf("HTTP/%s %v, %d: %s answers %d, asked %d times, resumed %v: %s", version, order, i, name, res.StatusCode, asked, res.TLS.DidResume, body)
				}
			}
		}
	}
	// On the connection of one site, no other answers.
	conf := g.Transport().TLSClientConfig.Clone()
	conf.ServerName = "c.test"
	if res, body := get(t, speaking(g.Gateway, "1", conf), "https://app.test/files/x"); res.StatusCode != 421 {
		t.Errorf("another name than the server's: %d %s", res.StatusCode, body)
	}
}

// oneForAll offers the latest session to every server.
type oneForAll struct{ s *tls.ClientSessionState }

func (o *oneForAll) Get(string) (*tls.ClientSessionState, bool) { return o.s, o.s != nil }
func (o *oneForAll) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		o.s = s
	}
}

// What runs by a certificate is cut within a second of its end.
func TestStreamsEndWithTheCertificate(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer app.Close()
	ca := newAuthority(t, "clients")
	g := operate(t, "policy", "allow role robot\nclient_certificates {\nca "+ca.file+"\n}", "backend", "reverse_proxy "+strings.TrimPrefix(app.URL, "http://"))
	g.ok("service-account", "add", "backup", "--role", "robot")
	for name, end := range map[string]func(c tls.Certificate) []string{
		"unbound":  func(c tls.Certificate) []string { return []string{"client-certificate", "unbind", sumOf(c)} },
		"revoked":  func(c tls.Certificate) []string { return []string{"client-certificate", "revoke", sumOf(c)} },
		"disabled": func(tls.Certificate) []string { return []string{"service-account", "disable", "backup"} },
	} {
		t.Run(name, func(t *testing.T) {
			g.ok("service-account", "enable", "backup")
			cert := ca.issue(name)
			g.ok("client-certificate", "bind", sumOf(cert), "--account", "backup", "--host", "app.test")
			res, err := showing(g.Gateway, "2", cert).Get("https://app.test/files/x")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			g.ok(end(cert)...)
			if _, err := io.ReadAll(res.Body); err == nil {
				t.Error("the stream ended as if it were complete")
			}
			if took := time.Since(began); took > 2*time.Second { // a second, and another for a busy machine
				t.Errorf("the stream went on for %v", took)
			}
		})
	}
}

// An access token that is bound to a certificate (RFC 8705), and an API key that is, count on its connections alone.
func TestCredentialsBoundToCertificates(t *testing.T) {
	ca, i := newAuthority(t, "clients"), newIssuer(t)
	policy := "allow role staff robot\nclient_certificates {\nca " + ca.file + "\noptional\n}\napi /api/* {\nissuer partner " + i.URL + " {\ntrust_pem " + i.trust(t.TempDir()) + "\n}\naudience https://app.test/api\n}"
	g := operate(t, "idp", overEveryVersion, "policy", policy, "backend", "reverse_proxy "+backend(t))
	mine, theirs := ca.issue("mine"), ca.issue("theirs")
	sum := sha256.Sum256(mine.Certificate[0])
	token := i.token(map[string]any{"cnf": map[string]any{"x5t#S256": b64(sum[:])}})
	g.ok("service-account", "add", "backup", "--role", "robot")
	key := g.ok("api-key", "create", "--account", "backup", "--host", "app.test", "--certificate", sumOf(mine))
	g.no("64 hexadecimal digits", "api-key", "create", "--account", "backup", "--host", "app.test", "--certificate", "x")
	for _, version := range []string{"1", "2", "3"} {
		for name, tt := range map[string]struct {
			certs  []tls.Certificate
			status int
		}{"its own": {[]tls.Certificate{mine}, 200}, "another": {[]tls.Certificate{theirs}, 401}, "none": {nil, 401}} {
			c := showing(g.Gateway, version, tt.certs...)
			for what, credential := range map[string]string{"token": token, "key": key} {
				res, body := get(t, c, "https://app.test/api/x", "Authorization", "Bearer "+credential)
				if res.StatusCode != tt.status || tt.status == 401 && !strings.Contains(body, "invalid_token") {
					t.Errorf("HTTP/%s, %s with %s: %d %s", version, what, name, res.StatusCode, body)
				}
			}
		}
	}
}

// A person's certificate is good for what they are.
func TestCertificatesOfPeople(t *testing.T) {
	ca := newAuthority(t, "clients")
	g := operate(t, "idp", "voucher", "policy", "allow role staff\nclient_certificates {\nca "+ca.file+"\n}", "backend", "reverse_proxy "+backend(t))
	cert := ca.issue("sam", func(c *x509.Certificate) { c.EmailAddresses = []string{"sam@example.com"} })
	c := showing(g.Gateway, "2", cert)
	g.no("has not logged in", "client-certificate", "bind", "email:sam@example.com", "--user", "voucher:sam", "--host", "app.test")
	if res, _ := get(t, c, "https://app.test/.gatehouse/login/voucher?as=sam&roles=staff"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the log-in answered %d", res.StatusCode)
	}
	g.ok("client-certificate", "bind", "email:sam@example.com", "--user", "voucher:sam", "--host", "app.test")
	want := func(what string, status int) {
		t.Helper()
		if res, body := get(t, c, "https://app.test/x"); res.StatusCode != status {
			t.Fatalf("%s: %d %s", what, res.StatusCode, body)
		}
	}
	want("bound", 200)
	res, body := call(t, c, "POST", "https://app.test/x", "a=1", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site")
	if res.StatusCode != 403 || !strings.Contains(body, "cross_origin") {
		t.Errorf("another site's form: %d %s", res.StatusCode, body)
	}
	g.ok("user", "disable", "voucher:sam")
	want("disabled", 401)
}

func TestRefusedClientCertificates(t *testing.T) {
	ca := newAuthority(t, "clients")
	leaf, list := filepath.Join(t.TempDir(), "leaf.pem"), filepath.Join(t.TempDir(), "list.crl")
	ca.write(leaf, "CERTIFICATE", ca.issue("x").Certificate[0])
	newAuthority(t, "clients").revoke(list, time.Now().Add(time.Hour)) // of the same name, by another key
	for name, tt := range map[string]struct{ policy, before, want string }{
		"no authority":      {"client_certificates", "", "name the authority"},
		"no file":           {"client_certificates {\nca /nowhere.pem\n}", "", "Caddyfile:22: client_certificates: stat /nowhere.pem"},
		"no authority's":    {"client_certificates {\nca " + leaf + "\n}", "", "no certificate of an authority"},
		"both":              {"client_certificates {\nca x\nrequired\noptional\n}", "", "not both"},
		"an unknown word":   {"client_certificates {\ncas x\n}", "", `not "cas"`},
		"a forged list":     {"client_certificates {\nca " + ca.file + "\ncrl " + list + "\n}", "", "list.crl"},
		"asked for twice":   {"client_certificates {\nca " + ca.file + "\n}", "tls {{dir}}/cert.pem {{dir}}/key.pem {\nclient_auth {\nmode request\n}\n}", "take `client_auth` out"},
		"a site of no name": {"client_certificates {\nca " + ca.file + "\n}", "", "give the site a host name"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatetest.New(t)
			text := fill(newcomer, pairs("policy", "allow authenticated\n"+tt.policy))
			if tt.before != "" {
				text = strings.Replace(text, "{{tls}}", tt.before, 1)
			}
			if strings.Contains(name, "no name") {
				text = strings.Replace(text, "https://app.test:", "https://:", 1)
			}
			if err := g.Load(text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
