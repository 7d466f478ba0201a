package standard_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// atlas makes a GeoIP database in which this machine's networks are somewhere on Earth.
func atlas(t testing.TB) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24, BuildEpoch: time.Now().Unix(), IncludeReservedNetworks: true, Description: map[string]string{"en": "a test"}})
	if err != nil {
		t.Fatal(err)
	}
	spot := func(country string, lat, lon float64, radius uint16, asn uint32) mmdbtype.Map {
		return mmdbtype.Map{
			"country":                  mmdbtype.Map{"iso_code": mmdbtype.String(country)},
			"location":                 mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon), "accuracy_radius": mmdbtype.Uint16(radius)},
			"autonomous_system_number": mmdbtype.Uint32(asn),
		}
	}
	for network, record := range map[string]mmdbtype.Map{
		"127.1.0.0/16": spot("DE", 52.5, 13.4, 20, 64500),     // Berlin
		"127.2.0.0/16": spot("AU", -33.9, 151.2, 50, 64501),   // Sydney
		"127.4.0.0/16": spot("DE", -33.9, 151.2, 20e3, 64502), // somewhere
		"127.5.0.0/16": spot("DE", 52.4, 13.1, 20, 64496),     // Potsdam, and an AS that is listed
		"127.6.0.0/16": spot("DE", 52.4, 13.1, 20, 64503),     // of which a part is listed
		"127.7.0.0/16": spot("AU", -33.9, 151.2, 50, 64504),   // the way out of the house's VPN
	} {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, record); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

// noon is the zone in which it is noon now, or nearly.
func noon() string {
	switch h := time.Now().UTC().Hour() - 12; {
	case h > 0:
		return fmt.Sprintf("Etc/GMT+%d", h)
	case h < 0:
		return fmt.Sprintf("Etc/GMT-%d", -h)
	}
	return "Etc/GMT"
}

// Every signal has its outcome through the whole row, by databases and lists that are files, and by role and tenant; what is no
// reason for one passes.
// Controls: CTB-03, NAT-11.
func TestVerifySignals(t *testing.T) {
	city, list := atlas(t), filepath.Join(t.TempDir(), "tor.txt")
	if err := os.WriteFile(list, []byte("# exits\n127.6.9.0/24\nAS64496\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.mmdb")
	if err := os.WriteFile(broken, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Format("Mon"))
	files := "geoip " + city + "\nlists " + list + "\n"
	type visit struct {
		from   string
		status int
	}
	tenants := "\n}\ntenant acme {\nproviders voucher\n}\ntenant bolt {\nproviders voucher\n}\nclient_limits {\n"
	for _, tt := range []struct {
		name, words, policy string
		visits              []visit
		event               string // of what is denied or held, with the signal
		signal              string
	}{
		{"a country", files + "new_country deny", "", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 403}, {"127.4.0.1", 200}, {"127.0.0.1", 200}, {"127.1.0.1", 200}}, "verify.denied", "new_country"},
		{"a journey", files + "impossible_travel deny", "", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 403}, {"127.5.0.1", 200}}, "verify.denied", "impossible_travel"},
		{"a journey that may be none", files + "impossible_travel deny", "", []visit{{"127.1.0.1", 200}, {"127.4.0.1", 200}, {"127.1.0.1", 200}}, "", ""},
		{"the house's way out", files + "impossible_travel deny\nnew_country deny\nnew_network deny\ntrusted 127.7.0.0/16", "", []visit{{"127.1.0.1", 200}, {"127.7.0.1", 200}, {"127.1.0.1", 200}}, "", ""},
		{"a way out that nobody named", files + "impossible_travel deny", "", []visit{{"127.1.0.1", 200}, {"127.7.0.1", 403}}, "verify.denied", "impossible_travel"},
		{"a listed network", files + "listed_network deny", "", []visit{{"127.6.0.1", 200}, {"127.6.9.1", 403}, {"127.6.8.1", 200}}, "verify.denied", "listed_network"},
		{"a listed AS", files + "listed_network ask_admin", "", []visit{{"127.1.0.1", 200}, {"127.5.0.1", 302}}, "verify.held", "listed_network"},
		{"a listed network that is the house's", files + "listed_network deny\ntrusted 127.6.9.0/24", "", []visit{{"127.6.9.1", 200}}, "", ""},
		{"the first login", "first_login deny", "", []visit{{"127.1.0.1", 403}}, "verify.denied", "first_login"},
		{"another day", "off_hours deny\nhours " + later + " 00:00-23:59 UTC", "", []visit{{"127.1.0.1", 403}}, "verify.denied", "off_hours"},
		{"at noon", "off_hours deny\nhours sun-sat 10:00-14:00 " + noon(), "", []visit{{"127.1.0.1", 200}}, "", ""},
		{"off hours, for a role", "for role staff {\noff_hours deny\n}\nhours " + later + " 00:00-23:59 UTC", "", []visit{{"127.1.0.1", 403}}, "verify.denied", "off_hours"},
		{"off hours, for another role", "for role boss {\noff_hours deny\n}\nhours " + later + " 00:00-23:59 UTC", "", []visit{{"127.1.0.1", 200}}, "", ""},
		{"the tenant's", "for tenant acme {\nnew_network deny\n}" + tenants, "tenant acme", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 403}}, "verify.denied", "new_network"},
		{"another tenant's", "for tenant bolt {\nnew_network deny\n}" + tenants, "tenant acme", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 200}}, "", ""},
		{"the house's, and a tenant's that is strict", "new_network notify\nfor tenant acme {\nnew_network deny\n}" + tenants, "tenant acme", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 403}}, "verify.denied", "new_network"},
		{"a roaming telephone", "new_network deny", "", []visit{{"127.1.0.1", 200}, {"127.1.200.1", 200}, {"127.2.0.1", 403}}, "verify.denied", "new_network"},
		{"no roaming", "new_network deny\nroaming off", "", []visit{{"127.1.0.1", 200}, {"127.1.200.1", 403}}, "verify.denied", "new_network"},
		{"a database that is missing", "geoip " + city + ".gone\nnew_country deny", "", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 200}}, "geoip.trouble", "missing"},
		{"a database that is none", "geoip " + broken + "\nnew_country deny", "", []visit{{"127.1.0.1", 200}, {"127.2.0.1", 200}}, "geoip.trouble", "unusable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := "new_network allow\nnew_device allow\nnew_country allow\nimpossible_travel allow\nlisted_network allow\noff_hours allow\n"
			g := verifying(t, all+tt.words, "policy", "allow role staff\n"+tt.policy)
			p := comeFrom(t, g.Gateway, tt.visits[0].from).logIn("as=sam&roles=staff")
			for _, v := range tt.visits {
				p.move(v.from).want(v.from, "/x", v.status, "")
			}
			if tt.event != "" {
				g.WantEvent(tt.event, tt.signal)
			} else if n := g.Events("verify.denied") + g.Events("verify.held"); n > 0 {
				t.Errorf("%d visits were denied or held", n)
			}
		})
	}
}

// Policies may ask for a device that the person has used before: in an earlier session, or proven in this one.
func TestPoliciesAskForDevices(t *testing.T) {
	policy := "allow role staff\nroute /known/* {\nallow role staff device known\n}\nroute /not/* {\ndeny device unknown\nallow role staff\n}\nroute /cel/* {\nallow cel `\"device\" in facts && facts[\"device\"] == \"known\"`\n}"
	wantAll := func(t *testing.T, p *place, what string, status int) {
		t.Helper()
		p.want(what, "/x", 200, "")
		for _, path := range []string{"/known/x", "/not/x", "/cel/x", "/known/x"} {
			p.want(what+" "+path, path, status, "")
		}
	}
	t.Run("unasked", func(t *testing.T) {
		g := verifying(t, "new_device allow\nnew_network allow", "policy", policy)
		sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
		wantAll(t, sam, "the first session", 403)
		wantAll(t, sam.leave().logIn("as=sam&roles=staff"), "the second session", 200)
		other := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
		wantAll(t, other, "another device", 403)
		wantAll(t, sam, "the first device", 200)
		wantAll(t, sam.leave().logIn("as=ann&roles=staff"), "somebody else with the device", 403)
	})
	t.Run("proven", func(t *testing.T) {
		g := verifying(t, "new_device step_up", "policy", policy)
		sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
		sam.want("the first login", "/x", 200, "")
		key := sam.enrol()
		other := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
		page := other.want("the factor", "/.gatehouse/mfa/verify?next=/x", 200, "")
		other.post("proven", "/.gatehouse/mfa/verify", page, 303, "/x", "code", code(t, key, 1), "next", "/x")
		wantAll(t, other, "a device that was proven", 200)
	})
}

// leave logs out.
func (p *place) leave() *place {
	p.t.Helper()
	page := p.want("the way out", "/.gatehouse/logout", 200, "")
	p.post("out", "/.gatehouse/logout", page, 200, "")
	return p
}
