package testenv

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestSlowWebsocketReaders has websockets read nothing of what the application sends them: each is cut when it has taken none of it
// for as long as write_idle says. One that is sent nothing is not, however long that lasts.
func TestSlowWebsocketReaders(t *testing.T) {
	t.Parallel()
	const within, slow = 2 * time.Second, 20
	var begun, running atomic.Int64 // of those that are sent without end
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		if r.URL.Path == "/flood" {
			running.Add(1)
			defer running.Add(-1)
			for begun.Add(1); err == nil; {
				err = c.Write(r.Context(), websocket.MessageBinary, chunk)
			}
			return
		}
		for err == nil {
			var said []byte
			if _, said, err = c.Read(r.Context()); err == nil {
				err = c.Write(r.Context(), websocket.MessageText, append([]byte("echo: "), said...))
			}
		}
	}))
	t.Cleanup(app.Close)
	g := startGateway(t, config{
		Backend: strings.TrimPrefix(app.URL, "http://"), Site: "public /*",
		Global: "\tservers {\n\t\ttimeouts {\n\t\t\twrite_idle " + within.String() + "\n\t\t}\n\t}",
	})
	open := func(path string) *websocket.Conn {
		t.Helper()
		c, _, err := g.stranger(t).openWebsocket(path, g.origin())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		return c
	}
	quiet := open("/quiet")
	if err := echo(quiet, "hello"); err != nil {
		t.Fatal(err)
	}
	before, memoryErr := memory(g.pid(), "VmRSS")
	began := time.Now()
	for range slow {
		open("/flood")
	}
	eventually(t, readyIn, "all are sent something", func() bool { return begun.Load() == slow })
	most := before
	eventually(t, 10*within, "all that read nothing are cut", func() bool {
		now, _ := memory(g.pid(), "VmRSS")
		most = max(most, now)
		return running.Load() == 0
	})
	took := time.Since(began)
	if took < within {
		t.Errorf("cut after %v, and %v is theirs", took, within)
	}
	t.Logf("%d websockets that read nothing were cut within %v; memory %d MB before, %d MB at the most", slow, took.Round(100*time.Millisecond), before>>20, most>>20)
	if memoryErr == nil && most-before > 64<<20 {
		t.Errorf("they took %d MB", (most-before)>>20)
	}
	time.Sleep(time.Until(began.Add(within + within/2))) // that nothing happens in
	if err := echo(quiet, "still here"); err != nil {
		t.Errorf("the websocket that was sent nothing: %v", err)
	}
}
