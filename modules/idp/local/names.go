package local

import "strings"

// maxName is the longest user name, in bytes.
const maxName = 64

// CanonicalName returns the one spelling of a user name: 1 to 64 of a-z, 0-9 and . _ @ -, beginning with a letter or a
// digit. Capital letters are lowered and spaces around the name dropped, as telephones add both. ASCII only, so that no
// two names look alike.
func CanonicalName(typed string) (name string, ok bool) {
	b := []byte(strings.Trim(typed, " "))
	if len(b) == 0 || len(b) > maxName {
		return "", false
	}
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("._@-", c) >= 0:
		default:
			return "", false
		}
	}
	return string(b), true
}
