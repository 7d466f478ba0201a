package transform

import (
	"maps"
	"slices"

	"gatehouse.internal/modules/waf/symbol"
)

// white is what an ASCII white space can be: a vertical tab and a form feed are Control.
var white = space | breaks | symbol.Control

// table has one entry for each of Coraza's functions. What a comment says of Active is why a value without these symbols
// is its own result; where it says nothing of Image, image.go does.
var table = []*Transformation{
	{name: "none", image: same},

	// Decoders of escapes: nothing but what follows the sign that begins an escape is ever replaced.
	{name: "urldecode", active: symbol.Bytes("%+"), image: urlImage,
		start: urlDecodeStart, write: urlDecodeWrite, changed: holdsAny("%+"), caseless: true},
	{name: "urldecodeuni", active: symbol.Bytes("%+"), image: urlImage,
		start: urlDecodeUniStart, write: urlDecodeUniWrite, caseless: true},
	{name: "htmlentitydecode", active: symbol.Byte('&'), image: entityImage, // names differ by case: not caseless
		start: htmlEntityDecodeStart, write: htmlEntityDecodeWrite, changed: lengthDiffers},
	{name: "jsdecode", active: backslash, image: escapeImage,
		start: backslashStart, write: jsDecodeWrite, caseless: true},
	{name: "escapeseqdecode", active: backslash, image: escapeImage,
		start: backslashStart, write: escapeSeqDecodeWrite, caseless: true},
	{name: "cssdecode", active: backslash, image: cssImage,
		start: cssDecodeStart, write: cssDecodeWrite, changed: holdsAny(`\`), caseless: true},

	// Case. Letters beyond ASCII, and invalid bytes, are High.
	{name: "lowercase", active: symbol.Upper | symbol.High, image: foldImage(symbol.Upper, symbol.Lower),
		start: lowercaseStart, write: lowercaseWrite, folds: lowercaseFolds},
	{name: "uppercase", active: symbol.Lower | symbol.High, image: foldImage(symbol.Lower, symbol.Upper),
		start: uppercaseStart, write: uppercaseWrite, folds: uppercaseFolds},
	{name: "utf8tounicode", active: symbol.High, image: unicodeImage,
		start: utf8toUnicodeStart, write: utf8toUnicodeWrite, caseless: true},
	// A slash or a parenthesis takes away a space before it and nothing else, so without a space it does nothing.
	{name: "cmdline", active: cmdMarks | cmdDelimiters | space | symbol.Upper, image: cmdLineImage,
		start: cmdLineStart, write: cmdLineWrite, folds: cmdLineFolds},

	// White space. U+0085, U+00A0 and the byte A0 are High. Control and High hold more than white space, so they stay.
	{name: "compresswhitespace", active: white | symbol.High, image: whiteToSpace,
		start: compressWhitespaceStart, write: compressWhitespaceWrite, caseless: true},
	{name: "removewhitespace", active: white | symbol.High, image: without(space|breaks, 0),
		start: removeWhitespaceStart, write: removeWhitespaceWrite, changed: hasSpace, caseless: true},
	{name: "trim", active: white, image: same, whole: trim, caseless: true},
	{name: "trimleft", active: white, image: same, whole: trimLeft, caseless: true},
	{name: "trimright", active: white, image: same, whole: trimRight, caseless: true},
	{name: "removenulls", active: nul, image: without(nul, 0), start: nullStart, write: removeNullsWrite, caseless: true},
	{name: "replacenulls", active: nul, image: without(nul, space),
		start: nullStart, write: replaceNullsWrite, caseless: true},

	// Comments. /* and */ need a star; <!--, --> and -- need a hyphen. What removeCommentsChar leaves was there before.
	{name: "replacecomments", active: symbol.Byte('*'), image: replaceCommentsImage,
		start: replaceCommentsStart, write: replaceCommentsWrite, caseless: true},
	{name: "removecomments", active: symbol.Bytes("*-#"), image: removeCommentsImage,
		start: removeCommentsStart, write: removeCommentsWrite, caseless: true},
	{name: "removecommentschar", active: symbol.Bytes("*-#"), image: without(symbol.Byte('#'), 0),
		start: removeCommentsCharStart, write: removeCommentsCharWrite, caseless: true},

	// Paths. One component that is neither . nor .. is clean. Windows: a backslash becomes a slash; a colon, dots and
	// spaces are what can be cut. Cleaning only leaves out (a slash at the end was there).
	{name: "normalizepath", active: symbol.Bytes("/."), image: same, whole: normalizePath, folds: normalizePathKeeps, caseless: true},
	{name: "normalizepathwin", active: symbol.Bytes(`/\.: `), image: without(backslash, symbol.Byte('/')),
		whole: normalizePathWin, folds: normalizePathWinKeeps, caseless: true},

	// Codecs. Coraza reports a change for each result but an error's.
	{name: "base64decode", active: symbol.All, image: base64Image,
		start: startAll, write: base64DecodeWrite, changed: yes},
	{name: "base64decodeext", active: symbol.All, image: base64Image,
		start: startAll, write: base64DecodeExtWrite, changed: yes},
	{name: "base64encode", active: symbol.All, image: always(base64Letters | symbol.Byte('=')),
		start: startAll, write: base64EncodeWrite, changed: yes},
	// A value without a hexadecimal digit is empty or an error.
	{name: "hexdecode", active: letter | symbol.Digit, image: hexDecodeImage,
		start: hexDecodeStart, write: hexDecodeWrite, changed: hexDecoded, caseless: true},
	{name: "hexencode", active: symbol.All, image: always(symbol.Lower | symbol.Digit),
		start: startAll, write: hexEncodeWrite, changed: yes},
	{name: "urlencode", active: symbol.All &^ plainURL, image: urlEncodeImage,
		start: urlEncodeStart, write: urlEncodeWrite, caseless: true},

	// Numbers and hashes.
	{name: "length", active: symbol.All, image: always(symbol.Digit), whole: length, changed: yes},
	{name: "md5", active: symbol.All, image: anything, whole: md5Sum, changed: hashed},
	{name: "sha1", active: symbol.All, image: anything, whole: sha1Sum, changed: hashed},
}

// byName finds the entries of table under their names, and two under their British ones.
var byName = func() map[string]*Transformation {
	m := make(map[string]*Transformation, len(table)+2)
	for _, t := range table {
		m[t.name] = t
	}
	m["normalisepath"], m["normalisepathwin"] = m["normalizepath"], m["normalizepathwin"]
	return m
}()

var names = slices.Sorted(maps.Keys(byName))
