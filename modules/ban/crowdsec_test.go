package ban

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/store"
)

// lapi answers as CrowdSec's local API does: everything to who starts, then each change once; 403 without a key.
type lapi struct {
	mu     sync.Mutex
	whole  string // guarded by mu
	change string // guarded by mu; told once
	asked  []string
	broken bool // guarded by mu
}

func (l *lapi) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, r.URL.RawQuery)
	switch {
	case r.Header.Get("X-Api-Key") != "hush":
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"message":"access forbidden"}`))
	case l.broken:
		_, _ = w.Write([]byte("<html>a proxy's page</html>"))
	case r.URL.Query().Get("startup") == "true":
		_, _ = w.Write([]byte(l.whole))
	case l.change == "":
		_, _ = w.Write([]byte(`{"deleted":null,"new":null}`))
	default:
		_, _ = w.Write([]byte(l.change))
		l.change = ""
	}
}

func decided(kind, scope, value, duration string) string {
	text, _ := json.Marshal(map[string]any{
		"id": 7, "origin": "cscli", "scenario": "manual", "type": kind, "scope": scope, "value": value, "duration": duration,
	})
	return string(text)
}

func TestCrowdSec(t *testing.T) {
	api := &lapi{whole: `{"deleted":[` + decided("ban", "Ip", "192.0.2.9", "-1h") + `],"new":[` + strings.Join([]string{
		decided("ban", "Ip", "198.51.100.9", "1h2m3.5s"), decided("ban", "Range", "203.0.113.0/24", "4h"), decided("ban", "Ip", "2001:db8::1", "1h"),
		decided("captcha", "Ip", "198.51.100.10", "1h"), decided("ban", "username", "198.51.100.11", "1h"), decided("ban", "Ip", "198.51.100.12", "-3s"),
	}, ",") + `]}`}
	srv := httptest.NewServer(api)
	defer srv.Close()
	all := []Blocklist{{Name: "cs", CrowdSec: srv.URL + "/", Key: "{env.X}"}}
	if err := checkLists(all); err != nil {
		t.Fatal(err)
	}
	key := "hush"
	all[0].reveal = func() (secret.String, error) { return secret.New(key), nil }
	folder := t.TempDir()
	open := func() *feed {
		f, err := newFeed(all[0], folder, func(event.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	defer f.closeIdle()
	want := func(what string, f *feed, in, out string) {
		t.Helper()
		for _, a := range strings.Fields(in) {
			if !f.set.Contains(netip.MustParseAddr(a)) {
				t.Errorf("%s: %s is missing", what, a)
			}
		}
		for _, a := range strings.Fields(out) {
			if f.set.Contains(netip.MustParseAddr(a)) {
				t.Errorf("%s: %s is in it", what, a)
			}
		}
	}
	pull := func(ok bool) {
		t.Helper()
		if err := f.refresh(t.Context()); (err == nil) != ok {
			t.Fatalf("%v", err)
		}
	}
	pull(true)
	want("the start", f, "198.51.100.9 203.0.113.77 2001:db8::1", "198.51.100.10 198.51.100.11 198.51.100.12 192.0.2.9")
	api.change = `{"deleted":[` + decided("ban", "Ip", "198.51.100.9", "-1s") + `],"new":[` + decided("ban", "Ip", "192.0.2.1", "1h") + `]}`
	pull(true)
	want("a change", f, "192.0.2.1 203.0.113.77", "198.51.100.9")
	pull(true)
	want("nothing new", f, "192.0.2.1 203.0.113.77", "198.51.100.9")

	// What is no answer changes nothing, and everything is asked for afterwards.
	api.broken = true
	pull(false)
	want("a proxy's page", f, "192.0.2.1 203.0.113.77", "")
	again := open() // another process, while the API is away
	want("kept over a restart", again, "192.0.2.1 203.0.113.77", "198.51.100.9")
	api.broken, api.whole = false, `{"new":[`+decided("ban", "Ip", "192.0.2.7", "1h")+`],"deleted":null}`
	pull(true)
	want("the whole again", f, "192.0.2.7", "192.0.2.1 203.0.113.77")
	api.change = `{"new":[` + decided("ban", "Range", "0.0.0.0/0", "1h") + `],"deleted":null}`
	pull(false)
	want("the whole world", f, "192.0.2.7", "192.0.2.8")
	if got := strings.Join(api.asked, " "); strings.Count(got, "startup=true") != 2 || !strings.HasPrefix(got, "scopes=ip,range&startup=true") {
		t.Errorf("asked: %s", got)
	}
	key = "wrong"
	if err := f.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "cscli bouncers add") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong key: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "cs.list"))
	if err != nil || !strings.HasPrefix(string(text), "192.0.2.7/32 ") {
		t.Errorf("kept: %q, %v", text, err)
	}
	// What is over is over, also where nobody says so.
	f.stream.known[netip.MustParsePrefix("192.0.2.7/32")] = time.Now().Add(-time.Second)
	f.stream.synced, key = true, "hush"
	pull(true)
	want("over", f, "", "192.0.2.7")
}

func TestRefusedCrowdSec(t *testing.T) {
	for _, b := range []Blocklist{
		{CrowdSec: "http://192.0.2.1:8080", Key: "{env.X}"}, {CrowdSec: "http://127.0.0.1:8080"}, {CrowdSec: "ftp://127.0.0.1", Key: "x"},
		{CrowdSec: "https://u:p@lapi.test", Key: "x"}, {CrowdSec: "https://lapi.test", Key: "x", File: "/x"}, {URL: "https://lapi.test/x", Key: "x"},
	} {
		b.Name = "cs"
		if err := checkLists([]Blocklist{b}); err == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}

// The file for nftables has who is refused, once each, and is written anew when that changes.
func TestNftables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "banned.nft")
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, _, _ := testDesk(t, st, Settings{})
		d.Export(file, func(err error) { t.Error(err) })
		for text, a := range map[string]Action{
			"198.51.100.0/24": Refuse, "198.51.100.9": Refuse, "192.0.2.7": Refuse, "2001:db8:1::/64": Refuse, "192.0.2.8": StepUp, "192.0.2.9": Tarpit,
			"user:local:ada": Refuse,
		} {
			w, _ := ParseWhom(text)
			if _, err := d.Add(t.Context(), Order{Whom: w, Action: a, For: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		text, err := os.ReadFile(file)
		want := `# written by gatehouse; load it with nft -f
add table inet gatehouse
add set inet gatehouse banned4 { type ipv4_addr; flags interval, timeout; }
flush set inet gatehouse banned4
add element inet gatehouse banned4 {
	192.0.2.7 timeout 3600s,
	198.51.100.0/24 timeout 3600s,
}
add set inet gatehouse banned6 { type ipv6_addr; flags interval, timeout; }
flush set inet gatehouse banned6
add element inet gatehouse banned6 {
	2001:db8:1::/64 timeout 3600s,
}
`
		if got := regexp.MustCompile(`(3599|3601)s`).ReplaceAllString(string(text), "3600s"); err != nil || got != want {
			t.Errorf("%v:\n%s", err, text)
		}
		for _, n := range []string{"198.51.100.0/24", "2001:db8:1::/64"} {
			if _, err := d.Lift(t.Context(), clients(netip.MustParsePrefix(n)), "ada"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "/24") || !strings.Contains(string(text), "\t198.51.100.9 ") || strings.Contains(string(text), "banned6 {\n") {
			t.Errorf("after lifting:\n%s", text)
		}
		_ = d.Destruct()
		_ = st.Close()
	})
}
