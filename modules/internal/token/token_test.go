package token

import (
	"strings"
	"testing"
)

func TestTexts(t *testing.T) {
	const kind = Kind("ghx_")
	text, id := kind.New()
	if got, ok := kind.Read(text); !ok || got != id || !kind.Begins(text) || !Matches(text, Hash(text)) {
		t.Fatalf("%q: %q, %v", text, got, ok)
	}
	if other, _ := kind.New(); other == text || Matches(other, Hash(text)) || Matches(text, nil) {
		t.Error("two credentials have one text, or one's hash fits the other")
	}
	for i := range text { // whatever single character is mistyped, it is noticed before any store is asked
		changed := []byte(text)
		changed[i] = 'A' + (changed[i]+1)%26
		if string(changed) == text {
			continue
		}
		if _, ok := kind.Read(string(changed)); ok {
			t.Errorf("changed at %d: %q is read", i, changed)
		}
	}
	for _, bad := range []string{"", "ghx_", text[:len(text)-1], text + "0", Kind("ghy_").text(text), strings.ToUpper(text), " " + text} {
		if _, ok := kind.Read(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

// text is a text of another kind as one of this.
func (k Kind) text(of string) string { return string(k) + of[len(k):] }

func TestRandomIsEven(t *testing.T) {
	const alphabet, n = "abcdefghijklmnopqrst", 200_000
	counts := map[rune]int{}
	for _, c := range Random(alphabet, n) {
		counts[c]++
	}
	for _, c := range alphabet {
		if got := counts[c]; got < n/len(alphabet)*9/10 || got > n/len(alphabet)*11/10 {
			t.Errorf("%c comes %d times of %d", c, got, n)
		}
	}
	if len(counts) != len(alphabet) {
		t.Errorf("%d characters", len(counts))
	}
}

func FuzzRead(f *testing.F) {
	text, _ := Kind("ghx_").New()
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := Kind("ghx_").Read(text); ok && (len(id) != idLength || !strings.Contains(text, id)) {
			t.Errorf("%q: %q", text, id)
		}
	})
}
