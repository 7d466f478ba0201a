package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	uploads    = 12
	uploadSize = 12 << 20
	growthMB   = 50
)

// TestUploadsAreStreamed: twelve uploads of 12 MB at once, each in the middle when the last has begun, take less than
// 50 MB of the gateway's memory together, over HTTP/1.1 and HTTP/2, and all of each arrives.
func TestUploadsAreStreamed(t *testing.T) {
	for _, version := range []string{"1.1", "2"} {
		t.Run("HTTP/"+version, func(t *testing.T) {
			app := newSlowReader(t)
			g := startGateway(t, config{Backend: app.address, Site: "public /up"})
			c := g.stranger(t)
			c.http[version].Timeout = 2 * time.Minute
			app.barrier.Add(1)
			if err := c.upload(version, 1); err != nil { // so that what is measured is the uploads, not the start
				t.Fatal(err)
			}
			before, err := memory(g.pid(), "VmRSS")
			if err != nil {
				t.Skip(err) // not Linux
			}
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.pid()), []byte("5"), 0); err != nil {
				t.Skip(err) // the peak cannot be reset
			}
			app.barrier.Add(uploads)
			errs := make(chan error, uploads)
			for n := range uploads {
				go func() { errs <- c.upload(version, byte(n)) }()
			}
			for range uploads {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			peak, err := memory(g.pid(), "VmHWM")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MB before, %d MB at the peak", before>>20, peak>>20)
			if peak-before >= growthMB<<20 {
				t.Errorf("%d uploads of %d MB took %d MB, want less than %d", uploads, uploadSize>>20, (peak-before)>>20, growthMB)
			}
		})
	}
}

// slowReader is an application that reads uploads to their end only once all of them have begun.
type slowReader struct {
	address string
	barrier sync.WaitGroup
}

func newSlowReader(t *testing.T) *slowReader {
	t.Helper()
	app := new(slowReader)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 64<<10)
		n, err := io.ReadFull(r.Body, first)
		app.barrier.Done()
		app.barrier.Wait()
		rest, err2 := io.Copy(io.Discard, r.Body)
		if err != nil || err2 != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = fmt.Fprint(w, int64(n)+rest)
	}))
	t.Cleanup(srv.Close)
	app.address = strings.TrimPrefix(srv.URL, "http://")
	return app
}

// upload sends uploadSize bytes that are no text.
func (c *client) upload(version string, fill byte) error {
	chunk := bytes.Repeat([]byte{0, fill, 0xff, 1}, 16<<10)
	left := uploadSize
	body := readerFunc(func(p []byte) (int, error) {
		if left == 0 {
			return 0, io.EOF
		}
		n := copy(p, chunk[:min(len(chunk), left)])
		left -= n
		return n, nil
	})
	req, err := http.NewRequest(http.MethodPost, c.gw.origin()+"/up", body)
	if err != nil {
		return err
	}
	req.ContentLength = uploadSize
	req.Header = http.Header{"Content-Type": {"application/octet-stream"}, "User-Agent": {"testenv"}, "Accept": {"*/*"}}
	resp, err := c.http[version].Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(got) != strconv.Itoa(uploadSize) {
		return fmt.Errorf("%s, %q, %v", resp.Status, got, err)
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// memory reads a line of /proc/<pid>/status, in bytes.
func memory(pid int, name string) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", name, pid)
}
