package chain

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tip is the end of a chain: how many records there are, and what is needed to go on.
type tip struct {
	size     int64
	prev     tlog.Hash   // of the last record
	frontier []tlog.Hash // the roots of the complete subtrees, the largest first
}

// leaf is the hash of a record, of RFC 6962.
func leaf(core []byte) tlog.Hash { return tlog.RecordHash(core) }

// add appends a record's hash.
func (t *tip) add(h tlog.Hash) {
	t.prev = h
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.frontier) - 1
		h = tlog.NodeHash(t.frontier[last], h)
		t.frontier = t.frontier[:last]
	}
	t.frontier = append(t.frontier, h)
	t.size++
}

// root is the root of the tree.
func (t *tip) root() tlog.Hash {
	if len(t.frontier) == 0 {
		return sha256.Sum256(nil)
	}
	h := t.frontier[len(t.frontier)-1]
	for _, left := range slices.Backward(t.frontier[:len(t.frontier)-1]) {
		h = tlog.NodeHash(left, h)
	}
	return h
}

// clone returns a copy that shares nothing.
func (t *tip) clone() tip {
	return tip{t.size, t.prev, slices.Clone(t.frontier)}
}

// subtrees returns where the subtrees of a frontier of this size begin, and how many records each holds.
func subtrees(size int64) (at, width []int64) {
	for bit, begin := int64(1)<<62, int64(0); bit > 0; bit >>= 1 {
		if size&bit != 0 {
			at, width = append(at, begin), append(width, bit)
			begin += bit
		}
	}
	return at, width
}

func parseHash(text string) (h tlog.Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tlog.HashSize {
		return h, fmt.Errorf("%.64q is no hash", text)
	}
	copy(h[:], b)
	return h, nil
}

func parseHashes(texts []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(texts))
	for _, text := range texts {
		h, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

// partial is a tree of which the records before first are gone but for the frontier that they left. It answers what
// inclusion proofs need.
type partial struct {
	first    int64
	frontier map[[2]int64]tlog.Hash // by begin and width
	leaves   []tlog.Hash            // of the records from first on
}

func newPartial(start tip) *partial {
	p := &partial{first: start.size, frontier: map[[2]int64]tlog.Hash{}}
	at, width := subtrees(start.size)
	for i := range at {
		p.frontier[[2]int64{at[i], width[i]}] = start.frontier[i]
	}
	return p
}

// hash returns the root of the complete subtree that begins there.
func (p *partial) hash(begin, width int64) (tlog.Hash, error) {
	if begin+width <= p.first {
		h, ok := p.frontier[[2]int64{begin, width}]
		if !ok {
			return h, fmt.Errorf("the records %d to %d are pruned", begin, begin+width-1)
		}
		return h, nil
	}
	if width == 1 {
		return p.leaves[begin-p.first], nil
	}
	left, err := p.hash(begin, width/2)
	if err != nil {
		return left, err
	}
	right, err := p.hash(begin+width/2, width/2)
	return tlog.NodeHash(left, right), err
}

// ReadHashes implements tlog.HashReader.
func (p *partial) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(indexes))
	for _, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		h, err := p.hash(n<<level, 1<<level)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
