package siem

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkSpool is what a spool writes, and what it gives again for sending, of records of 700 bytes.
func BenchmarkSpool(b *testing.B) {
	batch := make([]entry, drainAtOnce)
	for i := range batch {
		batch[i] = entry{at: int64(i), stream: "access", id: fmt.Sprint(i), text: bytes.Repeat([]byte("x"), 700)}
	}
	s, err := openSpool(b.TempDir(), 16<<30, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	b.Run("written", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.put(batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.sync(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("taken", func(b *testing.B) {
		taken := 0
		for b.Loop() {
			entries, behind, err := s.take(drainAtOnce, 4<<20)
			if err == nil {
				err = s.ack(behind)
			}
			if err != nil {
				b.Fatal(err)
			}
			if taken += len(entries); len(entries) == 0 {
				s.acked, s.at = position{n: s.parts[0].n}, position{}
				s.closeIn()
			}
		}
		b.ReportMetric(float64(taken)/b.Elapsed().Seconds(), "records/s")
	})
}
