package transform

import (
	"math/rand/v2"
	"strings"
)

// nasty are values at the edges of what the transformations read.
var nasty = []string{
	"", " ", "  ", "a", "\x00", "a\x00b\x00\x00", "plain text", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
	"\ufffd", "caf\xc3", "\xa0", "a\xa0\xa0b", "\x85", "\u0085\u00a0x", "\u2003a\u3000", "a\u00a0 \tb", "\xc2", "\xc2\xa0\xa0",
	"K\u212aſ\u0130\u0131ß\u1e9e\u01c5", "\u023a\u2c65", "ÉCOLE école", "Ω\xffA", "\U0001f600 \U0010ffff", "\u0800\u07ff\uffff",
	// Percent escapes.
	"%", "%4", "%41", "%4g", "%g4", "%%41", "%u", "%u0", "%u004", "%u0041", "%U0041", "%u00g1", "%u%41", "%u+", "%uff21", "%uFF1F",
	"%uff00", "%uff5e", "%uff5f", "%u2019", "%u2123", "%u2122", "%u00e9", "%uffff", "a+b%20c", "%25%32%35", "%2541", "%u0000", "%00",
	"%c0%af", "%u002", "a%", "+", "%uff", "%zz+%41%", "100% %of",
	// References.
	"&", "&&", "&;", "&amp", "&amp;", "&ampx", "&ampx;", "&AMP", "&Amp;", "&lt&gt", "&lt;script&gt;", "&notit;", "&notin;", "&not", "&nots",
	"&ngE;", "&nGt;", "&fjlig;", "&lpar;", "&Tab;", "&NewLine;", "&frac12", "&frac12x", "&frac123", "&CounterClockwiseContourIntegral;",
	"&#", "&#;", "&#x", "&#x;", "&#65", "&#65;", "&#x41", "&#X41;", "&#xg", "&#0;", "&#128;", "&#x9f;", "&#x9F", "&#xd800;", "&#x110000;",
	"&#99999999999999999999;", "&#4294967361;", "&#x100000041;", "&#65a", "&#x41g", "&a=1&b=2", "&amp;amp;lt;", "&#38;lt;", "&nbsp", "&copy=1",
	"&ThisIsNoEntityAtAllButItIsRatherLongIndeed;", "&gg;&Gg;", "&acE;", "&#1114112", "&#1114111;", "&\xff;", "&am\x00p;", "&quot&QUOT;&apos;",
	// Backslashes.
	`\`, `\\`, `a\`, `\a\b\f\n\r\t\v\?\'\"\z`, `\x`, `\x4`, `\x41`, `\X41`, `\xg1`, `\u`, `\u004`, `\u0041`, `\U0041`, `\u00g1`, `\uff21`,
	`\uFF00`, `\uff5f`, `\u{`, `\u{}`, `\u{4`, `\u{41}`, `\u{0041}`, `\u{00ff21}`, `\u{0ff21}`, `\u{1ff21}`, `\u{0000041}`, `\u{g}`, `\u{a}`,
	`\u{12345`, `\0`, `\1`, `\12`, `\101`, `\1011`, `\377`, `\400`, `\777`, `\8`, `\08`, `\378`, `\47`, `\477`, `\4`, `\\x41`, `\5c41`, `\5c`,
	`\41 b`, "\\41\tb", "\\41\n", `\000041`, `\0000041`, `\ff21`, `\00ff21 `, `\110000`, `\d800`, `\ffffff`, "\\\nx", "\\\n", `\00`, `\0 0`,
	`\g`, `\é`, "\\\xff", `j\a vascript`, `\6a\61`, `\5c 5c`, `x\`, `\x41\`, `\u0041\`, `\1\`,
	// Comments.
	"/*", "*/", "/**/", "/*a*/b", "a/*b*/", "/*/", "/**/*/", "a/*b*/c/*d*/e", "/*a", "--", "a--b", "-", "-->", "<!--", "<!-- a -->b", "<!--a*/b",
	"/*a-->b", "#", "a#b", "a/**/#", "/**//*x", "<!-", "<!", "<", "/", "--->", "<!-->", "<!--->", "/*a*//*b*/", "#-->", "a/**/\x00",
	// Command lines.
	`c^m"d /c 'DIR'`, "a  b", "a ,;\t b", "a /b", "a  (b", `a "/b`, `a ^" (b`, " /", ",/", "a b", "a /", "A /", " \\ /", "a ", ` "`, `" "/`,
	// Paths.
	".", "..", "/", "//", "./", "../", "a/", "a//", "a/./b", "a/../b", "../../a/..", "/../a", "a/b/../../..", "a/..", "a/../", "/a/./", "...", "a.",
	`\\a\\b`, `c:\a\..\b`, "c:", "c:/", "C:a:b/", "a:b", "a:b/", "x/a:b:c", "x:y/z", "a. ", "a./b ./c", " /a", "a/ /b", "/ ", " ", ". .", "/.. ", "a/... ",
	"a/.. /b", "1:x", ":", ":/", "/:", "a:/b", "c:x:", "/ /", " / ", "//a. ", "é/..", "file.txt::$DATA", "file.txt. . ", "c: ", "c:/a:b/",
	// Codecs.
	"YWJj", "YWI=", "YQ==", "YQ", "Y", "Y=Q", "YW Jj", "YW\nJj", "YW.Jj", "YW-_", "YW+/", "\x85YWJj", "=", "====", "YWJj*YWJj", "é",
	"616263", "61626", "6g", "AbCd", "0", "00",
	// One in the other.
	"%26lt%3b", "&#x25;41", `%5cx41`, `\x2541`, "&percnt;41", `%5Cu0026lt;`, "%2f%2a*/", "&sol;&ast;a", `\2f\2a x`, "%E9%u00e9&eacute;\\xe9",
	"<ScRiPt>alert(1)</sCrIpT>", "' OR 1=1 --", "${jndi:ldap://x}", "../../etc/passwd%00.png", `{"a":"b\u0041","c":[1,2]}`,
}

// fragments are what random values are put together from.
var fragments = []string{
	"%", "%u", "%41", "%u0041", "%uff21", "+", "&", ";", "#", "&#", "&#x", "&lt", "&amp;", "&not", "amp", "lt", "x", "u", "U", "X", "{", "}", "\\", `\x`, `\u`,
	`\u{`, `\0`, "0", "1", "3", "4", "7", "8", "9", "f", "F", "ff", "a", "b", "g", "A", "Z", "z", " ", "  ", "\t", "\n", "\r", "\v", "\f", "\x00", "\x01", "\x7f", "\x80", "\x85",
	"\xa0", "\xc2", "\xc3", "\xe2", "\xff", "\u0085", "\u00a0", "\u2003", "\u3000", "é", "É", "\u212a", "ſ", "\u0130", "\u0131", "ß", "\ufffd", "\U0001f600", "/", "/*", "*/",
	"--", "-", "->", "<!--", "-->", "(", ",", "\"", "'", "^", ".", "..", "/./", "/../", ":", "c:", "=", "_", "YW", "Jj", "word", "CASE", "3c", "script", "%25", "&colon;", "&ngE;",
	`\5c`, "5c", "&NewLine;", "<", ">", "?", "*", "~",
}

// random puts a value together from fragments, bytes of all kinds, and copies of what it has.
func random(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(14) {
		switch rnd.IntN(12) {
		case 0:
			b.WriteByte(byte(rnd.UintN(256)))
		case 1:
			b.WriteString(string(rune(rnd.UintN(0x3000))))
		case 2:
			s := b.String()
			b.WriteString(s[rnd.IntN(len(s)+1):])
		case 3:
			b.WriteString(nasty[rnd.IntN(len(nasty))])
		default:
			b.WriteString(fragments[rnd.IntN(len(fragments))])
		}
	}
	return b.String()
}
