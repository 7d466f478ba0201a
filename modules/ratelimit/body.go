package ratelimit

import (
	"errors"
	"io"
	"time"
)

// ErrSlow is what reading a body that comes too slowly ends with.
var ErrSlow = errors.New("the body comes too slowly")

// chargeEvery is how many bytes of a body are read between two charges.
const chargeEvery = 64 << 10

// pace is how long a client may be waited for: at the beginning grace, one second more for each rate bytes that come, and
// never more than grace ahead, so that nobody saves up for a pause. Only waiting counts: a client is not slow because
// nobody reads. The zero pace waits for ever.
type pace struct {
	rate          int64 // bytes a second
	grace, credit time.Duration
}

func newPace(rate int64, grace time.Duration) pace {
	return pace{rate: rate, grace: grace, credit: grace}
}

// took says that n bytes were waited for so long, and reports whether that was in time.
func (p *pace) took(n int, waited time.Duration) bool {
	if p.rate == 0 {
		return true
	}
	p.credit = min(p.grace, p.credit-waited+time.Duration(n)*time.Second/time.Duration(p.rate))
	return p.credit >= 0
}

// body is a request's body whose client is charged for it, and cut when it is too slow. It is used by one goroutine at a
// time, like what it reads.
type body struct {
	io.ReadCloser
	pace    pace
	charge  func(n int64) // nil: for nothing
	slow    func()        // called once, with the read that was too much
	pending int64         // read, and not charged for
	err     error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	if b.pending += int64(n); b.pending >= chargeEvery || err != nil {
		b.settle()
	}
	if err == nil && !b.pace.took(n, time.Since(began)) {
		b.err = ErrSlow
		b.slow()
		return n, ErrSlow
	}
	return n, err
}

// settle charges for what was read.
func (b *body) settle() {
	if b.charge != nil && b.pending > 0 {
		b.charge(b.pending)
	}
	b.pending = 0
}
