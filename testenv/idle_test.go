package testenv

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// TestIdleConnections: what a connection costs that has asked for something and then says nothing, that it is closed when the
// time for that is over, and that its memory comes back (H15). With `make attack` more of them, and the memory is waited for.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	n, long := 500, os.Getenv("GATEHOUSE_ATTACK") != ""
	if long {
		n = 4000 // of one client network; the default bound is 4096
	}
	const idle = 15 * time.Second
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Global: "\tservers {\n\t\ttimeouts {\n\t\t\tidle " + idle.String() + "\n\t\t}\n\t}\n"})
	ask := func() (*tls.Conn, error) {
		c, err := g.dialTLS(appHost, "http/1.1")
		if err != nil {
			return nil, err
		}
		_ = c.SetDeadline(time.Now().Add(2 * readyIn))
		if _, err := io.WriteString(c, g.lines1("GET", "/healthz")); err != nil {
			return nil, err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %d, %w", res.StatusCode, err)
		}
		return c, nil
	}
	for range 50 { // what is made once is made
		c, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	before, err := memory(g.pid(), "VmRSS")
	if err != nil {
		t.Skip(err)
	}
	conns := make([]*tls.Conn, n)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < n; i += 8 {
				c, err := ask()
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	with, err := memory(g.pid(), "VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	each := (with - before) / int64(n)
	t.Logf("%d idle connections: %d KB each (%d MB before, %d MB with them)", n, each>>10, before>>20, with>>20)
	if each > 90<<10 {
		t.Errorf("an idle connection costs %d KB", each>>10)
	}
	begin := time.Now()
	for _, c := range conns {
		all.Go(func() {
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("a connection was not closed in an orderly way: %v", err)
			}
			_ = c.Close()
		})
	}
	all.Wait()
	t.Logf("all closed %v later", time.Since(begin).Round(time.Second))
	if !long {
		return
	}
	eventually(t, time.Minute, "the memory comes back", func() bool {
		now, err := memory(g.pid(), "VmRSS")
		return err == nil && now <= before+before/2
	})
	after, _ := memory(g.pid(), "VmRSS")
	t.Logf("%d MB afterwards", after>>20)
}
