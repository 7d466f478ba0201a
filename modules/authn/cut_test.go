package authn_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/coder/websocket"

	"gatehouse.internal/modules/authn"
	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
	_ "gatehouse.internal/modules/standard"
)

func init() { caddy.RegisterModule(new(witness)) }

// shown is the house of the configuration loaded last.
var shown atomic.Pointer[gatehouse.App]

// witness is an identity provider that shows tests the house.
type witness struct {
	ProviderName string `json:"name,omitempty"`
}

func (*witness) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.witness", New: func() caddy.Module { return new(witness) }}
}

func (w *witness) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&w.ProviderName)
	return nil
}

func (w *witness) Name() string              { return w.ProviderName }
func (*witness) Label() string               { return "Witness" }
func (*witness) Form() bool                  { return false }
func (*witness) Open(h *gatehouse.App) error { shown.Store(h); return nil }
func (*witness) ServeLogin(http.ResponseWriter, *http.Request, gatehouse.Login) (*gatehouse.Vouching, error) {
	return nil, errors.New("nobody logs in here")
}

const cutSite = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		witness {{provider}}
		session {
			idle 30m
			renewal_grace 5m
			clear_site_data
		}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		allow authenticated
		insecure_waf_off
		rate_limit 1000r/s /.gatehouse/*
		background /poll /live/*
		session {
			idle 20m
		}
	}
	reverse_proxy {{backend}} {
		flush_interval {{flush}}
	}
}
`

// streamer streams in every way, until its client is gone.
func streamer(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		switch r.URL.Path {
		case "/ws":
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				if err := c.Write(ctx, websocket.MessageText, []byte("tick")); err != nil {
					return
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-stop:
					return
				}
			}
		case "/sse", "/silent":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: first\n\n")
			_ = http.NewResponseController(w).Flush()
			for r.URL.Path == "/sse" {
				if _, err := fmt.Fprint(w, "data: tick\n\n"); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-stop:
					return
				}
			}
			<-stop // deaf to its client's going, too
		case "/download":
			block := []byte(strings.Repeat("x", 64<<10))
			for ctx.Err() == nil {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		default:
			fmt.Fprint(w, "hello "+r.Header.Get("Cookie"))
		}
	}))
	t.Cleanup(func() { close(stop); srv.CloseClientConnections(); srv.Close() })
	return strings.TrimPrefix(srv.URL, "http://")
}

func startStreamer(t *testing.T, flush string) *gatetest.Gateway {
	t.Helper()
	return gatetest.Start(t, cutSite, "{{backend}}", streamer(t), "{{flush}}", flush, "{{provider}}", "witness")
}

func table(t *testing.T) *authn.Sessions {
	t.Helper()
	s, err := authn.SessionsOf(shown.Load())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sessionFor(t *testing.T, g *gatetest.Gateway, subject string) (cookie string) {
	t.Helper()
	_, port, _ := strings.Cut(g.Addr, ":")
	token, _, err := table(t).Create(t.Context(), gatehouse.Vouching{
		Identity: identity.Identity{Provider: "witness", Issuer: "test", Subject: subject},
	}, "app.test:"+port, authn.Meta{}, authn.Limits{Idle: time.Hour, AdminIdle: time.Hour, Max: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return authn.SessionCookie + "=" + token
}

func at(g *gatetest.Gateway, path string) string {
	_, port, _ := strings.Cut(g.Addr, ":")
	return "https://app.test:" + port + path
}

// speaking returns a transport that speaks HTTP/2 or HTTP/1.1.
func speaking(t *testing.T, g *gatetest.Gateway, h2 bool) *http.Transport {
	tr := g.Transport()
	tr.ForceAttemptHTTP2 = h2
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// Revocation reaches what is open through Caddy's own reverse proxy, over every protocol, within a second.
func TestRevocationCutsStreams(t *testing.T) {
	tests := []struct {
		name, path, flush string
		h2, lazy          bool
	}{
		{"server-sent events, HTTP/1.1", "/sse", "0", false, false},
		{"server-sent events, HTTP/2", "/sse", "0", true, false},
		{"flushed at once", "/sse", "-1", true, false},
		{"a silent stream, HTTP/1.1", "/silent", "-1", false, false},
		{"a silent stream, HTTP/2", "/silent", "0", true, false},
		{"a download, HTTP/1.1", "/download", "0", false, false},
		{"a download, HTTP/2", "/download", "0", true, false},
		{"a download that its client does not read, HTTP/1.1", "/download", "0", false, true},
		{"a download that its client does not read, HTTP/2", "/download", "0", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startStreamer(t, tt.flush)
			cookie := sessionFor(t, g, "ada")
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, at(g, tt.path), nil)
			req.Header.Set("Cookie", cookie)
			res, err := (&http.Client{Transport: speaking(t, g, tt.h2)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if want := map[bool]int{true: 2, false: 1}[tt.h2]; res.ProtoMajor != want || res.StatusCode != http.StatusOK {
				t.Fatalf("%s %d, want HTTP/%d", res.Proto, res.StatusCode, want)
			}
			if _, err := bufio.NewReader(res.Body).ReadByte(); err != nil {
				t.Fatal(err)
			}
			if tt.lazy {
				time.Sleep(300 * time.Millisecond) // until every buffer on the way is full
			}
			began := time.Now()
			if _, err := table(t).EndUser(t.Context(), "witness", "ada"); err != nil {
				t.Fatal(err)
			}
			if tt.lazy {
				time.Sleep(900 * time.Millisecond)
			}
			_, err = io.Copy(io.Discard, res.Body)
			took := time.Since(began)
			t.Logf("cut after %v: %v", took.Round(time.Millisecond), err)
			if err == nil {
				t.Error("the cut answer looks complete")
			}
			if limit := time.Second + map[bool]time.Duration{true: 900 * time.Millisecond}[tt.lazy]; took > limit {
				t.Errorf("cut after %v", took)
			}
			again, err := g.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			again.Body.Close()
			if again.StatusCode != http.StatusUnauthorized {
				t.Errorf("afterwards: %d", again.StatusCode)
			}
		})
	}
}

func TestRevocationCutsWebsockets(t *testing.T) {
	g := startStreamer(t, "0")
	cookie := sessionFor(t, g, "ada")
	c, _, err := websocket.Dial(t.Context(), at(g, "/ws"), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: speaking(t, g, false)}, HTTPHeader: http.Header{"Cookie": {cookie}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if _, _, err := c.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := table(t).EndUser(t.Context(), "witness", "ada"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		if _, _, err = c.Read(ctx); err != nil {
			break
		}
	}
	took := time.Since(began)
	t.Logf("cut after %v: %v", took.Round(time.Millisecond), err)
	if took > time.Second {
		t.Errorf("cut after %v", took)
	}
}

// Requests that end by themselves are none of it: nothing is severed, and connections are used again.
func TestOrdinaryRequestsAreNotCut(t *testing.T) {
	g := startStreamer(t, "0")
	cookie := sessionFor(t, g, "ada")
	for _, h2 := range []bool{false, true} {
		client := &http.Client{Transport: speaking(t, g, h2)}
		for range 20 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, at(g, "/"), nil)
			req.Header.Set("Cookie", cookie+"; app=1")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(body) != "hello app=1" {
				t.Fatalf("%q, %v", body, err)
			}
		}
	}
}

// Whose provider the configuration has given up is nobody any more, and somebody again when it is back.
func TestProviderTakenOut(t *testing.T) {
	g := startStreamer(t, "0")
	backend := streamer(t)
	cookie := sessionFor(t, g, "ada")
	status := func() int {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, at(g, "/"), nil)
		req.Header.Set("Cookie", cookie)
		res, err := g.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, step := range []struct {
		provider string
		want     int
	}{{"other", http.StatusUnauthorized}, {"witness", http.StatusOK}} {
		if err := g.Load(cutSite, "{{backend}}", backend, "{{flush}}", "0", "{{provider}}", step.provider); err != nil {
			t.Fatal(err)
		}
		if got := status(); got != step.want {
			t.Errorf("with the provider %q: %d, want %d", step.provider, got, step.want)
		}
	}
}

func TestSiteWords(t *testing.T) {
	g := gatetest.New(t)
	raw, err := g.Adapt(cutSite, "{{backend}}", "127.0.0.1:1", "{{flush}}", "0", "{{provider}}", "witness")
	if err != nil {
		t.Fatal(err)
	}
	var config any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"background":["/poll","/live/*"],"handler":"gatehouse_authenticate","session":{"idle":1200000000000}`,
		`"handler":"gatehouse_portal","session":{"idle":1200000000000}`,
		`"session":{"clear_site_data":true,"idle":1800000000000,"renewal_grace":300000000000}`,
	} {
		if sorted, _ := json.Marshal(config); !strings.Contains(string(sorted), want) {
			t.Errorf("the configuration lacks %s", want)
		}
	}
	for words, want := range map[string]string{
		"background":                            "name at least one path",
		"background /a/*/b":                     "at the end",
		"session {\n idle 40h\n}":               "admin_idle <= idle <= max",
		"session {\n nap 1h\n}":                 "unknown session option",
		"session {\n clear_site_data please\n}": "",
	} {
		text := strings.Replace(cutSite, "background /poll /live/*", words, 1)
		text = strings.Replace(text, "session {\n\t\t\tidle 20m\n\t\t}\n", "", 1)
		if err := g.Load(text, "{{backend}}", "127.0.0.1:1", "{{flush}}", "0", "{{provider}}", "witness"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", words, err, want)
		}
	}
}
