package flood

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// encode encodes a frame, of no stream.
func encode(kind, flags byte, payload string) string {
	var b [head]byte
	binary.BigEndian.PutUint32(b[:4], uint32(len(payload))<<8)
	b[3], b[4] = kind, flags
	return string(b[:]) + payload
}

// numbered gives all frames in p, which begins with one, the number of the stream.
func numbered(p string, stream uint32) []byte {
	b := []byte(p)
	for at := 0; at < len(b); at += head + int(binary.BigEndian.Uint32(b[at:])>>8) {
		binary.BigEndian.PutUint32(b[at+5:], stream)
	}
	return b
}

const hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// clock stands still unless it is moved.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestFloods(t *testing.T) {
	page := encode(headers, 5, "....") + encode(windowUpdate, 0, "....") + encode(windowUpdate, 0, "....")
	tests := []struct {
		name, round string
		rounds      int
		written     int           // after each round
		apart       time.Duration // rounds
		want        bool
	}{
		{"a browser's page of 300 pictures", page, 300, 20 << 10, 0, false},
		{"180 pictures, each given up at once", page + encode(rstStream, 0, "...."), 180, 0, 0, false},
		{"the page is loaded again for as long as a key is held", encode(headers, 5, "....") + encode(rstStream, 0, "...."), 10_000, 0, time.Second / 30, false},
		{"a long download", encode(windowUpdate, 0, "....") + encode(windowUpdate, 0, "...."), 100_000, 4 << 10, 0, false},
		{"small messages, each measured", encode(ping, 0, "12345678"), 100_000, 17 + 70, 0, false},
		{"an upload in bytes", encode(data, 0, "x"), 1_000_000, 0, 0, false},
		{"a program that asks whether we are there", encode(ping, 0, "12345678"), 100_000, 0, 25 * time.Millisecond, false},
		{"priorities of a whole visit", encode(priority, 0, ".....") + encode(headers, 5, "...."), 5000, 2 << 10, 0, false},

		{"settings", encode(settings, 0, ""), 250, 0, 0, true},
		{"answers to settings", encode(settings, 1, ""), 250, 0, 0, true},
		{"pings", encode(ping, 0, "12345678"), 1200, 0, 0, true},
		{"pings that are answered", encode(ping, 0, "12345678"), 2000, 17, 0, true},
		{"rapid reset of what is answered", encode(headers, 5, "....") + encode(rstStream, 0, "...."), 201, 300, 0, true},
		{"rapid reset, each with trailers", encode(headers, 4, "....") + encode(headers, 5, "....") + encode(rstStream, 0, "...."), 201, 0, 0, true},
		{"priorities", encode(priority, 0, "....."), 2100, 0, 0, true},
		{"window updates", encode(windowUpdate, 0, "...."), 2100, 0, 0, true},
		{"window updates for little", encode(windowUpdate, 0, "...."), 6000, 16, 0, true},
		{"empty data", encode(data, 0, ""), 2100, 0, 0, true},
		{"data that is all padding", encode(data, padded, "\x03..."), 2100, 0, 0, true},
		{"data that ends streams", encode(data, endStream, ""), 100_000, 0, 0, false},
		{"rapid reset", encode(headers, 5, "....") + encode(rstStream, 0, "...."), 201, 0, 0, true},
		{"rapid reset that takes its time", encode(headers, 5, "....") + encode(rstStream, 0, "...."), 2000, 0, 9 * time.Millisecond, true},
		{"continuations", encode(continuation, 0, "."), 101, 0, 0, true},
		{"frames that nobody knows", encode(0xf3, 0, "."), 2100, 0, 0, true},
		{"a flood that takes its time", encode(ping, 0, "12345678"), 10_000, 0, 15 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{time.Unix(1e9, 0)}
			m := New(c.now)
			if m.See([]byte(hello + encode(settings, 0, strings.Repeat("......", 4)))) {
				t.Fatal("at the preface")
			}
			got := false
			for n := range tt.rounds {
				if got = m.See(numbered(tt.round, uint32(2*n+1))); got {
					break
				}
				m.Wrote([]byte(answer(tt.written)))
				c.t = c.t.Add(tt.apart)
			}
			if got != tt.want {
				t.Errorf("a flood: %v (%s)", got, m.Frame())
			}
		})
	}
}

// answer is what a server sends, so many bytes with its frames' heads.
func answer(n int) string {
	if n <= head {
		return strings.Repeat(encode(settings, 1, ""), min(n, 1)) // too short to be anything
	}
	return encode(data, 0, strings.Repeat("a", n-head))
}

// What is reset may be half of all, for ever, and 300 streams in a burst, whatever the order.
func TestShareOfResets(t *testing.T) {
	m, stream := New((&clock{}).now), uint32(1)
	m.See([]byte(hello))
	send := func(resets ...bool) bool {
		for _, reset := range resets {
			p := encode(headers, 5, "....")
			if reset {
				p += encode(rstStream, 0, "....")
			}
			if m.See(numbered(p, stream)) {
				return true
			}
			stream += 2
		}
		return false
	}
	for n := range 10_000 {
		if send(true, false) {
			t.Fatalf("after %d resets, and as many answers, a flood", n)
		}
	}
	for range 1000 {
		send(false)
	}
	n := 0
	for !send(true) {
		n++
	}
	if n < 500 || n > 600 {
		t.Errorf("a burst of %d resets passes", n)
	}
}

// It is the same who resets the streams, if it is for what the client sent.
func TestForcedResets(t *testing.T) {
	for code, want := range map[byte]bool{0: false, 1: true, 2: false, 3: true, 5: true, 7: false, 8: false} {
		m, got, n := New((&clock{}).now), false, 0
		m.See([]byte(hello))
		for ; n < 1000 && !got; n++ {
			got = m.See(numbered(encode(headers, 5, "....")+encode(windowUpdate, 0, "\x00\x00\x00\x00"), uint32(2*n+1)))
			p := numbered(encode(rstStream, 0, string([]byte{0, 0, 0, code})), uint32(2*n+1))
			m.Wrote(p[:n%len(p)])
			m.Wrote(p[n%len(p):])
		}
		if got != want || want && n > 202 {
			t.Errorf("code %d: a flood after %d: %v", code, n, got)
		}
	}
}

// A receiver may tell late what it has read, and all at once.
func TestWindowUpdatesComeLate(t *testing.T) {
	m := New((&clock{}).now)
	m.Wrote([]byte(answer(16<<20 - 1)))
	m.Wrote([]byte(answer(16<<20 - 1)))
	if m.See([]byte(hello + strings.Repeat(encode(windowUpdate, 0, "...."), 2*(32<<20)/(4<<10)))) {
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
			b.WriteString(encode(byte(r.IntN(12)), byte(r.IntN(16)), strings.Repeat("\x02", r.IntN(6))))
		}
		whole, cut := New((&clock{}).now), New((&clock{}).now)
		want, got, all := whole.See([]byte(b.String())), false, []byte(b.String())
		for len(all) > 0 && !got {
			n := 1 + r.IntN(min(len(all), 1+r.IntN(40)))
			got, all = cut.See(all[:n]), all[n:]
		}
		if got != want || want && cut.Frame() != whole.Frame() || !want && (cut.tokens != whole.tokens || cut.resets != whole.resets) {
			t.Fatalf("cut %v %s %d, whole %v %s %d", got, cut.Frame(), cut.tokens, want, whole.Frame(), whole.tokens)
		}
	}
}

func FuzzSee(f *testing.F) {
	f.Add([]byte(hello+encode(data, padded, "\xff")), 3)
	f.Add([]byte(hello+encode(settings, 0, "")+"\xff\xff\xff\x00\x08"), 30)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		at = min(max(at, 0), len(p))
		m := New((&clock{}).now)
		m.Wrote(p[at:])
		m.Wrote(p[:at])
		if !m.See(p[:at]) && !m.See(p[at:]) && (m.tokens < 0 || m.resets < 0) {
			t.Error("a debt, and no flood")
		}
		_ = m.Frame()
	})
}

func TestNothingIsAllocated(t *testing.T) {
	m, p := New(time.Now), []byte(encode(headers, 5, strings.Repeat("h", 60))+encode(data, 0, strings.Repeat("d", 900)))
	m.See([]byte(hello))
	if n := testing.AllocsPerRun(100, func() { m.See(p); m.Wrote(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSee(b *testing.B) {
	m, p := New(time.Now), []byte(strings.Repeat(encode(headers, 5, strings.Repeat("h", 60)), 8))
	m.See([]byte(hello))
	for b.Loop() {
		m.See(p)
	}
}

func BenchmarkWrote(b *testing.B) {
	m, p := New(time.Now), []byte(strings.Repeat(encode(headers, 5, strings.Repeat("h", 60)), 8))
	for b.Loop() {
		m.Wrote(p)
	}
}
