package processors

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scribble appends a value, mostly of good JSON.
func scribble(r *rand.Rand, b *strings.Builder, depth int) {
	space := func() {
		if r.IntN(12) == 0 {
			b.WriteString([]string{" ", "\n", "\t", "\r", "\v", "\x00", "\u00a0"}[r.IntN(40)%7%(4+r.IntN(4))])
		}
	}
	text := func() {
		b.WriteByte('"')
		for range r.IntN(1 + r.IntN(14)) {
			b.WriteString([]string{"a", "b", "k", ".", "0", " ", "é", "/", "{", "}", "[", "]", ",", ":", "ſ", "\xff", "\x7f", `\n`, `\"`, `\\`, `\/`, `\t`,
				`\u0061`, `\ud83d`, `\x`, "\x01", "'", `\`}[min(r.IntN(28), r.IntN(60))])
		}
		b.WriteByte('"')
	}
	space()
	switch n := r.IntN(10); {
	case n < 3 && depth > 0:
		b.WriteByte('{')
		for i := range r.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			text()
			space()
			b.WriteByte(':')
			scribble(r, b, depth-1)
			space()
		}
		b.WriteByte('}')
	case n < 5 && depth > 0:
		b.WriteByte('[')
		for i := range r.IntN(4) {
			if i > 0 {
				b.WriteByte(',')
			}
			scribble(r, b, depth-1)
			space()
		}
		b.WriteByte(']')
	case n < 8:
		text()
	default:
		b.WriteString([]string{"true", "false", "null", "0", "-0", "12", "-3.50", "1e5", "2.5E-7", "01", "-", "1.", ".5", "1e", "+1", "nan",
			"tru", "nul", "True", "1x", "--1", strconv.Itoa(r.IntN(1e6)), "truefalse"}[min(r.IntN(23), r.IntN(40))])
	}
	space()
}

// bent is one document, perhaps with something wrong.
func bent(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString([]string{"{\"a\":", "[", "{\"k.k\":1,\"k\":", ""}[r.IntN(4)])
	scribble(r, &b, 5)
	s := b.String()
	if s[0] == '{' {
		s += "}"
	} else if s[0] == '[' {
		s += "]"
	}
	switch at := r.IntN(len(s) + 1); r.IntN(8) {
	case 0:
		s = s[:at]
	case 1:
		s = s[:at] + string([]byte{"{}[],:\"\\ 0a\x00"[r.IntN(12)]}) + s[at:]
	case 2:
		end := min(len(s), at+1+r.IntN(3))
		s = s[:at] + s[end:]
	}
	return s
}

// TestQuickReaderIsCorazas: what is read in one pass leaves what Coraza's reading leaves.
func TestQuickReaderIsCorazas(t *testing.T) {
	all := engines(t)
	r := rand.New(rand.NewPCG(31, 1))
	bodies := corpus()
	for range 15000 {
		bodies = append(bodies, bent(r))
	}
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n) + strings.Repeat("]}", n) }
	wide := func(n int) string { return "[" + strings.Repeat(`"x",`, n-1) + "1]" }
	bodies = append(bodies, deep(9), deep(10), deep(11), deep(33), wide(48), wide(49), wide(50), wide(51), "["+strings.Repeat("[1],", 51)+"1]",
		`{"`+strings.Repeat("k", 400)+`":[`+strings.Repeat("1,", 12)+`1]}`, `{"a":{"b":1},"a.b":2,"A.b":3}`, ` [1] `, `[1],`, `{"a":1}{`, `{"":{"":""}}`)
	read := 0
	for _, body := range bodies {
		if new(document).read(body, 20, 50) {
			read++
		}
		if want, got := seen(t, all["json"], body), seenBy(t, all[ours+"json"], body, true); !slices.Equal(want, got) {
			t.Fatalf("%.600q:\nCoraza %.900q\nours   %.900q", body, want, got)
		}
	}
	if t.Logf("%d of %d read in one pass", read, len(bodies)); read < len(bodies)/5 || read > len(bodies)*4/5 {
		t.Errorf("%d of %d bodies are read in one pass: one way is hardly compared", read, len(bodies))
	}
}

// FuzzQuickReader is the same for whatever comes to a fuzzer's mind.
func FuzzQuickReader(f *testing.F) {
	r := rand.New(rand.NewPCG(32, 1))
	for range 200 {
		f.Add(bent(r))
	}
	all := engines(f)
	f.Fuzz(func(t *testing.T, body string) {
		if want, got := seen(t, all["json"], body), seenBy(t, all[ours+"json"], body, true); !slices.Equal(want, got) {
			t.Errorf("%q:\nCoraza %q\nours   %q", body, want, got)
		}
	})
}

func TestSpecial(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 1))
	for range 20000 {
		b := make([]byte, r.IntN(30))
		for i := range b {
			b[i] = "ab \"\\\x00\x1f!#[]\x7f\x80\x82\xa2\xdc\xff"[r.IntN(17)]
		}
		s := string(b)
		want := strings.IndexFunc(s, func(c rune) bool { return c == '"' || c == '\\' || c < ' ' })
		if want < 0 {
			want = len(s)
		}
		if got := special(s); got != want {
			t.Fatalf("%q: %d, want %d", s, got, want)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	body := `{"order":{` + strings.TrimSuffix(strings.Repeat(`"field":"quick report shows customer","amount":123.45,"id":"abcdefghijklmnopqrstuvwx","note":"remain review attached",`, 16), ",") + `}}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	d := new(document)
	for b.Loop() {
		if !d.read(body, 20, 1000) {
			b.Fatal("it is not read")
		}
	}
}
