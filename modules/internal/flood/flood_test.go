package flood

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// frame encodes a frame of stream 1.
func frame(kind, flags byte, payload string) string {
	var b [head]byte
	binary.BigEndian.PutUint32(b[:4], uint32(len(payload))<<8)
	b[3], b[4], b[8] = kind, flags, 1
	return string(b[:]) + payload
}

const hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// clock stands still unless it is moved.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestFloods(t *testing.T) {
	page := frame(headers, 5, "....") + frame(windowUpdate, 0, "....") + frame(windowUpdate, 0, "....")
	tests := []struct {
		name, round string
		rounds      int
		written     int           // after each round
		apart       time.Duration // rounds
		want        bool
	}{
		{"a browser's page of 300 pictures", page, 300, 20 << 10, 0, false},
		{"300 pictures, each given up at once", page + frame(rstStream, 0, "...."), 300, 0, 0, false},
		{"a long download", frame(windowUpdate, 0, "....") + frame(windowUpdate, 0, "...."), 100_000, 4 << 10, 0, false},
		{"small messages, each measured", frame(ping, 0, "12345678"), 100_000, 17 + 70, 0, false},
		{"an upload in bytes", frame(data, 0, "x"), 1_000_000, 0, 0, false},
		{"a program that asks whether we are there", frame(ping, 0, "12345678"), 100_000, 0, 25 * time.Millisecond, false},
		{"priorities of a whole visit", frame(priority, 0, ".....") + frame(headers, 5, "...."), 5000, 2 << 10, 0, false},

		{"settings", frame(settings, 0, ""), 250, 0, 0, true},
		{"answers to settings", frame(settings, 1, ""), 250, 0, 0, true},
		{"pings", frame(ping, 0, "12345678"), 1200, 0, 0, true},
		{"pings that are answered", frame(ping, 0, "12345678"), 2000, 17, 0, true},
		{"rapid reset of what is answered", frame(headers, 5, "....") + frame(rstStream, 0, "...."), 1200, 300, 0, true},
		{"priorities", frame(priority, 0, "....."), 2100, 0, 0, true},
		{"window updates", frame(windowUpdate, 0, "...."), 2100, 0, 0, true},
		{"window updates for little", frame(windowUpdate, 0, "...."), 6000, 16, 0, true},
		{"empty data", frame(data, 0, ""), 2100, 0, 0, true},
		{"data that is all padding", frame(data, padded, "\x03..."), 2100, 0, 0, true},
		{"data that ends streams", frame(data, endStream, ""), 100_000, 0, 0, false},
		{"rapid reset", frame(headers, 5, "....") + frame(rstStream, 0, "...."), 1200, 0, 0, true},
		{"continuations", frame(continuation, 0, "."), 2100, 0, 0, true},
		{"frames that nobody knows", frame(0xf3, 0, "."), 2100, 0, 0, true},
		{"a flood that takes its time", frame(ping, 0, "12345678"), 10_000, 0, 15 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{time.Unix(1e9, 0)}
			m := New(c.now)
			if m.See([]byte(hello + frame(settings, 0, strings.Repeat("......", 4)))) {
				t.Fatal("at the preface")
			}
			got := false
			for range tt.rounds {
				if got = m.See([]byte(tt.round)); got {
					break
				}
				m.Wrote(tt.written)
				c.t = c.t.Add(tt.apart)
			}
			if got != tt.want {
				t.Errorf("a flood: %v (%s)", got, m.Frame())
			}
		})
	}
}

// A receiver may tell late what it has read, and all at once.
func TestWindowUpdatesComeLate(t *testing.T) {
	m := New((&clock{}).now)
	m.Wrote(32 << 20)
	if m.See([]byte(hello + strings.Repeat(frame(windowUpdate, 0, "...."), 2*(32<<20)/(4<<10)))) {
		t.Error("a flood")
	}
}

// However a connection's bytes are cut, they are the same frames.
func TestCutsDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var b strings.Builder
		b.WriteString(hello)
		for range r.IntN(3000) {
			b.WriteString(frame(byte(r.IntN(12)), byte(r.IntN(16)), strings.Repeat("\x02", r.IntN(6))))
		}
		whole, cut := New((&clock{}).now), New((&clock{}).now)
		want, got, all := whole.See([]byte(b.String())), false, []byte(b.String())
		for len(all) > 0 && !got {
			n := 1 + r.IntN(min(len(all), 1+r.IntN(40)))
			got, all = cut.See(all[:n]), all[n:]
		}
		if got != want || want && cut.Frame() != whole.Frame() || !want && cut.tokens != whole.tokens {
			t.Fatalf("cut %v %s %d, whole %v %s %d", got, cut.Frame(), cut.tokens, want, whole.Frame(), whole.tokens)
		}
	}
}

func FuzzSee(f *testing.F) {
	f.Add([]byte(hello+frame(data, padded, "\xff")), 3)
	f.Add([]byte(hello+frame(settings, 0, "")+"\xff\xff\xff\x00\x08"), 30)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		at = min(max(at, 0), len(p))
		m := New((&clock{}).now)
		if !m.See(p[:at]) && !m.See(p[at:]) && m.tokens < 0 {
			t.Error("a debt, and no flood")
		}
		_ = m.Frame()
	})
}

func TestNothingIsAllocated(t *testing.T) {
	m, p := New(time.Now), []byte(frame(headers, 5, strings.Repeat("h", 60))+frame(data, 0, strings.Repeat("d", 900)))
	m.See([]byte(hello))
	if n := testing.AllocsPerRun(100, func() { m.See(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSee(b *testing.B) {
	m, p := New(time.Now), []byte(strings.Repeat(frame(headers, 5, strings.Repeat("h", 60)), 8))
	m.See([]byte(hello))
	for b.Loop() {
		m.See(p)
	}
}
