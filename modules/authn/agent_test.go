package authn

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAgent(t *testing.T) {
	for header, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                                 "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36":                            "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0":                  "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15":                     "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
		"Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36": "Samsung Internet on Android",
		"curl/8.8.0": "curl", "git/2.45.0": "git", "": "", "<script>alert(1)</script>": "", strings.Repeat("x", 1<<16): "",
	} {
		if got := agent(header); got != want {
			t.Errorf("%.60q is called %q, want %q", header, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48", "::1": "::/48",
	} {
		if got := network(netip.MustParseAddr(client)); got != want {
			t.Errorf("%s is in %q, want %q", client, got, want)
		}
	}
	if got := network(netip.Addr{}); got != "" {
		t.Errorf("no address is in %q", got)
	}
}

func FuzzAgent(f *testing.F) {
	f.Add("Firefox/1 Linux")
	f.Fuzz(func(t *testing.T, header string) {
		if got := agent(header); len(got) > 40 || !utf8.ValidString(got) || strings.ContainsAny(got, "<>&\"'\n") {
			t.Errorf("%q", got)
		}
	})
}
