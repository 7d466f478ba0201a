package oidc

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	skewShown = time.Second     // a difference of the clocks below it is not worth a word, and cannot be measured
	skewWarn  = 5 * time.Second // one from which on operators are told
	skewTrip  = 2 * time.Second // answers that took longer say too little of when they were made
)

// clock compares the provider's clock with ours, by the Date of its answers, which counts in seconds. The zero value has
// compared nothing. It is safe for concurrent use.
type clock struct {
	ahead atomic.Int64 // the provider's clock less ours, in nanoseconds; of use when known
	told  atomic.Int64 // the value of ahead that tell was last told
	known atomic.Bool
	tell  func(ahead time.Duration) // may be nil; at skewWarn and with each further change as large
}

// measure takes the Date of an answer to a request sent at began. Those from a cache say nothing.
func (c *clock) measure(h http.Header, began, ended time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	trip := ended.Sub(began)
	if err != nil || h.Get("Age") != "" || trip < 0 || trip > skewTrip {
		return
	}
	// The Date is cut to the second: half a second later is the middle of what it may mean.
	ahead := date.Add(500 * time.Millisecond).Sub(began.Add(trip / 2))
	c.ahead.Store(int64(ahead))
	c.known.Store(true)
	if c.tell == nil {
		return
	}
	if told := time.Duration(c.told.Load()); (ahead.Abs() >= skewWarn || told != 0) && (ahead-told).Abs() >= skewWarn {
		if c.told.CompareAndSwap(int64(told), int64(ahead)) {
			c.tell(ahead)
		}
	}
}

// skew returns how far the provider's clock is ahead of ours, and whether that is known.
func (c *clock) skew() (ahead time.Duration, known bool) {
	return time.Duration(c.ahead.Load()), c.known.Load()
}

// wrong is the error about a time of the provider's that does not fit ours. It says how the clocks differ.
func (c *clock) wrong(format string, args ...any) error {
	e := &timeError{text: fmt.Sprintf(format, args...) + "; " + c.String()}
	if ahead, known := c.skew(); known && ahead.Abs() >= skewWarn {
		e.apart = ahead.Abs()
	}
	return e
}

// timeError says that a token is good but for its times.
type timeError struct {
	text  string
	apart time.Duration // by how much the clocks differ; zero: not enough to explain it, or not known
}

// Error is for operators.
func (e *timeError) Error() string { return e.text }

// String says how the clocks differ, for operators who look at a token that comes from another time.
func (c *clock) String() string {
	ahead, known := c.skew()
	switch {
	case !known:
		return "do the clocks agree?"
	case ahead >= skewShown:
		return fmt.Sprintf("the provider's clock is %v ahead of ours", ahead.Round(time.Second))
	case ahead <= -skewShown:
		return fmt.Sprintf("the provider's clock is %v behind ours", -ahead.Round(time.Second))
	}
	return "the provider's clock agrees with ours"
}
