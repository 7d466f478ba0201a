package testenv

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// flood2 is what a client of HTTP/2 sends again and again that costs a server work and its sender nothing.
type flood2 struct {
	name string
	open bool // a request without its end comes first
	send func(f *http2.Framer, head []byte, stream uint32)
}

// floods2 are CVE-2019-9512 to 9518, CVE-2023-44487 and CVE-2023-45288, and their relatives.
var floods2 = []flood2{
	{"rapid reset", false, func(f *http2.Framer, head []byte, stream uint32) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndStream: true, EndHeaders: true})
		_ = f.WriteRSTStream(stream, http2.ErrCodeCancel)
	}},
	{"SETTINGS", false, func(f *http2.Framer, _ []byte, _ uint32) { _ = f.WriteSettings() }},
	{"PING", false, func(f *http2.Framer, _ []byte, _ uint32) { _ = f.WritePing(false, [8]byte{}) }},
	{"empty DATA", true, func(f *http2.Framer, _ []byte, _ uint32) { _ = f.WriteData(1, false, nil) }},
	{"PRIORITY", false, func(f *http2.Framer, _ []byte, stream uint32) {
		_ = f.WritePriority(stream, http2.PriorityParam{Weight: 1})
	}},
	{"WINDOW_UPDATE", false, func(f *http2.Framer, _ []byte, _ uint32) { _ = f.WriteWindowUpdate(0, 1) }},
	{"CONTINUATION", true, func(f *http2.Framer, head []byte, stream uint32) {
		if stream == 3 { // the first: a header block that never ends
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: head})
		}
		_ = f.WriteContinuation(3, false, []byte{0x00, 0x01, 'x', 0x01, 'y'})
	}},
}

// attackerEnv has this binary be an attacker rather than run tests: "<flood>,<port>,<from>".
const attackerEnv = "GATEHOUSE_TEST_ATTACKER"

// attack is what the attacker's process does: it sends the flood over four connections, a new one whenever one is closed, until
// its standard input ends. It prints a line for each of them.
func attack(what string) {
	name, at, _ := strings.Cut(what, ",")
	port, from, _ := strings.Cut(at, ",")
	n, _ := strconv.Atoi(port)
	fl := floods2[slices.IndexFunc(floods2, func(f flood2) bool { return f.name == name })]
	d := &net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for range 4 {
		go func() {
			for {
				c, err := tls.DialWithDialer(d, "tcp", "127.0.0.1:"+port, &tls.Config{ServerName: appHost, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				if err != nil {
					fmt.Println("refused")
					time.Sleep(5 * time.Millisecond) // it has no place for more, or for this one
					continue
				}
				fmt.Println("connected")
				fl.over(c, n)
				_ = c.Close()
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// attacker is a process of its own that attacks a gateway from an address of its own. It gets what the gateway and its clients
// leave it of the machine's processors, as if it were at another.
type attacker struct {
	connections atomic.Int64
	refused     atomic.Int64 // attempts to connect
	stop        func()
}

func (g *gateway) attackedBy(t testing.TB, fl flood2, from string) *attacker {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%s", attackerEnv, fl.name, g.port, from))
	cmd.SysProcAttr = childAttributes()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 19)
	a, over := new(attacker), make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "connected" {
				a.connections.Add(1)
			} else {
				a.refused.Add(1)
			}
		}
		close(over)
	}()
	a.stop = sync.OnceFunc(func() {
		_ = in.Close()
		<-over
		_ = cmd.Wait()
	})
	t.Cleanup(a.stop)
	return a
}

// over sends the flood until the connection ends.
func (fl flood2) over(c *tls.Conn, port int) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.Copy(io.Discard, c) }()
	var head, b bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", appHost + ":" + strconv.Itoa(port)}, {":path", "/"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	f := http2.NewFramer(&b, nil)
	b.WriteString(http2.ClientPreface)
	_ = f.WriteSettings()
	if fl.open {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
	}
	for stream := uint32(3); ; stream += 2 {
		fl.send(f, head.Bytes(), stream)
		if b.Len() < 16<<10 {
			continue
		}
		if _, err := c.Write(b.Bytes()); err != nil {
			return
		}
		b.Reset()
	}
}

// ordinary asks again and again for so long and returns what the answers took, sorted, and what was no good answer.
func (g *gateway) ordinary(t testing.TB, lasts time.Duration) (took []time.Duration, failures []string) {
	c := g.newClient()
	defer c.close()
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		began := time.Now()
		a, err := c.do(request{Path: "/"})
		took = append(took, time.Since(began))
		if err != nil || a.Status != http.StatusOK {
			failures = append(failures, fmt.Sprint(err, a))
		}
	}
	slices.Sort(took)
	return took, failures
}

func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)].Round(100 * time.Microsecond)
}

// TestFloodsBesideOrdinaryClients has every flood come from four connections that are opened again whenever they are cut, and an
// ordinary client ask beside them: it must be answered, always. What it waits is told and not judged, since the attacker takes
// its part of the same machine. `make attack` takes longer, shows plain Caddy, too, and an attacker whom nothing shuts out; the
// short story is that of a gateway as it is: three floods bring a ban. (BRF-21; H2, H3, H5)
func TestFloodsBesideOrdinaryClients(t *testing.T) {
	be := startBackend(t)
	lasts, site := time.Second, config{Backend: be.Listen, Site: "public /*"}
	banning := site
	banning.House = defaultHouse + "\n\t\tban {\n\t\t\tinclude_private\n\t\t}"
	gates := map[string]*gateway{"with bans": startGateway(t, banning)}
	if os.Getenv("GATEHOUSE_ATTACK") != "" {
		lasts, gates["without bans"], gates["plain Caddy"] = 5*time.Second, startGateway(t, site), startPlain(t, site)
	}
	for name, g := range gates {
		quiet, failures := g.ordinary(t, lasts)
		t.Logf("%s, quiet: p50 %v, p99 %v", name, percentile(quiet, 50), percentile(quiet, 99))
		for i, fl := range floods2 {
			a := g.attackedBy(t, fl, fmt.Sprintf("127.0.7.%d", i+1))
			eventually(t, readyIn, fl.name+": the attacker is there", func() bool { return a.connections.Load() > 0 })
			before, _ := memory(g.pid(), "VmRSS")
			began, cut := time.Now(), "none was closed"
			if name != "plain Caddy" {
				eventually(t, readyIn, fl.name+": a connection is closed, and another opened or refused", func() bool {
					return a.connections.Load() > 4 || a.refused.Load() > 0
				})
				cut = "the first was closed within " + time.Since(began).Round(time.Millisecond).String()
			}
			took, failed := g.ordinary(t, lasts)
			failures = append(failures, failed...)
			after, _ := memory(g.pid(), "VmRSS")
			t.Logf("%s, %s over %d connections: p50 %v, p99 %v of %d answers; %s; memory %d MB before, %d MB after", name, fl.name, a.connections.Load(),
				percentile(took, 50), percentile(took, 99), len(took), cut, before>>20, after>>20)
			switch name {
			case "with bans":
				eventually(t, readyIn, fl.name+": the attacker is shut out", func() bool {
					said, _, _, err := g.command("ban", "list", "--address", "unix/"+g.env["ADMIN"])
					return err == nil && strings.Contains(said, fmt.Sprintf("127.0.7.%d", i+1))
				})
			case "without bans":
				eventually(t, readyIn, fl.name+": the gateway closes a connection", func() bool { return a.connections.Load() > 4 })
			}
			a.stop()
		}
		if name != "plain Caddy" && len(failures) > 0 {
			t.Errorf("%s: %d requests of the ordinary client were not answered: %s", name, len(failures), strings.Join(failures[:min(3, len(failures))], "; "))
		}
	}
}
