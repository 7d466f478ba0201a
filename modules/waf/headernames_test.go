package waf

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

func TestLowered(t *testing.T) {
	for name, want := range map[string]string{
		"User-Agent": "user-agent", "X-Own": "x-own", "x_Y": "x_y", "host": "host", "": "",
		"X-Ä": "X-Ä", "X Y": "X Y", "X-\xff": "X-\xff", "X-İ": "X-İ", "X:Y": "X:Y", "X-\u212a": "X-\u212a",
	} {
		if got := lowered(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for name, low := range lowNames {
		if low != strings.ToLower(name) || name != textproto.CanonicalMIMEHeaderKey(low) {
			t.Errorf("%q: %q", name, low)
		}
	}
}

// TestHeaderNamesInAnyCase: what is proven does not depend on whether the parser sees names as they were sent.
func TestHeaderNamesInAnyCase(t *testing.T) {
	e := proverEngine(t, Config{Paranoia: 2, Mode: Block, BodyLimit: testLimit, ResponseLimit: DefaultResponseLimit, Rules: RuleFiles{
		"after/x.conf": `SecRule REQUEST_HEADERS_NAMES "@rx ^x-own" "id:10001,phase:1,deny,t:none,t:lowercase"` + "\n" +
			`SecRule REQUEST_HEADERS:/^x-o/|!REQUEST_HEADERS:X-Only "@rx A" "id:10002,phase:1,deny"` + "\n" +
			`SecRule &REQUEST_HEADERS:X-Twice "@gt 1" "id:10003,phase:1,deny"`}})
	if !e.innocence.folds {
		t.Fatal("names are not folded")
	}
	r := newSeeded(31)
	doubted := 0
	for n := range 200 {
		x := streamed(r, pick(r, []string{"get", "form1k", "html8k", "sqli"}), newBrowser(r, n%12))
		for range r.IntN(4) {
			name := pick(r, []string{"x-own", "X-Oth", "x-only", "x-twice", "x-twice", "Content-Type", "Content-Length", "cookie", "proxy", "x_(y", "expect", "te", "X-É"})
			x.headers = append(x.headers, field{name, pick(r, []string{"A", "b", "1", "text/plain; charset=x", "() { :;}"})})
		}
		p := ready(x)
		for name, values := range maps.Clone(p.r.Header) { // the server gives names their usual form, but not all of them
			if name != "Cookie" && name != "Content-Length" && r.IntN(3) == 0 {
				delete(p.r.Header, name)
				p.r.Header[oddCase(r, name)] = values
			}
		}
		i, a := p.judge(e)
		e.innocence.folds = false
		k, b := p.judge(e)
		e.innocence.folds = true
		if i.trial.turned != k.trial.turned || a.Reason != b.Reason || fmt.Sprint(i.found.Rules) != fmt.Sprint(k.found.Rules) {
			t.Fatalf("%v\nfolded: %v %v %v\nas sent: %v %v %v", x, i.trial.turned, a, i.found.Rules, k.trial.turned, b, k.found.Rules)
		}
		if i.trial.turned {
			doubted++
		}
	}
	if doubted < 25 || doubted > 175 {
		t.Errorf("%d of 200 doubted", doubted)
	}
}

// oddCase changes the case of some letters.
func oddCase(r *rand.Rand, name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c|0x20 && c|0x20 <= 'z' && r.IntN(2) == 0 {
			b[i] ^= 0x20
		}
	}
	return string(b)
}

// TestHeadersAreWhatWasSent: Coraza's collections hold the headers that they were shown and no other, which is what lets
// toParser give the prover what it gives Coraza.
func TestHeadersAreWhatWasSent(t *testing.T) {
	e := side(t, "gatehouse", 1, true)
	r := newSeeded(32)
	for n := range 60 {
		x := streamed(r, pick(r, []string{"get", "form1k", "json2k", "multipart", "html8k", "sqli"}), newBrowser(r, n%12))
		x.headers = append(x.headers, field{pick(r, []string{"", "X-É", "x-a", "Cookie", "Content-Type"}), pick(r, []string{"", "a=b", "text/xml"})})
		p := ready(x)
		h := requestHead{describe(p.r, testClient)}
		tx := e.innocence.parser.NewTransactionWithID("sent")
		pf := e.innocence.prover.Begin(tx.(plugintypes.TransactionState))
		h.toParser(&trial{by: e.innocence, parser: tx, proof: pf})
		requestBody{data: x.body}.to(tx)
		name, want, got := e.innocence.names(), []string(nil), []string(nil)
		for _, f := range h.headers {
			if f.name != "" {
				want = append(want, name(f.name)+": "+f.value)
			}
		}
		for _, m := range variablesOf(tx).RequestHeaders().FindAll() {
			got = append(got, m.Key()+": "+m.Value())
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s\nsent %q\nheld %q", x.name, want, got)
		}
		pf.End()
		_ = tx.Close()
	}
}
