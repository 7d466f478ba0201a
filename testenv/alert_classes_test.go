package testenv

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAlertClasses is the story of CAL-19 in real time: each of the five classes is given what it is for, seven minutes long; each
// alert is told of once when it begins, although what it is about happens again and again, and once when it is over; and
// nothing else is told. An application that nobody asks for is among them. Half an hour, nearly all of it waiting: `make soak`.
func TestAlertClasses(t *testing.T) {
	if os.Getenv("GATEHOUSE_SOAK") == "" {
		t.Skip("half an hour: make soak")
	}
	const most = 45
	var (
		mu   sync.Mutex
		told = map[string][]string{} // alert and subject: status, in order
		when = map[string][]time.Time{}
	)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n struct{ Alert, Class, Subject, Status, Runbook string }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &n); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		mu.Lock()
		defer mu.Unlock()
		key := strings.TrimSpace(n.Class + " " + n.Alert + " " + n.Subject)
		told[key] = append(told[key], n.Status)
		when[key] = append(when[key], time.Now())
	}))
	defer hook.Close()
	missing, quiet := closedAddress(t), closedAddress(t)
	be := startBackend(t)
	g, err := newGateway(gatehouseBin(t), config{Backend: be.Listen, Env: []string{
		"MISSING=" + missing, "QUIET=" + quiet, "HOOK=" + hook.URL, "HOOK_SECRET=0123456789abcdef0123456789abcdef", fmt.Sprint("MOST=", most),
	}, Caddyfile: `{
	import {$COMMON}
	gatehouse {
		state_dir {$STATE}
		local
		mfa {
			insecure_admins_without_factor
		}
		client_limits {
			all_connections {$MOST}
		}
		alert {
			webhook {$HOOK} {
				secret {env.HOOK_SECRET}
				insecure_plain
			}
			interval 5s
		}
	}
}
https://app.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
		rate_limit 1000r/s /.gatehouse/*
	}
	reverse_proxy {$BACKEND}
}
https://other.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
	}
	reverse_proxy {$MISSING}
}
https://localhost:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
	}
	reverse_proxy {$QUIET} {
		health_uri /healthz
		health_interval 5s
	}
}
`})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	crowd := make([]*client, most*9/10) // each with a connection of its own, which it keeps
	for i := range crowd {
		crowd[i] = g.newClient()
		defer crowd[i].close()
	}
	person := g.newClient()
	defer person.close()
	for second := 0; time.Since(began) < 7*time.Minute; second++ {
		for range 5 {
			person.must(t, request{Path: "/assets/app.css"})
		}
		person.must(t, request{Path: "/status/500"})
		_, _ = person.do(request{Path: "https://other.test:" + g.env["PORT"] + "/"})
		if second%5 == 0 {
			if _, err := person.loginOnce(fmt.Sprint("nobody", second), "not a password of anybody", "/"); err == nil {
				t.Error("a wrong password was taken")
			}
		}
		if second%30 == 0 {
			if _, _, code, err := g.command("alert", "test", "nobody", "--address", "unix/"+g.env["ADMIN"]); err != nil || code == 0 {
				t.Errorf("a receiver that is not there was tried: %d, %v", code, err)
			}
		}
		if second%20 == 0 {
			for _, c := range crowd {
				c.must(t, request{Path: "/assets/app.css", HTTP: "1.1"})
			}
		}
		time.Sleep(time.Until(began.Add(time.Duration(second+1) * time.Second))) // the story's own pace
	}
	for _, c := range crowd {
		c.close()
	}
	t.Logf("the cause is over after %v", time.Since(began).Round(time.Second))
	for _, address := range []string{missing, quiet} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		}()
	}
	want := []string{
		"authentication GatehouseLoginFailures local",
		"availability GatehouseApplicationDown other.test",
		"availability GatehouseUpstreamDown " + quiet,
		"capacity GatehouseMemory",
		"errors GatehouseErrors app.test",
		"errors GatehouseErrors other.test",
		"privileged GatehouseAdminRefused",
	}
	err = until(30*time.Minute, "all alerts are over", func() bool {
		_, _ = person.do(request{Path: "/assets/app.css"})
		_, _ = person.do(request{Path: "https://other.test:" + g.env["PORT"] + "/"})
		time.Sleep(time.Second) // the story's own pace
		mu.Lock()
		defer mu.Unlock()
		for _, key := range want {
			if len(told[key]) < 2 {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(told)); !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
	for key, statuses := range told {
		if !slices.Equal(statuses, []string{"firing", "resolved"}) {
			t.Errorf("%s: %v", key, statuses)
		}
		var at []string
		for _, w := range when[key] {
			at = append(at, w.Sub(began).Round(time.Second).String())
		}
		t.Logf("%s: %v at %v", key, statuses, at)
	}
}

// closedAddress is one of this machine where nothing listens.
func closedAddress(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", port)
}
