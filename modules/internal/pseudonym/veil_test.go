package pseudonym_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/pseudonym"
)

func visit() event.Ended {
	return event.Ended{
		Event: event.Event{
			Time: time.Unix(1795965592, 0), Site: "app.test", ClientIP: netip.MustParseAddr("198.51.100.7"), User: "local:ada", Session: "sess7",
			Method: "GET", Path: "/orders/12345/edit", Status: 200,
			Attrs: []event.Attr{{Key: "waf_rules", Value: "942100,942190"}, {Key: "email", Value: "plain"}, {Key: "by", Value: "olga"}},
		},
		Host: "app.test", Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		Grant: "allow role staff",
	}
}

// What is veiled is a copy's: what others were handed stays as it was.
func TestVeil(t *testing.T) {
	e := visit()
	attrs := e.Attrs
	client := pseudonym.Veil{Namer: keys(t).Namer("acme", 0)}.Over(&e, []string{"app.test"})
	if !strings.HasPrefix(client, "ip_") || e.ClientIP.String() != "198.51.100.0" || !strings.HasPrefix(e.User, "u_") || !strings.HasPrefix(e.Session, "s_") ||
		!strings.HasPrefix(e.Path, "/orders/p_") || e.Host != "app.test" || e.Agent != "Chrome/131 Linux" || e.Grant != "allow role staff" {
		t.Errorf("%s: %+v", client, e)
	}
	if e.Attrs[0].Value != "942100,942190" || !strings.HasPrefix(e.Attrs[1].Value, "t_") || !strings.HasPrefix(e.Attrs[2].Value, "u_") || attrs[2].Value != "olga" {
		t.Errorf("attributes: %v, of %v", e.Attrs, attrs)
	}
	one, other := pseudonym.Nobodys(), pseudonym.Nobodys()
	if one.User("ada", time.Time{}) == other.User("ada", time.Time{}) {
		t.Error("nobody's pseudonyms are somebody's")
	}
}

func BenchmarkVeil(b *testing.B) {
	v, e := pseudonym.Veil{Namer: keys(b).Namer("acme", 0)}, visit()
	b.ReportAllocs()
	for b.Loop() {
		said := e
		v.Over(&said, []string{"app.test"})
	}
}
