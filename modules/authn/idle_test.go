package authn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/authn"
	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
)

const idleSite = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		witness witness
		mfa {
			insecure_admins_without_factor
		}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		allow authenticated
		insecure_waf_off
		rate_limit 1000r/s /.gatehouse/*
		background /poll
		session {
			idle 2s
			admin_idle 1s
			max 1m
		}
	}
	reverse_proxy {{backend}}
}
`

// What pages do by themselves does not keep a session alive, through the handlers as they stand in a row; what people do
// does; and an administrator's is idle sooner (control CER-03).
func TestIdleInTheRow(t *testing.T) {
	g := gatetest.Start(t, idleSite, "{{backend}}", streamer(t))
	_, port, _ := strings.Cut(g.Addr, ":")
	cookieOf := func(subject string, roles ...string) string {
		t.Helper()
		token, _, err := table(t).Create(t.Context(), gatehouse.Vouching{
			Identity: identity.Identity{Provider: "witness", Issuer: "test", Subject: subject, Roles: roles},
		}, "app.test:"+port, authn.Meta{}, authn.Limits{Idle: 2 * time.Second, AdminIdle: time.Second, Max: time.Minute, AdminRoles: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		return authn.SessionCookie + "=" + token
	}
	client := g.Client()
	ask := func(method, path, cookie string, header ...string) int {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, at(g, path), nil)
		req.Header.Set("Cookie", cookie)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		for ; len(header) > 0; header = header[2:] {
			req.Header.Set(header[0], header[1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	began, rootEnded := time.Now(), time.Duration(0) // before the sessions, which are idle from their first moment on
	polls, prefetches, waits, works, root := cookieOf("polls"), cookieOf("prefetches"), cookieOf("waits"), cookieOf("works"), cookieOf("root", "admin")
	streams := map[string]*stream{"events": openEvents(t, g, cookieOf("listens")), "websocket": openSocket(t, g, cookieOf("talks"))}
	for time.Since(began) < 2500*time.Millisecond {
		ask("GET", "/poll", polls)
		ask("GET", "/", prefetches, "Sec-Purpose", "prefetch")
		ask("GET", "/.gatehouse/session", waits) // looks at the time that is left
		if status := ask("POST", "/save", works, "Origin", at(g, "")); status != http.StatusOK {
			t.Fatalf("who works: status %d after %v", status, time.Since(began))
		}
		if rootEnded == 0 && ask("GET", "/poll", root) == http.StatusUnauthorized {
			rootEnded = time.Since(began)
		}
		time.Sleep(50 * time.Millisecond) // the pace of a page that polls
	}
	for name, cookie := range map[string]string{"who polls": polls, "who prefetches": prefetches, "who looks at the time": waits} {
		if status := ask("GET", "/", cookie); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d after %v", name, status, time.Since(began))
		}
	}
	if rootEnded < 900*time.Millisecond || rootEnded > 2*time.Second {
		t.Errorf("an administrator's session was idle after %v, want 1 s", rootEnded)
	}
	for name, s := range streams { // each sends on and on
		if s.running(time.Second) {
			t.Errorf("%s: goes on after %v", name, time.Since(began))
		}
	}
}
