package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What it costs to refuse who is banned, and how soon after the last offence that begins; beside the gateway stand Debian's
// nginx, HAProxy and fail2ban. `make attack` runs both; GATEHOUSE_BIN must name a binary without the race detector.

const (
	refusedClient = "127.0.0.2"
	refusedBehind = "198.51.100.9" // for whom the proxy at trustedProxy speaks
	trustedProxy  = "127.0.0.3"
)

// serve starts a program of Debian's in a directory of its own; it is asked for by the port until it answers.
func serve(b *testing.B, dir string, port int, bin string, args ...string) *process {
	b.Helper()
	path, err := exec.LookPath(bin)
	if err != nil {
		path = "/usr/sbin/" + bin
	}
	proc, err := startProcess(path, args, os.Environ(), dir, filepath.Join(dir, bin+".out"), filepath.Join(dir, bin+".err"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = proc.stop(syscall.SIGTERM, stopsIn) })
	err = until(readyIn, bin+" answers", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil || proc.ended()
	})
	if err != nil || proc.ended() {
		b.Fatalf("%v\n%s", err, tail(filepath.Join(dir, bin+".err"), 20))
	}
	return proc
}

// startNginx starts nginx as one process, which serves what site says, over TLS 1.3 with the certificate in dir.
func startNginx(b *testing.B, site string) (port int, dir string, proc *process) {
	b.Helper()
	port, dir = servingDir(b)
	write(b, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	server {
		listen 127.0.0.1:%[2]d ssl;
		ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_protocols TLSv1.3;
		%[3]s
	}
}
`, dir, port, site))
	return port, dir, serve(b, dir, port, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
}

// startHAProxy starts HAProxy, which rejects connections of refusedClient.
func startHAProxy(b *testing.B) (port int, proc *process) {
	b.Helper()
	port, dir := servingDir(b)
	both := read(b, filepath.Join(dir, "cert.pem")) + read(b, filepath.Join(dir, "key.pem"))
	write(b, filepath.Join(dir, "both.pem"), both)
	write(b, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(`defaults
	mode http
	timeout client 10s
	timeout server 10s
	timeout connect 10s
frontend f
	bind 127.0.0.1:%d ssl crt %s/both.pem ssl-min-ver TLSv1.3
	tcp-request connection reject if { src %s }
	http-request return status 200
`, port, dir, refusedClient))
	return port, serve(b, dir, port, "haproxy", "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}

func servingDir(b *testing.B) (port int, dir string) {
	b.Helper()
	port, err := freePort()
	if err == nil {
		dir, err = os.MkdirTemp("", "ghpeer")
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	if err == nil {
		err = ca().write(dir, appHost, "localhost")
	}
	if err != nil {
		b.Fatal(err)
	}
	return port, dir
}

func write(b *testing.B, name, text string) {
	b.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func read(b *testing.B, name string) string {
	b.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func dialFrom(address string, port int) (net.Conn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 10 * time.Second}
	return d.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
}

// hello is what a client says first.
func hello(b *testing.B) []byte {
	b.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go func() { _ = tls.Client(there, &tls.Config{ServerName: appHost, RootCAs: ca().pool}).Handshake() }()
	text := make([]byte, 4096)
	n, err := here.Read(text)
	if err != nil {
		b.Fatal(err)
	}
	return text[:n]
}

// knock connects, says hello and reads until the end: what it is answered must be at most so many bytes.
func knock(port int, hello []byte) error {
	c, err := dialFrom(refusedClient, port)
	if err != nil {
		return nil // reset before it was known to be open
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = c.Write(hello)
	if n, _ := io.Copy(io.Discard, c); n > 0 {
		return fmt.Errorf("who is refused is answered %d bytes", n)
	}
	return nil
}

// ask connects with TLS and must be answered 403.
func ask(port int, from, forwarded string) error {
	raw, err := dialFrom(from, port)
	if err != nil {
		return err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(raw, &tls.Config{ServerName: appHost, RootCAs: ca().pool})
	if forwarded != "" {
		forwarded = "X-Forwarded-For: " + forwarded + "\r\n"
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s:%d\r\n%sConnection: close\r\n\r\n", appHost, port, forwarded); err != nil {
		return err
	}
	text, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(text), "HTTP/1.1 403 ") {
		return fmt.Errorf("answered %.60q", text)
	}
	return nil
}

// BenchmarkRefusedConnections reports what one connection of who is banned costs the server, in CPU time of its process.
func BenchmarkRefusedConnections(b *testing.B) {
	if os.Getenv("GATEHOUSE_ATTACK") == "" {
		b.Skip("only in `make attack`")
	}
	be := startBackend(b)
	g := startGateway(b, config{
		Backend: be.Listen, Site: "public /*", House: "local\n\t\tban {\n\t\t\tinclude_private\n\t\t}",
		Global: "\tservers {\n\t\ttrusted_proxies static " + trustedProxy + "\n\t}",
	})
	for _, who := range []string{refusedClient, refusedBehind} {
		g.cliOut(b, "ban", "add", who, "--for", "1h", "--address", "unix/"+g.env["ADMIN"], "--operator", "olga")
	}
	nginx, _, nginxProc := startNginx(b, "deny "+refusedClient+";")
	haproxy, haproxyProc := startHAProxy(b)
	first := hello(b)
	for _, row := range []struct {
		name string
		pid  int
		one  func() error
	}{
		{"gatehouse, at accept", g.pid(), func() error { return knock(g.port, first) }},
		{"HAProxy, reject", haproxyProc.pid(), func() error { return knock(haproxy, first) }},
		{"gatehouse, TLS and 403", g.pid(), func() error { return ask(g.port, trustedProxy, refusedBehind) }},
		{"nginx, TLS and 403", nginxProc.pid(), func() error { return ask(nginx, refusedClient, "") }},
	} {
		b.Run(row.name, func(b *testing.B) {
			var rounds []float64
			for range 3 {
				rounds = append(rounds, costOfOne(b, row.pid, row.one))
			}
			for b.Loop() { // the figure is made of more
			}
			slices.Sort(rounds)
			b.ReportMetric(rounds[1], "cpu-µs/conn")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// costOfOne is the process's CPU time for one such call, in microseconds: the mean of as many as it takes.
func costOfOne(b *testing.B, pid int, one func() error) float64 {
	b.Helper()
	const enough, most = 400 * time.Millisecond, 8000
	before, n := cpuTimeOf(b, pid), 0
	for cpuTimeOf(b, pid)-before < enough && n < most {
		var all sync.WaitGroup
		var mu sync.Mutex
		var failed error
		for range 4 {
			all.Go(func() {
				for range 50 {
					if err := one(); err != nil {
						mu.Lock()
						failed = errors.Join(err)
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		if failed != nil {
			b.Fatal(failed)
		}
		n += 200
	}
	return float64((cpuTimeOf(b, pid) - before).Nanoseconds()) / 1e3 / float64(n)
}

// guessers send guesses over eight connections at once, as fast as they are answered, until each is refused or stop is
// closed. They return when each 401 and the first refusal came.
func guessers(from string, port int, stop <-chan struct{}) (wrong []time.Time, refused time.Time) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			tr := &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: ca().pool},
				DialContext:     func(context.Context, string, string) (net.Conn, error) { return dialFrom(from, port) },
			}
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := c.Get("https://" + appHost + ":" + strconv.Itoa(port) + "/login")
				now, status := time.Now(), 0
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					status = res.StatusCode
				}
				mu.Lock()
				if status == http.StatusUnauthorized {
					wrong = append(wrong, now)
				} else if refused.IsZero() {
					refused = now
				}
				mu.Unlock()
				if status != http.StatusUnauthorized {
					return
				}
			}
		})
	}
	all.Wait()
	slices.SortFunc(wrong, time.Time.Compare)
	return wrong, refused
}

const guessesAllowed = 5

// BenchmarkOffenceToDrop reports how long after the last guess that is allowed guesses are refused, and how many were
// answered beyond: medians of seven attacks. fail2ban reads nginx's log, and its action only writes down when it is called.
func BenchmarkOffenceToDrop(b *testing.B) {
	if os.Getenv("GATEHOUSE_ATTACK") == "" {
		b.Skip("only in `make attack`")
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond) // as long as a quick login takes
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer up.Close()
	g := startGateway(b, config{
		Backend: strings.TrimPrefix(up.URL, "http://"), Site: "public /*",
		House: fmt.Sprintf("local\n\t\tban {\n\t\t\tinclude_private\n\t\t\tjail guesses %d in 10m for 1h on app_401\n\t\t}", guessesAllowed),
	})
	port, dir, _ := startNginx(b, "location / { proxy_pass "+up.URL+"; }")
	banned := startFail2ban(b, filepath.Join(dir, "access.log"))
	for _, row := range []struct {
		name   string
		attack func(from string) (wrong []time.Time, refused time.Time)
	}{
		{"gatehouse", func(from string) ([]time.Time, time.Time) { return guessers(from, g.port, nil) }},
		{"fail2ban", func(from string) (wrong []time.Time, refused time.Time) {
			stop := make(chan struct{})
			go func() {
				defer close(stop)
				_ = until(30*time.Second, "fail2ban bans", func() bool { refused = banned(from); return !refused.IsZero() })
			}()
			wrong, _ = guessers(from, port, stop)
			<-stop
			return slices.DeleteFunc(wrong, refused.Before), refused
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			var late, beyond []float64
			for i := range 7 {
				wrong, refused := row.attack("127.0.1." + strconv.Itoa(i+1))
				if len(wrong) < guessesAllowed || refused.IsZero() {
					b.Fatalf("%d guesses, refused at %v", len(wrong), refused)
				}
				late = append(late, float64(refused.Sub(wrong[guessesAllowed-1]).Microseconds())/1e3)
				beyond = append(beyond, float64(len(wrong)-guessesAllowed))
			}
			for b.Loop() { // the figures are made of more
			}
			slices.Sort(late)
			slices.Sort(beyond)
			b.ReportMetric(late[len(late)/2], "ms-to-drop")
			b.ReportMetric(beyond[len(beyond)/2], "beyond")
			b.ReportMetric(beyond[len(beyond)-1], "beyond-max")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// startFail2ban has a fail2ban of its own read the log, and returns what says when it has banned an address.
func startFail2ban(b *testing.B, log string) (banned func(address string) time.Time) {
	b.Helper()
	_, dir := servingDir(b)
	for _, sub := range []string{"filter.d", "action.d"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	write(b, filepath.Join(dir, "fail2ban.conf"), fmt.Sprintf("[Definition]\nloglevel = INFO\nlogtarget = %[1]s/log\nsyslogsocket = auto\nsocket = %[1]s/sock\npidfile = %[1]s/pid\ndbfile = None\ndbpurgeage = 1d\n", dir))
	write(b, filepath.Join(dir, "filter.d", "guesses.conf"), "[Definition]\nfailregex = ^<HOST> .*\" 401 \n")
	write(b, filepath.Join(dir, "action.d", "note.conf"), fmt.Sprintf("[Definition]\nactionban = date +%%%%s%%%%N > %s/banned-<ip>\n", dir))
	write(b, filepath.Join(dir, "jail.conf"), fmt.Sprintf("[DEFAULT]\nbackend = auto\nignoreself = false\nmaxretry = %d\nfindtime = 10m\nbantime = 1h\n[guesses]\nenabled = true\nfilter = guesses\nlogpath = %s\naction = note\n", guessesAllowed, log))
	path, err := exec.LookPath("fail2ban-server")
	if err != nil {
		b.Fatal(err)
	}
	proc, err := startProcess(path, []string{"-c", dir, "-s", dir + "/sock", "-p", dir + "/pid", "-f", "start"}, os.Environ(), dir, dir+"/out", dir+"/err")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = proc.stop(syscall.SIGTERM, stopsIn) })
	err = until(readyIn, "fail2ban reads the log", func() bool {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Contains(string(text), "Jail 'guesses' started") || proc.ended()
	})
	if err != nil || proc.ended() {
		b.Fatalf("%v\n%s%s", err, tail(dir+"/log", 20), tail(dir+"/err", 20))
	}
	for _, line := range strings.Split(read(b, dir+"/log"), "\n") {
		if strings.Contains(line, "backend") {
			b.Log(line)
		}
	}
	return func(address string) time.Time {
		text, err := os.ReadFile(filepath.Join(dir, "banned-"+address))
		at, err2 := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || err2 != nil {
			return time.Time{}
		}
		return time.Unix(0, at)
	}
}
