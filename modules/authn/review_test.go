package authn_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse.internal/modules/authn"
	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
)

const reviewSite = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		witness {{provider}}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		{{name}}
		{{policy}}
		insecure_waf_off
		rate_limit 1000r/s /.gatehouse/*
	}
	reverse_proxy {{backend}} {
		flush_interval -1
		stream_close_delay 1h
	}
}
`

// stream is a request that runs until somebody ends it.
type stream struct {
	ended chan error
}

// running reports an end that came in time, or none.
func (s *stream) running(within time.Duration) bool {
	select {
	case <-s.ended:
		return false
	case <-time.After(within):
		return true
	}
}

func openEvents(t *testing.T, g *gatetest.Gateway, cookie string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, at(g, "/sse"), nil)
	req.Header.Set("Cookie", cookie)
	res, err := (&http.Client{Transport: speaking(t, g, true)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the stream: status %d", res.StatusCode)
	}
	s := &stream{make(chan error, 1)}
	body := bufio.NewReader(res.Body)
	if _, err := body.ReadByte(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer res.Body.Close()
		for {
			if _, err := body.ReadByte(); err != nil {
				s.ended <- err
				return
			}
		}
	}()
	return s
}

func openSocket(t *testing.T, g *gatetest.Gateway, cookie string) *stream {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), at(g, "/ws"), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: speaking(t, g, false)}, HTTPHeader: http.Header{"Cookie": {cookie}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if _, _, err := c.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &stream{make(chan error, 1)}
	go func() {
		for {
			if _, _, err := c.Read(t.Context()); err != nil {
				s.ended <- err
				return
			}
		}
	}()
	return s
}

// What runs is judged again when the configuration changes, and is cut within a second where the new one would not let it
// in. Whatever it would let in goes on, and a configuration that is refused cuts nothing.
func TestPolicyChangeCutsStreams(t *testing.T) {
	const staff = "allow role staff"
	backend := streamer(t)
	with := func(change ...string) []string {
		return append(change, "{{backend}}", backend, "{{provider}}", "witness", "{{policy}}", staff, "{{name}}", "name desk")
	}
	tests := []struct {
		name   string
		change []string
		fails  bool
		stays  bool
	}{
		{"nothing", nil, false, true},
		{"another rule lets it in", []string{"{{policy}}", "allow user witness:ada"}, false, true},
		{"it is public now", []string{"{{policy}}", "public /*"}, false, true},
		{"another role is needed", []string{"{{policy}}", "allow role admin"}, false, false},
		{"a route needs another role", []string{"{{policy}}", staff + "\n route /sse {\n allow role admin\n }\n route /ws {\n allow role admin\n }"}, false, false},
		{"a route elsewhere", []string{"{{policy}}", staff + "\n route /other {\n allow role admin\n }"}, false, true},
		{"the site is another", []string{"{{name}}", "name shop"}, false, false},
		{"the identity provider is gone", []string{"{{provider}}", "other"}, false, false},
		{"a configuration that is refused", []string{"{{policy}}", "allow role admin", "{{backend}}", "127.0.0.1:1 {\n nonsense\n }"}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := gatetest.Start(t, reviewSite, with()...)
			_, port, _ := strings.Cut(g.Addr, ":")
			token, _, err := table(t).Create(t.Context(), gatehouse.Vouching{
				Identity: identity.Identity{Provider: "witness", Issuer: "test", Subject: "ada", Roles: []string{"staff"}},
			}, "app.test:"+port, authn.Meta{}, authn.Limits{Idle: time.Hour, AdminIdle: time.Hour, Max: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			cookie := authn.SessionCookie + "=" + token
			streams := map[string]*stream{"events": openEvents(t, g, cookie), "websocket": openSocket(t, g, cookie)}
			if err := g.Load(reviewSite, with(tt.change...)...); (err != nil) != tt.fails {
				t.Fatalf("loading: %v", err)
			}
			began := time.Now()
			for name, s := range streams {
				wait := time.Second
				if tt.stays {
					wait = 300*time.Millisecond - time.Since(began)
				}
				if s.running(wait) != tt.stays {
					t.Errorf("%s: goes on %v, want %v", name, !tt.stays, tt.stays)
				}
			}
			t.Logf("decided after %v", time.Since(began).Round(time.Millisecond))
		})
	}
}
