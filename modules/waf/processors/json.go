package processors

import (
	"encoding/binary"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// Coraza walks a document of JSON once for its values, each object in it once more, then again for its depth and once more to
// see whether it was well formed, and gathers the values in a map before they go into the collection, which is one too. Here
// this is one pass, for documents that leave no doubt about what they mean: well formed, without \u, within every limit. It
// gives the names and values that Coraza's gives, in the document's order; of others it knows nothing, and Coraza reads them.
//
// It reads for transactions that ask for it alone, which are those in which nothing is judged, only parsed and shown to the
// WAF's prover. The rules always judge what Coraza reads, so that every comparison between the two compares the readers too.

// quick is the variable in TX that asks for it, and yes its value.
const quick = "gatehouse.quick_json"

var yes = []string{"1"}

// Quick has the body of a transaction, if it is JSON, read in one pass where that comes to the same. No rule may look at TX.
func Quick(v plugintypes.TransactionVariables) { v.TX().Set(quick, yes) }

type jsonProcessor struct{ processor }

// ProcessRequest implements plugintypes.BodyProcessor.
func (p jsonProcessor) ProcessRequest(r io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	if len(v.TX().Get(quick)) == 0 {
		return p.processor.ProcessRequest(r, v, o)
	}
	var text strings.Builder
	if _, err := io.Copy(&text, source{r}); err != nil {
		return err
	}
	d := documents.Get().(*document)
	defer d.free()
	if !d.read(text.String(), o.RequestBodyRecursionLimit, o.ArgumentLimit) {
		return p.processor.ProcessRequest(strings.NewReader(text.String()), v, o)
	}
	names, args := string(d.names), v.ArgsPost() // all names are parts of one string
	for _, l := range d.leaves {
		args.Add(names[l.from:l.to], l.value)
	}
	v.TX().Set("json_request_body", []string{text.String()})
	return nil
}

// document is one that is being read. Its memory is used again.
type document struct {
	text   string
	at     int
	deeper int // how many levels more there may be

	path   []byte // the name of what is being read
	names  []byte // of all leaves, one after the other
	leaves []leaf
	values int // leaves that are not the length of a list
	most   int // how many leaves of each sort are too many
	room   int // how many bytes of names and values there may be
}

type leaf struct {
	from, to int // in names
	value    string
}

var documents = sync.Pool{New: func() any { return new(document) }}

func (d *document) free() {
	if cap(d.names)+cap(d.leaves)*int(unsafe.Sizeof(leaf{})) > maxRoom {
		return
	}
	clear(d.leaves)
	d.text = ""
	documents.Put(d)
}

// maxDepth is the depth of documents that are read here, whatever is allowed: reading is recursive.
const maxDepth = 64

// read reads a document. False means nothing: it may be wrong, or beyond a limit.
func (d *document) read(text string, depth, most int) bool {
	if most <= 0 {
		most = len(text) + 1
	}
	d.text, d.at, d.deeper, d.values = text, 0, min(depth, maxDepth), 0
	d.path, d.names, d.leaves = append(d.path[:0], "json"...), d.names[:0], d.leaves[:0]
	// The least that Coraza lets the names and values of a body come to.
	d.most, d.room = most, max(8*len(text), 4096)
	ok := false
	switch d.next() {
	case '{':
		ok = d.object()
	case '[':
		ok = d.list()
	}
	return ok && d.next() == 0 && d.at == len(d.text)
}

// next returns the next byte that is not white space, without reading it; 0 at the end.
func (d *document) next() byte {
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// object reads an object, which begins at at.
func (d *document) object() bool {
	if d.deeper--; d.deeper < 0 {
		return false
	}
	defer func() { d.deeper++ }()
	d.at++
	if d.next() == '}' {
		d.at++
		return true
	}
	parent := len(d.path)
	for {
		if d.next() != '"' {
			return false
		}
		d.path = append(d.path, '.')
		var ok bool
		if d.path, ok = d.appendString(d.path); !ok || d.next() != ':' {
			return false
		}
		d.at++
		if !d.value() {
			return false
		}
		d.path = d.path[:parent]
		switch d.next() {
		case ',':
			d.at++
		case '}':
			d.at++
			return true
		default:
			return false
		}
	}
}

// list reads a list, which begins at at. Its length is a value too, under its own name.
func (d *document) list() bool {
	if d.deeper--; d.deeper < 0 {
		return false
	}
	defer func() { d.deeper++ }()
	d.at++
	if d.next() == ']' {
		d.at++
		return true
	}
	parent := len(d.path)
	for n := 0; ; n++ {
		d.path = strconv.AppendInt(append(d.path, '.'), int64(n), 10)
		if !d.value() {
			return false
		}
		d.path = d.path[:parent]
		switch d.next() {
		case ',':
			d.at++
		case ']':
			d.at++
			return d.add(strconv.Itoa(n+1)) && len(d.leaves)-d.values < d.most
		default:
			return false
		}
	}
}

// value reads any value.
func (d *document) value() bool {
	switch c := d.next(); {
	case c == '{':
		return d.object()
	case c == '[':
		return d.list()
	case c == '"':
		s, ok := d.string()
		return ok && d.leaf(s)
	case c == 't':
		return d.word("true") && d.leaf("true")
	case c == 'f':
		return d.word("false") && d.leaf("false")
	case c == 'n':
		return d.word("null") && d.leaf("")
	default:
		begin := d.at
		return d.number() && d.leaf(d.text[begin:d.at])
	}
}

// leaf adds a value that is not a list's length.
func (d *document) leaf(value string) bool {
	d.values++
	return d.values < d.most && d.add(value)
}

func (d *document) add(value string) bool {
	from := len(d.names)
	d.names = append(d.names, d.path...)
	d.leaves = append(d.leaves, leaf{from, len(d.names), value})
	d.room -= len(d.path) + len(value)
	return d.room >= 0
}

func (d *document) word(w string) bool {
	if !strings.HasPrefix(d.text[d.at:], w) {
		return false
	}
	d.at += len(w)
	return true
}

// number reads a number as RFC 8259 has it.
func (d *document) number() bool {
	if d.peek() == '-' {
		d.at++
	}
	if d.peek() == '0' {
		d.at++
	} else if !d.digits() {
		return false
	}
	if d.peek() == '.' {
		if d.at++; !d.digits() {
			return false
		}
	}
	if d.peek()|0x20 == 'e' {
		d.at++
		if c := d.peek(); c == '+' || c == '-' {
			d.at++
		}
		return d.digits()
	}
	return true
}

func (d *document) peek() byte {
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

// digits reads one digit at least.
func (d *document) digits() bool {
	begin := d.at
	for d.at < len(d.text) && '0' <= d.text[d.at] && d.text[d.at] <= '9' {
		d.at++
	}
	return d.at > begin
}

// string reads a string, which begins at at.
func (d *document) string() (string, bool) {
	begin := d.at + 1
	end := begin + special(d.text[begin:])
	if end < len(d.text) && d.text[end] == '"' {
		d.at = end + 1
		return d.text[begin:end], true
	}
	b, ok := d.appendString(nil)
	return string(b), ok
}

// escaped are the escapes that are one byte.
var escaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendString appends a string, which begins at at.
func (d *document) appendString(b []byte) ([]byte, bool) {
	for i := d.at + 1; ; {
		n := special(d.text[i:])
		b = append(b, d.text[i:i+n]...)
		switch i += n; {
		case i < len(d.text) && d.text[i] == '"':
			d.at = i + 1
			return b, true
		case i+1 < len(d.text) && d.text[i] == '\\' && escaped[d.text[i+1]] != 0:
			b = append(b, escaped[d.text[i+1]])
			i += 2
		default: // the end, a control character, or an escape that is for Coraza to read
			return b, false
		}
	}
}

// special returns where the first quotation mark, backslash or control character is; len(s) if there is none.
//
// It looks at eight bytes at a time. Subtracting n from each byte of x sets the top bit of those below n that have it not set
// already; a borrow reaches only bytes above such a one, so the lowest is always right.
func special(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // for reading only, while s is alive
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^'"'*ones, x^'\\'*ones
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (x-' '*ones)&^x) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
	}
	return i
}
