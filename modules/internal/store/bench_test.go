package store

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

var value600 = make([]byte, 600)

func BenchmarkEmbeddedGet(b *testing.B) {
	s := open(b, file(b), EmbeddedOptions{})
	for i := range 1000 {
		mustPut(b, s, Key{"session", strconv.Itoa(i)}, string(value600), PutOptions{TTL: time.Hour, Index: []string{"user:a", "sid:b"}})
	}
	k := Key{"session", "500"}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(ctx, k); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Get(ctx, k); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkEmbeddedPut(b *testing.B) {
	for _, writers := range []int{1, 32, 64} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			s := open(b, file(b), EmbeddedOptions{})
			before := commits(b, s)
			benchPut(b, s, writers)
			b.ReportMetric(float64(b.N)/float64(max(1, commits(b, s)-before)), "puts/commit")
		})
	}
}

func BenchmarkMemoryPut(b *testing.B) {
	s := NewMemory()
	defer s.Close()
	benchPut(b, s, 32)
}

func benchPut(b *testing.B, s Store, writers int) {
	var n atomic.Int64
	b.ReportAllocs()
	done := make(chan error)
	for range writers {
		go func() {
			for {
				i := n.Add(1)
				if i > int64(b.N) {
					done <- nil
					return
				}
				k := Key{"session", strconv.FormatInt(i, 10)}
				if _, err := s.Put(ctx, k, value600, PutOptions{TTL: time.Hour, Index: []string{"user:" + k.ID, "sid:" + k.ID}}); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryGet(b *testing.B) {
	s := NewMemory()
	defer s.Close()
	k := Key{"session", "1"}
	mustPut(b, s, k, string(value600), PutOptions{TTL: time.Hour})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(ctx, k); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEmbeddedTouch1000(b *testing.B) {
	s := open(b, file(b), EmbeddedOptions{})
	keys := make([]Key, 1000)
	for i := range keys {
		keys[i] = Key{"session", strconv.Itoa(i)}
		mustPut(b, s, keys[i], string(value600), PutOptions{TTL: time.Minute})
	}
	at := time.Now().Add(time.Hour)
	for b.Loop() {
		at = at.Add(time.Second)
		to := make(map[Key]time.Time, len(keys))
		for _, k := range keys {
			to[k] = at
		}
		if err := s.Touch(ctx, to); err != nil {
			b.Fatal(err)
		}
	}
}
