package local_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/idp/local"
	"gatehouse.internal/modules/internal/gatetest"
)

// crowded is a gate with n accounts, whose password is the phrase.
func crowded(t testing.TB, n int) *gate {
	t.Helper()
	h := open(t, "allow role staff", "allow role staff\n\t\tpublic /open/*")
	hash := hashOf(t)
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "user%d:%s\n", i, hash)
	}
	file := filepath.Join(h.Dir, "crowd")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.ok(fmt.Sprintf("imported %d accounts", n), "user", "import", file, "--approve", "--role", "staff")
	return h
}

func hashOf(t testing.TB) string {
	t.Helper()
	hash, err := local.HashOf(phrase)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// rush is what a number of logins at once do to a gateway.
type rush struct {
	done, busy int32         // logins that worked, and that were asked to come again
	took       time.Duration // all of them
	live, heap uint64        // bytes: what is held before, and what the heap is at the most meanwhile
	quiet, p99 time.Duration // of ordinary requests: without logins, and meanwhile
	requests   int
}

func (h *gate) rush(n int) (r rush) {
	h.t.Helper()
	var done, busy atomic.Int32
	posts := make([]func() gatetest.Answer, n)
	for i := range posts { // everybody has the form before
		b := h.Browser()
		form := b.Get("/.gatehouse/login")
		posts[i] = func() gatetest.Answer { return b.Submit(form, "username", fmt.Sprint("user", i), "password", phrase) }
	}
	ordinary := h.Browser()
	sample := func(until func() bool) (times []time.Duration) {
		for !until() {
			began := time.Now()
			ordinary.Get("/open/page").Want(h.t, 200, "")
			times = append(times, time.Since(began))
			time.Sleep(3 * time.Millisecond) // as a person would, not as a load does
		}
		slices.Sort(times)
		return times
	}
	left := 300
	quiet := sample(func() bool { left--; return left < 0 })
	r.quiet = quiet[len(quiet)*99/100]

	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	r.live = before.HeapAlloc
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			r.heap = max(r.heap, m.HeapInuse)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	began := time.Now()
	var wg sync.WaitGroup
	for _, post := range posts {
		wg.Go(func() {
			switch a := post(); a.StatusCode {
			case http.StatusSeeOther:
				done.Add(1)
			case http.StatusTooManyRequests:
				if a.Header.Get("Retry-After") != "" {
					busy.Add(1)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); r.took = time.Since(began); close(over) }()
	meanwhile := sample(func() bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
	close(stop)
	watch.Wait()
	r.done, r.busy, r.requests, r.p99 = done.Load(), busy.Load(), len(meanwhile), meanwhile[len(meanwhile)*99/100]
	return r
}

func (r rush) String() string {
	return fmt.Sprintf("%d logged in and %d were asked to come again within %v; heap %d MiB at the most; p99 of %d ordinary requests %v, %v without",
		r.done, r.busy, r.took.Round(time.Millisecond), r.heap>>20, r.requests, r.p99.Round(10*time.Microsecond), r.quiet.Round(10*time.Microsecond))
}

// 200 logins at once neither exhaust memory nor keep ordinary requests waiting (NAT-09): unbounded they would take 4 GB.
func TestManyLoginsAtOnce(t *testing.T) {
	n := 200
	if local.RaceEnabled {
		n = 30
	}
	r := crowded(t, n).rush(n)
	t.Log(r)
	if int(r.done+r.busy) != n || r.done == 0 { // on a machine that is slow or busy, not all of them find their turn in time
		t.Errorf("%d of %d logged in, %d were asked to come again", r.done, n, r.busy)
	}
	if r.heap > 2*r.live+400<<20 { // the collector lets it grow to twice what is held
		t.Errorf("the heap grew from %d to %d MiB", r.live>>20, r.heap>>20)
	}
	if r.p99 > 2*time.Second {
		t.Errorf("ordinary requests waited %v", r.p99)
	}
}

// BenchmarkLoginsAtOnce reports what 64 logins at once do.
func BenchmarkLoginsAtOnce(b *testing.B) {
	h := crowded(b, 64)
	for b.Loop() {
		r := h.rush(64)
		b.Log(r)
		b.ReportMetric(float64(r.heap>>20), "heap-MiB")
		b.ReportMetric(float64(r.p99.Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(r.quiet.Microseconds())/1000, "quiet-p99-ms")
	}
}
