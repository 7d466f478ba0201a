package evidence

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// old has the stand-in accept TLS 1.2 with the suites.
func old(min uint16, suites ...uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.CipherSuites = min, suites }
}

// instead has the stand-in answer something else where the condition holds.
func instead(when func(*http.Request) bool, answer func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !when(r) {
			return false
		}
		answer(w, r)
		return true
	}
}

func at(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.URL.Path == path }
}

func always(*http.Request) bool { return true }

// but answers as a gateway does, and then changes a header.
func but(name, value string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		good(changed{w, name, value}, r)
	}
}

type changed struct {
	http.ResponseWriter
	name, value string
}

func (c changed) WriteHeader(status int) {
	c.Header().Set(c.name, c.value)
	c.ResponseWriter.WriteHeader(status)
}

func (c changed) Write(b []byte) (int, error) {
	c.Header().Set(c.name, c.value)
	return c.ResponseWriter.Write(b)
}

// says has the stand-in answer with a status and a body.
func says(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the probe reads it, or fails
	}
}

// weakened are ways to break what each probe looks at.
var weakened = map[string][]fake{
	"tls_13":            {{tls: old(tls.VersionTLS12)}},
	"tls_12":            {{tls: old(tls.VersionTLS11)}, {tls: old(tls.VersionTLS10)}},
	"tls_named_suites":  {{tls: old(tls.VersionTLS12)}, {bits: 2048, tls: old(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA)}},
	"tls_modern_suites": {{bits: 2048, tls: old(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)}, {tls: old(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA)}},
	"tls_grade":         {{bits: 1024}, {tls: old(tls.VersionTLS10)}, {tls: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }}},
	"certificate": {
		{bits: 1024},
		{cert: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }},
		{cert: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }},
		{cert: func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }},
		{run: func(r *Run) { r.Roots = x509.NewCertPool() }},
	},
	"plain_http": {
		{another: http.RedirectHandler("https://app.test/", http.StatusPermanentRedirect)},
		{another: http.HandlerFunc(says(200, "hello"))},
		{another: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			w.WriteHeader(403)
		})},
	},
	"server_name": {{answer: instead(func(r *http.Request) bool { return r.Host == otherHost }, says(200, "hello"))}},
	"hsts": {
		{answer: instead(always, but("Strict-Transport-Security", "max-age=63072000"))},
		{answer: instead(at("/.gatehouse/login"), but("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))},
		{answer: instead(func(r *http.Request) bool { return r.Host == otherHost }, says(421, ""))},
	},
	"waf": {
		{answer: instead(func(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "script") }, says(401, `{"reason":"login_required"}`))},
		{answer: instead(func(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "q=") }, says(403, `{"reason":"banned"}`))},
		{answer: instead(func(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "harmless") }, says(403, `{"reason":"waf_blocked"}`))},
	},
	"header_spoof": {{answer: instead(at("/echo"), func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) })}},
	"unauthenticated": {
		{answer: instead(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/gatehouse-evidence-") }, says(200, "hello"))},
		{answer: instead(func(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Mode") != "" }, says(200, "hello"))},
	},
	"page_headers": {
		{answer: instead(always, but("Content-Security-Policy", "default-src 'self'"))},
		{answer: instead(always, but("Referrer-Policy", "unsafe-url"))},
		{answer: instead(at("/.gatehouse/login"), func(w http.ResponseWriter, r *http.Request) {
			next, _ := url.QueryUnescape(r.URL.Query().Get("next"))
			http.Redirect(w, r, next, http.StatusFound)
		})},
	},
	"cookies":      {{answer: instead(at("/.gatehouse/login"), but("Set-Cookie", "__Host-x=1; Path=/; Secure; SameSite=Lax"))}, {answer: instead(at("/.gatehouse/login"), but("Set-Cookie", "x=1; Path=/; Secure; HttpOnly; SameSite=Lax"))}},
	"rate_limit":   {{answer: instead(at("/.gatehouse/login"), says(200, ""))}},
	"security_txt": {{answer: instead(at("/.well-known/security.txt"), says(404, ""))}, {answer: instead(at("/.well-known/security.txt"), says(200, "Contact: x\nExpires: 2020-01-01T00:00:00Z\n"))}},

	"admin_socket": {{run: func(r *Run) { r.Config.Admin.Listen = "localhost:2019" }}, {run: func(r *Run) { chmod(strings.TrimPrefix(r.Config.Admin.Listen, "unix/"), 0o666) }}},
	"listeners":    {{run: func(r *Run) { write(filepath.Join(r.proc, "7", "net", "tcp"), procTCP(2019)) }}},
	"state_files":  {{run: func(r *Run) { chmod(r.Facts.KeysFile, 0o640) }}, {run: func(r *Run) { chmod(r.Facts.StateDir, 0o755) }}},
	"confinement": {
		{run: func(r *Run) {
			write(filepath.Join(r.proc, "7", "status"), "CapEff:\t0000000000000400\nNoNewPrivs:\t0\nSeccomp:\t2\n")
		}},
		{run: func(r *Run) {
			write(filepath.Join(r.proc, "7", "status"), "CapEff:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n")
		}},
		{run: func(r *Run) {
			write(filepath.Join(r.proc, "7", "status"), "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n")
		}},
	},
	"session_idle":  {{run: func(r *Run) { r.Config.Sites[0].Session.AdminIdle = 16 * time.Minute }}},
	"second_factor": {{run: func(r *Run) { r.Config.House.MFA.InsecureAdmins = true }}},
	"audit_chain":   {{run: tamper}},
	"audit_retention": {{run: func(r *Run) {
		r.Config.House.Rooms["audit"] = json.RawMessage(`{"retention":86400000000000}`)
		age(r, 40*day)
	}}},
	"log_retention": {
		{run: func(r *Run) { r.Logs[0].Oldest = time.Now().Add(-33 * day) }}, {run: func(r *Run) { r.Logs[0].Error = "no such file" }},
		{run: func(r *Run) { r.Logs[0].Swept = time.Time{} }}, {run: func(r *Run) { r.Logs = nil }},
	},
	"backup": {
		{run: func(r *Run) { r.Backup = nil }}, {run: func(r *Run) { r.Backup.Made.Time = time.Now().Add(-26 * time.Hour) }}, {run: func(r *Run) { r.Backup.Made = nil }},
		{run: func(r *Run) { r.Backup.Verified = nil }}, {run: func(r *Run) { r.Backup.Failed = "the place is full" }}, {run: func(r *Run) { r.Backup.Uncarried = "exit status 1" }},
	},
	"hourly_backup": {{run: func(r *Run) { r.Backup.Made.Time = time.Now().Add(-2 * time.Hour) }}, {run: func(r *Run) { r.Backup = nil }}},
	"egress": {{run: func(r *Run) { r.Config.House.Mode = json.RawMessage(`{"name":"strict"}`); r.Facts.Mode = "connected" }}, {run: func(r *Run) {
		write(filepath.Join(r.proc, "7", "net", "udp"), procTCP(53)+"   3: 0100007F:C003 08080808:0035 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n")
	}}},
	"no_secret_told": {{run: func(r *Run) { r.Told = []byte("-----BEGIN PRIVATE KEY-----") }}, {run: func(r *Run) { r.Config.Literals = []string{"oidc client_secret"} }}},
	"version":        {{run: func(r *Run) { r.Facts.Revision = "" }}, {run: func(r *Run) { r.Facts.Modified = true }}},
	"healthy":        {{run: func(r *Run) { r.Facts.Problems = []string{"store: down"} }}},
	"clock":          {{run: func(r *Run) { record1(r, event.Event{Time: time.Now(), Kind: event.ClockRolledBack}) }}},
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func chmod(name string, mode os.FileMode) { must(os.Chmod(name, mode)) }
func write(name, text string)             { must(os.WriteFile(name, []byte(text), 0o600)) }

// record1 adds one record to the audit log.
func record1(r *Run, e event.Event) {
	c, err := chain.Open(r.Facts.Audit, chain.Options{Origin: r.Facts.Origin})
	must(err)
	must(c.Record(e))
	must(c.Destruct())
}

// tamper changes one word of a record.
func tamper(r *Run) {
	files, err := filepath.Glob(filepath.Join(r.Facts.Audit, "segment-*"))
	must(err)
	text, err := os.ReadFile(files[0])
	must(err)
	write(files[0], strings.Replace(string(text), "factor.used", "factor.held", 1))
}

// age has what was read of the audit log be of long ago.
func age(r *Run, by time.Duration) {
	l := r.log()
	must(l.err)
	l.report.From = l.report.From.Add(-by)
}

// CER-01 to NAT-25: each probe passes with a server that keeps its promises, and does not with one that was weakened in what it
// looks at; and no probe goes without such a server.
func TestEachProbeCanFail(t *testing.T) {
	try := func(t *testing.T, name string, f fake) Result {
		t.Helper()
		return f.start(t).probe(context.Background(), name)
	}
	for name := range probes {
		t.Run(name, func(t *testing.T) {
			if res := try(t, name, fake{}); res.Status != Pass || res.Saw == "" {
				t.Errorf("of a good server: %+v", res)
			}
			if len(weakened[name]) == 0 {
				t.Error("nothing shows that it can fail: add a row to weakened")
			}
			for i, f := range weakened[name] {
				res := try(t, name, f)
				if res.Status == Pass || res.Status == NotApplicable || res.Saw == "" {
					t.Errorf("weakened %d: %+v", i, res)
				}
				if (res.Status == Fail || res.Status == Absent) && res.Fix == "" {
					t.Errorf("weakened %d: it names no fix: %+v", i, res)
				}
				if res.Status == Declared && name != "version" {
					t.Errorf("weakened %d: only declared: %+v", i, res)
				}
			}
		})
	}
	for name := range weakened {
		if probes[name].about == "" {
			t.Errorf("there is no probe %s", name)
		}
	}
}
