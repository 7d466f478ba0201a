package waf

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuClock is the CPU time of the calling thread. Its goroutine must be locked to it.
func cpuClock() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // no kernel that Go runs on: then nothing is bounded but the bytes
	}
	return time.Duration(ts.Nano())
}
