package local

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/argon2"
)

// cheap makes hashes fast; tests that are not about the cost use it through cheapHash.
var cheap = params{memory: 8, time: 1, threads: 1}

func cheapHash(password string, p params) string {
	salt := []byte("0123456789abcdef")
	return phc{p, salt, argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, keyBytes)}.String()
}

func TestParsePHC(t *testing.T) {
	good := cheapHash("x", cheap)
	if _, err := parsePHC(good); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	// From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e
	reference := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, outdated, err := NewHasher(1).Verify(t.Context(), standard, "password", reference); !ok || !outdated || err != nil {
		t.Errorf("reference vector: %v, outdated %v, %v", ok, outdated, err)
	}
	for _, bad := range []string{
		"", "x", "$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=8", "m=08", 1), strings.Replace(good, "m=8", "m=+8", 1), strings.Replace(good, "m=8", "m=7", 1),
		strings.Replace(good, "m=8", "m=4294967296", 1), strings.Replace(good, "m=8", "m=2097152", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "t=1", "t=65", 1), strings.Replace(good, "p=1", "p=256", 1), strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, ",p=1", "", 1), good + "$", good + "=", good + "\n", "x" + good, good + strings.Repeat("A", 200),
		strings.Replace(good, "MDEyMzQ1Njc4OWFiY2RlZg", "MDEy", 1), strings.Replace(good, "MDEyMzQ1Njc4OWFiY2RlZg", "MDEyMzQ1Njc4OWFiY2RlZh", 1),
	} {
		if h, err := parsePHC(bad); err == nil {
			t.Errorf("accepted %q as %v", bad, h)
		} else if len(bad) > 10 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error quotes the hash")
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(cheapHash("x", cheap))
	f.Add(cheapHash("x", standard))
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Errorf("%q was read as %q", s, h)
		}
		if h.memory < 8*uint32(h.threads) || h.memory > maxMemory || h.time > maxTime || h.threads == 0 || len(h.salt) < minSalt || len(h.key) < minKey {
			t.Errorf("%q is out of bounds", s)
		}
	})
}

func TestHasher(t *testing.T) {
	h := NewHasher(2)
	hash, err := h.Hash(t.Context(), standard, "correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if again, _ := h.Hash(t.Context(), standard, "correct horse"); again == hash {
		t.Error("two hashes have the same salt")
	}
	for _, tt := range []struct {
		name, password, hash string
		ok, outdated         bool
	}{
		{"right", "correct horse", hash, true, false},
		{"wrong", "correct house", hash, false, false},
		{"nobody", "correct horse", "", false, false},
		{"nobody, no password", "", "", false, false},
		{"cheaper", "x", cheapHash("x", cheap), true, true},
	} {
		before := h.made.Load()
		ok, outdated, err := h.Verify(t.Context(), standard, tt.password, tt.hash)
		if ok != tt.ok || outdated != tt.outdated || err != nil || h.made.Load() != before+1 {
			t.Errorf("%s: %v, outdated %v, %v, %d computations", tt.name, ok, outdated, err, h.made.Load()-before)
		}
	}
}

// TestHasherIsBounded: beyond its slots callers wait, beyond maxWaiting they are sent away, and nobody waits for ever.
func TestHasherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(1)
		h.slots <- struct{}{} // somebody is at work
		var busy, wrong int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() {
				_, err := h.Hash(t.Context(), standard, "x")
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, ErrBusy) {
					busy++
				} else {
					wrong++
				}
			})
		}
		synctest.Wait()
		mu.Lock()
		if busy != 400-maxWaiting {
			t.Errorf("%d of 400 were sent away at once, want %d", busy, 400-maxWaiting)
		}
		mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Hash(ctx, standard, "x"); err == nil {
			t.Error("worked for somebody who has gone")
		}
		wg.Wait()
		if busy != 400 || wrong != 0 || h.made.Load() != 0 || h.waiting.Load() != 0 {
			t.Errorf("busy %d, other %d, computed %d, still waiting %d", busy, wrong, h.made.Load(), h.waiting.Load())
		}
		<-h.slots
		if _, err := h.Hash(t.Context(), standard, "x"); err != nil {
			t.Errorf("the free hasher says %v", err)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := NewHasher(1)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.Hash(context.Background(), standard, "correct horse battery")
	}
}
