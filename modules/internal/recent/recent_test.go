package recent_test

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/recent"
)

func TestKeyIsSHA256(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("long", 1000)} {
		if recent.KeyOf(text) != sha256.Sum256([]byte(text)) {
			t.Errorf("the key of %d bytes is not their SHA-256", len(text))
		}
	}
}

func TestMap(t *testing.T) {
	m, now, k := recent.New[int](32), time.Unix(1000, 0), recent.KeyOf("a")
	if _, ok := m.Get(k, now); ok {
		t.Error("an empty map knows something")
	}
	m.Put(k, 1, now, now.Add(time.Minute))
	for after, want := range map[time.Duration]bool{0: true, time.Minute - 1: true, time.Minute: false, time.Hour: false} {
		if v, ok := m.Get(k, now.Add(after)); ok != want || ok && v != 1 {
			t.Errorf("after %v: %d, %v", after, v, ok)
		}
	}
	m.Put(k, 2, now, now)
	if v, _ := m.Get(k, now); v != 1 {
		t.Error("a value that never counts is kept")
	}
}

func TestMapIsBounded(t *testing.T) {
	m, now := recent.New[int](64), time.Unix(1000, 0)
	for n := range 10_000 {
		life := time.Minute
		if n%2 == 0 {
			life = time.Second
		}
		m.Put(recent.KeyOf(strconv.Itoa(n)), n, now, now.Add(life))
		if m.Len() > 64 {
			t.Fatalf("%d values after %d", m.Len(), n)
		}
		now = now.Add(time.Millisecond)
	}
}

func BenchmarkGet(b *testing.B) {
	m, now, token := recent.New[*int](1<<13), time.Now(), strings.Repeat("x", 900)
	for n := range 4096 {
		m.Put(recent.KeyOf(strconv.Itoa(n)), new(int), now, now.Add(time.Hour))
	}
	m.Put(recent.KeyOf(token), new(int), now, now.Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.Get(recent.KeyOf(token), now); !ok {
			b.Fatal("lost")
		}
	}
}
