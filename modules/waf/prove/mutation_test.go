package prove

import (
	"hash/maphash"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// byID returns a rule.
func (p *Prover) byID(t *testing.T, id int) *rule {
	for _, r := range p.rules {
		if r.id == id {
			return r
		}
	}
	t.Fatalf("no rule %d", id)
	return nil
}

// groupsOf calls f with every group that a rule is in.
func (p *Prover) groupsOf(r *rule, f func(*group)) {
	for _, one := range p.plans.known {
		for _, g := range one.groups {
			if slices.Contains(g.rules, r) {
				f(g)
			}
		}
	}
}

func (p *Prover) classes(f func(*class)) {
	for n := range p.phases {
		for _, r := range p.phases[n].reads {
			for _, c := range []*class{r.values, r.names} {
				if c != nil {
					f(c)
				}
			}
		}
	}
}

// The ways to notice an unsound prover, by trying so often; about is the rule to draw values from, 0 for all.

func byValues(t *testing.T, e *engines, p *Prover, about, tries int) bool {
	pl := e.plain(t, p)
	pf := p.Begin(nil)
	defer pf.End()
	g := &values{r: rand.New(rand.NewPCG(2, 2)), rules: p.rules}
	if about != 0 {
		g.rules = []*rule{p.byID(t, about)}
	}
	for range tries {
		if _, err := pl.disagreement(p, pf, g.next(), true); err != nil {
			t.Log(err)
			return true
		}
	}
	return false
}

// byMemory asks about values that a test may have made the memo remember.
func byMemory(t *testing.T, e *engines, p *Prover, _, _ int) bool {
	pl := e.plain(t, p)
	pf := p.Begin(nil)
	defer pf.End()
	for _, a := range attacks {
		if _, err := pl.disagreement(p, pf, a, true); err != nil {
			t.Log(err)
			return true
		}
	}
	return false
}

func bySelection(t *testing.T, e *engines, p *Prover, _, tries int) bool {
	r := rand.New(rand.NewPCG(3, 3))
	for range min(tries, 60) {
		tx := crowd(e, r)
		err := misplaced(p, tx.(plugintypes.TransactionState))
		_ = tx.Close()
		if err != nil {
			t.Log(err)
			return true
		}
	}
	return false
}

func byRequests(t *testing.T, e *engines, p *Prover, _, tries int) bool {
	all, verdicts := e.judged()
	for i, x := range all {
		for range min(tries, 3) { // until automata are warm, and the memo is used
			proven, _ := e.proofOf(p, x)
			if bad := e.contradictions(x, proven, verdicts[i]); len(bad) > 0 {
				t.Logf("%s: %v matched", x.name, bad)
				return true
			}
		}
	}
	return false
}

// judged returns the pointed exchanges and what the full rules say of them, which is the same for all provers.
func (e *engines) judged() ([]*exchange, []verdict) {
	e.pointedOnce.Do(func() {
		e.pointed = pointed()
		for _, x := range e.pointed {
			e.verdicts = append(e.verdicts, e.verdictOf(x, nil))
		}
	})
	return e.pointed, e.verdicts
}

// pointed are exchanges that each match one rule of a kind of its own, and little else.
func pointed() (list []*exchange) {
	r := rand.New(rand.NewPCG(4, 4))
	add := func(name string, change func(*exchange)) {
		x := getExchange(r)
		x.name = name
		change(x)
		list = append(list, x)
	}
	query := func(v string) func(*exchange) {
		return func(x *exchange) { x.uri = "/app?q=" + url.QueryEscape(v) }
	}
	header := func(name, value string) func(*exchange) {
		return func(x *exchange) { x.headers = append(x.headers, [2]string{name, value}) }
	}
	add("matched variable of a chain", query("runtime clonetransformer"))
	add("two captures compared", header("Range", "bytes=20-10"))
	add("setvar read by the next link", header("Proxy", "x"))
	add("count", func(x *exchange) {
		x.withBody("text/plain", "hello")
		header("Content-Type", "text/plain")(x)
	})
	add("chain over two headers", func(x *exchange) {
		header("Content-Type", "text/plain")(x)
		header("Content-Length", "7")(x)
	})
	add("parameter", query("<script>alert(1)</script>"))
	add("file extension", func(x *exchange) { x.uri = "/app/x.bak" })
	add("argument name", func(x *exchange) { x.uri = "/app?%3Cscript%3Ealert(1)%3C/script%3E=1" })
	add("variable left by another rule", func(x *exchange) {
		x.withBody("multipart/form-data; boundary=bnd", "--bnd\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: text/plain; charset=\"utf-7\"; x=y!(\r\n\r\nhello\r\n--bnd--\r\n")
	})
	add("answer", func(x *exchange) { x.reply = "Warning: ORA-01756: quoted string not properly terminated" })
	add("status and body", func(x *exchange) { x.status, x.reply = 500, "<h1>Server Error in '/' Application.</h1>" })
	add("status and a long body", func(x *exchange) {
		x.status, x.reply = 500, "<h1>Server Error in '/' Application.</h1>"+strings.Repeat("<p>quick report</p>\n", keepFrom/10)
	})
	add("text in pieces", func(x *exchange) { x.reply = "<Title>punk holic\n shell</title>" })
	return list
}

// TestEveryShortcutIsWatched makes the prover unsound in one place at a time, and expects the checks to notice.
func TestEveryShortcutIsWatched(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		about  int
		spoil  func(t *testing.T, p *Prover)
		notice func(*testing.T, *engines, *Prover, int, int) bool
	}{
		{"nothing, by values", 0, func(*testing.T, *Prover) {}, byValues},
		{"nothing, by memory", 0, func(*testing.T, *Prover) {}, byMemory},
		{"nothing, by selection", 0, func(*testing.T, *Prover) {}, bySelection},
		{"nothing, by requests", 0, func(*testing.T, *Prover) {}, byRequests},
		{"symbols that a match need not have", 941110, func(t *testing.T, p *Prover) {
			p.byID(t, 941110).op.sets = []symbol.Set{symbol.Control}
		}, byValues},
		{"a length that a match need not have", 942160, func(t *testing.T, p *Prover) { p.byID(t, 942160).op.minLen = 40 }, byValues},
		{"another rule's literals", 944120, func(t *testing.T, p *Prover) {
			a, b := p.byID(t, 941110), p.byID(t, 944120)
			a.need, b.need = b.need, a.need
		}, byValues},
		{"a union without most of its rules", 0, func(t *testing.T, p *Prover) {
			for _, u := range p.plans.unions.of {
				u.rules = u.rules[:1]
			}
		}, byValues},
		{"a transformation left out", 944120, func(t *testing.T, p *Prover) {
			p.groupsOf(p.byID(t, 944120), func(g *group) { g.chain = p.identity(t) })
		}, byValues},
		{"a stage left out", 934130, func(t *testing.T, p *Prover) {
			p.groupsOf(p.byID(t, 934130), func(g *group) { g.walker.stages = g.walker.stages[:len(g.walker.stages)-1] })
		}, byValues},
		{"a jump over more than the decoding", 934100, func(t *testing.T, p *Prover) {
			p.groupsOf(p.byID(t, 934100), func(g *group) {
				for i := range g.walker.base64.at {
					g.walker.stages[i].active = 0
				}
			})
		}, byValues},
		{"a wrong memory", 0, func(t *testing.T, p *Prover) {
			for _, one := range p.plans.known {
				for _, a := range attacks {
					for range 2 { // it is put at the second sight
						_, h := p.memo.get(one, a)
						p.memo.put(one, a, h, &nothing)
					}
				}
			}
		}, byMemory},
		{"nothing, by other values under an attack's tag", 0, func(t *testing.T, p *Prover) { // which is not believed
			for _, one := range p.plans.known {
				for _, a := range attacks {
					_, h := p.memo.get(one, a)
					for _, i := range [2]uint64{h & p.memo.mask, (h & p.memo.mask) ^ 1} {
						p.memo.places[i].at.Store(&memory{plan: one, value: "harmless", found: &nothing})
						p.memo.places[i].tag.Store(tagOf(h))
					}
				}
			}
		}, byMemory},
		{"strings that are not looked for in plain texts", 942140, func(t *testing.T, p *Prover) {
			none, err := literal.NewScanner(nil)
			if err != nil {
				t.Fatal(err)
			}
			p.plans.request.plain = none
		}, byValues},
		{"plain symbols that are more than the plain scanner's", 941110, func(t *testing.T, p *Prover) {
			p.plans.request.all = p.plans.request.plain
		}, byValues},
		{"a gate that waits for other phrases", 0, func(t *testing.T, p *Prover) {
			for _, r := range p.rules {
				if r.gate != nil && r.gate.need >= 0 {
					r.gate.need++
				}
			}
		}, byValues},
		{"a name that is not known", 0, func(t *testing.T, p *Prover) {
			p.classes(func(c *class) { delete(c.known, "case") })
		}, bySelection},
		{"a pattern over names that is not asked", 0, func(t *testing.T, p *Prover) {
			p.classes(func(c *class) { c.regexps = nil })
		}, bySelection},
		{"an exclusion too many", 0, func(t *testing.T, p *Prover) {
			p.classes(func(c *class) {
				for i := range c.entries {
					wider := *c.entries[i].target
					wider.except = append(slices.Clone(wider.except), exception{key: "filter"})
					c.entries[i].target = &wider
				}
			})
		}, bySelection},
		{"a link that asks nothing", 0, func(t *testing.T, p *Prover) { p.byID(t, 944120).links[0].asks = nil }, byRequests},
		{"captures that are not taken", 0, func(t *testing.T, p *Prover) { p.byID(t, 920190).usesCaptures = false }, byRequests},
		{"setvar that is not followed", 0, func(t *testing.T, p *Prover) { p.byID(t, 920450).usesSets = false }, byRequests},
		{"chains that are never completed", 0, func(t *testing.T, p *Prover) { p.byID(t, 920170).phase = 3 }, byRequests},
		{"counts that are not checked", 0, func(t *testing.T, p *Prover) { p.phases[1].conditions = nil }, byRequests},
		{"writes that are not told", 0, func(t *testing.T, p *Prover) {
			for _, r := range p.rules {
				r.watches = nil
			}
		}, byRequests},
		{"a link that waits for other literals", 0, func(t *testing.T, p *Prover) { p.byID(t, 954130).links[0].need++ }, byRequests},
		{"a part that a match need not have", 0, func(t *testing.T, p *Prover) { p.byID(t, 955300).op.part = "other" }, byRequests},
		{"a wrong memory of names", 0, func(t *testing.T, p *Prover) {
			const name = "<script>alert(1)</script>"
			for n := range p.phases {
				for _, r := range p.phases[n].reads {
					if r.names != nil {
						r.cache.places[maphash.String(p.memo.seed, name)%nameSlots].Store(&named{name: name, names: r.names.base, found: &nothing})
					}
				}
			}
		}, byRequests},
		{"a wrong usual value", 0, func(t *testing.T, p *Prover) {
			for n := range p.phases {
				for _, r := range p.phases[n].reads {
					if r.values == nil || r.names == nil {
						continue
					}
					e := &named{name: "Proxy", values: r.values.plan(p, "Proxy"), names: r.names.plan(p, "Proxy"), found: &nothing}
					e.usual.Store(&memory{plan: e.values, value: "x", found: &nothing})
					r.cache.places[maphash.String(p.memo.seed, e.name)%nameSlots].Store(e)
				}
			}
		}, byRequests},
		{"nothing, by noise", 0, func(*testing.T, *Prover) {}, byNoise},
		{"pieces that a match need not have", 0, func(t *testing.T, p *Prover) { p.byID(t, 934100).piece++ }, byNoise},
		{"an alternative that is not asked", 0, func(t *testing.T, p *Prover) {
			l := p.byID(t, 90402).links[0]
			l.ways = l.ways[1:]
		}, byNoise},
		{"an escape that is not sought in noise", 0, func(t *testing.T, p *Prover) {
			p.groupsOf(p.byID(t, 934100), func(g *group) { g.walker.base64.spoils = 0 })
		}, byNoise},
		{"strings that are in no noise", 0, func(t *testing.T, p *Prover) {
			for i := range p.byID(t, 90402).links[0].ways {
				if w := &p.byID(t, 90402).links[0].ways[i]; w.exact != nil {
					w.exact = []string{"nobody says this"}
				}
			}
		}, byNoise},
		{"symbols of the noise, not of what is left of it", 0, func(t *testing.T, p *Prover) {
			p.byID(t, 1007).links[0].rest = p.identity(t)
		}, byNoise},
		{"symbols of texts that have others", 0, func(t *testing.T, p *Prover) { p.byID(t, 90401).links[0].op.only &^= symbol.Digit }, byNoise},
		{"a collection that is not read", 0, func(t *testing.T, p *Prover) { p.phases[4].reads = nil }, byRequests},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := build(t, 1, selecting+decoding)
			p := e.prover(t, unbounded)
			row.spoil(t, p)
			want, tries := true, 3000
			if strings.HasPrefix(row.name, "nothing") {
				want, tries = false, soak(1500)
			}
			if noticed := row.notice(t, e, p, row.about, tries); noticed != want {
				t.Errorf("noticed: %v, want %v", noticed, want)
			}
		})
	}
}

// byNoise looks at what is dismissed after decoding base64.
func byNoise(t *testing.T, _ *engines, p *Prover, _, tries int) bool {
	_, _, err := p.misjudged(rand.New(rand.NewPCG(5, 5)), tries)
	if err != nil {
		t.Log(err)
	}
	return err != nil
}

func (p *Prover) identity(t *testing.T) *transform.Chain {
	c, err := transform.NewChain(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
