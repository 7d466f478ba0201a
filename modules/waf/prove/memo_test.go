package prove

import (
	"fmt"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

func TestRememberedValuesCostNoMemory(t *testing.T) {
	e := build(t, 2, selecting)
	p := e.prover(t, unbounded)
	pf := p.Begin(nil)
	defer pf.End()
	for _, value := range []string{"plain", "Mozilla/5.0 (X11; Linux x86_64)", "<script>alert(1)</script>", strings.Repeat("a b ", 900)} {
		for n := range p.phases {
			for _, r := range p.phases[n].reads {
				if r.values == nil {
					continue
				}
				ask := func() { r.values.plan(p, "User-Agent").ask(pf, value) }
				ask()
				ask()
				if n := testing.AllocsPerRun(20, ask); n != 0 {
					t.Errorf("%s %.20q: %v allocations", r.variable.Name(), value, n)
				}
			}
		}
	}
}

func TestMemoIsBounded(t *testing.T) {
	m, one, two := newMemo(64, 20<<10), &plan{salt: 1}, &plan{salt: 2}
	hits := 0
	for i := range 5000 {
		value := strings.Repeat("v", (i%900)%700) + fmt.Sprint(i%900)
		answer := found{bad: []uint16{uint16(i % 900)}}
		_, h := m.get(one, value)
		m.put(one, value, h, &answer)
		m.put(one, value, h, &answer)
		for _, v := range []string{value, strings.Repeat("v", (i+1)%900%700) + fmt.Sprint((i+1)%900)} {
			if f, _ := m.get(one, v); f != nil {
				hits++
				if !strings.HasSuffix(v, fmt.Sprint(f.found.bad[0])) {
					t.Fatalf("%q is remembered as %v", v, f.found.bad)
				}
			}
			if f, _ := m.get(two, v); f != nil {
				t.Fatal("another plan's answer")
			}
		}
		if b := m.bytes.Load(); b < 0 || b > 20<<10 {
			t.Fatalf("%d bytes", b)
		}
	}
	if hits == 0 {
		t.Error("nothing was remembered")
	}
	sum := int64(0)
	for i := range m.places {
		if e := m.places[i].at.Load(); e != nil {
			sum += e.size()
		}
	}
	if sum != m.bytes.Load() {
		t.Errorf("the entries have %d bytes, and %d are accounted for", sum, m.bytes.Load())
	}
}

func TestUnseenValuesAreNotRemembered(t *testing.T) {
	m, p := newMemo(16, 1<<20), &plan{}
	for i := range 100 {
		value := fmt.Sprint("once ", i)
		_, h := m.get(p, value)
		m.put(p, value, h, &nothing)
	}
	if n := m.entries(); n != 0 {
		t.Errorf("%d values are remembered after one sight", n)
	}
}

// TestGivenCollections: what is given is asked about in the place of what Coraza has, however it is named.
func TestGivenCollections(t *testing.T) {
	e := build(t, 1, "")
	p := e.prover(t, unbounded)
	const attack = "() { :; }; echo"
	tests := []struct {
		name        string
		sent, given []string // values of User-Agent
		want        bool
	}{
		{"harmless", []string{"curl"}, []string{"curl"}, true},
		{"an attack", []string{attack}, []string{attack}, false},
		{"nothing given", []string{attack}, nil, false},
		{"more than there is", []string{"curl"}, []string{"curl", attack}, false},
		{"less than there is, which breaks the contract", []string{attack}, []string{"curl"}, true},
	}
	for _, tt := range tests {
		for range 3 { // until the memo and the usual value are used
			tx := e.parse.NewTransaction()
			tx.ProcessURI("/app", "GET", "HTTP/1.1")
			pf := p.Begin(tx.(plugintypes.TransactionState))
			for name, value := range map[string]string{"Host": "portal", "Accept": "*/*"} {
				tx.AddRequestHeader(name, value)
				pf.Give(variables.ResponseHeaders, "Server", "x") // which is another collection
				if tt.given != nil {
					pf.Give(variables.RequestHeaders, name, value)
				}
			}
			for _, v := range tt.sent {
				tx.AddRequestHeader("User-Agent", v)
			}
			for _, v := range tt.given {
				pf.Give(variables.RequestHeaders, "User-Agent", v)
			}
			tx.ProcessRequestHeaders()
			if got := pf.Phase(1); got != tt.want {
				t.Errorf("%s: proven %v, doubts %v", tt.name, got, pf.Doubts())
			}
			pf.End()
			if len(pf.given[0].members)+len(pf.given[1].members) != 0 {
				t.Error("members stay after End")
			}
			_ = tx.Close()
		}
	}
}

// TestUsualValuesAreShort: what is kept beyond the memo's bounds is bounded by its length, and belongs to the name's plan.
func TestUsualValuesAreShort(t *testing.T) {
	p := build(t, 1, "").prover(t, unbounded)
	pf := p.Begin(nil)
	defer pf.End()
	var r *reading
	for i := range p.phases[1].reads {
		if v := &p.phases[1].reads[i]; v.variable == variables.RequestHeaders && v.values != nil && v.names != nil {
			r = v
		}
	}
	ask := func(value string) {
		for range 3 { // a name is remembered after its second sight
			pf.readMember(r, "Accept", value, func(*plan, *found) {})
		}
	}
	ask(strings.Repeat("v", maxUsual+1))
	e := r.named(pf, "Accept")
	if e == &pf.name || e.usual.Load() != nil {
		t.Fatalf("remembered %v, usual %v", e != &pf.name, e.usual.Load())
	}
	ask("text/html")
	u := e.usual.Load()
	if u == nil || u.value != "text/html" || u.plan != e.values {
		t.Fatalf("usual %+v", u)
	}
}
