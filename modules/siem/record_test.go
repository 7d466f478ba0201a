package siem

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

func scribeFor(t testing.TB) *scribe {
	t.Helper()
	k, err := keyring.NewKey(append(bytes.Repeat([]byte{7}, 31), 1), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.New(k)
	if err != nil {
		t.Fatal(err)
	}
	st := store.NewMemory()
	keys, err := pseudonym.Open(st, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keys.Destruct(), st.Close() })
	for _, tenant := range []string{"", "acme"} {
		if err := keys.Make(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	return &scribe{
		node: "gw1", tenant: map[string]string{"app.test": "acme", "open.test": "open"}, hosts: map[string][]string{"app.test": {"app.test"}},
		namers: map[string]*pseudonym.Namer{"acme": keys.Namer("acme", 0)}, clear: func(tenant string) bool { return tenant == "open" },
		paths: true, keys: keys,
	}
}

// Whatever an event says that we do not know to be nobody's is replaced: also what rooms that do not exist yet will say.
func TestEventsNameNobody(t *testing.T) {
	s := scribeFor(t)
	e := event.Event{
		Time: time.Now(), Kind: event.UserChanged, Site: "app.test", ClientIP: netip.MustParseAddr("198.51.100.7"), User: "local:ada", Session: "sess7",
		Detail: "name: Ada Lovelace", Reason: verdict.LoginFailed,
		Attrs: []event.Attr{
			{Key: "operator", Value: "olga"}, {Key: "attempted_user", Value: "ada"}, {Key: "login", Value: "local:ada"}, {Key: "by", Value: "olga"},
			{Key: "network", Value: "198.51.100.7/32"}, {Key: "other_session", Value: "sess7"}, {Key: "new_attribute", Value: "ada's 4711"},
		},
	}
	r := s.record(&told{Ended: event.Ended{Event: e}})
	text := fmt.Sprintf("%+v", *r)
	for _, secret := range []string{"ada", "Ada", "Lovelace", "olga", "198.51.100.7", "sess7", "4711"} {
		if strings.Contains(text, secret) {
			t.Errorf("it tells %q: %s", secret, text)
		}
	}
	if r.ClientNet.String() != "198.51.100.0/24" || !strings.HasPrefix(r.User, "u_") || r.Attrs[0].Value != r.Attrs[3].Value || r.Tenant != "acme" || r.Clear {
		t.Errorf("%+v", r)
	}
	e.Site = "open.test"
	if r := s.record(&told{Ended: event.Ended{Event: e}}); r.User != "local:ada" || r.Client != "198.51.100.7" || r.Detail != e.Detail || !r.Clear {
		t.Errorf("a tenant that wants it clear: %+v", r)
	}
	e.Site = "" // nobody's site: nobody has said that it may be told
	if r := s.record(&told{Ended: event.Ended{Event: e}}); r.Clear || strings.Contains(fmt.Sprintf("%+v", *r), "olga") {
		t.Errorf("an event of no site: %+v", r)
	}
}

// A host that is not the site's, a method that nobody knows: clients chose them.
func TestWhatClientsChoose(t *testing.T) {
	s := scribeFor(t)
	e := someRequest()
	e.Host, e.Method = "somebody.example", "BREW"
	if r := s.record(&told{Ended: e, request: true}); strings.Contains(r.Host, "somebody") || r.Method == "BREW" {
		t.Errorf("%+v", r)
	}
	e.Host, e.Method = "app.test:8443", "GET"
	if r := s.record(&told{Ended: e, request: true}); r.Host != e.Host || r.Method != "GET" || r.Path == e.Path || !strings.HasPrefix(r.Path, "/orders/p_") {
		t.Errorf("%+v", r)
	}
	s.paths = false
	if r := s.record(&told{Ended: e, request: true}); strings.Contains(r.Path, "orders") {
		t.Errorf("hidden paths: %+v", r)
	}
}
