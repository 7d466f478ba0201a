package local

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a list of breached passwords.
const (
	maxWordsFile = 64 << 20 // bytes of a list of plain words, which is held in memory
	maxListLine  = 128      // bytes of a line of hashes
	maxWordLine  = 4 << 10
	listProbes   = 256 // places in a list of hashes where its order is looked at
	hashDigits   = 2 * sha1.Size
)

// Breached is a list of passwords that became known, in a file: either lines of SHA-1 hashes in hexadecimal, sorted, with
// anything behind a colon, as Have I Been Pwned publishes them, of any size; or plain words of 64 MiB at the most, in any
// order. A file that changes is read again; of words that cannot be read any more the last good ones serve. Make one with
// [OpenBreached]; it is safe for concurrent use.
type Breached struct {
	path   string
	report func(error) // told of a file that cannot be read again

	mu     sync.Mutex
	read   os.FileInfo // guarded by mu; the file that was judged last
	hashed bool        // guarded by mu; it holds hashes
	words  []uint64    // guarded by mu; the first half of each word's SHA-1, sorted
	failed string      // guarded by mu; what was reported last
}

// OpenBreached looks at the file, and reads it if it holds words. report is told, once each, of later trouble; it must
// not block.
func OpenBreached(path string, report func(error)) (*Breached, error) {
	b := &Breached{path: path, report: report}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := b.freshLocked()
	if err != nil {
		return nil, err
	}
	return b, f.Close()
}

// Destruct implements what the house closes things by.
func (*Breached) Destruct() error { return nil }

// Has reports whether the canonical password is in the list.
func (b *Breached) Has(password string) (bool, error) {
	sum := sha1.Sum([]byte(password))
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := b.freshLocked()
	if err != nil {
		if b.words == nil {
			return false, err
		}
		b.tellLocked(err)
		return b.hasWordLocked(sum), nil
	}
	defer f.Close()
	b.failed = ""
	if !b.hashed {
		return b.hasWordLocked(sum), nil
	}
	return findHash(f, b.read.Size(), sum)
}

func (b *Breached) hasWordLocked(sum [sha1.Size]byte) bool {
	_, found := slices.BinarySearch(b.words, binary.BigEndian.Uint64(sum[:8]))
	return found
}

func (b *Breached) tellLocked(err error) {
	if err.Error() != b.failed {
		b.failed = err.Error()
		b.report(err)
	}
}

// freshLocked opens the file, and judges it anew when it is another one than before.
func (b *Breached) freshLocked() (_ *os.File, err error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("breached_list: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // read only
			err = fmt.Errorf("breached_list %s: %w", b.path, err)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if b.read != nil && os.SameFile(b.read, info) && b.read.Size() == info.Size() && b.read.ModTime().Equal(info.ModTime()) {
		return f, nil
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, errors.New("it is empty or no file")
	}
	hashed, err := holdsHashes(f)
	if err != nil {
		return nil, err
	}
	var words []uint64
	if hashed {
		err = checkOrder(f, info.Size())
	} else {
		words, err = readWords(f, info.Size())
	}
	if err != nil {
		return nil, err
	}
	b.read, b.hashed, b.words = info, hashed, words
	return f, nil
}

// holdsHashes judges by the first line.
func holdsHashes(f io.ReaderAt) (bool, error) {
	buf := make([]byte, maxListLine)
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	hash, _, _ := bytes.Cut(line, []byte(":"))
	if len(hash) == 32 && isHex(hash) {
		return false, errors.New("its first line looks like an NTLM hash: use the list of SHA-1 hashes")
	}
	return len(hash) == hashDigits && isHex(hash), nil
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// readWords returns the words of the file as they are searched.
func readWords(f *os.File, size int64) ([]uint64, error) {
	if size > maxWordsFile {
		return nil, fmt.Errorf("%d MiB of words are more than %d: make a sorted list of their SHA-1 hashes, which may have any size", size>>20, maxWordsFile>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, maxWordLine), maxWordLine)
	words := []uint64{} // not nil: that there are none is known too
	for n := 1; lines.Scan(); n++ {
		if word := bytes.TrimRight(lines.Bytes(), "\r"); len(word) > 0 {
			sum := sha1.Sum(norm.NFC.Bytes(word))
			words = append(words, binary.BigEndian.Uint64(sum[:8]))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.Sort(words)
	return slices.Clip(slices.Compact(words)), nil
}

// checkOrder looks at some lines, spread over the list: whether they are hashes in ascending order. Only that makes a
// search find anything.
func checkOrder(f io.ReaderAt, size int64) error {
	var last [sha1.Size]byte
	lastAt := int64(-1)
	for i := range int64(listProbes) {
		at, sum, err := lineAfter(f, size*i/listProbes, size)
		if err != nil {
			return err
		}
		if at >= size || at == lastAt {
			continue
		}
		if lastAt >= 0 && bytes.Compare(sum[:], last[:]) <= 0 {
			return fmt.Errorf("its lines are not sorted around byte %d: sort them by hash", at)
		}
		last, lastAt = sum, at
	}
	return nil
}

// findHash searches the sorted list.
func findHash(f io.ReaderAt, size int64, want [sha1.Size]byte) (bool, error) {
	low, high := int64(0), size // the hash's line, if there is one, begins at low or behind, and before high
	for low < high {
		middle := low + (high-low)/2
		at, sum, err := lineAfter(f, middle, size)
		if err != nil {
			return false, err
		}
		if at >= high { // no line begins in the second half
			high = middle
			continue
		}
		switch order := bytes.Compare(sum[:], want[:]); {
		case order == 0:
			return true, nil
		case order < 0:
			low = at + 1
		default:
			high = middle
		}
	}
	return false, nil
}

// lineAfter returns where the first line begins that does not begin before from, and its hash; size when there is none.
func lineAfter(f io.ReaderAt, from, size int64) (at int64, sum [sha1.Size]byte, err error) {
	buf := make([]byte, 2*maxListLine)
	start := max(from-1, 0) // a line begins at from when a line break is before it
	n, err := f.ReadAt(buf, start)
	if err != nil && err != io.EOF {
		return 0, sum, err
	}
	rest := buf[:n]
	at = from
	if from > 0 {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 && start+int64(n) < size {
			return 0, sum, fmt.Errorf("it has a line longer than %d bytes around byte %d", maxListLine, from)
		}
		if i < 0 {
			return size, sum, nil
		}
		rest, at = rest[i+1:], start+int64(i)+1
	}
	if at >= size {
		return size, sum, nil
	}
	if len(rest) < hashDigits || !isHex(rest[:hashDigits]) || len(rest) > hashDigits && bytes.IndexByte([]byte(":\r\n"), rest[hashDigits]) < 0 {
		return 0, sum, fmt.Errorf("the line at byte %d does not begin with a SHA-1 hash", at)
	}
	_, err = hex.Decode(sum[:], rest[:hashDigits])
	return at, sum, err
}
