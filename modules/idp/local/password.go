package local

import (
	_ "embed"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a password. Every Unicode code point counts as one character (NIST SP 800-63B 3.1.1.2).
const (
	minPassword = 12  // characters; control CER-09
	maxPassword = 256 // bytes
	leastBeside = 8   // characters that must remain beside words anybody would try
	longestUnit = 4   // characters in a unit whose repetition makes no password
)

var (
	// ErrPasswordShort says that a password has too few characters.
	ErrPasswordShort = errors.New("password too short")
	// ErrPasswordLong says that a password is longer than 256 bytes, or holds what cannot be typed.
	ErrPasswordLong = errors.New("password too long or not text")
	// ErrPasswordWeak says that a password is among the first that an attacker tries.
	ErrPasswordWeak = errors.New("password too easy to guess")
	// ErrPasswordLeaked says that a password is in the list of those that became known.
	ErrPasswordLeaked = errors.New("password is known from a leak")
	// ErrPasswordSame says that a new password is the old one.
	ErrPasswordSame = errors.New("the new password is the old one")
)

//go:embed common.txt
var commonText string

// common holds the passwords, and the words with nothing but digits and signs around them, that are no passwords.
var common = func() map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if word := strings.TrimSpace(line); word != "" && word[0] != '#' {
			set[word] = true
		}
	}
	return set
}()

// canonicalPassword returns the form of a password that is hashed: NFC, so that it is the same from every keyboard
// (RFC 8265 4.2). Nothing is trimmed or changed otherwise.
func canonicalPassword(typed string) (string, error) {
	if len(typed) > 4*maxPassword || !utf8.ValidString(typed) || strings.ContainsFunc(typed, unicode.IsControl) {
		return "", ErrPasswordLong
	}
	if typed = norm.NFC.String(typed); len(typed) > maxPassword {
		return "", ErrPasswordLong
	}
	return typed, nil
}

// checkPassword judges a canonical password of at least least characters for the user called name. There are no rules
// about kinds of characters.
func checkPassword(password, name string, least int) error {
	if utf8.RuneCountInString(password) < max(least, minPassword) {
		return ErrPasswordShort
	}
	lower := strings.ToLower(password)
	if common[lower] || common[letters(lower)] || repeats(lower) || runs(lower) {
		return ErrPasswordWeak
	}
	rest := strings.ReplaceAll(lower, "gatehouse", "")
	for _, part := range append(strings.FieldsFunc(name, notAlphanumeric), name) {
		if len(part) >= 3 {
			rest = strings.ReplaceAll(rest, part, "")
		}
	}
	if rest != lower && utf8.RuneCountInString(rest) < leastBeside {
		return ErrPasswordWeak
	}
	return nil
}

func notAlphanumeric(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// letters returns the word that has only digits and signs around it, such as password in 1password2024!!; otherwise
// something with those in it, which is in no list.
func letters(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

// repeats reports whether s is a short unit over and over: aaaaaaaaaaaa, abcabcabcabc.
func repeats(s string) bool {
	r := []rune(s)
	for unit := 1; unit <= longestUnit; unit++ {
		same := true
		for i := unit; i < len(r) && same; i++ {
			same = r[i] == r[i-unit]
		}
		if same {
			return true
		}
	}
	return false
}

// runs reports whether s goes up or down one by one, as the alphabet does: abcdefghijkl, with 9 followed by 0.
func runs(s string) bool {
	r := []rune(s)
	for _, step := range []rune{1, -1} {
		all := true
		for i := 1; i < len(r) && all; i++ {
			wrap := step == 1 && r[i-1] == '9' && r[i] == '0' || step == -1 && r[i-1] == '0' && r[i] == '9'
			all = r[i] == r[i-1]+step || wrap
		}
		if all {
			return true
		}
	}
	return false
}
