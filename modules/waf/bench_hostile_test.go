package waf

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileSize is how long hostile values are.
const hostileSize = 8 << 10

// hostileTexts are repeated until they are long: to backtrack, to be decoded again and again, to look like the beginning
// of an attack for as long as possible.
var hostileTexts = map[string]string{
	"letters": "a", "spaces": " ", "quotes": "'", "parentheses": "(", "slashes": "/", "dots": "../", "select": "select ", "or": "x or ",
	"comment": "/**/", "tags": "<a ", "attributes": " onx=", "equals": "a=b;", "dollars": "${", "backslashes": `\`, "percent": "%",
	"percent encoded": "%25", "encoded twice": "%253c", "unicode escapes": `%u003c`, "entities": "&#x26;", "javascript escapes": `\x5c`,
	"commas": "1,", "digits": "0123456789", "hex": "0x41", "urls": "http://a", "words of commands": "cat id ls nc ",
	"near the end of a pattern": "union all selec ", "long s": "ſ", "nul": "\x00", "broken utf-8": "\xc5", "base64": "PHNjcmlwdD4",
}

// hostileValues are n values of one kind, each different, so that neither memory nor warm automata help by themselves.
func hostileValues(t testing.TB, kind string, n int) (all []string) {
	t.Helper()
	corpus := corpusExchanges(t)
	for k := range n {
		r := newSeeded(uint64(k))
		var b strings.Builder
		fmt.Fprint(&b, k, " ")
		for b.Len() < hostileSize {
			switch kind {
			case "random bytes":
				b.WriteByte(byte(r.Uint32()))
			case "random text":
				b.WriteByte(' ' + byte(r.Uint32N(95)))
			case "attacks in a row":
				b.WriteString(pick(r, ownFragments) + " ")
			case "attacks cut short":
				if s := pick(r, corpus).target; len(s) > 4 && len(s) < 200 {
					b.WriteString(s[:len(s)-2] + "_")
				}
			default:
				b.WriteString(hostileTexts[kind])
			}
		}
		all = append(all, b.String()[:hostileSize])
	}
	return all
}

// hostileLimit is how much more than the rules alone a hostile value may cost with the prover before them.
const hostileLimit = 1.1

// TestHostileCost: the prover must not make attacks dearer, though it tries in vain to clear them. Without -ratios a
// few values are tried once and only gross differences count, since tests share the machine.
func TestHostileCost(t *testing.T) {
	if raced {
		t.Skip("the race detector weighs packages differently")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	rounds, limit := 3, 2*hostileLimit
	if *ratios {
		rounds, limit = 7, hostileLimit
	}
	var table strings.Builder
	for n, name := range hostileKinds {
		if !*ratios && n%5 != 0 {
			continue
		}
		var all []*prepared
		for _, value := range hostileValues(t, name, 64) {
			x := &exchange{method: "POST", target: "/", host: "portal.example.com", headers: newBrowser(newSeeded(1), 1).script()}
			x.carry("application/json", fmt.Sprintf(`{"q":%s}`, quoteJSON(value)))
			all = append(all, ready(x))
		}
		var pair []*contender
		for _, who := range sideNames {
			e := side(t, who, 1, false)
			pair = append(pair, &contender{name: who, do: func(n int) { all[n%len(all)].judge(e) }})
		}
		compete(pair, rounds, 50*time.Millisecond)
		ratio := pair[1].least() / pair[0].least()
		fmt.Fprintf(&table, "%-26s %38v %38v  costs %.2f\n", name, pair[0], pair[1], ratio)
		if ratio > limit {
			t.Errorf("%s: %.2f times the cost of the rules alone", name, ratio)
		}
	}
	t.Logf("8 KB in one JSON value: stock, gatehouse\n%s", table.String())
}
