package local

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hashList returns the words' hashes as Have I Been Pwned publishes them.
func hashList(end string, words ...string) string {
	var lines []string
	for i, word := range words {
		lines = append(lines, fmt.Sprintf("%X:%d%s", sha1.Sum([]byte(word)), i*i*i+1, end))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func listFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func quiet(error) {}

func TestBreached(t *testing.T) {
	var words []string
	for i := range 1000 {
		words = append(words, fmt.Sprint("leaked horse ", i))
	}
	words = append(words, "pässword of ücks")
	plain := strings.Join(words[:1000], "\r\n") + "\r\n\r\npa\u0308ssword of u\u0308cks"
	for name, text := range map[string]string{
		"hashes": hashList("\r\n", words...), "unix": hashList("\n", words...), "lower case": strings.ToLower(hashList("\n", words...)),
		"without counts":     bare(words),
		"no end of the last": strings.TrimSuffix(hashList("\n", words...), "\n"), "words": plain,
	} {
		b, err := OpenBreached(listFile(t, text), quiet)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range words {
			if known, err := b.Has(word); !known || err != nil {
				t.Fatalf("%s: %q: %v, %v", name, word, known, err)
			}
		}
		for i := range 1000 {
			if known, err := b.Has(fmt.Sprint("unheard of horse ", i)); known || err != nil {
				t.Fatalf("%s: %v, %v", name, known, err)
			}
		}
	}
}

func bare(words []string) string {
	var lines []string
	for _, word := range words {
		lines = append(lines, fmt.Sprintf("%x\n", sha1.Sum([]byte(word))))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestBreachedRefuses(t *testing.T) {
	sorted := strings.SplitAfter(hashList("\n", "a", "b", "c", "d", "e", "f"), "\n")
	slices.Reverse(sorted)
	for name, tt := range map[string]struct{ text, says string }{
		"empty":      {"", "empty"},
		"unsorted":   {strings.Join(sorted, ""), "not sorted"},
		"NTLM":       {"0123456789ABCDEF0123456789ABCDEF:5\n", "NTLM"},
		"half words": {hashList("\n", "a") + "0000 and something that is no hash at all\n", "does not begin with a SHA-1 hash"},
		"long line":  {hashList("\n", "a") + strings.Repeat("F", 4000) + "\n", "byte"},
		"long word":  {strings.Repeat("w", 10_000), "too long"},
	} {
		if _, err := OpenBreached(listFile(t, tt.text), quiet); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenBreached("/nowhere/list", quiet); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := OpenBreached(t.TempDir(), quiet); err == nil {
		t.Error("a directory")
	}
}

// A list that changes is read again, from words to hashes too; of one that breaks the last good words serve, and it is
// told once.
func TestBreachedReload(t *testing.T) {
	path := listFile(t, "first horse\n")
	var told []error
	b, err := OpenBreached(path, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Second) // file systems may be coarse
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, first, second bool, failed bool) {
		t.Helper()
		one, err1 := b.Has("first horse")
		two, err2 := b.Has("second horse")
		if one != first || two != second || (errors.Join(err1, err2) != nil) != failed {
			t.Errorf("%s: %v, %v; %v, %v", what, one, two, err1, err2)
		}
	}
	check("at first", true, false, false)
	write("second horse\nfirst horse\n")
	check("longer", true, true, false)
	write("")
	check("broken", true, true, false)
	if len(told) != 1 {
		t.Errorf("told %q", told)
	}
	write(hashList("\n", "second horse"))
	check("hashes", false, true, false)
	write(hashList("\n", "first horse"))
	check("other hashes", true, false, false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("gone", false, false, true) // of hashes nothing is kept
}

func FuzzBreached(f *testing.F) {
	f.Add([]byte(hashList("\n", "a", "b", "c")), "a")
	f.Add([]byte(hashList("\r\n", "a")), "b")
	f.Add([]byte("horse\nstaple\n"), "horse")
	f.Add([]byte("\n"), "")
	f.Fuzz(func(t *testing.T, text []byte, word string) {
		b, err := OpenBreached(listFile(t, string(text)), quiet)
		if err != nil {
			return
		}
		known, err := b.Has(word)
		if err != nil {
			return
		}
		if naive := inLines(text, word, b.hashed); known != naive && (known || inOrder(text)) {
			t.Errorf("%q in %q: %v", word, text, known)
		}
	})
}

// inLines looks at every line.
func inLines(text []byte, word string, hashed bool) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if hashed && len(line) >= hashDigits && strings.EqualFold(string(line[:hashDigits]), fmt.Sprintf("%x", sha1.Sum([]byte(word)))) {
			return true
		}
		if canonical, err := canonicalPassword(string(line)); !hashed && err == nil && len(line) > 0 && canonical == word {
			return true
		}
	}
	return false
}

func inOrder(text []byte) bool {
	lines := bytes.Split(bytes.ToUpper(bytes.TrimSpace(text)), []byte("\n"))
	return slices.IsSortedFunc(lines, bytes.Compare)
}

func BenchmarkBreached(b *testing.B) {
	var words []string
	for i := range 200_000 {
		words = append(words, fmt.Sprint(i))
	}
	list, err := OpenBreached(listFile(b, hashList("\r\n", words...)), quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = list.Has("horse")
	}
}
