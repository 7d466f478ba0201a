package format

import (
	"strconv"
	"time"
)

// jsonText is how texts are written between the quotes of JSON (RFC 8259): any bytes become a valid string on one line.
var jsonText = func() *escapes {
	e := newEscapes(`"`, `\"`, `\`, `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	for c, s := range e.ascii {
		if s == replacement {
			e.ascii[c] = string(appendEscapedRune(nil, rune(c)))
		}
	}
	e.lossless = true
	return e.seal()
}()

// The functions below write the members of a JSON object one after the other. They know by the last byte whether a
// comma is due: "{" and "[" end nothing but the beginning of an object or a list. Names are ours and need no escapes.

func key(b []byte, name string) []byte {
	b = comma(b)
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func comma(b []byte) []byte {
	if last := b[len(b)-1]; last == '{' || last == '[' {
		return b
	}
	return append(b, ',')
}

// str writes a text; none if it is empty.
func str(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return quoted(key(b, name), value)
}

func quoted(b []byte, value string) []byte {
	b = append(b, '"')
	b = jsonText.append(b, value)
	return append(b, '"')
}

// word writes a text of ours that needs no escapes.
func word(b []byte, name, value string) []byte {
	b = append(key(b, name), '"')
	b = append(b, value...)
	return append(b, '"')
}

// list writes a list with one text; none if it is empty.
func list(b []byte, name string, values ...string) []byte {
	if len(values) == 0 || values[0] == "" {
		return b
	}
	b = append(key(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = quoted(b, v)
	}
	return append(b, ']')
}

func num(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(key(b, name), value, 10)
}

// millis writes a duration in milliseconds; none if there was none.
func millis(b []byte, name string, d time.Duration) []byte {
	if d <= 0 {
		return b
	}
	return appendMillis(key(b, name), d)
}

func open(b []byte, name string) []byte { return append(key(b, name), '{') }

// shut ends the object that was opened when b had length at. One without members is taken back.
func shut(b []byte, at int) []byte {
	if b[len(b)-1] == '{' {
		return b[:at]
	}
	return append(b, '}')
}

// rulesList writes the WAF's rules as numbers.
func rulesList(b []byte, name string, rules []int) []byte {
	if len(rules) == 0 {
		return b
	}
	b = append(key(b, name), '[')
	b = appendRules(b, rules, ',')
	return append(b, ']')
}

// clientNet writes the client's network, if it is told instead of the address.
func clientNet(b []byte, name string, r *Record) []byte {
	if !hasNet(r) {
		return b
	}
	b = append(key(b, name), '"')
	b = r.ClientNet.AppendTo(b)
	return append(b, '"')
}

// message writes the sentence for people.
func message(b []byte, name string, r *Record) []byte {
	b = append(key(b, name), '"')
	b = appendMessage(b, r, jsonText)
	return append(b, '"')
}

// attrs writes the further facts as an object. Some receivers refuse a record in which a name comes twice: the second
// "x" is "x_2".
func attrs(b []byte, name string, all []Attr) []byte {
	at := len(b)
	b = open(b, name)
	for i, a := range all {
		b = append(comma(b), '"')
		if a.Key == "" {
			b = append(b, '_')
		}
		b = jsonText.append(b, a.Key)
		if n := sameBefore(all, i); n > 0 {
			b = strconv.AppendInt(append(b, '_'), int64(n+1), 10)
		}
		b = append(b, '"', ':')
		b = quoted(b, a.Value)
	}
	return shut(b, at)
}

// sameBefore counts the facts before the i-th that have its name.
func sameBefore(all []Attr, i int) (n int) {
	for _, other := range all[:i] {
		if other.Key == all[i].Key {
			n++
		}
	}
	return n
}
