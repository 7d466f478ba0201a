package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// collector is Debian's rsyslog, with TLS 1.3, which writes what it is told into a file.
type collector struct {
	dir, conf, out string
	port           int
	proc           *process
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	bin := "/usr/sbin/rsyslogd"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs rsyslog and rsyslog-gnutls: testenv/install.sh")
	}
	dir, err := os.MkdirTemp("", "ghlog")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{dir: dir, conf: filepath.Join(dir, "rsyslog.conf"), out: filepath.Join(dir, "out.log")}
	t.Cleanup(func() {
		if c.proc != nil {
			_ = c.proc.stop(syscall.SIGKILL, stopsIn)
		}
		_ = os.RemoveAll(dir)
	})
	if c.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	if err := ca().write(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(`
global(workDirectory="%[1]s" maxMessageSize="64k"
	defaultNetstreamDriverCAFile="%[1]s/ca.pem" defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon" gnutlsPriorityString="NORMAL:-VERS-ALL:+VERS-TLS1.3")
template(name="whole" type="string" string="%%syslogfacility-text%%.%%syslogseverity-text%% %%app-name%% %%msgid%% %%structured-data%% %%msg%%\n")
input(type="imtcp" port="%[2]d" address="127.0.0.1")
action(type="omfile" file="%[1]s/out.log" template="whole" asyncWriting="off" flushOnTXEnd="on")
`, dir, c.port)
	if err := os.WriteFile(c.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(t)
	return c
}

func (c *collector) start(t testing.TB) {
	t.Helper()
	var err error
	c.proc, err = startProcess("/usr/sbin/rsyslogd", []string{"-n", "-f", c.conf, "-i", filepath.Join(c.dir, "pid")}, os.Environ(), c.dir,
		filepath.Join(c.dir, "stdout"), filepath.Join(c.dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	err = until(readyIn, "rsyslog listens", func() bool { return listens("tcp", fmt.Sprintf("127.0.0.1:%d", c.port)) || c.proc.ended() })
	if err != nil || c.proc.ended() {
		t.Fatalf("%v\n%s", err, tail(filepath.Join(c.dir, "stderr"), 20))
	}
}

// numbers are the requests that arrived, in order, by the number in their path.
func (c *collector) numbers(t testing.TB) (all []string) {
	t.Helper()
	content, err := os.ReadFile(c.out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"path":"/assets/number-([a-z]+)"`).FindAllStringSubmatch(string(content), -1) {
		all = append(all, m[1])
	}
	return all
}

// TestSyslog: a collector that somebody else wrote gets everything over TLS 1.3, whatever becomes of it meanwhile, and nobody
// waits for it.
// Controls: NAT-13, CAL-18.
func TestSyslog(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	c := newCollector(t)
	g := startGateway(t, config{Backend: be.Listen, House: defaultHouse + fmt.Sprintf(`
		siem {
			send syslog tls://127.0.0.1:%d {
				ca {$CA}
			}
		}`, c.port)})
	user := g.newUser(t, "alice", alicesPassword)
	asked := 0
	ask := func(n int) {
		t.Helper()
		for range n {
			user.get(t, "/assets/number-"+word(asked))
			asked++
		}
	}
	want := func() (all []string) {
		for i := range asked {
			all = append(all, word(i))
		}
		return all
	}
	ask(30)
	eventually(t, logSoonIn, "the collector has them", func() bool { return len(c.numbers(t)) >= 30 })
	ask(5)
	if err := c.proc.stop(syscall.SIGKILL, stopsIn); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ask(40)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("40 requests took %v without a collector", took)
	}
	// What was written waits on the disk, also after kill -9.
	eventually(t, logSoonIn, "the spool has the last request", func() bool {
		names, _ := filepath.Glob(filepath.Join(g.env["STATE"], "siem", "syslog", "*.spool"))
		return slices.ContainsFunc(names, func(name string) bool {
			content, _ := os.ReadFile(name)
			return strings.Contains(string(content), "/number-"+word(asked-1)+`"`)
		})
	})
	if err := g.kill9(); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	ask(10)
	c.start(t)
	// What the connection broke off may have arrived twice, and keeps its order.
	eventually(t, 2*time.Minute, "the collector has everything", func() bool {
		got := c.numbers(t)
		return len(got) > 0 && got[len(got)-1] == word(asked-1)
	})
	seen, once := map[string]bool{}, []string(nil)
	for _, n := range c.numbers(t) {
		if !seen[n] {
			once = append(once, n)
		}
		seen[n] = true
	}
	if !slices.Equal(once, want()) {
		t.Errorf("the collector has %q,\nwant %q", once, want())
	}
	content, err := os.ReadFile(c.out)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"alice", "127.0.0.1"} {
		if strings.Contains(string(content), secret) {
			t.Errorf("the collector knows of %s", secret)
		}
	}
	if !strings.Contains(string(content), " login.succeeded [gatehouse@32473 ") {
		t.Errorf("a login is not told of:\n%s", tail(c.out, 3))
	}
}

// word writes a number with letters.
func word(n int) string {
	return strings.Map(func(c rune) rune { return c - '0' + 'a' }, fmt.Sprintf("%03d", n))
}
