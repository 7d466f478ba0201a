//go:build !linux

package waf

import "time"

var processBegan = time.Now()

// cpuClock stands in for the CPU time of the calling thread, where there is no telling: the time on the wall.
func cpuClock() time.Duration { return time.Since(processBegan) }
