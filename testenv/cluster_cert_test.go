package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// TestClusterCertificates: what one gateway has obtained, all have, and a restart obtains nothing anew.
func TestClusterCertificates(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	g := startClusterWith(t, 2, r, config{
		Backend: be.Listen,
		Global:  "\tstorage gatehouse {\n\t\tkeys file {$KEYS}\n\t\tstore valkey {$VALKEY}\n\t}\n",
		Rest:    "reverse_proxy {$BACKEND}\n}\n\nhttps://internal.test:{$PORT} {\n\ttls internal\n\tgatehouse {\n\t\tallow role staff\n\t}\n\treverse_proxy {$BACKEND}",
	})
	leaf := func(one *gateway) (cert *x509.Certificate) {
		t.Helper()
		eventually(t, readyIn, "the gateway has a certificate", func() bool {
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", one.addr(), &tls.Config{ServerName: "internal.test", InsecureSkipVerify: true})
			if err != nil {
				return false
			}
			defer c.Close()
			cert = c.ConnectionState().PeerCertificates[0]
			return true
		})
		return cert
	}
	first, second := leaf(g[0]), leaf(g[1])
	if !first.Equal(second) {
		t.Errorf("the gateways have certificates of their own: %v and %v", first.SerialNumber, second.SerialNumber)
	}
	if err := g[1].kill9(); err != nil {
		t.Fatal(err)
	}
	if err := g[1].start(); err != nil {
		t.Fatal(err)
	}
	if again := leaf(g[1]); !first.Equal(again) {
		t.Errorf("after a restart it has another: %v and %v", first.SerialNumber, again.SerialNumber)
	}
}
