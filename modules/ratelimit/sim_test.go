package ratelimit

import (
	"flag"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"gatehouse.internal/modules/internal/store"
)

// How many gateways take part in TestManyGateways: `make sim` has a thousand.
var simNodes = flag.Int("nodes", 50, "gateways that share a limit")

// TestManyGateways simulates, in virtual time and with the real code of gateways and store, many gateways that share limits: an offender who
// is spread over all of them and asks for twenty times the limit, beside ten thousand people who keep to one gateway each. It counts
// reports and what the offender gets beyond the limit, and holds both against what the contract says.
func TestManyGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			people = 10_000
			lasts  = 20 * time.Second
			tick   = 10 * time.Millisecond
		)
		rule := Rule{Rate: "100r/s", Burst: 1600}
		n := *simNodes
		st := &far{Store: store.NewMemory(), away: time.Millisecond}
		defer st.Close()
		all := make([]*Limiter, n)
		for i := range all {
			node := &Node{main: NewTable(12), headers: NewTable(8)}
			node.shares = newShares(st, func() int { return n }, 10)
			defer node.Destruct()
			all[i] = NewLimiter(node, "app", compiled(t, rule))
		}
		r := &all[0].rules[0]
		at := path(t, "/")
		offender := Asked{Path: at, Client: netip.MustParseAddr("192.0.2.1")}
		passed, asked, refused, person := 0, 0, 0, 0
		for begin := time.Now(); time.Since(begin) < lasts; time.Sleep(tick) {
			for range max(20, n/5) { // 2000 a second, and more for very many gateways
				asked++
				if all[asked%n].Judge(offender, http.Header{}) == nil {
					passed++
				}
			}
			for range 100 { // each person asks once a second
				person = (person + 1) % people
				a := Asked{Path: at, Client: netip.AddrFrom4([4]byte{10, 0, byte(person >> 8), byte(person)})}
				if all[person%n].Judge(a, http.Header{}) != nil {
					refused++
				}
			}
		}
		ideal := float64(r.limit.burst) + lasts.Seconds()*100
		most := ideal + float64(n)*(float64(debtLeases*r.limit.lease())+3)
		reports := st.asked.Load()
		size := uintptr(1<<accountBits)*unsafe.Sizeof(account{}) + unsafe.Sizeof(Shares{}) + waiting*unsafe.Sizeof(report{})
		t.Logf("%d gateways: the offender asked %d times and got %d, %.1f times the limit (at most %.0f by contract); people were refused %d times", n, asked, passed, float64(passed)/ideal, most, refused)
		t.Logf("%d reports to the store, %.0f a second, for %.0f requests a second; a gateway's accounts take %d KiB, whatever comes", reports, float64(reports)/lasts.Seconds(), float64(asked)/lasts.Seconds()+100/tick.Seconds(), size/1024)
		if float64(passed) > most {
			t.Errorf("the offender got %d, want %.0f at most", passed, most)
		}
		if n <= 50 && float64(passed) < .95*ideal {
			t.Errorf("the offender got %d, want the limit: %.0f", passed, ideal)
		}
		if refused > 0 {
			t.Errorf("people who keep the limit were refused %d times", refused)
		}
		if reports > int64(asked) {
			t.Errorf("%d reports for %d requests of who asks too much", reports, asked)
		}
	})
}
