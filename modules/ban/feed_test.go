package ban

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
)

func TestParseList(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		entries int
		unread  int
		refused string
	}{
		"addresses and networks":            {"192.0.2.1\n198.51.100.0/24\n2001:db8::/32\n2001:db8:1::7\n", 4, 0, ""},
		"Spamhaus":                          {"; DROP list\r\n192.0.2.0/24 ; SBL1\r\n198.51.100.0/24 ; SBL2\r\n", 2, 0, ""},
		"more columns":                      {"192.0.2.1\t2026-01-01\tscanner\n", 1, 0, ""},
		"byte order mark":                   {"\ufeff192.0.2.1\n", 1, 0, ""},
		"bits behind the length":            {"192.0.2.77/24\n", 1, 0, ""},
		"IPv4 in IPv6":                      {"::ffff:192.0.2.1\n", 1, 0, ""},
		"a few strange lines":               {strings.Repeat("192.0.2.1\n", 20) + "scanner.example\n", 1, 1, ""},
		"everybody":                         {"192.0.2.1\n0.0.0.0/0\n", 0, 0, "line 2"},
		"everybody of IPv6":                 {"::/0\n", 0, 0, "line 1"},
		"everybody, in IPv6":                {"::ffff:0:0/96\n", 0, 0, "line 1"},
		"half of the world":                 {"128.0.0.0/1\n", 0, 0, "line 1"},
		"a page of errors":                  {"<!DOCTYPE html>\n<title>502 Bad Gateway</title>\n", 0, 2, "2 are neither"},
		"nothing":                           {"# empty\n", 0, 0, "of 0 entries"},
		"a line without end":                {"192.0.2.1\n" + strings.Repeat("x", 2000), 0, 0, "line 2"},
		"with zones, which are no networks": {"fe80::1%eth0\n", 0, 1, "1 are neither"},
	} {
		set, unread, err := parseList([]byte(tt.text))
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want it refused by %q", name, err, tt.refused)
			}
			continue
		}
		if err != nil || set.Len() != tt.entries || unread != tt.unread {
			t.Errorf("%s: %d entries, %d unread, %v", name, set.Len(), unread, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte("192.0.2.1\n2001:db8::/32 ; x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, _, err := parseList(text)
		if err == nil && (set.Len() == 0 || set.Contains(netip.MustParseAddr("0.0.0.1")) && set.Contains(netip.MustParseAddr("255.255.255.254")) && set.Len() < 2) {
			t.Errorf("accepted with %d entries", set.Len())
		}
	})
}

// told collects events.
type told struct {
	mu  sync.Mutex
	all []event.Event // guarded by mu
}

func (l *told) publish(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *told) kinds() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.all {
		all = append(all, string(e.Kind))
	}
	return strings.Join(all, " ")
}

func checked(t *testing.T, b Blocklist) Blocklist {
	t.Helper()
	all := []Blocklist{b}
	if err := checkLists(all); err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func in(f *feed, addr string) bool { return f.set.Contains(netip.MustParseAddr(addr)) }

// The last good list stays in force whatever comes after it: over a broken file, a missing one, and a new process.
func TestLastGoodListStays(t *testing.T) {
	dir, log := t.TempDir(), new(told)
	name := filepath.Join(dir, "hostile.txt")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2.1\n", time.Hour)
	f, err := newFeed(checked(t, Blocklist{Name: "hostile", File: name}), filepath.Join(dir, "state"), log.publish)
	if err != nil {
		t.Fatal(err)
	}
	refresh := func() error {
		err := f.refresh(t.Context())
		f.report(err)
		return err
	}
	if err := refresh(); err != nil || !in(f, "192.0.2.1") {
		t.Fatalf("the first list: %v", err)
	}
	write("192.0.2.1\n192.0.2.2\n", time.Minute)
	if err := refresh(); err != nil || !in(f, "192.0.2.2") {
		t.Fatalf("a changed list: %v", err)
	}
	write("0.0.0.0/0\n", 0)
	for range 3 {
		if err := refresh(); err == nil {
			t.Fatal("a list of everybody is taken")
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := refresh(); err == nil {
		t.Fatal("no list, no error")
	}
	if !in(f, "192.0.2.2") || in(f, "192.0.2.3") {
		t.Error("the last good list is not in force")
	}
	if got := log.kinds(); got != "blocklist.rejected blocklist.rejected" {
		t.Errorf("told of: %s, want each fault once", got)
	}
	f.confirmed.Store(time.Now().Add(-73 * time.Hour).Unix())
	_, _ = refresh(), refresh()
	if got := log.kinds(); strings.Count(got, "blocklist.stale") != 1 {
		t.Errorf("told of: %s, want once that it is stale", got)
	}
	again, err := newFeed(f.Blocklist, filepath.Join(dir, "state"), log.publish)
	if err != nil || !in(again, "192.0.2.2") {
		t.Errorf("the next process: %v", err)
	}
}

// A list counts only with the signature of the key that was named.
func TestSignedList(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "list")
	b := checked(t, Blocklist{Name: "signed", File: name, SignedBy: base64.StdEncoding.EncodeToString(public)})
	f, err := newFeed(b, filepath.Join(dir, "state"), new(told).publish)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("192.0.2.1\n")
	sig := ed25519.Sign(private, text)
	tries := []struct {
		name      string
		text, sig []byte
		good      bool
	}{
		{"no signature", text, nil, false},
		{"another list's", []byte("192.0.2.2\n"), sig, false},
		{"cut", text, sig[:63], false},
		{"good", text, sig, true},
		{"in base64", text, []byte(base64.StdEncoding.EncodeToString(sig) + "\n"), true},
	}
	for i, tt := range tries {
		_ = os.Remove(name + ".sig")
		if tt.sig != nil {
			if err := os.WriteFile(name+".sig", tt.sig, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(i+1) * time.Hour)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
		if err := f.refresh(t.Context()); (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.name, err)
		}
		if in(f, "192.0.2.2") {
			t.Fatalf("%s: the unsigned list is in force", tt.name)
		}
	}
	// What lies in the state directory is not believed either without its signature.
	if err := os.WriteFile(f.kept(), []byte("192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := newFeed(b, f.folder, new(told).publish); err != nil || in(again, "192.0.2.2") || in(again, "192.0.2.1") {
		t.Errorf("a changed file of the state directory is in force (%v)", err)
	}
}

// A list is fetched again only when it has changed, and from nobody that the authorities do not know.
func TestFetchedList(t *testing.T) {
	fetched, unchanged, status, body := 0, 0, 200, "192.0.2.1\n"
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf("%q", body)
		w.Header().Set("ETag", tag)
		switch {
		case status != 200:
			w.WriteHeader(status)
		case r.Header.Get("If-None-Match") == tag:
			unchanged++
			w.WriteHeader(http.StatusNotModified)
		default:
			fetched++
			fmt.Fprint(w, body)
		}
	}))
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger, err := newFeed(checked(t, Blocklist{Name: "a", URL: srv.URL}), filepath.Join(dir, "a"), new(told).publish)
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.refresh(t.Context()); err == nil {
		t.Error("a server that no authority knows is believed")
	}
	f, err := newFeed(checked(t, Blocklist{Name: "b", URL: srv.URL, CAFile: ca}), filepath.Join(dir, "b"), new(told).publish)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.refresh(t.Context()); err != nil || !in(f, "192.0.2.1") {
			t.Fatal(err)
		}
	}
	if fetched != 1 || unchanged != 2 {
		t.Errorf("fetched %d times, told %d times that nothing has changed", fetched, unchanged)
	}
	body = "0.0.0.0/0\n"
	if err := f.refresh(t.Context()); err == nil {
		t.Error("a list of everybody is taken")
	}
	if status = 500; f.refresh(t.Context()) == nil {
		t.Error("an answer of 500 is taken")
	}
	status, body = 200, "192.0.2.2\n"
	if err := f.refresh(t.Context()); err != nil || !in(f, "192.0.2.2") || in(f, "192.0.2.1") {
		t.Errorf("the next good list: %v", err)
	}
	f.closeIdle()
}

// A server that knows no TLS 1.3 is believed only where the operator says so.
func TestFetchedListWithoutTLS13(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "192.0.2.1") }))
	srv.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	b := Blocklist{Name: "old", URL: srv.URL, CAFile: ca}
	for _, allowed := range []bool{false, true} {
		b.InsecureTLS12 = allowed
		f, err := newFeed(checked(t, b), filepath.Join(dir, "state"), new(told).publish)
		if err != nil {
			t.Fatal(err)
		}
		err = f.refresh(t.Context())
		switch {
		case allowed && (err != nil || !in(f, "192.0.2.1")):
			t.Errorf("allowed: %v", err)
		case !allowed && (err == nil || !strings.Contains(err.Error(), "protocol version") || in(f, "192.0.2.1")):
			t.Errorf("not allowed: %v", err)
		}
		f.closeIdle()
	}
}

// Who is in a list is shut out, unless he is allowed; a reload in the same words leaves the feed alone, one without the
// list ends it.
func TestDeskFollowsLists(t *testing.T) {
	st := store.NewMemory()
	defer st.Close()
	d, _, _ := testDesk(t, st, Settings{})
	defer func() { _ = d.Destruct() }()
	dir := t.TempDir()
	name := filepath.Join(dir, "list")
	if err := os.WriteFile(name, []byte("198.51.100.0/24\n10.0.0.0/8\n203.0.113.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []Blocklist{checked(t, Blocklist{Name: "hostile", File: name})}
	if err := d.Follow(all, dir); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for d.Lists()[0].Entries == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the list is not read")
		}
		time.Sleep(time.Millisecond)
	}
	for addr, want := range map[string]bool{
		"198.51.100.7": true, "::ffff:198.51.100.7": true, "192.0.2.1": false,
		"10.1.2.3": false, "203.0.113.7": false, "203.0.113.8": true, // private; a trusted proxy; beside it
	} {
		b, banned := d.Banned(netip.MustParseAddr(addr))
		if banned != want || banned && b.Jail != "blocklist hostile" {
			t.Errorf("%s: %v %+v", addr, banned, b)
		}
	}
	said, err := d.Check("10.1.2.3")
	if err != nil || !said.Allowed || len(said.Lists) != 1 || !strings.Contains(said.String(), "let in: it is on the allow-list, in spite of:\n  blocklist hostile") {
		t.Errorf("%+v %v\n%s", said, err, said)
	}
	before := (*d.lists.Load())[0]
	if err := d.Follow(all, dir); err != nil || (*d.lists.Load())[0] != before {
		t.Errorf("a reload in the same words begins anew (%v)", err)
	}
	if err := d.Follow(nil, dir); err != nil {
		t.Fatal(err)
	}
	if _, banned := d.Banned(netip.MustParseAddr("198.51.100.7")); banned {
		t.Error("a list that is followed no more shuts out")
	}
	<-before.done
}

func TestListsThatCannotBe(t *testing.T) {
	for name, b := range map[string]Blocklist{
		"nowhere": {Name: "a"}, "at two places": {Name: "a", File: "/x", URL: "https://x.test/"}, "in clear": {Name: "a", URL: "http://x.test/"},
		"with a password": {Name: "a", URL: "https://u:p@x.test/"}, "without a name": {File: "/x"}, "of a bad name": {Name: "../a", File: "/x"},
		"relative": {Name: "a", File: "x"}, "too often": {Name: "a", File: "/x", Every: "1ms"}, "stale at once": {Name: "a", URL: "https://x.test/", StaleAfter: "1m"},
		"of a key that is none": {Name: "a", File: "/x", SignedBy: "AAAA"},
	} {
		if err := checkLists([]Blocklist{b}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkListed(b *testing.B) {
	st := store.NewMemory()
	defer st.Close()
	d, _, _ := testDesk(b, st, Settings{})
	defer func() { _ = d.Destruct() }()
	var text strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "%d.%d.%d.%d\n", 1+i%200, i>>16&255, i>>8&255, i&255)
	}
	dir := b.TempDir()
	f := &runningList{feed: &feed{Blocklist: Blocklist{Name: "million"}, folder: dir}}
	began := time.Now()
	if err := f.load([]byte(text.String()), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/load")
	f.stop, f.done = func() {}, make(chan struct{})
	close(f.done)
	d.lists.Store(&[]*runningList{f})
	addr := netip.MustParseAddr("210.1.2.3")
	b.ReportAllocs()
	for b.Loop() {
		if _, banned := d.Banned(addr); banned {
			b.Fatal("banned")
		}
	}
}
