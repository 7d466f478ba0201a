package transform

import "gatehouse.internal/modules/waf/symbol"

// Each of these functions takes the symbols that a value may have, never those that it must have, so adding a symbol to
// in must not take one from the result: only what cannot be there may be argued from.

// Sets that the images speak of.
var (
	tab, line, ret = symbol.Byte('\t'), symbol.Byte('\n'), symbol.Byte('\r')
	space, nul     = symbol.Byte(' '), symbol.Byte(0)
	breaks         = tab | line | ret // white space with a symbol of its own, but for the space
	letter         = symbol.Lower | symbol.Upper
	percentSign    = symbol.Byte('%')
	backslash      = symbol.Byte('\\')
)

func same(in symbol.Set) symbol.Set { return in }

func anything(symbol.Set) symbol.Set { return symbol.All }

// always is the image of what has these symbols whatever the value was.
func always(out symbol.Set) func(symbol.Set) symbol.Set {
	return func(symbol.Set) symbol.Set { return out }
}

// without is the image of what drops these symbols, or replaces them by those of instead.
func without(gone, instead symbol.Set) func(symbol.Set) symbol.Set {
	return func(in symbol.Set) symbol.Set {
		if in.Meets(gone) {
			in = in&^gone | instead
		}
		return in
	}
}

// decimalPairs are the symbols of the bytes that two hexadecimal digits below A can write.
var decimalPairs = func() (set symbol.Set) {
	for hi := range byte(10) {
		for lo := range byte(10) {
			set |= symbol.Byte(hi<<4 | lo)
		}
	}
	return set
}()

// hexPairs are the symbols of the bytes that two hexadecimal digits can write. From AA on, which is what letters alone
// write, every byte is High.
func hexPairs(in symbol.Set) symbol.Set {
	switch digits, letters := in.Meets(symbol.Digit), in.Meets(letter); {
	case digits && letters:
		return symbol.All
	case digits:
		return decimalPairs
	case letters:
		return symbol.High
	}
	return 0
}

// urlImage: + gives a space, % two digits' byte. %uXXXX needs a letter for its u, so with a digit hexPairs says All, and
// with letters alone the code point is over U+AAAA: no best fit, a low byte over A9, and no full-width form, which has
// digits from U+FF01 to U+FF5E.
func urlImage(in symbol.Set) symbol.Set {
	out := in
	if in.Meets(symbol.Byte('+')) {
		out |= space
	}
	if in.Meets(percentSign) {
		out |= hexPairs(in)
	}
	return out
}

// hexDecodeImage: two digits' bytes, or the value as it was.
func hexDecodeImage(in symbol.Set) symbol.Set { return in | hexPairs(in) }

// entityImage: with a number sign, what numbers can write: they need a digit, or an x and letters. A name needs letters;
// without a semicolon it is a legacy one, for & < > " or a character from U+00A0.
func entityImage(in symbol.Set) symbol.Set {
	if !in.Meets(symbol.Byte('&')) || !in.Meets(letter|symbol.Digit) {
		return in
	}
	if in.Meets(symbol.Bytes("#;")) {
		return symbol.All
	}
	return in | symbol.Bytes(`&<>"`) | symbol.High
}

// escapeImage, of jsDecode and escapeSeqDecode: a digit can begin an octal number, which writes any byte. Letters write
// control characters and, after x or u, the bytes from AA; \u{a} to \u{f} write the bytes 0A to 0F, which are line feed,
// carriage return and control characters too. Another byte stands for itself.
func escapeImage(in symbol.Set) symbol.Set {
	switch {
	case !in.Meets(backslash):
		return in
	case in.Meets(symbol.Digit):
		return symbol.All
	case in.Meets(letter):
		return in | symbol.Control | breaks | symbol.High
	}
	return in
}

// cssImage: with a digit, any code point. Letters alone write 0A to 0F (see escapeImage) and what lies from AA, where
// U+FF01 to U+FF5E cannot be written. Another byte stands for itself.
func cssImage(in symbol.Set) symbol.Set { return escapeImage(in) }

// foldImage: from takes every ASCII letter of one case away. A letter beyond ASCII may become one of ASCII: the Kelvin
// sign k, the dotted I i; the dotless i I, the long s S. An invalid byte becomes U+FFFD.
func foldImage(from, to symbol.Set) func(symbol.Set) symbol.Set {
	return func(in symbol.Set) symbol.Set {
		if in.Meets(from | symbol.High) {
			in = in&^from | to
		}
		return in
	}
}

// cmdLineImage: the marks go, delimiters become spaces, letters lower case.
func cmdLineImage(in symbol.Set) symbol.Set {
	out := in &^ (cmdMarks | cmdDelimiters | symbol.Upper)
	if in.Meets(cmdDelimiters) {
		out |= space
	}
	if in.Meets(symbol.Upper) {
		out |= symbol.Lower
	}
	return out
}

var cmdMarks, cmdDelimiters = symbol.Bytes(`"'\^`), symbol.Bytes(",;") | breaks

// base64Image: a letter of either alphabet is needed to write anything.
func base64Image(in symbol.Set) symbol.Set {
	if in.Meets(base64Letters | symbol.Bytes("-_")) {
		return symbol.All
	}
	return 0
}

var base64Letters = letter | symbol.Digit | symbol.Bytes("+/")

// urlEncodeImage: what is not plain becomes a plus sign or %xx in lower case.
func urlEncodeImage(in symbol.Set) symbol.Set {
	out := in & plainURL
	if in.Meets(space) {
		out |= symbol.Byte('+')
	}
	if in.Meets(symbol.All &^ (plainURL | space)) {
		out |= percentSign | symbol.Lower | symbol.Digit
	}
	return out
}

var plainURL = letter | symbol.Digit | symbol.Byte('*')

// replaceCommentsImage: a space for a comment, which needs both of its marks.
func replaceCommentsImage(in symbol.Set) symbol.Set {
	if in.Meets(symbol.Byte('/')) && in.Meets(symbol.Byte('*')) {
		in |= space
	}
	return in
}

// removeCommentsImage: a space for a comment without end, a NUL after one at the end of the value (comments.go). Both
// need /* or <!--.
func removeCommentsImage(in symbol.Set) symbol.Set {
	if in.Meets(symbol.Bytes("*-")) {
		in |= space | nul
	}
	return in
}

// unicodeImage: %uXXXX in lower case.
func unicodeImage(in symbol.Set) symbol.Set {
	if in.Meets(symbol.High) {
		return in&^symbol.High | percentSign | symbol.Lower | symbol.Digit
	}
	return in
}

// whiteToSpace: white space becomes one space, but what else is Control or High stays.
func whiteToSpace(in symbol.Set) symbol.Set {
	if in.Meets(white | symbol.High) {
		in = in&^breaks | space
	}
	return in
}
