package transform

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// base64Value is the value of each letter of the standard alphabet; of any other byte more than 63.
var base64Value = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		table[alphabet[i]] = byte(i)
	}
	return table
}()

// startAll is the start of what changes every value but the empty one.
func startAll(s string) int {
	if s == "" {
		return -1
	}
	return 0
}

// base64DecodeExtWrite decodes up to the first =. It passes over foreign bytes and reads the URL alphabet too. A last letter
// alone gives nothing.
//
// The letters' values are gathered first, without a branch, since the processor could not guess where words end, and then
// put together in place: four that are read become three that are written before the next.
func base64DecodeExtWrite(dst []byte, s string, _ int) []byte {
	if i := strings.IndexByte(s, '='); i >= 0 {
		s = s[:i]
	}
	from := len(dst)
	dst = slices.Grow(dst, len(s))[:from+len(s)]
	b, k := dst[from:], 0
	for i := range len(s) {
		v := base64ExtValue[s[i]]
		b[k] = v
		if v <= 63 {
			k++
		}
	}
	b = b[:k]
	for ; len(b) >= 4; b = b[4:] {
		bits := uint32(b[0])<<18 | uint32(b[1])<<12 | uint32(b[2])<<6 | uint32(b[3])
		dst[from], dst[from+1], dst[from+2] = byte(bits>>16), byte(bits>>8), byte(bits)
		from += 3
	}
	bits := uint32(0)
	for _, v := range b {
		bits = bits<<6 | uint32(v)
	}
	return base64Rest(dst[:from], bits, len(b))
}

// base64ExtValue is base64Value with the URL alphabet.
var base64ExtValue = func() [256]byte {
	table := base64Value
	table['-'], table['_'] = 62, 63
	return table
}()

// base64DecodeWrite decodes up to the first foreign byte; line ends do not count. A last letter alone gives nothing.
func base64DecodeWrite(dst []byte, s string, _ int) []byte {
	bits, n := uint32(0), 0
	for i := range len(s) {
		v := base64Value[s[i]]
		if v > 63 {
			if s[i] != '\r' && s[i] != '\n' {
				break
			}
			continue
		}
		bits = bits<<6 | uint32(v)
		if n++; n == 4 {
			dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
			bits, n = 0, 0
		}
	}
	return base64Rest(dst, bits, n)
}

// base64Rest appends what the last n letters stand for, which are too few for three bytes.
func base64Rest(dst []byte, bits uint32, n int) []byte {
	switch n {
	case 2:
		dst = append(dst, byte(bits>>4))
	case 3:
		dst = append(dst, byte(bits>>10), byte(bits>>2))
	}
	return dst
}

func base64EncodeWrite(dst []byte, s string, _ int) []byte {
	return base64.StdEncoding.AppendEncode(dst, []byte(s))
}

// hexDecodeStart: digits in pairs, or else Coraza keeps the value.
func hexDecodeStart(s string) int {
	if s == "" || len(s)%2 != 0 {
		return -1
	}
	for i := range len(s) {
		if nibble[s[i]] == notHex {
			return -1
		}
	}
	return 0
}

func hexDecodeWrite(dst []byte, s string, _ int) []byte {
	for i := 0; i+1 < len(s); i += 2 {
		dst = append(dst, nibble[s[i]]<<4|nibble[s[i+1]])
	}
	return dst
}

// hexDecoded is what Coraza calls a change: no error. Decoding halves a value, and an error keeps it; the empty value
// is no error.
func hexDecoded(in, out string) bool { return in == "" || in != out }

func hexEncodeWrite(dst []byte, s string, _ int) []byte { return hex.AppendEncode(dst, []byte(s)) }

func length(s string) string { return strconv.Itoa(len(s)) }

// Coraza has no MD5 and SHA-1 in FIPS mode: it reports an error and keeps the value.

func md5Sum(s string) string {
	if fips140.Enabled() {
		return s
	}
	sum := md5.Sum([]byte(s))
	return string(sum[:])
}

func sha1Sum(s string) string {
	if fips140.Enabled() {
		return s
	}
	sum := sha1.Sum([]byte(s))
	return string(sum[:])
}

func hashed(_, _ string) bool { return !fips140.Enabled() }

// AppendBase64 appends what base64Decode makes of s; skip has it pass over the white space of ASCII, so that the result is
// what it makes of s after removeWhitespace, if s is ASCII.
func AppendBase64(dst []byte, s string, skip bool) []byte {
	if !skip {
		return base64DecodeWrite(dst, s, 0)
	}
	bits, n := uint32(0), 0
	for i := range len(s) {
		v := base64Value[s[i]]
		if v > 63 {
			if asciiSpace(s[i]) {
				continue
			}
			break
		}
		bits = bits<<6 | uint32(v)
		if n++; n == 4 {
			dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
			bits, n = 0, 0
		}
	}
	return base64Rest(dst, bits, n)
}
