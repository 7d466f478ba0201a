package evidence

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// advised says whether there is advice with these words, and whether it is that something is wrong.
func advised(all []Advice, words string) (found, wrong bool) {
	for _, a := range all {
		if strings.Contains(a.What, words) {
			return a.Fix != "", a.Wrong
		}
	}
	return false, false
}

// Of a gateway that is set up well there is nothing to say; each thing that is not is told of, with a fix.
func TestDoctor(t *testing.T) {
	alerted := func(r *Run) { r.Config.House.Rooms["alert"] = json.RawMessage("{}") }
	if all := (fake{run: alerted}).start(t).Diagnose(context.Background()); len(all) != 1 || all[0].Wrong || !strings.Contains(all[0].What, "of no public authority") || !strings.Contains(all[0].What, "SHA-256 is ") {
		t.Errorf("a good gateway, but for its certificate, which it signed itself: %+v", all)
	}
	for name, tt := range map[string]struct {
		f     fake
		words string
		wrong bool
	}{
		"an application elsewhere": {fake{run: func(r *Run) { r.Config.Sites[0].Upstreams = []string{"app.example.com:80"} }}, "not known to be private", false},
		"an application past the gateway": {fake{run: func(r *Run) {
			must(os.MkdirAll(filepath.Join(r.proc, "net"), 0o700))
			write(filepath.Join(r.proc, "net", "tcp"), strings.Replace(procTCP(8080), "0100007F", "00000000", 1))
		}}, "past the gateway", true},
		"one address":        {fake{run: func(r *Run) { sessionsFrom(r, "192.0.2.1", "192.0.2.1") }}, "one address", true},
		"a stale list":       {fake{run: func(r *Run) { record1(r, event.Event{Time: time.Now(), Kind: event.BlocklistStale}) }}, "not good for too long", false},
		"a clock":            {fake{run: func(r *Run) { record1(r, event.Event{Time: time.Now(), Kind: event.ClockRolledBack}) }}, "clock went back", true},
		"a tampered record":  {fake{run: tamper}, "does not verify", true},
		"an exception":       {fake{run: func(r *Run) { r.Config.Insecure = []string{"insecure_http3"} }}, "insecure_http3", false},
		"long sessions":      {fake{run: func(r *Run) { r.Config.Sites[0].Session.Max = 48 * time.Hour }}, "last up to", false},
		"long idle sessions": {fake{run: func(r *Run) { r.Config.Sites[0].Session.Idle = 2 * time.Hour }}, "idle 2h", true},
		"nobody is told":     {fake{}, "nobody is told", false},
	} {
		if found, wrong := advised(tt.f.start(t).Diagnose(context.Background()), tt.words); !found || wrong != tt.wrong {
			t.Errorf("%s: told %v, wrong %v", name, found, wrong)
		}
	}
	two := fake{run: func(r *Run) { sessionsFrom(r, "192.0.2.1", "192.0.2.2") }}
	if found, _ := advised(two.start(t).Diagnose(context.Background()), "one address"); found {
		t.Error("sessions from two addresses are taken for one")
	}
}

// sessionsFrom has sessions begin, from one address and from another.
func sessionsFrom(r *Run, one, other string) {
	c, err := chain.Open(r.Facts.Audit, chain.Options{Origin: r.Facts.Origin})
	must(err)
	for i := range enoughSessions {
		from := one
		if i%2 == 1 {
			from = other
		}
		must(c.Record(event.Event{Time: time.Now(), Kind: event.SessionCreated, ClientIP: netip.MustParseAddr(from)}))
	}
	must(c.Destruct())
}
