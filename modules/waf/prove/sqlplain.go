package prove

import (
	_ "embed"
	"strings"
)

// sqlWordList holds the words of libinjection's table, one a line: after "k " each word of an entry that is neither a
// bare word nor a function, after "p " each word of an entry of several words.
//
//go:embed sqlwords.txt
var sqlWordList string

// sqlKeywords and sqlPhrases are sets of hashes of the two kinds. A hash that is in one by accident costs a call of
// libinjection.
var sqlKeywords, sqlPhrases = func() (k, p sqlSet) {
	for line := range strings.Lines(sqlWordList) {
		kind, word, _ := strings.Cut(strings.TrimSpace(line), " ")
		h := uint32(fnvBasis)
		for i := range len(word) {
			h = (h ^ uint32(word[i]|0x20)) * fnvPrime
		}
		if h = fold(h); kind == "k" {
			k[h/64] |= 1 << (h % 64)
		} else {
			p[h/64] |= 1 << (h % 64)
		}
	}
	return k, p
}()

type sqlSet [sqlHashes / 64]uint64

func (s *sqlSet) has(h uint32) bool { return s[h/64]&(1<<(h%64)) != 0 }

const (
	sqlHashes = 1 << 17
	fnvBasis  = 2166136261
	fnvPrime  = 16777619
)

func fold(h uint32) uint32 { return (h ^ h>>15) % sqlHashes }

// plainTokens is one more than libinjection reads of a text that it cannot fold: five for the fingerprint and one to
// look ahead.
const plainTokens = 7

// plainWords reports that libinjection cannot find SQL in s. It promises nothing by false.
//
// libinjection makes a fingerprint of the first five tokens. Here the first seven (or all) are words of letters, digits
// and _ that stand alone, or plain decimal numbers, apart by spaces. A word that no entry of its table makes something
// else is a bare word (n) or a function (f), and two of them join only into an entry of several words, so that both must
// be in such entries, which no two neighbours here are; a number is 1. Without parentheses nothing folds n, f and 1, so
// nothing behind the seventh token is read, and no fingerprint in its table consists of these alone (a test reads the
// table). Only quotes make it read the text a second time, in another way: with one anywhere, we do not know.
func plainWords(s string) bool {
	tokens, i, joins := 0, 0, false
	for i < len(s) && tokens < plainTokens {
		if s[i] == ' ' {
			i++
			continue
		}
		n, may := plainToken(s[i:])
		if n == 0 || joins && may {
			return false
		}
		joins = may
		i += n
		tokens++
	}
	return strings.IndexByte(s[i:], '\'') < 0 && strings.IndexByte(s[i:], '"') < 0
}

// plainToken returns the length of the word or number at the beginning of s, 0 if it is neither, or a word of SQL; and
// whether the word may join with another.
func plainToken(s string) (n int, joins bool) {
	i := 0
	switch c := s[0]; {
	case '0' <= c && c <= '9':
		i = digits(s, 0)
		if i+1 < len(s) && s[i] == '.' && '0' <= s[i+1] && s[i+1] <= '9' {
			i = digits(s, i+1)
		}
		// A letter ends the number too, but for those of 1e5, 1d, 1f, 0x1 and 0b1.
		if i < len(s) && 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z' && strings.IndexByte("edfxb", s[i]|0x20) < 0 {
			return i, false
		}
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		h := uint32(fnvBasis)
		for i < len(s) && wordByte[s[i]] {
			h = (h ^ uint32(s[i]|0x20)) * fnvPrime
			i++
		}
		h = fold(h)
		if sqlKeywords.has(h) {
			return 0, false
		}
		joins = sqlPhrases.has(h)
	}
	if i < len(s) && s[i] != ' ' {
		return 0, false
	}
	return i, joins
}

// digits returns where the digits from i on end.
func digits(s string, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// wordByte are the bytes of a plain word.
var wordByte = func() (set [256]bool) {
	for c := range set {
		b := byte(c)
		set[c] = 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b == '_'
	}
	return set
}()
