package verify

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// database makes a GeoIP database of that time with what City and ASN databases say.
func database(t testing.TB, made time.Time) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24, BuildEpoch: made.Unix(), IncludeReservedNetworks: true, Description: map[string]string{"en": "a test"}})
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range map[string]mmdbtype.Map{
		"198.51.100.0/24": {
			"country":  mmdbtype.Map{"iso_code": mmdbtype.String("DE")},
			"location": mmdbtype.Map{"latitude": mmdbtype.Float64(52.5), "longitude": mmdbtype.Float64(13.4), "accuracy_radius": mmdbtype.Uint16(20)},
		},
		"203.0.113.0/24": {"autonomous_system_number": mmdbtype.Uint32(64496)},
		"2001:db8::/32":  {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}},
	} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Files may be missing, broken, stale, and come and go: it is told of once, what was read before stays in force, and what is not
// known is no signal.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	city, tor := filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "tor.txt")
	var told []string
	p := newPlaces([]string{city}, []string{tor}, func(t trouble) { told = append(told, filepath.Base(t.Path)+" "+t.Problem) })
	now := time.Now()
	stamp := now.Add(-time.Hour)
	put := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		stamp = stamp.Add(time.Second)
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	says := func(what string, want ...string) {
		t.Helper()
		told = nil
		p.refresh(now)
		p.refresh(now)
		if len(told) != len(want) {
			t.Fatalf("%s: told %q, want %q", what, told, want)
		}
		for i := range want {
			if !strings.HasPrefix(told[i], want[i]) {
				t.Errorf("%s: told %q, want %q", what, told, want)
			}
		}
	}
	where := func(addr string) (geo, bool) { return p.at(netip.MustParseAddr(addr)) }

	says("nothing there", "city.mmdb missing", "tor.txt missing")
	if g, listed := where("198.51.100.7"); g != (geo{}) || listed {
		t.Errorf("known without a file: %+v %v", g, listed)
	}
	good := database(t, now)
	put(city, good)
	put(tor, []byte("# exits\n198.51.100.9\n2001:db8:5::/48 # a network\nAS64496\n"))
	says("both come", "city.mmdb ", "tor.txt ")
	for addr, c := range map[string]struct {
		want   geo
		listed bool
	}{
		"198.51.100.7":  {geo{Country: "DE", Located: true, Lat: 52.5, Lon: 13.4, Radius: 20}, false},
		"198.51.100.9":  {geo{Country: "DE", Located: true, Lat: 52.5, Lon: 13.4, Radius: 20}, true},
		"203.0.113.5":   {geo{ASN: 64496}, true},
		"2001:db8:5::1": {geo{Country: "FR"}, true},
		"2001:db8:6::1": {geo{Country: "FR"}, false},
		"192.0.2.1":     {geo{}, false},
	} {
		if g, listed := where(addr); g != c.want || listed != c.listed {
			t.Errorf("%s: %+v %v, want %+v %v", addr, g, listed, c.want, c.listed)
		}
	}
	for what, content := range map[string][]byte{"cut short": good[:len(good)/2], "no database": []byte("hello"), "empty": nil} {
		put(city, content)
		says(what, "city.mmdb unusable")
		if g, _ := where("198.51.100.7"); g.Country != "DE" {
			t.Errorf("%s: what was there before is gone: %+v", what, g)
		}
		put(city, good)
		says("whole again", "city.mmdb ")
	}
	for _, content := range []string{"0.0.0.0/0", "hello", "AS0", "AS", "10.0.0.0/99"} {
		put(tor, []byte(content))
		says(content, "tor.txt unusable")
		put(tor, []byte("198.51.100.9"))
		says("whole again", "tor.txt ")
	}
	put(city, database(t, now.Add(-90*24*time.Hour)))
	says("stale", "city.mmdb stale")
	if g, _ := where("198.51.100.7"); g.Country != "DE" {
		t.Errorf("stale: %+v", g)
	}
	if err := os.Remove(city); err != nil {
		t.Fatal(err)
	}
	says("gone", "city.mmdb missing")
	if g, _ := where("198.51.100.7"); g.Country != "DE" {
		t.Errorf("gone: %+v", g)
	}
}

// However a database is broken, nothing panics.
func TestBrokenDatabases(t *testing.T) {
	good := database(t, time.Now())
	path := filepath.Join(t.TempDir(), "city.mmdb")
	for i := 0; i < len(good); i += 7 {
		bad := bytes.Clone(good)
		bad[i] ^= 0xff
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		p := newPlaces([]string{path}, nil, func(trouble) {})
		p.refresh(time.Now())
		p.at(netip.MustParseAddr("198.51.100.7"))
		p.at(netip.MustParseAddr("2001:db8::1"))
	}
}

func BenchmarkPlaces(b *testing.B) {
	path := filepath.Join(b.TempDir(), "city.mmdb")
	if err := os.WriteFile(path, database(b, time.Now()), 0o600); err != nil {
		b.Fatal(err)
	}
	p := newPlaces([]string{path}, nil, func(trouble) {})
	p.refresh(time.Now())
	addr := netip.MustParseAddr("198.51.100.7")
	b.ReportAllocs()
	for b.Loop() {
		p.at(addr)
	}
}
