package egress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func policy(t testing.TB, mode Mode, allow ...string) *Policy {
	t.Helper()
	p, err := New(mode, allow)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMay(t *testing.T) {
	hybrid := policy(t, Hybrid, "feeds.example.com", "*.Example.NET", "192.0.2.0/24", "2001:db8::7")
	strict := policy(t, Strict, "10.1.0.0/16", "fd00::1", "::ffff:192.168.0.9")
	strict.Declare("198.51.100.1:8080")
	strict.Declare("App.internal:80")
	tests := []struct {
		p                *Policy
		network, address string
		want             bool
	}{
		{nil, "tcp", "example.com:443", true},
		{policy(t, Connected), "tcp", "example.com:443", true},
		{strict, "unix", "/run/app.sock", true},
		{strict, "tcp", "127.0.0.1:80", true},
		{strict, "tcp", "[::1]:80", true},
		{strict, "tcp", "localhost:80", true},
		{strict, "tcp", "10.1.255.255:80", true},
		{strict, "tcp", "10.2.0.0:80", false},
		{strict, "tcp", "[fd00::1]:80", true},
		{strict, "tcp", "[fd00::2]:80", false},
		{strict, "tcp", "192.168.0.9:80", true},
		{strict, "tcp", "[::ffff:10.1.0.1]:80", true},
		{strict, "tcp", "198.51.100.1:8080", true},
		{strict, "tcp", "198.51.100.1:8081", false},
		{strict, "tcp", "app.internal:80", true},
		{strict, "tcp", "app.internal:81", false},
		{strict, "udp", "192.0.2.1:53", false},
		{strict, "tcp", "example.com:443", false},
		{strict, "tcp", "localhost.example.com:443", false},
		{strict, "tcp", "", false},
		{strict, "tcp", "0.0.0.0:80", false},
		{hybrid, "tcp", "feeds.example.com:443", true},
		{hybrid, "tcp", "FEEDS.example.com.:443", true},
		{hybrid, "tcp", "feeds.example.com", true},
		{hybrid, "tcp", "x.feeds.example.com:443", false},
		{hybrid, "tcp", "example.net:443", false},
		{hybrid, "tcp", "a.b.example.net:443", true},
		{hybrid, "tcp", "evilexample.net:443", false},
		{hybrid, "tcp", "192.0.2.255:443", true},
		{hybrid, "tcp", "192.0.3.0:443", false},
		{hybrid, "tcp", "[2001:db8::7]:443", true},
		{hybrid, "tcp", "10.0.0.1:443", false},
	}
	for _, tt := range tests {
		if got := tt.p.May(tt.network, tt.address); got != tt.want {
			t.Errorf("mode %s: %s %s: %v, want %v", tt.p.Mode(), tt.network, tt.address, got, tt.want)
		}
	}
}

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		mode  Mode
		allow string
		want  string
	}{
		{"", "", "the modes are"},
		{"STRICT", "", "the modes are"},
		{Connected, "10.0.0.1", "take `allow` out"},
		{Strict, "192.0.2.1", "private network"},
		{Strict, "0.0.0.0/0", "private network"},
		{Strict, "10.0.0.0/7", "private network"},
		{Strict, "::/0", "private network"},
		{Strict, "db.internal", "not looked up"},
		{Hybrid, "https://example.com", "without scheme"},
		{Hybrid, "example.com:443", "without scheme"},
		{Hybrid, "*", "without scheme"},
		{Hybrid, "*.", "without scheme"},
		{Hybrid, "a.*.example.com", "without scheme"},
	} {
		var allow []string
		if tt.allow != "" {
			allow = []string{tt.allow}
		}
		if _, err := New(tt.mode, allow); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("mode %q allow %q: %v, want %q", tt.mode, tt.allow, err, tt.want)
		}
	}
}

func TestPrivate(t *testing.T) {
	for host, want := range map[string]bool{
		"10.0.0.1": true, "172.31.0.1": true, "172.32.0.1": false, "192.168.1.1": true, "169.254.1.1": true, "100.64.0.1": true, "127.8.0.1": true, "localhost": true,
		"::1": true, "[fd00::1]": true, "fe80::1%eth0": true, "2001:db8::1": false, "192.0.2.1": false, "::ffff:10.0.0.1": true, "::ffff:192.0.2.1": false, "example.com": false, "": false,
	} {
		if Private(host) != want {
			t.Errorf("%q: want %v", host, want)
		}
	}
}

// A destination is told once an hour; of very many, only so many are, and all are counted.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, Strict)
		told := map[string]int{}
		p.Tell(func(d Denial) { told[d.Address]++ })
		before, _ := Denied()
		check := func(address string) {
			t.Helper()
			var d *Denial
			if err := p.Check("tcp", address); !errors.Is(err, ErrDenied) || !errors.As(err, &d) || d.Address != address {
				t.Fatalf("%s: %v", address, err)
			}
		}
		for range 3 {
			check("192.0.2.1:443")
		}
		if told["192.0.2.1:443"] != 1 {
			t.Errorf("told %v", told)
		}
		time.Sleep(againIn)
		check("192.0.2.1:443")
		if told["192.0.2.1:443"] != 2 {
			t.Errorf("an hour later: %v", told)
		}
		for i := range 2 * mostTold {
			check(fmt.Sprintf("192.0.2.2:%d", i))
		}
		if len(told) != mostTold {
			t.Errorf("told of %d", len(told))
		}
		time.Sleep(againIn)
		check("192.0.2.3:1")
		if told["192.0.2.3:1"] != 1 {
			t.Error("nothing is told any more")
		}
		if after, _ := Denied(); after-before != 3+1+2*mostTold+1 {
			t.Errorf("counted %d", after-before)
		}
	})
}

// What uses Go's defaults asks, too.
func TestInstall(t *testing.T) {
	Install()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	p := policy(t, Strict)
	before := Use(p)
	t.Cleanup(func() { GiveBack(p, before) })
	if res, err := http.Get(srv.URL); err != nil {
		t.Errorf("this machine: %v", err)
	} else {
		res.Body.Close()
	}
	for _, url := range []string{"http://192.0.2.1/", "https://[2001:db8::1]:8443/", "http://feeds.example.com/"} {
		if res, err := http.Get(url); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v, %v", url, res, err)
		}
	}
	if _, err := Proxy(httptest.NewRequest("GET", "https://acme.example.com/directory", nil)); !errors.Is(err, ErrDenied) {
		t.Errorf("a client whose dials nobody sees: %v", err)
	}
	_, lookups := Denied()
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "feeds.example.com"); err == nil || !strings.Contains(err.Error(), "name server") {
		t.Errorf("a look-up: %v", err)
	}
	if _, after := Denied(); after == lookups {
		t.Error("a look-up is not counted")
	}
	// A dialer of somebody else's, which has never heard of this package, finds no names either.
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", "feeds.example.com:443"); err == nil {
		c.Close()
		t.Error("a name was looked up")
	}
	GiveBack(p, before)
	if InForce() != before {
		t.Error("the policy is still in force")
	}
}
