package testenv

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestCertificateSwap (NAT-04): an operator puts another certificate into the place of the site's, and reloads, five times while visitors
// come, each with handshakes of their own: none fails, and the new one is shown from then on. Files that do not belong together are
// refused, and the old one goes on. `gatehouse tls check` prints the fingerprint that people can compare.
func TestCertificateSwap(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	shown := func() string {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: answersIn}, "tcp", g.addr(), &tls.Config{ServerName: appHost, RootCAs: ca().pool})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)
		return hex.EncodeToString(sum[:])
	}
	put := func(name string, content []byte) {
		t.Helper()
		err := os.WriteFile(name+".new", content, 0o600)
		if err := errors.Join(err, os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
	loads := map[string]*load{}
	for _, version := range []string{"1.1", "2", "3"} {
		loads[version] = startLoad(2, g.churn(version))
	}
	resumed := startLoad(1, func(ctx context.Context, _ int) error { // tickets of before the swap
		c := g.newClient()
		defer c.close()
		for range 3 {
			if err := fetch(ctx, c.http["1.1"], g.origin()+"/healthz", "ok"); err != nil {
				return err
			}
			c.http["1.1"].CloseIdleConnections()
		}
		return nil
	})
	loads["1.1, resumed"] = resumed
	seen := map[string]bool{shown(): true}
	answered := func() (n int64) {
		for _, l := range loads {
			n += l.ok.Load()
		}
		return n
	}
	for i := range 5 {
		cert, key, err := ca().leaf(appHost, "other.test", "localhost", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		put(g.env["CERT"], cert)
		put(g.env["KEY"], key)
		before := answered()
		if says, err := g.reload(); err != nil {
			t.Fatalf("reload %d: %v\n%s", i, err, says)
		}
		now := shown()
		if seen[now] {
			t.Errorf("swap %d: the certificate from before is shown", i)
		}
		seen[now] = true
		eventually(t, readyIn, "visitors after the swap", func() bool { return answered() >= before+20 })
	}
	last := shown()
	kept, err := os.ReadFile(g.env["CERT"])
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ca().leaf(appHost)
	if err != nil {
		t.Fatal(err)
	}
	put(g.env["CERT"], cert)
	if says, err := g.reload(); err == nil || !strings.Contains(says, "private key does not match") {
		t.Errorf("a certificate with another's key: %v\n%s", err, says)
	}
	if shown() != last {
		t.Error("what was refused is shown")
	}
	put(g.env["CERT"], kept)
	for version, l := range loads {
		l.end()
		t.Logf("HTTP/%s: %v", version, l)
		if l.failed.Load() > 0 || l.ok.Load() == 0 {
			t.Errorf("HTTP/%s: %v", version, l)
		}
	}
	said := g.cliOut(t, "tls", "check", fmt.Sprintf("%s:%d", appHost, g.port), "--connect", g.addr(), "--ca", g.env["CA"])
	if !strings.Contains(strings.ReplaceAll(strings.ToLower(said), ":", ""), last) {
		t.Errorf("tls check does not print the fingerprint %s:\n%s", last, said)
	}
}
