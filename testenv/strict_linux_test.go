package testenv

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// inNamespace says that a test runs in a network of its own.
const inNamespace = "GATEHOUSE_IN_NAMESPACE"

// alone runs the test once more in a network namespace, where this machine is alone but for a way out that leads nowhere and whose
// packets are counted. It reports whether this is that run.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		for _, args := range []string{
			"link set lo up", "link add out type veth peer name nowhere", "link set out addrgenmode none", "link set nowhere addrgenmode none",
			"addr add 198.51.100.2/24 dev out", "link set out up", "link set nowhere up", "route add default via 198.51.100.1 dev out",
		} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Skipf("no network can be made in a namespace: ip %s: %v: %s", args, err, out)
			}
		}
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inNamespace+"=1", "GATEHOUSE_BIN="+gatehouseBin(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	t.Log(string(out))
	return false
}

// sent is how many packets have left by the way out.
func sent(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, counts, _ := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(counts); name == "out" && len(fields) > 9 {
			n, err := strconv.Atoi(fields[9])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no way out:\n%s", text)
	return 0
}

// TestStrictSendsNothing: NAT-01, NAT-02, NAT-03: in a network whose way out is counted, Natalia's configuration as it is shipped starts,
// lets the first user in with a second factor, logs them in again, serves them, makes a backup, and sends no packet. What a provider names
// besides is not dialled, is counted, and is in the audit log; in mode connected the same configuration sends packets.
func TestStrictSendsNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	before := sent(t)
	stranger, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stranger.Write([]byte("x"))
	stranger.Close()
	eventually(t, 10*time.Second, "the packet to be counted", func() bool { return sent(t) > before })
	settle := func() int { // the kernel asks again for who is not there, three times, a second apart
		for last, since := sent(t), time.Now(); ; time.Sleep(100 * time.Millisecond) {
			if now := sent(t); now != last {
				last, since = now, time.Now()
			} else if time.Since(since) > 1500*time.Millisecond {
				return now
			}
		}
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	defer app.Close()
	upstream := app.Listener.Addr().String()

	before = settle()
	statement, dir := shippedStatement(t, "natalia")
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "backup"), 0o700); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, config{Backend: upstream, Caddyfile: statement, Env: []string{"BACKUP_RECIPIENT=" + key.Recipient().String(), "ANALYSTS_RECIPIENT=" + key.Recipient().String()}})
	const password = "kelp bobbin quarry ninety"
	c := g.newClient()
	defer c.close()
	if _, err := c.setup(g.setupLink(), "olga", password); err != nil {
		t.Fatal(err)
	}
	secret, _ := c.enrol(t)
	g.secret(secret)
	if a := c.must(t, request{Path: "/whoami"}); a.Status != http.StatusOK {
		t.Fatalf("the application: %d", a.Status)
	}
	g.loginWith(t, "olga", password, codeOf(t, secret, 1))
	g.cliOut(t, "backup", "now", "--address", "unix/"+g.env["ADMIN"])
	var p struct {
		Mode         string
		Applications []string
		Denied       struct{ Dials, Lookups int }
	}
	if err := json.Unmarshal([]byte(g.cliOut(t, "posture", "--json", "--address", "unix/"+g.env["ADMIN"])), &p); err != nil {
		t.Fatal(err)
	}
	if p.Mode != "strict" || len(p.Applications) != 1 || p.Applications[0] != upstream || p.Denied.Dials+p.Denied.Lookups != 0 {
		t.Errorf("posture: %+v", p)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if n := settle() - before; n != 0 {
		t.Errorf("%d packets left while nothing was asked of anybody", n)
	}

	// A provider of this machine names keys elsewhere.
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "http://" + r.Host, "jwks_uri": "https://192.0.2.7/keys"})
	}))
	defer issuer.Close()
	words := config{
		Backend: upstream, Global: "ocsp_stapling off", House: "mode strict\n" + defaultHouse,
		Site: defaultSite + "\napi /api/* {\n issuer partner " + issuer.URL + " {\n insecure_http\n }\n audience a\n }",
	}
	before = sent(t)
	g = startGateway(t, words)
	const counter = `gatehouse_egress_denied_total{kind="dial"}`
	eventually(t, 10*time.Second, "the refusal to be counted", func() bool { return g.metric(t, counter) > 0 })
	trail := g.auditDir()
	eventually(t, 10*time.Second, "the refusal on record", func() bool {
		shown, _, code, err := g.command("audit", "export", trail, "--key", strings.TrimSpace(g.cliOut(t, "audit", "key", trail)), "--kind", "egress.denied")
		return err == nil && code == 0 && strings.Contains(shown, "192.0.2.7:443")
	})
	if n := settle() - before; n != 0 {
		t.Errorf("%d packets left in mode strict", n)
	}
	words.House = "mode connected\n" + defaultHouse
	if err := g.configure(words.caddyfile()); err != nil {
		t.Fatal(err)
	}
	if says, err := g.reload(); err != nil {
		t.Fatalf("%v: %s", err, says)
	}
	eventually(t, 20*time.Second, "packets in mode connected", func() bool { return sent(t) > before })
}

// TestHybridReachesTheDeclared: NAT-03: in a network of its own, a gateway in mode hybrid serves the application that is declared and asks the
// provider that is allowed. What that names besides, at a public address, is not dialled: no packet leaves, it is counted, on record, and an
// alert; in mode connected packets leave. A list from a place that nobody allowed is refused at the start.
func TestHybridReachesTheDeclared(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, address := range []string{"192.0.2.10/32", "10.20.0.5/32"} { // a partner's, and the application's
		if out, err := exec.Command("ip", "addr", "add", address, "dev", "lo").CombinedOutput(); err != nil {
			t.Skipf("no address can be added: %v: %s", err, out)
		}
	}
	cert, key, err := ca().leaf("192.0.2.10")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	at := func(address string, h http.HandlerFunc) *httptest.Server {
		l, err := net.Listen("tcp", address+":0")
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = l
		if address == "192.0.2.10" {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	app := at("10.20.0.5", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from the application") })
	asked := make(chan struct{}, 100)
	partner := at("192.0.2.10", func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "https://" + r.Host, "jwks_uri": "https://192.0.2.7/keys"})
	})
	const alerts = "\n\t\talert {\n\t\t\twebhook http://127.0.0.1:1 {\n\t\t\t\tsecret a-secret-for-nobody-at-all-here\n\t\t\t\tinsecure_plain\n\t\t\t}\n\t\t\tinterval 5s\n\t\t}"
	words := config{
		Backend: app.Listener.Addr().String(), Global: "ocsp_stapling off", House: "mode hybrid {\n\t\t\tallow 192.0.2.10\n\t\t}\n\t\t" + defaultHouse + alerts,
		Site: "allow role staff\npublic /healthz\napi /api/* {\n issuer partner " + partner.URL + " {\n trust_pem {$CA}\n }\n audience a\n }",
	}
	before := sent(t)
	g := startGateway(t, words)
	select {
	case <-asked:
	case <-time.After(readyIn):
		t.Error("the provider that is allowed is not asked")
	}
	if a := g.stranger(t).get(t, "/healthz"); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "hello from the application") {
		t.Errorf("the application: %d %s", a.Status, a.Body)
	}
	const counter = `gatehouse_egress_denied_total{kind="dial"}`
	eventually(t, readyIn, "the refusal to be counted", func() bool { return g.metric(t, counter) > 0 })
	trail := g.auditDir()
	eventually(t, readyIn, "the refusal on record", func() bool {
		shown, _, code, err := g.command("audit", "show", trail, "--kind", "egress.denied")
		return err == nil && code == 0 && strings.Contains(shown, "192.0.2.7:443")
	})
	admin := []string{"--address", "unix/" + g.env["ADMIN"]}
	eventually(t, 2*readyIn, "the alert", func() bool {
		return strings.Contains(g.cliOut(t, append([]string{"alert", "list"}, admin...)...), "GatehouseEgressDenied")
	})
	if shown := g.cliOut(t, append([]string{"posture"}, admin...)...); !strings.Contains(shown, "hybrid") || !strings.Contains(shown, "192.0.2.10") {
		t.Errorf("posture:\n%s", shown)
	}
	if n := sent(t) - before; n != 0 {
		t.Errorf("%d packets left in mode hybrid", n)
	}

	words.House = strings.Replace(words.House, defaultHouse, "ban {\n\t\t\tblocklist drop https://192.0.2.30/drop.txt\n\t\t}\n\t\t"+defaultHouse, 1)
	if err := g.configure(words.caddyfile()); err != nil {
		t.Fatal(err)
	}
	if says, err := g.reload(); err == nil || !strings.Contains(says, "mode hybrid: the blocklist drop is at https://192.0.2.30/drop.txt") {
		t.Errorf("a list that nobody allowed: %v\n%s", err, says)
	}
	words.House = "mode connected\n\t\t" + defaultHouse
	if err := g.configure(words.caddyfile()); err != nil {
		t.Fatal(err)
	}
	if says, err := g.reload(); err != nil {
		t.Fatalf("%v: %s", err, says)
	}
	eventually(t, 20*time.Second, "packets in mode connected", func() bool { return sent(t) > before })
}

// TestStrictRefuses: NAT-01, NAT-02: `gatehouse check` says of each line that needs a way out where it stands and what to write instead, all at once.
func TestStrictRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	text := `{
	auto_https disable_redirects
	gatehouse {
		state_dir ` + t.TempDir() + `
		mode strict
		local
		siem {
			send syslog tls://siem.example.com:6514
		}
		ban {
			blocklist drop https://www.example.com/drop.txt
		}
	}
}
app.example.com {
	gatehouse {
		allow role staff
	}
	reverse_proxy app.internal:8080
}
`
	check := func(text string) (says string, code int) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(gatehouseBin(t), "check", "--config", file)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, _ := cmd.CombinedOutput() // its code says it
		return string(out), cmd.ProcessState.ExitCode()
	}
	wants := func(text string, all ...string) {
		t.Helper()
		says, code := check(text)
		if code == 0 {
			t.Errorf("check takes it:\n%s", says)
		}
		for _, want := range all {
			if !strings.Contains(says, want) {
				t.Errorf("no %q in\n%s", want, says)
			}
		}
	}
	wants(text, file+":8: mode strict: the collector syslog is at tls://siem.example.com:6514", file+":11: mode strict: the blocklist drop is at https://www.example.com/drop.txt")
	quiet := strings.NewReplacer("\t\tsiem {\n\t\t\tsend syslog tls://siem.example.com:6514\n\t\t}\n", "", "https://www.example.com/drop.txt", "/var/lib/drop.txt").Replace(text)
	wants(quiet, "ocsp_stapling off", "`tls internal`", file+":13: app.example.com", "reverse_proxy to app.internal:8080")
	good := strings.NewReplacer("disable_redirects\n", "disable_redirects\n\tocsp_stapling off\n\tskip_install_trust\n", "app.example.com {", "app.example.com {\n\ttls internal", "app.internal", "10.1.2.3").Replace(quiet)
	if says, code := check(good); code != 0 {
		t.Errorf("check refuses what is mended:\n%s", says)
	}
}
