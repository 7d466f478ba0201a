package pseudonym_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/store"
)

func ring(t testing.TB, seed byte) *keyring.Ring {
	t.Helper()
	k, err := keyring.NewKey(append(bytes.Repeat([]byte{seed}, 31), 1), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	r, err := keyring.New(k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keysOn are the keys of a gateway on the store.
func keysOn(t testing.TB, st store.Store, r *keyring.Ring, tenants ...string) *pseudonym.Keys {
	t.Helper()
	keys, err := pseudonym.Open(st, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Destruct() })
	for _, tenant := range tenants {
		if err := keys.Make(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// keys are those of a house of its own.
func keys(t testing.TB) *pseudonym.Keys {
	t.Helper()
	st := store.NewMemory()
	t.Cleanup(func() { _ = st.Close() })
	return keysOn(t, st, ring(t, 7), "acme", "bolt", "")
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// NAT-05: stable within tenant and epoch, unlinkable across tenants, epochs and houses; kinds cannot be mistaken.
func TestWhoseItIs(t *testing.T) {
	keys, others, day := keys(t), keys(t), 24*time.Hour
	acme := keys.Namer("acme", day)
	first := acme.User("alice", noon)
	for what, other := range map[string]string{
		"another tenant":   keys.Namer("bolt", day).User("alice", noon),
		"the next epoch":   acme.User("alice", noon.Add(day)),
		"another house":    others.Namer("acme", day).User("alice", noon),
		"another user":     acme.User("alicf", noon),
		"a session":        acme.Session("alice", noon),
		"a text":           acme.Value("alice", noon),
		"a tenant of none": keys.Namer("", day).User("alice", noon),
	} {
		if other == first || other[strings.Index(other, "_"):] == first[1:] {
			t.Errorf("%s has the same pseudonym %s", what, first)
		}
	}
	if again := keys.Namer("acme", day).User("alice", noon.Add(time.Hour)); again != first {
		t.Errorf("the same user is %s and %s", first, again)
	}
	if !strings.HasPrefix(first, "u_") || len(first) != 18 {
		t.Errorf("a user's pseudonym is %q", first)
	}
	mapped, plain := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.1")
	if a, b := acme.Address(mapped, noon), acme.Address(plain, noon); a != b || !strings.HasPrefix(a, "ip_") {
		t.Errorf("one address is %s and %s", a, b)
	}
	if acme.User("", noon)+acme.Session("", noon)+acme.Address(netip.Addr{}, noon)+acme.Value("", noon)+acme.Path("", noon) != "" {
		t.Error("nobody has a pseudonym")
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48"} {
		if got := pseudonym.Network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if pseudonym.Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

func TestWord(t *testing.T) {
	for _, s := range []string{"orders", "wp-admin", "index.php", "v2", "V10", "OrderList", "admin_panel", "api", "css", "login", "README.md", "xml"} {
		if !pseudonym.Word(s) {
			t.Errorf("%q is no word", s)
		}
	}
	for _, s := range []string{"", "12345", "a1b2", "4111111111111111", "alice@example.com", "192.0.2.1", "eyJhbGciOiJIUzI1NiJ9", "müller", "%41", "a b",
		"ThisIsARatherLongNameOfSomebody", "xKqZbTvWpRnM", "qzxvbtwkpl", "v1234", "..%2f", "<script>", "CANARY-7f3a"} {
		if pseudonym.Word(s) {
			t.Errorf("%q is a word", s)
		}
	}
}

func TestPath(t *testing.T) {
	n := keys(t).Namer("acme", 0)
	for in, want := range map[string]string{
		"/":                       "/",
		"/orders/list":            "/orders/list",
		"/orders/12345/edit":      "/orders/p_*/edit",
		"/users/alice":            "/users/p_*",
		"/users/Alice/":           "/users/p_*/",
		"/mail/bob@example.com":   "/mail/p_*",
		"//x/":                    "//x/",
		"no-slash 7":              "p_*",
		strings.Repeat("/a", 1e3): "p_*",
	} {
		got := n.Path(in, noon, "alice")
		if i := strings.Index(got, "p_"); i >= 0 {
			got = got[:i+2] + "*" + got[i+18:]
		}
		if got != want {
			t.Errorf("%.40s: %s, want %s", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	n := keys(t).Namer("acme", 0)
	for _, secret := range []string{"alice", "bob@example.com", "192.0.2.77", "2001:db8::1", "4111111111111111", "hunter2hunter", "eyJhbGciOi.eyJz.abc"} {
		got := n.Text("login of "+secret+", refused ("+secret+"): try again", noon, "alice")
		if strings.Contains(got, secret) || !strings.Contains(got, "login of t_") || !strings.HasSuffix(got, "): try again") {
			t.Errorf("%s: %s", secret, got)
		}
	}
	for _, s := range []string{"rule 941 of group admin: score 15, limit 5", "allow role staff /admin/*", "a -- b", ""} {
		if got := n.Text(s, noon); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestAgent(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":            "Chrome/131 Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari Edg/131.0.1": "Edge/131 Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605":    "Safari/18 Macintosh",
		"curl/8.16.0":          "curl/8",
		"alice's phone":        "other",
		"curl/secret":          "curl",
		"Firefox/4111111111.0": "Firefox",
	} {
		if got := pseudonym.Agent(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// FuzzText: what is put in whole never comes out whole, unless it is words.
func FuzzText(f *testing.F) {
	f.Add("a1 b2/c3")
	f.Add("http://x:1/…")
	n := keys(f).Namer("acme", 0)
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{n.Text(s+" 7f3a9c", noon), n.Path("/"+s+"/7f3a9c", noon)} {
			if strings.HasSuffix(got, "7f3a9c") {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}

func BenchmarkAddress(b *testing.B) {
	n, a := keys(b).Namer("acme", time.Hour), netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		n.Address(a, noon)
	}
}
