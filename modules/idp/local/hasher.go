package local

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// How logins queue for the hasher. At 20 ms a hash, who waits last is served within some 5 s.
const (
	maxWaiting = 256
	waitFor    = 10 * time.Second
	// sameTime is how long the judgement of a wrong password takes, whatever hash it was compared with or none: longer
	// than an imported bcrypt hash of cost 11 does on a slow machine. It does not count the time spent waiting.
	sameTime = 250 * time.Millisecond
)

// ErrBusy says that too many passwords are being checked at once.
var ErrBusy = errors.New("too many passwords are being checked")

// Hasher makes and checks password hashes, no more at a time than it has slots, since each takes a processor and 19 MiB
// or more; some callers wait, and the rest get ErrBusy at once. Make one with [NewHasher]; it is safe for concurrent use.
type Hasher struct {
	slots    chan struct{}
	sameTime time.Duration

	waiting atomic.Int32
	made    atomic.Uint64 // computations so far
}

// NewHasher returns a hasher that works on so many passwords at a time, at least one.
func NewHasher(slots int) *Hasher {
	return &Hasher{slots: make(chan struct{}, max(slots, 1)), sameTime: sameTime}
}

// Hash returns a new hash of the password at that cost.
func (h *Hasher) Hash(ctx context.Context, cost params, password string) (string, error) {
	fresh := phc{params: cost, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(fresh.salt) // never fails, see crypto/rand
	_, err := h.compute(ctx, func() { fresh.key = fresh.of(password, keyBytes) })
	if err != nil {
		return "", err
	}
	return fresh.String(), nil
}

// Verify reports whether the hash is the password's, and whether a new one should be made at today's cost. An empty hash
// is nobody's. Unless the password is right, the answer takes the same time whatever the hash is.
func (h *Hasher) Verify(ctx context.Context, today params, password, encoded string) (ok, outdated bool, err error) {
	judge, outdated, err := judgeOf(today, encoded)
	if err != nil {
		return false, false, err
	}
	began, err := h.compute(ctx, func() { ok = judge(password) })
	if err == nil && !ok {
		err = sleep(ctx, time.Until(began.Add(h.sameTime)))
	}
	return ok, outdated, err
}

// Same reports whether the hash is the password's, in the time that takes.
func (h *Hasher) Same(ctx context.Context, password, encoded string) (same bool, err error) {
	judge, _, err := judgeOf(standard, encoded)
	if err == nil {
		_, err = h.compute(ctx, func() { same = judge(password) })
	}
	return same, err
}

// judgeOf returns what compares a password with the hash.
func judgeOf(today params, encoded string) (judge func(password string) bool, outdated bool, err error) {
	if isBcrypt(encoded) {
		if err := checkBcrypt(encoded); err != nil {
			return nil, false, err
		}
		return func(password string) bool {
			return bcrypt.CompareHashAndPassword([]byte(encoded), []byte(password)) == nil
		}, true, nil
	}
	want := phc{params: today, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	if encoded != "" {
		if want, err = parsePHC(encoded); err != nil {
			return nil, false, err
		}
	}
	return func(password string) bool {
		same := subtle.ConstantTimeCompare(want.of(password, uint32(len(want.key))), want.key) == 1
		return same && encoded != ""
	}, want.params != today || len(want.key) != keyBytes, nil
}

func (h phc) of(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, size)
}

// Bcrypt hashes are only ever imported, and only until their owner's next login. Beyond this cost one takes seconds.
const maxBcrypt = 14

var errBcrypt = errors.New("not a bcrypt hash of cost 4 to 14")

func isBcrypt(encoded string) bool { return strings.HasPrefix(encoded, "$2") }

// checkBcrypt takes $2a$, $2b$ and $2y$, which are the same for passwords that are text; $2x$ is that of a bug.
func checkBcrypt(encoded string) error {
	if len(encoded) != 60 || encoded[3] != '$' || strings.IndexByte("aby", encoded[2]) < 0 {
		return errBcrypt
	}
	for _, c := range []byte(encoded[7:]) {
		if (c < '.' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return errBcrypt
		}
	}
	if cost, err := bcrypt.Cost([]byte(encoded)); err != nil || cost > maxBcrypt {
		return errBcrypt
	}
	return nil
}

// checkHash says whether the hash is of a kind that Verify takes.
func checkHash(encoded string) error {
	if isBcrypt(encoded) {
		return checkBcrypt(encoded)
	}
	_, err := parsePHC(encoded)
	return err
}

// compute waits for a slot, and then for the work, which cannot be interrupted. It returns when the work began.
func (h *Hasher) compute(ctx context.Context, work func()) (began time.Time, err error) {
	select {
	case h.slots <- struct{}{}: // Fast path
	default:
		if err := h.wait(ctx); err != nil {
			return began, err
		}
	}
	defer func() { <-h.slots }()
	h.made.Add(1)
	hashed.WithLabelValues("made").Inc()
	began = time.Now()
	work()
	return began, nil
}

func (h *Hasher) wait(ctx context.Context) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiting {
		hashed.WithLabelValues("busy").Inc()
		return ErrBusy
	}
	hashWaiting.Inc()
	defer hashWaiting.Dec()
	timeout := time.NewTimer(waitFor)
	defer timeout.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-timeout.C:
		hashed.WithLabelValues("busy").Inc()
		return ErrBusy
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sleep returns after d, or with the context's cause.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
