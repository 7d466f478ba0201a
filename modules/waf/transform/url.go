package transform

import "strings"

// notHex is what nibble gives for a byte that is no hexadecimal digit.
const notHex = 0xff

// nibble is the value of each hexadecimal digit.
var nibble = func() (table [256]byte) {
	for i := range table {
		table[i] = notHex
	}
	for i := range byte(10) {
		table['0'+i] = i
	}
	for i := range byte(6) {
		table['a'+i], table['A'+i] = 10+i, 10+i
	}
	return table
}()

// hexByte reads two hexadecimal digits at s[i:]; ok is false if there are none.
func hexByte(s string, i int) (b byte, ok bool) {
	if i+1 >= len(s) {
		return 0, false
	}
	hi, lo := nibble[s[i]], nibble[s[i+1]]
	return hi<<4 | lo, hi|lo < 16 // notHex has the upper bits
}

// percent reads the escape at s[i:], which begins with %, as urlDecode does; n is its length, 0 if it is none.
func percent(s string, i int) (b byte, n int) {
	if b, ok := hexByte(s, i+1); ok {
		return b, 3
	}
	return 0, 0
}

// percentU is percent with %uXXXX, as urlDecodeUni reads it: the best fit for the character, or else its low byte, to
// which 0x20 is added for full-width ASCII.
func percentU(s string, i int) (b byte, n int) {
	if i+1 >= len(s) || s[i+1]|0x20 != 'u' {
		return percent(s, i)
	}
	hi, ok := hexByte(s, i+2)
	if !ok {
		return 0, 0
	}
	lo, ok := hexByte(s, i+4)
	if !ok {
		return 0, 0
	}
	if code := int(hi)<<8 | int(lo); code < len(bestFit) && bestFit[code] != 0 {
		return bestFit[code], 6
	}
	return fullWidth(hi, lo), 6
}

// fullWidth is the low byte of a UTF-16 unit, or the ASCII character that it is the full-width form of.
func fullWidth(hi, lo byte) byte {
	if hi == 0xff && lo > 0 && lo < 0x5f {
		return lo + 0x20
	}
	return lo
}

// percentFirst returns where the first + or valid escape is, or -1.
func percentFirst(s string, read func(s string, i int) (byte, int)) int {
	if strings.IndexByte(s, '%') < 0 {
		return strings.IndexByte(s, '+')
	}
	for i := range len(s) {
		switch s[i] {
		case '+':
			return i
		case '%':
			if _, n := read(s, i); n > 0 {
				return i
			}
		}
	}
	return -1
}

// percentWrite decodes. What follows an invalid escape's % holds no %, so it may be read as if it stood alone.
func percentWrite(dst []byte, s string, from int, read func(s string, i int) (byte, int)) []byte {
	done := 0 // s[:done] is in dst
	for i := from; i < len(s); {
		switch s[i] {
		case '+':
			dst = append(append(dst, s[done:i]...), ' ')
			i++
			done = i
		case '%':
			b, n := read(s, i)
			if n == 0 {
				i++
				continue
			}
			dst = append(append(dst, s[done:i]...), b)
			i += n
			done = i
		default:
			i++
		}
	}
	return append(dst, s[done:]...)
}

func urlDecodeStart(s string) int { return percentFirst(s, percent) }

func urlDecodeWrite(dst []byte, s string, from int) []byte {
	return percentWrite(dst, s, from, percent)
}

func urlDecodeUniStart(s string) int { return percentFirst(s, percentU) }

func urlDecodeUniWrite(dst []byte, s string, from int) []byte {
	return percentWrite(dst, s, from, percentU)
}

// plainInURL reports that urlEncode leaves the byte as it is.
func plainInURL(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '*'
}

func urlEncodeStart(s string) int {
	for i := range len(s) {
		if !plainInURL(s[i]) {
			return i
		}
	}
	return -1
}

func urlEncodeWrite(dst []byte, s string, from int) []byte {
	dst = append(dst, s[:from]...)
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			dst = append(dst, '+')
		case plainInURL(c):
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"
