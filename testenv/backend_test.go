package testenv

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// backend is the application, as its own process.
type backend struct {
	Listen  string `json:"listen"`
	Control string `json:"control"`

	proc *process
	dir  string
}

// sighting is one request as it reached the application.
type sighting struct {
	Method   string      `json:"method"`
	URI      string      `json:"uri"`
	Proto    string      `json:"proto"`
	Host     string      `json:"host"`
	Headers  http.Header `json:"headers"`
	Trailers http.Header `json:"trailers"`
	Bytes    int64       `json:"bytes"`
	SHA256   string      `json:"sha256"`
	Done     bool        `json:"done"`
}

// sightings is all that reached the application since it was told to forget.
type sightings struct {
	Connections int        `json:"connections"`
	Received    int64      `json:"received"` // bytes, on all connections
	Total       int        `json:"total"`
	Requests    []sighting `json:"requests"`
}

func newBackend(bin string) (*backend, error) {
	dir, err := os.MkdirTemp("", "ghapp")
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "stdout.txt")
	proc, err := startProcess(bin, nil, os.Environ(), dir, out, filepath.Join(dir, "stderr.txt"))
	if err != nil {
		return nil, err
	}
	b := &backend{proc: proc, dir: dir}
	err = until(readyIn, "the application prints its addresses", func() bool {
		line, err := os.ReadFile(out)
		return proc.ended() || err == nil && strings.HasSuffix(string(line), "\n") && json.Unmarshal(line, b) == nil
	})
	if err == nil && proc.ended() {
		err = fmt.Errorf("the application ended: %s", tail(filepath.Join(dir, "stderr.txt"), 5))
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *backend) close() {
	_ = b.proc.stop(syscall.SIGTERM, 5*time.Second)
	_ = os.RemoveAll(b.dir)
}

// seen reads what reached the application.
func (b *backend) seen() (s sightings, err error) {
	resp, err := http.Get("http://" + b.Control + "/__seen")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// forget makes the application's recorder start again.
func (b *backend) forget() error {
	req, err := http.NewRequest(http.MethodDelete, "http://"+b.Control+"/__seen", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// startBackend starts the application for a Go test.
func startBackend(t testing.TB) *backend {
	t.Helper()
	b, err := newBackend(backendBin(t))
	if err != nil {
		t.Fatalf("starting the application: %v", err)
	}
	t.Cleanup(b.close)
	return b
}

func backendBin(t testing.TB) string {
	t.Helper()
	return workshop.binary(t, "testenv/backend", false)
}

// mustSee is seen for tests.
func (b *backend) mustSee(t testing.TB) sightings {
	t.Helper()
	s, err := b.seen()
	if err != nil {
		t.Fatalf("asking the application what it saw: %v", err)
	}
	return s
}

// mustForget is forget for tests.
func (b *backend) mustForget(t testing.TB) {
	t.Helper()
	if err := b.forget(); err != nil {
		t.Fatalf("telling the application to forget: %v", err)
	}
}
