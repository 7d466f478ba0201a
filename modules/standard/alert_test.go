package standard_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"gatehouse.internal/modules/alert"
	"gatehouse.internal/modules/internal/gatetest"
)

const hookSecret = "0123456789abcdef0123456789abcdef"

// hook is somebody's receiver of alerts. It believes what is signed as Standard Webhooks has it.
type hook struct {
	*httptest.Server
	ca string

	mu     sync.Mutex
	status int
	got    []map[string]any
	bad    []string
}

func newHook(t testing.TB) *hook {
	h := &hook{status: http.StatusNoContent, ca: filepath.Join(t.TempDir(), "ca.pem")}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "."))
		mac.Write(body)
		var n map[string]any
		err := json.NewDecoder(bytes.NewReader(body)).Decode(&n)
		h.mu.Lock()
		defer h.mu.Unlock()
		if "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) != r.Header.Get("webhook-signature") || err != nil || n["id"] != r.Header.Get("webhook-id") {
			h.bad = append(h.bad, fmt.Sprint(r.Header, string(body), err))
		} else if h.status < 300 {
			h.got = append(h.got, n)
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	if err := os.WriteFile(h.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// answer has the receiver answer like this from now on.
func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

// find returns what it was told of an alert.
func (h *hook) find(name string) (found []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.got {
		if n["alert"] == name {
			found = append(found, n)
		}
	}
	return found
}

// CAL-19: administrators who are refused again and again are told of once, with a count, by a signed webhook, by mail and to log
// collectors; and whoever cannot be told is told of, while requests are served as before.
// Controls: CAL-20.
func TestAlertsAreSent(t *testing.T) {
	t.Setenv("GATEHOUSE_ALERT_SECRET", hookSecret)
	h, broken, box := newHook(t), newHook(t), newMailbox(t)
	broken.answer(http.StatusServiceUnavailable)
	collector := filepath.Join(t.TempDir(), "siem.json")
	words := []string{"policy", "public /*", "backend", "reverse_proxy " + backend(t), "idp", fmt.Sprintf(`voucher
	siem {
		send file %s {
			streams system
		}
	}
	alert {
		webhook %s/gatehouse {
			secret {env.GATEHOUSE_ALERT_SECRET}
			ca %s
		}
		webhook %s {
			name broken
			secret {env.GATEHOUSE_ALERT_SECRET}
			ca %s
		}
		webhook %s/critical {
			name pager
			secret {env.GATEHOUSE_ALERT_SECRET}
			severity critical
			ca %s
		}
		mail ops@example.com sec@example.com {
			smtp %s {
				from gateway@example.com
				ca %s
			}
		}
		interval 1s
		node gw1
		runbooks https://wiki.example.com/gatehouse
	}`, collector, h.URL, h.ca, broken.URL, broken.ca, h.URL, h.ca, box.addr, box.ca)}
	o := operate(t, words...)
	for range 5 {
		o.no("no receiver", "alert", "test", "nobody")
	}
	eventually(t, "the alert", func() bool { return len(h.find("GatehouseAdminRefused")) == 1 })
	n := h.find("GatehouseAdminRefused")[0]
	if n["status"] != "firing" || n["class"] != "privileged" || n["severity"] != "warning" || n["node"] != "gw1" || n["since"] == nil ||
		n["runbook"] != "https://wiki.example.com/gatehouse#gatehouseadminrefused" || !strings.Contains(fmt.Sprint(n["text"]), "[WARNING] gw1: ") {
		t.Errorf("%v", n)
	}
	if head, body := box.next(t); !strings.Contains(head, "Subject: [WARNING] gw1") || !strings.Contains(head, "sec@example.com") || !strings.Contains(body, "Runbook:") {
		t.Errorf("mail: %s\n%s", head, body)
	}
	eventually(t, "the alert at the collector", func() bool {
		return strings.Contains(content(collector), `"alert.raised"`) && strings.Contains(content(collector), "GatehouseAdminRefused")
	})
	o.WantEvent("alert.raised", `"alert":"GatehouseAdminRefused"`, `"severity":"warning"`)
	eventually(t, "word of the broken receiver", func() bool {
		return strings.Contains(o.Log(), `"alert.undelivered"`) && strings.Contains(o.metrics(), `gatehouse_alert_up{receiver="broken"} 0`)
	})
	if res, _ := call(t, o.Client(), "GET", "https://app.test/", ""); res.StatusCode != http.StatusOK {
		t.Errorf("a request: %s", res.Status)
	}
	if !strings.Contains(o.metrics(), `gatehouse_alert_notices_total{outcome="failed",receiver="broken"}`) {
		t.Error("failures are not counted")
	}
	list := o.ok("alert", "list")
	for _, want := range []string{"GatehouseAdminRefused  warning", "503", "pager     0"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}

	// The operator tries it; then the receiver is mended, and gets what waited, after a reload too.
	o.no("not every receiver", "alert", "test")
	if out := o.ok("alert", "test", "pager"); out != "pager: taken" {
		t.Errorf("test: %s", out)
	}
	if len(h.find("GatehouseTest")) != 3 {
		t.Errorf("%d tests", len(h.find("GatehouseTest")))
	}
	broken.answer(http.StatusOK)
	if err := o.Load(o.text(words...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what waited", func() bool { return len(broken.find("GatehouseAdminRefused")) == 1 })
	if again := h.find("GatehouseAdminRefused"); len(again) != 1 {
		t.Errorf("told %d times", len(again))
	}
	for _, r := range []*hook{h, broken} {
		r.mu.Lock()
		if len(r.bad) > 0 {
			t.Errorf("not signed: %v", r.bad)
		}
		r.mu.Unlock()
	}
	if raw, err := o.Adapt(o.text(words...)); err != nil || strings.Contains(string(raw), hookSecret) {
		t.Error("the secret is in the configuration")
	}
	if strings.Contains(o.Log(), hookSecret) {
		t.Error("the secret is in the log")
	}
}

func TestAlertWords(t *testing.T) {
	t.Setenv("GATEHOUSE_ALERT_SECRET", "short")
	for words, want := range map[string]string{
		"webhook https://h.example.com":                                                                   "secret {env.ALERT_SECRET}",
		"webhook http://h.example.com {\n secret x\n }":                                                   "insecure_plain",
		"webhook h.example.com {\n secret x\n }":                                                          "https://",
		"webhook https://h.example.com {\n secret {env.GATEHOUSE_ALERT_SECRET}\n }":                       "24 bytes",
		"webhook https://h.example.com {\n secret {env.GATEHOUSE_NOT_THERE}\n }":                          "empty",
		"webhook https://h.example.com {\n secret whsec_!\n }":                                            "base64",
		"webhook https://h.example.com {\n secret x\n severity high\n }":                                  "warning, critical",
		"webhook https://h.example.com {\n secret x\n classes money\n }":                                  "availability",
		"webhook https://h.example.com {\n colour red\n }":                                                "the options are",
		"webhook https://h.example.com {\n secret x\n }\n webhook https://i.example.com {\n secret x\n }": "name",
		"mail ops@example.com":                               "smtp",
		"mail ops {\n smtp h:1 {\n from a@b.example\n }\n }": "no mail address",
		"without GatehouseSun":                               "GatehouseErrors",
		"interval 1h":                                        "1s to 1m",
		"pigeon":                                             "the options are",
	} {
		err := gatetest.New(t).Load(fill(newcomer, pairs("idp", "local\n alert {\n "+words+"\n }")))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
}

// The gateway's own alerts are those for Prometheus, and each has its paragraph in the manual.
func TestAlertsAreTheSame(t *testing.T) {
	text, err := os.ReadFile("../../caddyfiles/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	shipped := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			shipped[r.Alert] = true
		}
	}
	delete(shipped, "")
	delete(shipped, "GatehouseDown") // which a gateway that is down cannot say
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range alert.Names() {
		if !shipped[name] {
			t.Errorf("%s is not in alerts.yml", name)
		}
		delete(shipped, name)
		if !strings.Contains(string(manual), "\n#### "+name+"\n") {
			t.Errorf("the manual says nothing of %s", name)
		}
	}
	if len(shipped) > 0 {
		t.Errorf("only for Prometheus: %v", shipped)
	}
}
