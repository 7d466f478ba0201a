package reqpath

// Classes of bytes.
const (
	plain      = 1 << iota // the same byte in every reading
	verbatim               // may stand unescaped in a path (RFC 3986 pchar, '/', and [ ] as browsers send them)
	unreserved             // must not be escaped in canonical form (RFC 3986 §2.3)
)

// class is a constant table. ';', ':' and '$' are verbatim but not plain:
// they mean something to fold.
var class = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '~', c == '.':
			t[c] = plain | verbatim | unreserved
		case 'A' <= c && c <= 'Z':
			t[c] = verbatim | unreserved
		}
	}
	for _, c := range []byte("/!&'()*+,=@[]") {
		t[c] = plain | verbatim
	}
	for _, c := range []byte(";:$") {
		t[c] = verbatim
	}
	return t
}()

// decode fills Decoded, Escaped and encodedSlash of a raw path, and refuses
// whatever can be refused by looking at one byte.
func decode(raw string, o Options) (Path, error) {
	var decBuf, escBuf [256]byte // keeps short paths off the heap
	dec, esc := decBuf[:0], escBuf[:0]
	encodedSlash, params := 0, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		escaped := c == '%'
		if escaped {
			v, ok := unescape(raw[i:])
			if !ok {
				return Path{}, ErrEscape
			}
			c, i = v, i+2
		}
		if err := checkByte(c, escaped); err != nil {
			return Path{}, err
		}
		switch {
		case c == '/' && !escaped:
			params = false
		case c == '/':
			// After ';' it is unclear whether the slash belongs to the
			// parameter: no single folded reading would cover both.
			if !o.AllowEncodedSlash || params {
				return Path{}, ErrEncodedSlash
			}
			if encodedSlash == 0 {
				encodedSlash = len(dec) + 1
			}
		case c == ';':
			params = true
		}
		dec = append(dec, c)
		if class[c]&unreserved != 0 || !escaped && class[c]&verbatim != 0 {
			esc = append(esc, c)
		} else {
			esc = append(esc, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return Path{
		Decoded:      reuse(dec, raw),
		Escaped:      reuse(esc, raw),
		encodedSlash: encodedSlash,
	}, nil
}

// checkByte refuses a byte of the path by its value; escaped says that the
// client wrote it as %XX.
func checkByte(c byte, escaped bool) error {
	switch {
	case c == '\\':
		return ErrBackslash
	case escaped && (c < 0x20 || c == 0x7f):
		return ErrControl
	case escaped:
		return nil
	case c == '#':
		return ErrFragment
	case c < 0x21 || c >= 0x7f:
		return ErrRawByte
	}
	return nil
}

const upperHex = "0123456789ABCDEF"

// unescape returns the byte that the escape at the start of s stands for.
func unescape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' || !isHex(s[1]) || !isHex(s[2]) {
		return 0, false
	}
	return hexValue(s[1])<<4 | hexValue(s[2]), true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// hexValue returns the value of a hex digit.
func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// reuse returns b as a string: a prefix of s without allocation where it is
// one, else a copy.
func reuse(b []byte, s string) string {
	if len(b) <= len(s) && string(b) == s[:len(b)] {
		return s[:len(b)]
	}
	return string(b)
}
