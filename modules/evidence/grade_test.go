package evidence

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A listener's grade is that of its weakest part.
func TestGrade(t *testing.T) {
	good := func() *Scan {
		f := fake{}
		cert := f.certificate(t, x509.NewCertPool())
		return &Scan{
			Versions: []uint16{tls.VersionTLS13, tls.VersionTLS12}, Chain: []*x509.Certificate{cert.Leaf}, HSTS: []string{"max-age=63072000; includeSubDomains"},
			Suites: map[uint16][]string{tls.VersionTLS13: {"TLS_AES_128_GCM_SHA256"}, tls.VersionTLS12: {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}},
		}
	}
	add := func(v uint16, suites ...string) func(*Scan) {
		return func(s *Scan) {
			if !s.accepts(v) {
				s.Versions = append(s.Versions, v)
			}
			s.Suites[v] = append(s.Suites[v], suites...)
		}
	}
	for name, tt := range map[string]struct {
		spoil func(*Scan)
		want  string
	}{
		"as it should be": {func(*Scan) {}, "A+"},
		"no HSTS":         {func(s *Scan) { s.HSTS = nil }, "A"},
		"HSTS for a day":  {func(s *Scan) { s.HSTS = []string{"max-age=86400"} }, "A"},
		"expires soon": {func(s *Scan) {
			s.Chain[0].NotBefore, s.Chain[0].NotAfter = time.Now().Add(-60*day), time.Now().Add(3*day)
		}, "A"},
		"no TLS 1.3":         {func(s *Scan) { s.Versions = s.Versions[1:] }, "A-"},
		"TLS 1.1":            {add(tls.VersionTLS11, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), "B"},
		"SSL 3.0":            {add(versionSSL30, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), "C"},
		"no forward secrecy": {add(tls.VersionTLS12, "TLS_RSA_WITH_AES_128_GCM_SHA256"), "B"},
		"3DES":               {add(tls.VersionTLS12, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"), "C"},
		"RC4":                {add(tls.VersionTLS12, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"), "C"},
		"anonymous":          {add(tls.VersionTLS12, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"), "F"},
		"for export":         {add(tls.VersionTLS12, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"), "F"},
		"compression":        {func(s *Scan) { s.Compression = true }, "C"},
		"renegotiation":      {func(s *Scan) { s.InsecureRenegotiation = true }, "F"},
		"SHA-1":              {func(s *Scan) { s.Chain[0].SignatureAlgorithm, s.Chain[0].IsCA = x509.SHA1WithRSA, false }, "F"},
		"expired":            {func(s *Scan) { s.Chain[0].NotAfter = time.Now().Add(-time.Hour) }, "T"},
		"nobody's":           {func(s *Scan) { s.Untrusted = x509.UnknownAuthorityError{} }, "T"},
	} {
		s := good()
		tt.spoil(s)
		if g := grade(s, time.Now()); g.Grade != tt.want || g.Good() != strings.HasPrefix(tt.want+" ", "A ") && g.Good() != (tt.want == "A+") || tt.want != "A+" && len(g.Because) == 0 {
			t.Errorf("%s: %s, want %s: %v", name, g.Grade, tt.want, g.Because)
		}
	}
}

// What another implementation of TLS accepts is found out, suite by suite: OpenSSL's server, with old suites switched on.
func TestScanOfOpenSSL(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	f := fake{bits: 2048}
	cert := f.certificate(t, x509.NewCertPool())
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file := filepath.Join(dir, "both.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	port := closedPort(t)
	cmd := exec.Command(tool, "s_server", "-quiet", "-accept", "127.0.0.1:"+port, "-cert", file, "-key", file, "-min_protocol", "TLSv1", "-max_protocol", "TLSv1.2",
		"-cipher", "AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address := "127.0.0.1:" + port
	for deadline := time.Now().Add(20 * time.Second); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("openssl s_server does not listen")
		}
	}
	s, err := scan(context.Background(), Target{Address: address, Name: fakeHost})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.versionList(), "TLS 1.2, TLS 1.1, TLS 1.0"; got != want {
		t.Errorf("versions: %s, want %s", got, want)
	}
	want := []string{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_CBC_SHA"}
	got := slices.Sorted(slices.Values(s.Suites[tls.VersionTLS12]))
	if !slices.Equal(got, want) {
		t.Errorf("suites of TLS 1.2: %v, want %v", got, want)
	}
	if s.InsecureRenegotiation || s.Compression {
		t.Errorf("renegotiation %v, compression %v", s.InsecureRenegotiation, s.Compression)
	}
	s.HSTS = nil
	if g := grade(s, time.Now()); g.Good() {
		t.Errorf("its grade is %s: %s", g.Grade, fmt.Sprint(g.Because))
	}
}

// What is no answer of TLS is an error, whatever it is.
func FuzzServerHello(f *testing.F) {
	f.Add([]byte{2, 0, 0, 40, 3, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseServerHello(b); err == nil && len(b) < 42 {
			t.Errorf("%d bytes are a ServerHello: %+v", len(b), a)
		}
	})
}
