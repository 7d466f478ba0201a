package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// profileHost has a certificate of the gateway's own authority. (app.test, by which stories see that it answers, has one of theirs.)
const profileHost = "profile.test"

// profileCaddyfile is a house with a TLS profile.
func profileCaddyfile(profile, keys string) string {
	return "{\n\timport {$COMMON}\n\tkey_type " + keys + "\n\tgatehouse {\n\t\tstate_dir {$STATE}\n\t\ttls_profile " + profile + "\n\t\tlocal\n\t}\n}\n" +
		"https://app.test:{$PORT} {\n\ttls {$CERT} {$KEY}\n\tgatehouse {\n\t\tpublic /*\n\t}\n\treverse_proxy {$BACKEND}\n}\n" +
		"https://" + profileHost + ":{$PORT} {\n\ttls internal\n\tgatehouse {\n\t\tpublic /*\n\t}\n\treverse_proxy {$BACKEND}\n}\n"
}

// TestTLSProfiles (CER-01, BRF-01, CAL-01, NAT-04): what each profile accepts, suite by suite, asked by Go's client and by OpenSSL,
// which has suites and versions that Go has not.
func TestTLSProfiles(t *testing.T) {
	t.Parallel()
	rsa := []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"}
	ecdsa := []string{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}
	be := startBackend(t)
	for _, p := range []struct {
		name, keys string
		old        []string // suites of TLS 1.2
	}{
		{"cerebro", "p256", nil},
		{"brainframe", "rsa2048", rsa},
		{"calbrix", "p256", ecdsa},
		{"natalia", "rsa2048", rsa},
	} {
		t.Run(p.name, func(t *testing.T) {
			g := startGateway(t, config{Backend: be.Listen, Caddyfile: profileCaddyfile(p.name, p.keys)})
			dial := func(most uint16, suites ...uint16) (*tls.ConnectionState, error) {
				c, err := tls.Dial("tcp", g.addr(), &tls.Config{ServerName: profileHost, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: most, CipherSuites: suites})
				if err != nil {
					return nil, err
				}
				defer c.Close()
				state := c.ConnectionState()
				return &state, nil
			}
			var state *tls.ConnectionState
			eventually(t, readyIn, "it has its certificate, and speaks TLS 1.3", func() (is bool) {
				var err error
				state, err = dial(tls.VersionTLS13)
				return err == nil && state.Version == tls.VersionTLS13
			})
			if p.keys == "rsa2048" && state.PeerCertificates[0].PublicKeyAlgorithm != x509.RSA {
				t.Errorf("the certificate's key is %v", state.PeerCertificates[0].PublicKeyAlgorithm)
			}
			for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
				if s.SupportedVersions[0] == tls.VersionTLS13 {
					continue
				}
				_, err := dial(tls.VersionTLS12, s.ID)
				if got, want := err == nil, slices.Contains(p.old, s.Name); got != want {
					t.Errorf("TLS 1.2 with %s: accepted %v, want %v (%v)", s.Name, got, want, err)
				}
			}
			for _, old := range [][]string{
				{"-tls1"}, {"-tls1_1"}, {"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256:@SECLEVEL=0"}, {"-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384:@SECLEVEL=0"},
			} {
				if !strings.HasSuffix(old[len(old)-1], "SECLEVEL=0") {
					old = append(old, "-cipher", "ALL:@SECLEVEL=0")
				}
				said, err := exec.Command("openssl", slices.Concat([]string{"s_client", "-connect", g.addr(), "-servername", profileHost}, old)...).CombinedOutput()
				if err == nil || !strings.Contains(string(said), "alert") {
					t.Errorf("openssl %v: %v\n%s", old, err, said)
				}
			}
			floor := "TLS 1.3 only"
			if p.old != nil {
				floor = "TLS 1.2 or higher (tls_profile " + p.name + ")"
			}
			if said := g.cliOut(t, "check", "-c", g.conf, "--adapter", "caddyfile"); !strings.Contains(said, floor) {
				t.Errorf("check does not say %q:\n%s", floor, said)
			}
			record, _, code, err := g.command("audit", "show", g.env["STATE"]+"/audit")
			if err != nil || !strings.Contains(record, p.name) {
				t.Errorf("the profile is not on record: %d, %v\n%s", code, err, record)
			}
		})
	}
}
