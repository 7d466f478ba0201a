package waf

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what the process has used of all processors, the garbage collector's share included. Unlike a clock on
// the wall it does not count what others do to the machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// contender is one way to do the same work.
type contender struct {
	name string
	do   func(n int) // the nth time

	rounds []float64 // CPU time of one time, per round, in nanoseconds
	allocs float64   // per time
	bytes  float64   // per time
}

// compete measures the contenders in interleaved rounds, so that what changes on the machine changes for all of them.
// Each round of each takes about per of CPU time.
func compete(all []*contender, rounds int, per time.Duration) {
	times, next := make([]int, len(all)), make([]int, len(all))
	for i, c := range all { // warm up and calibrate
		begin, done := cpuTime(), 0
		for cpuTime()-begin < per || done < 3 {
			c.do(done)
			done++
		}
		times[i] = max(1, int(per*time.Duration(done)/max(cpuTime()-begin, 1)))
		next[i] = done
	}
	for range rounds {
		for i, c := range all {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			begin := cpuTime()
			for range times[i] {
				c.do(next[i])
				next[i]++
			}
			spent := cpuTime() - begin
			runtime.ReadMemStats(&after)
			n := float64(times[i])
			c.rounds = append(c.rounds, float64(spent)/n)
			c.allocs, c.bytes = float64(after.Mallocs-before.Mallocs)/n, float64(after.TotalAlloc-before.TotalAlloc)/n
		}
	}
}

// median is the middle of the rounds.
func (c *contender) median() float64 {
	sorted := slices.Sorted(slices.Values(c.rounds))
	return sorted[len(sorted)/2]
}

// least is the best of the rounds: what the work takes when nothing disturbs it.
func (c *contender) least() float64 { return slices.Min(c.rounds) }

func (c *contender) String() string {
	return fmt.Sprintf("%9.1f µs %7.0f allocs %8.0f B", c.median()/1e3, c.allocs, c.bytes)
}

// reportCPU adds the CPU time of one operation to a benchmark's line.
func reportCPU(b *testing.B, begin time.Duration) {
	b.ReportMetric(float64(cpuTime()-begin)/float64(b.N), "cpu-ns/op")
}
