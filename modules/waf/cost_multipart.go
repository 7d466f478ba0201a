package waf

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// longPart is what takes the place of the middle of a part that is twice as long, so that the part is told from short
// ones; and where its headers must have ended. partTail is how much is left of its end.
const (
	longPart = 4 << 10
	partTail = 16
)

// filler has no byte of a boundary.
var filler [longPart]byte

// multipartCost reads data with the parser that Coraza uses. What that cannot read is counted whole: Coraza will refuse
// it. Files, which cost nothing, are mostly left out, since to read them twice would cost as much as parsing.
func multipartCost(contentType string, data []byte) (cost int64) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return int64(len(data))
	}
	boundary := params["boundary"]
	if short := withoutFiles(data, boundary); len(short) < len(data) {
		if cost, whole, ok := partsCost(short, boundary); ok && whole {
			return cost
		}
	}
	cost, _, ok := partsCost(data, boundary)
	if !ok {
		return int64(len(data))
	}
	return cost
}

// partsCost adds up what the parts cost. whole is false if something may have been left out that is no file, and ok if
// they cannot be read.
func partsCost(data []byte, boundary string) (cost int64, whole, ok bool) {
	parts := multipart.NewReader(bytes.NewReader(data), boundary)
	for whole = true; ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return cost, whole, true
		}
		if err != nil {
			return 0, false, false
		}
		for name, values := range p.Header {
			for _, value := range values {
				cost += int64(len(name)+len(value)) + valueCost
			}
		}
		n, err := io.Copy(io.Discard, p)
		if err != nil {
			return 0, false, false
		}
		if p.FileName() == "" {
			cost += n + valueCost
			whole = whole && n < longPart
		}
	}
}

// withoutFiles returns data without the middle of what is long and can only be the content of a part, or data itself.
// It reads as the same parts, for whatever is left out,
//
//   - holds no boundary, lies behind one, and none comes about: there is filler instead that has a byte no boundary has;
//   - is no header: a blank line is left before it, where headers end at the latest;
//   - is no line that must be a boundary's: such a line would be wrong either way;
//   - is not in quoted-printable, in which the filler cannot be read.
func withoutFiles(data []byte, boundary string) []byte {
	mark := []byte("--" + boundary)
	at := bytes.Index(data, mark)
	if boundary == "" || at < 0 || len(data) < 2*longPart || strings.Contains(boundary, "\x00") {
		return data
	}
	out := append(make([]byte, 0, 4*longPart), data[:at]...)
	for at < len(data) {
		end := len(data)
		if n := bytes.Index(data[at+len(mark):], mark); n >= 0 {
			end = at + len(mark) + n
		}
		part := data[at:end]
		if len(part) < 2*longPart {
			out = append(out, part...)
		} else if head := bytes.Index(part[:longPart], []byte("\r\n\r\n")); head < 0 {
			out = append(out, part...)
		} else {
			out = append(append(append(out, part[:head+4]...), filler[:]...), part[len(part)-partTail:]...)
		}
		at = end
	}
	return out
}
