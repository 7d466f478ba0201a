package waf

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func shadowOf(t *testing.T, paranoia int, files RuleFiles) *Engine {
	t.Helper()
	e, err := New(Config{Paranoia: paranoia, Mode: Detect, BodyLimit: defaultBodyLimit, Rules: files}, bodies)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func shadowRequest(target, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://app.test"+target, strings.NewReader(body))
	r.Header.Set("User-Agent", "Mozilla/5.0")
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// judged runs one request through the shadow and returns the disagreement that it reports.
func judged(t *testing.T, engine *Engine, r *http.Request, body string, live Findings) []Difference {
	t.Helper()
	var got []Difference
	synctest.Test(t, func(t *testing.T) {
		s := NewShadow(engine, 1) // in the bubble, so that waiting for its queue is idleness
		ctx, cancel := context.WithCancel(context.Background())
		go s.Run(ctx, func(d Difference) {
			if !d.Agrees() {
				got = append(got, d)
			}
		})
		c := s.Take(r, netip.MustParseAddr("192.0.2.1"))
		c.Body([]byte(body))
		r.Header.Set("X-Gatehouse-User", "added by a later room")
		r.URL.Path = "/rewritten"
		s.Offer(c, Difference{RequestID: "ID", Site: "app.test", Live: live})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n, _ := s.Counts(); n != 1 {
			t.Errorf("judged %d requests", n)
		}
	})
	return got
}

func TestShadowTellsWhatAnotherParanoiaWouldBlock(t *testing.T) {
	s := shadowOf(t, 3, nil)
	const body = "q=a'+or+b&x=%24%28x%29"
	got := judged(t, s, shadowRequest("/x", body), body, Findings{})
	if len(got) != 1 || !got[0].Worse() || len(got[0].Shadow.Rules) == 0 || got[0].RequestID != "ID" {
		t.Fatalf("the shadow reports %+v", got)
	}
}

func TestShadowIsSilentWhereBothAgree(t *testing.T) {
	s := shadowOf(t, 1, nil)
	if got := judged(t, s, shadowRequest("/x", "q=hello"), "q=hello", Findings{}); len(got) != 0 {
		t.Fatalf("the shadow reports %+v", got)
	}
}

// A candidate rule directory that lets pass what the live rules refuse shows as a difference, too.
func TestShadowOfCandidateRules(t *testing.T) {
	candidate := RuleFiles{"before/x.conf": `SecRule REQUEST_FILENAME "@streq /x" "id:1,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:q"`}
	s := shadowOf(t, 1, candidate)
	const body = "q=%3Cscript%3Ealert(1)%3C/script%3E"
	got := judged(t, s, shadowRequest("/x", body), body, Findings{Blocking: true, Rules: []int{941100}})
	if len(got) != 1 || got[0].Shadow.Blocking || got[0].Worse() {
		t.Fatalf("the shadow reports %+v", got)
	}
}

func TestShadowIsBounded(t *testing.T) {
	s := NewShadow(nil, 1) // nobody works the queue off
	for range shadowQueue + 10 {
		s.Offer(s.Take(shadowRequest("/x", ""), netip.Addr{}), Difference{})
	}
	if _, dropped := s.Counts(); dropped != 10 {
		t.Errorf("%d dropped, want 10", dropped)
	}
	big := s.Take(shadowRequest("/x", ""), netip.Addr{})
	big.Body(slices.Repeat([]byte("x"), shadowBody+1))
	s.Offer(big, Difference{})
	if _, dropped := s.Counts(); dropped != 10 {
		t.Error("a body too large to copy was offered")
	}
	var none *Shadow
	none.Offer(none.Take(shadowRequest("/x", ""), netip.Addr{}), Difference{}) // a site without a shadow
	if c := NewShadow(nil, 0).Take(shadowRequest("/x", ""), netip.Addr{}); c != nil {
		t.Error("a share of nothing takes something")
	}
}
