package prove

import (
	"fmt"
	"strings"
	"testing"
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
				if !strings.HasSuffix(v, fmt.Sprint(f.bad[0])) {
					t.Fatalf("%q is remembered as %v", v, f.bad)
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
		if e := m.places[i].Load(); e != nil {
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
