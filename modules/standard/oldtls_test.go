package standard_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// oldReceiver is a collector and a webhook's receiver that know no TLS but 1.2: over HTTP, and for syslog.
type oldReceiver struct {
	url, syslog, ca string
	posts, lines    atomic.Int64
}

func newOldReceiver(t *testing.T) *oldReceiver {
	o := &oldReceiver{ca: filepath.Join(t.TempDir(), "ca.pem")}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.TLS.Version == tls.VersionTLS12 {
			o.posts.Add(1)
		}
	}))
	srv.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	if err := os.WriteFile(o.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: srv.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := bufio.NewReader(conn).ReadString('>'); err == nil {
					o.lines.Add(1)
				}
			}()
		}
	}()
	o.url, o.syslog = srv.URL, ln.Addr().String()
	return o
}

// Records and alerts go to nobody who knows no TLS 1.3, unless the operator says so of that receiver.
func TestReceiversWithoutTLS13(t *testing.T) {
	t.Setenv("GATEHOUSE_ALERT_SECRET", hookSecret)
	old, box := newOldReceiver(t), newMailboxOf(t, tls.VersionTLS12)
	words := func(tls12, smtp string) []string {
		return []string{"policy", "public /*", "backend", "reverse_proxy " + backend(t), "idp", fmt.Sprintf(`voucher
	siem {
		send syslog tls://%[2]s {
			ca %[3]s
			%[5]s
		}
		send loki %[1]s {
			ca %[3]s
			%[5]s
		}
	}
	alert {
		webhook %[1]s {
			secret {env.GATEHOUSE_ALERT_SECRET}
			ca %[3]s
			%[5]s
		}
		mail ops@example.com {
			smtp %[4]s {
				from gateway@example.com
				ca %[7]s
				%[6]s
			}
		}
	}`, old.url, old.syslog, old.ca, box.addr, tls12, smtp, box.ca)}
	}
	o := operate(t, words("", "")...)
	get(t, o.Client(), "https://app.test/first")
	for _, receiver := range []string{"webhook", "mail"} {
		if out, err := o.run("alert", "test", receiver); err == nil || !strings.Contains(out, "protocol version") {
			t.Errorf("%s: %s, %v", receiver, out, err)
		}
	}
	eventually(t, "why nothing is sent", func() bool {
		return strings.Count(o.ok("siem", "status"), "protocol version") == 2
	})
	if old.posts.Load() != 0 || old.lines.Load() != 0 {
		t.Fatalf("%d posts and %d lines were sent with TLS 1.2", old.posts.Load(), old.lines.Load())
	}

	if err := o.Load(o.text(words("insecure_tls12", "insecure_smtp_tls12")...)); err != nil {
		t.Fatal(err)
	}
	for _, receiver := range []string{"webhook", "mail"} {
		o.ok("alert", "test", receiver)
	}
	box.next(t)
	if old.posts.Load() == 0 {
		t.Error("the webhook was not posted with TLS 1.2")
	}
	eventually(t, "records at both collectors", func() bool { return old.lines.Load() > 0 && old.posts.Load() > 1 })
	for _, warned := range []string{"insecure_tls12: records", "insecure_tls12: alerts", "insecure_smtp_tls12"} {
		if !strings.Contains(o.Log(), warned) {
			t.Errorf("the log does not say %q", warned)
		}
	}
}
