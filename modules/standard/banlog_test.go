package standard_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

// sshdJail is the jail for sshd that the manual shows, with this file and these numbers.
func sshdJail(t *testing.T, file, numbers string) string {
	t.Helper()
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(manual), "jail sshd 5 in 10m for 1h escalate {")
	block, _, found := strings.Cut(rest, "}\n")
	if !found || !strings.Contains(block, "/var/log/auth.log") {
		t.Fatal("the manual shows no jail for sshd")
	}
	return "jail sshd " + numbers + " {" + strings.Replace(block, "/var/log/auth.log", file, 1) + "}\n"
}

// sshdLog is an auth.log as Debian's sshd and rsyslog write it.
type sshdLog struct {
	t    *testing.T
	path string
}

// fails appends n lines of failed logins from an address.
func (l sshdLog) fails(address string, n int) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	for i := range n {
		_, err := fmt.Fprintf(f, `2026-11-29T04:00:%02d.123456+00:00 gate sshd[%d]: Invalid user admin from %s port 50022
2026-11-29T04:00:%02d.223456+00:00 gate sshd[%[2]d]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%[3]s
2026-11-29T04:00:%02[1]d.323456+00:00 gate sshd[%[2]d]: Failed password for invalid user admin from %[3]s port 50022 ssh2
`, i, 4711+i, address, i)
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l sshdLog) rotate() {
	l.t.Helper()
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		l.t.Fatal(err)
	}
}

// Who guesses passwords at the host's sshd is shut out of the gateway too, over a rotation of the log and a reload; before the
// last line nobody is, nor is anybody for whom sshd's lines only seem to be.
func TestJailReadsSSHsLog(t *testing.T) {
	auth := sshdLog{t, filepath.Join(t.TempDir(), "auth.log")}
	auth.fails("127.0.0.1", 10) // before the gateway's time
	g := jailed(t, sshdJail(t, auth.path, "6 in 1m for 10m"))
	want := func(when string, status int) {
		t.Helper()
		c := g.Client()
		defer c.CloseIdleConnections()
		if res, _ := get(t, c, "https://app.test/"); res.StatusCode != status {
			t.Fatalf("%s: %d", when, res.StatusCode)
		}
	}
	want("at first", 200)
	auth.fails("127.0.0.1", 2)
	auth.rotate()
	auth.fails("127.0.0.1", 1)
	config := fill(newcomer, pairs("policy", "public /*", "idp", "voucher\n ban {\n include_private\n "+sshdJail(t, auth.path, "6 in 1m for 10m")+"\n }"))
	if err := g.Load(config); err != nil {
		t.Fatal(err)
	}
	auth.fails("127.0.0.1", 2)
	auth.fails("127.0.0.7 port 1 ssh2 from 127.0.0.6", 9) // a user's name, as it were: 127.0.0.6 is who it is
	awaitLog(t, g, "[sshd] Ban 127.0.0.6")
	want("with one offence to spare", 200)
	auth.fails("127.0.0.1", 1)
	awaitDropped(t, g)
	awaitLog(t, g, "[sshd] Ban 127.0.0.1")
	awaitLog(t, g, `"ban.added"`, `"jail":"sshd"`, "6 times log sshd in 1m; last "+auth.path)
	if strings.Contains(g.Log(), "[sshd] Ban 127.0.0.7") || strings.Contains(g.Log(), "Invalid user") {
		t.Errorf("the log: %s", g.Log())
	}
	if res, _ := get(t, from(t, g, "127.0.0.2"), "https://app.test/"); res.StatusCode != http.StatusOK {
		t.Errorf("a neighbour: %d", res.StatusCode)
	}
}

// A log that is not there is waited for, and told of once; the allow-list holds.
func TestJailWaitsForItsLog(t *testing.T) {
	auth := sshdLog{t, filepath.Join(t.TempDir(), "auth.log")}
	g := jailed(t, "allow 127.0.0.3\n "+sshdJail(t, auth.path, "3 in 1m for 10m"))
	awaitLog(t, g, "jail_log.unreadable", auth.path, "no such file", "it is waited for")
	auth.fails("127.0.0.3", 9)
	auth.fails("127.0.0.2", 3)
	awaitLog(t, g, "[sshd] Ban 127.0.0.2")
	if n := strings.Count(g.Log(), "jail_log.unreadable"); n != 1 || strings.Contains(g.Log(), "Ban 127.0.0.3") {
		t.Errorf("told %d times:\n%s", n, g.Log())
	}
	if _, err := net.Dial("tcp", g.Addr); err != nil {
		t.Error(err)
	}
}

// What cannot be a jail is refused when the configuration is read, by file, line and fix.
func TestJailsThatAreRefused(t *testing.T) {
	const head = "jail mine 5 in 10m for 1h "
	for words, want := range map[string]string{
		head + "{\n failregex `^<HOST>`\n }":                                        "logpath is missing",
		head + "{\n logpath /var/log/x\n }":                                         "failregex is missing",
		head + "{\n logpath auth.log\n failregex `^<HOST>`\n }":                     "whole path",
		head + "{\n logpath /var/log/x\n failregex `^refused`\n }":                  "write <HOST> there, at Caddyfile:",
		head + "{\n logpath /var/log/x\n failregex `^(?=x)<HOST>`\n }":              "RE2",
		head + "{\n logpath /var/log/x\n failregex `^<HOST>`\n ignoreregex `(`\n }": "ignoreregex `(`",
		head + "{\n logpath /var/log/x\n failregex `^<HOST>`\n maxlines 2\n }":      "the options are path, logpath",
		head + "scope user {\n logpath /var/log/x\n failregex `^<HOST>`\n }":        "scope user",
		head + "{\n path /a\n logpath /var/log/x\n failregex `^<HOST>`\n }":         "neither lines of a log",
		head + "on app_404 {\n path a\n }":                                          "must begin with /",
		head + "on app_404 {\n path\n }":                                            "say which",
		head + "on app_40":                                                          "app_4xx",
		head + "on app_302":                                                         "app_4xx",
		"jail login 5 in 10m for 1h {\n failregex `^<HOST>`\n }":                    "logpath is missing",
	} {
		err := gatetest.New(t).Load(fill(newcomer, pairs("idp", "local\n ban {\n "+words+"\n }")))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

// A jail may be for some paths alone, in whatever spelling, and for a class of the application's answers.
func TestJailForPaths(t *testing.T) {
	refused := func(c *http.Client) bool {
		res, body := get(t, c, "https://app.test/")
		return res.StatusCode == 403 && strings.Contains(body, "banned")
	}
	for _, tt := range []struct {
		name, on, inside, outside string
		status                    int
	}{
		{"the application's answers", "app_4xx {\n path /status/*\n }", "/Status;x/410", "/elsewhere/410", 410},
		{"one path", "app_404 {\n path /status/404\n }", "/status/404", "/status/404/more", 404},
		{"refusals", "not_found waf_blocked {\n path /shop/*\n }", "/shop/a?q=<script>alert(1)</script>", "/a?q=<script>alert(1)</script>", 403},
		{"refusals of the WAF before it is known who asks", "waf_blocked {\n path /a /b /shop/*\n }", "/%73hop/x?q=<script>alert(1)</script>", "/shopping?q=<script>alert(1)</script>", 403},
		{"paths with more than one reading", "bad_path app_404 {\n path /shop/*\n }", "/a/..%2fshop/x", "/status/404", 400},
		{"a jail that does not name them", "app_404 {\n path /shop/*\n }", "/shop/404", "/shop/../404", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
				status := 200
				_, _ = fmt.Sscanf(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], "%d", &status)
				if strings.HasSuffix(r.URL.Path, "/more") {
					status = 404
				}
				w.WriteHeader(status)
			})
			g := jailed(t, "jail waf off\n jail scan off\n jail mine 3 in 1m for 10m on "+tt.on, "backend", "reverse_proxy "+up)
			c := g.Client()
			for range 9 {
				get(t, c, "https://app.test"+tt.outside)
			}
			if refused(c) {
				t.Fatalf("banned for what was outside: %s", tt.outside)
			}
			for range 3 {
				if res, body := get(t, c, "https://app.test"+tt.inside); res.StatusCode != tt.status || strings.Contains(body, "banned") {
					t.Fatalf("%s: %d %s", tt.inside, res.StatusCode, body)
				}
			}
			if !refused(c) {
				t.Errorf("not banned after three of %s", tt.inside)
			}
		})
	}
}
