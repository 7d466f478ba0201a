package ratelimit

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// Over any time a client spends what the bucket held and its rate, and one thing more that began while there was a token.
func TestBudgetBoundsWhatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b, client := testNode(), newBudget(budgetCPU, 1000, 5000), netip.MustParseAddr("192.0.2.1")
		const cost = 700
		spent, began := 0, time.Now()
		for time.Since(began) < 100*time.Second {
			if n.Owes(b, client) == 0 {
				n.Spend(b, client, cost)
				spent += cost
			}
			time.Sleep(10 * time.Millisecond)
		}
		if most, least := 5000+100*1000+cost, 95*1000; spent > most || spent < least {
			t.Errorf("spent %d, want %d to %d", spent, least, most)
		}
		if other := netip.MustParseAddr("192.0.2.2"); n.Owes(b, other) != 0 {
			t.Error("another client is in debt for it")
		}
	})
}

// A debt ends: however much something cost, its client waits no longer than a full bucket takes to fill.
func TestDebtEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b, client := testNode(), newBudget(budgetBody, 1000, 5000), netip.MustParseAddr("2001:db8::1")
		for range 10 {
			n.Spend(b, client, 1<<60)
		}
		if wait := n.Owes(b, client); wait <= 0 || wait > 5*time.Second {
			t.Errorf("waits %v, want at most 5s", wait)
		}
		time.Sleep(5 * time.Second)
		if wait := n.Owes(b, client); wait > 0 {
			t.Errorf("and then waits %v more", wait)
		}
	})
}

// Who moves about in a /48 has sixteen clients' worth, and not 65,536.
func TestBudgetOfMovingClients(t *testing.T) {
	n, b := testNode(), newBudget(budgetCPU, 1, 100)
	passed := 0
	for i := range 256 {
		client := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 7, byte(i), 0, 0, 0, 0, 0, 0, 0, 0, 1})
		if n.Owes(b, client) == 0 {
			n.Spend(b, client, 100)
			passed++
		}
	}
	if passed < 16 || passed > 18 {
		t.Errorf("%d passed, want 16 or the one that began while there was a token", passed)
	}
}

func TestNoBudgetIsNoBound(t *testing.T) {
	n, client := testNode(), netip.MustParseAddr("192.0.2.1")
	n.Spend(Budget{}, client, 1<<40)
	if n.Owes(Budget{}, client) != 0 {
		t.Error("the zero budget bounds")
	}
}

// trickle is a body of which a byte comes in each pause.
type trickle struct{ pause time.Duration }

func (t trickle) Read(p []byte) (int, error) {
	time.Sleep(t.pause)
	p[0] = 'x'
	return 1, nil
}

func TestPace(t *testing.T) {
	read := func(from io.Reader, think time.Duration) (took time.Duration, err error) {
		slow := false
		b := &body{ReadCloser: io.NopCloser(from), pace: newPace(500, 20*time.Second), slow: func() { slow = true }}
		began, buf := time.Now(), make([]byte, 100)
		for err == nil && time.Since(began) < 10*time.Minute {
			_, err = b.Read(buf)
			time.Sleep(think)
		}
		if slow != errors.Is(err, ErrSlow) {
			t.Errorf("told: %v, and %v", slow, err)
		}
		return time.Since(began), err
	}
	for _, tt := range []struct {
		name  string
		from  io.Reader
		think time.Duration
		slow  bool
	}{
		{"a byte a second", trickle{time.Second}, 0, true},
		{"a byte every three milliseconds", trickle{3 * time.Millisecond}, 0, true},
		{"a byte every millisecond", trickle{time.Millisecond}, 0, false},
		{"an application that takes its time", iotest.OneByteReader(strings.NewReader("twelve bytes")), time.Minute, false},
		{"a pause after a burst", io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), trickle{21 * time.Second}), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, err := read(tt.from, tt.think)
				if errors.Is(err, ErrSlow) != tt.slow || tt.slow && took > 70*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// What a body is charged is what was read of it, to the byte.
func TestBodyIsCharged(t *testing.T) {
	var charged int64
	b := &body{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 200_000))), charge: func(n int64) { charged += n }}
	if n, err := io.Copy(io.Discard, b); err != nil || charged != n {
		t.Errorf("%d read, %d charged: %v", n, charged, err)
	}
}

func BenchmarkOwes(b *testing.B) {
	n, budget := NewNode(nil), newBudget(budgetCPU, 1_000_000, 10_000_000)
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		x := i * 2654435761 & (1<<20 - 1)
		client := netip.AddrFrom4([4]byte{10, byte(x >> 16), byte(x >> 8), byte(x)})
		n.Owes(budget, client)
		n.Spend(budget, client, 10)
	}
}
