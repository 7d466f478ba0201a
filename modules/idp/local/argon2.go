package local

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// standard are the parameters of new hashes: OWASP Password Storage Cheat Sheet, first choice (control NAT-09).
var standard = params{memory: 19 << 10, time: 2, threads: 1}

// Bounds of a hash that is worth parsing. Records are sealed, so this guards against our own mistakes.
const (
	saltBytes, minSalt, maxSalt = 16, 8, 64
	keyBytes, minKey, maxKey    = 32, 16, 64
	maxMemory                   = 1 << 20 // KiB
	maxTime, maxThreads         = 64, 64
	maxPHC                      = 300
)

// How logins queue for the hasher.
const (
	maxWaiting = 64
	waitFor    = 5 * time.Second
)

var (
	// ErrBusy says that too many passwords are being checked at once.
	ErrBusy = errors.New("too many passwords are being checked")

	errPHC = errors.New("not an Argon2id hash")
)

// params are Argon2's cost: memory in KiB.
type params struct {
	memory, time uint32
	threads      uint8
}

// phc is an Argon2id hash in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	params
	salt, key []byte
}

// String returns the one spelling of the hash that parsePHC takes.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// parsePHC reads what String writes, and nothing else. The error never quotes it.
func parsePHC(s string) (phc, error) {
	var h phc
	part := strings.Split(s, "$")
	if len(s) > maxPHC || len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return h, errPHC
	}
	cost := strings.Split(part[3], ",")
	if len(cost) != 3 {
		return h, errPHC
	}
	memory, ok1 := costOf(cost[0], "m=", maxMemory)
	time, ok2 := costOf(cost[1], "t=", maxTime)
	threads, ok3 := costOf(cost[2], "p=", maxThreads)
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(part[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(part[5])
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || memory < 8*threads ||
		len(salt) < minSalt || len(salt) > maxSalt || len(key) < minKey || len(key) > maxKey {
		return h, errPHC
	}
	h = phc{params{memory, time, uint8(threads)}, salt, key}
	if h.String() != s { // leading zeros, plus signs, line breaks in base64
		return phc{}, errPHC
	}
	return h, nil
}

func costOf(s, name string, most uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && n <= most
}

// Hasher makes and checks Argon2id hashes, no more at a time than it has slots, since each takes 19 MiB and a
// processor; some callers wait, and the rest get ErrBusy at once. Make one with [NewHasher]; it is safe for concurrent use.
type Hasher struct {
	slots   chan struct{}
	waiting atomic.Int32
	made    atomic.Uint64 // computations so far
}

// NewHasher returns a hasher that works on so many passwords at a time, at least one.
func NewHasher(slots int) *Hasher { return &Hasher{slots: make(chan struct{}, max(slots, 1))} }

// Hash returns a new hash of the password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	fresh := phc{params: standard, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(fresh.salt) // never fails, see crypto/rand
	var err error
	if fresh.key, err = h.compute(ctx, password, fresh.params, fresh.salt, keyBytes); err != nil {
		return "", err
	}
	return fresh.String(), nil
}

// Verify reports whether the hash is the password's, and whether a new one should be made with today's parameters.
// An empty hash is nobody's and costs the same time.
func (h *Hasher) Verify(ctx context.Context, password, encoded string) (ok, outdated bool, err error) {
	want := phc{params: standard, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	if encoded != "" {
		if want, err = parsePHC(encoded); err != nil {
			return false, false, err
		}
	}
	got, err := h.compute(ctx, password, want.params, want.salt, uint32(len(want.key)))
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(got, want.key) == 1
	return same && encoded != "", want.params != standard || len(want.key) != keyBytes, nil
}

// compute waits for a slot and then for the result; Argon2 itself cannot be interrupted.
func (h *Hasher) compute(ctx context.Context, password string, p params, salt []byte, size uint32) ([]byte, error) {
	select {
	case h.slots <- struct{}{}: // Fast path
	default:
		if err := h.wait(ctx); err != nil {
			return nil, err
		}
	}
	defer func() { <-h.slots }()
	h.made.Add(1)
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, size), nil
}

func (h *Hasher) wait(ctx context.Context) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiting {
		return ErrBusy
	}
	timeout := time.NewTimer(waitFor)
	defer timeout.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-timeout.C:
		return ErrBusy
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
