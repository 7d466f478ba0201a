package testenv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// metric reads a sample of the gateway's metrics: its name with its labels as Prometheus writes them; 0 if it is not there.
func (g *gateway) metric(t testing.TB, sample string) float64 {
	t.Helper()
	text, err := g.adminGet("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// proofs is how many requests the prover has made this of.
func (g *gateway) proofs(t testing.TB, result string) float64 {
	t.Helper()
	return g.metric(t, `gatehouse_waf_proofs_total{result="`+result+`",site="app.test"}`)
}

// provers is how many rule sets there are whose prover is in this state.
func (g *gateway) provers(t testing.TB, state string) float64 {
	t.Helper()
	return g.metric(t, `gatehouse_waf_prover_engines{state="`+state+`"}`)
}

// proverSite is a site with a rule directory and further words in its waf block.
func proverSite(rules, words string) string {
	return "public /*\n\t\twaf {\n\t\t\trules " + rules + "\n\t\t\t" + words + "\n\t\t}"
}

func writeRules(t testing.TB, dir, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "before"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "before", "site.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func typed(contentType string) http.Header { return http.Header{"Content-Type": {contentType}} }

// browsing is what people and programs do all day.
var browsing = []request{
	{Path: "/", Nav: true},
	{Path: "/assets/app.css?v=3"},
	{Path: "/search?q=two+cranes&page=2&sort=name", Nav: true},
	{Path: "/api/notes/17"},
	{Method: "POST", Path: "/api/notes", Header: typed("application/json"), Body: []byte(`{"title":"Groceries","done":false,"items":["bread","2 l of milk"],"count":3}`)},
	{Method: "POST", Path: "/profile", Header: typed("application/x-www-form-urlencoded"), Body: []byte("name=Ada+Lovelace&city=London&age=36")},
	{Path: "/", HTTP: "1.1"},
	{Path: "/", HTTP: "3"},
}

// attacks is what they do not do, by the rule that is expected among those that match.
var attacks = map[string]request{
	"941100": {Path: "/?q=%3Cscript%3Ealert(1)%3C/script%3E"},
	"942100": {Method: "POST", Path: "/login", Header: typed("application/x-www-form-urlencoded"), Body: []byte("user=x'+OR+1=1+--+&p=1")},
	"930120": {Path: "/download?file=../../../../etc/passwd"},
	"932160": {Method: "POST", Path: "/api/run", Header: typed("application/json"), Body: []byte(`{"host":"127.0.0.1; cat /etc/passwd"}`)},
	"944150": {Path: "/", Header: http.Header{"Referer": {"${jndi:ldap://192.0.2.1/a}"}}},
	"933100": {Method: "POST", Path: "/upload", Header: typed("text/plain"), Body: []byte("<?php system($_GET['c']);")},
}

// refusals sends the attacks and returns which rules the log names for each. All are refused.
func (g *gateway) refusals(t *testing.T, c *client) map[string]string {
	t.Helper()
	rules := map[string]string{}
	for want, r := range attacks {
		a := c.must(t, r)
		if err := a.refusedAs("waf_blocked", http.StatusForbidden); err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		line, err := g.accessLine(a.id())
		if err != nil {
			t.Fatal(err)
		}
		rules[want] = fmt.Sprintf("%v %v %v", line["waf_rules"], line["waf_score"], line["detail"])
		if !strings.Contains(rules[want], want) {
			t.Errorf("rule %s is not among %s", want, rules[want])
		}
	}
	return rules
}

// browse sends what must pass.
func (c *client) browse(t *testing.T) {
	t.Helper()
	for _, r := range browsing {
		if a := c.must(t, r); a.Status != http.StatusOK {
			t.Errorf("%s %s is answered with %d", r.Method, r.Path, a.Status)
		}
	}
}

// TestProver: what people do is proven harmless, what attackers do is refused for the same reasons as without proof,
// before and after the rules were changed, and the word that switches proof off does so and nothing else.
func TestProver(t *testing.T) {
	app, rules := startReflector(t), t.TempDir()
	writeRules(t, rules, "SecMarker NOTHING\n")
	g := startGateway(t, config{Backend: app, Site: proverSite(rules, "")})
	c := g.stranger(t)

	c.browse(t)
	if n := g.proofs(t, "proven"); n != float64(len(browsing)) || g.proofs(t, "doubted") != 0 {
		t.Errorf("%v of %d requests are proven, %v are doubted", n, len(browsing), g.proofs(t, "doubted"))
	}
	if g.provers(t, "on") != 1 || g.provers(t, "off")+g.provers(t, "none")+g.provers(t, "wrong") != 0 {
		t.Error("the metric does not say that the prover is on")
	}
	if lines, err := g.lines("compiled the WAF's rules"); err != nil || len(lines) != 1 || lines[0]["prover"] != true || lines[0]["paranoia"] != 1.0 {
		t.Errorf("the log says at start: %v, %v", lines, err)
	}
	proven := g.refusals(t, c)
	if n := g.proofs(t, "doubted"); n != float64(len(attacks)) {
		t.Errorf("%v of %d attacks are doubted", n, len(attacks))
	}

	writeRules(t, rules, `SecRule ARGS:pet "@streq dragon" "id:10001,phase:2,deny,status:403,log,msg:'no dragons',t:none,t:lowercase"`)
	eventually(t, time.Minute, "the changed rules are taken up", func() bool {
		lines, err := g.lines("waf.rules_loaded")
		return err == nil && len(lines) == 1
	})
	before := g.proofs(t, "proven")
	c.browse(t)
	if a := c.get(t, "/?pet=cat"); a.Status != http.StatusOK {
		t.Errorf("a cat is answered with %d", a.Status)
	}
	if n := g.proofs(t, "proven") - before; n != float64(len(browsing)+1) {
		t.Errorf("after the change %v requests are proven", n)
	}
	if err := c.get(t, "/?pet=DRAGON").refusedAs("waf_blocked", http.StatusForbidden); err != nil {
		t.Errorf("the new rule: %v", err)
	}

	off := config{Site: proverSite(rules, "prover off")}
	if err := g.configure(off.caddyfile()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.reload(); err != nil {
		t.Fatal(err)
	}
	before = g.proofs(t, "proven")
	c.browse(t)
	judged := g.refusals(t, c)
	if !maps.Equal(proven, judged) {
		t.Errorf("with proof the attacks were refused for\n%v\nand without for\n%v", proven, judged)
	}
	if g.proofs(t, "proven") != before || g.proofs(t, "none") < float64(len(browsing)+len(attacks)) {
		t.Error("prover off does not switch it off")
	}
	eventually(t, time.Minute, "the metric says that the prover is off", func() bool { return g.provers(t, "off") == 1 && g.provers(t, "on") == 0 })
	if out, _, code, err := g.command("waf", "mistake", "list", "--state", g.env["STATE"]); err != nil || code != 0 || !strings.Contains(out, "none in") {
		t.Errorf("gatehouse waf mistake list: %q, exit code %d, %v", out, code, err)
	}
}

const (
	hostileSize = 8 << 10
	hostileMB   = 400
)

// hostileRequests is how many are sent: with GATEHOUSE_SOAK so many that nothing which grows with each stays hidden.
func hostileRequests() int64 {
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		return 20_000 // four minutes
	}
	return 600
}

// hostile is a value that no request had before: of all bytes, of the letters that expressions are about, or of words.
// Each is what makes automata and memories grow.
func hostile(rnd *rand.Rand) string {
	var b strings.Builder
	alphabets := []string{"abcdefghijklmnopqrstuvwxyz0123456789", "<>'\"()=;|&$`./\\-*%,:{}[] \t\nselectunionscriptonloadetcpasswd", "etaoin shrdlu cmfwyp"}
	switch n := rnd.IntN(len(alphabets) + 1); n {
	case len(alphabets):
		for b.Len() < hostileSize {
			b.WriteByte(byte(rnd.Uint32()))
		}
	default:
		for b.Len() < hostileSize {
			b.WriteByte(alphabets[n][rnd.IntN(len(alphabets[n]))])
		}
	}
	return b.String()
}

// TestProverMemory: whatever is sent, what the prover remembers of it stays small. hostileMB is for the whole gateway: the
// rules take some 100 MB, the collector lets what is in use double.
func TestProverMemory(t *testing.T) {
	g := startGateway(t, config{Backend: startReflector(t), Site: "public /*",
		House: defaultHouse + "\n\t\tclient_limits {\n\t\t\tcpu off\n\t\t}"}) // one client sends all, and more than its share
	start, err := memory(g.pid(), "VmRSS")
	if err != nil {
		t.Skip(err) // not Linux
	}
	count := hostileRequests()
	var sent, failed atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for worker := range 4 {
		all.Go(func() {
			c, rnd := g.newClient(), rand.New(rand.NewPCG(1, uint64(worker)))
			defer c.close()
			for sent.Add(1) <= count {
				r := request{Method: "POST", Path: "/", HTTP: "1.1", Header: typed("application/x-www-form-urlencoded"),
					Body: []byte("q=" + url.QueryEscape(hostile(rnd)))}
				if a, err := c.do(r); err != nil || a.Status != http.StatusOK && a.Status != http.StatusForbidden {
					if failed.Add(1) == 1 {
						t.Logf("the first that is not answered: %d, %v", a.Status, err)
					}
				}
			}
		})
	}
	all.Wait()
	peak, err := memory(g.pid(), "VmHWM")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests of %d KB in %v, %d not answered; proven %v, doubted %v; prover %.1f MB, RSS %d MB before, %d MB at the peak", count,
		hostileSize>>10, time.Since(begin).Round(time.Second), failed.Load(), g.proofs(t, "proven"), g.proofs(t, "doubted"),
		(g.metric(t, "gatehouse_waf_automata_bytes")+g.metric(t, "gatehouse_waf_remembered_bytes"))/1e6, start>>20, peak>>20)
	if failed.Load() > 0 {
		t.Errorf("%d requests got neither an answer nor a refusal", failed.Load())
	}
	if peak > hostileMB<<20 {
		t.Errorf("the gateway took %d MB, want at most %d", peak>>20, hostileMB)
	}
}
