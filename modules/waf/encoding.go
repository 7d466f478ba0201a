package waf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
)

// A compressed body is inspected as what it decompresses to and sent on as it came. Only gzip is read: "deflate" has
// two readings in practice (with and without zlib's frame), and for br and zstd a decoder would have to come in. CRS
// refuses these by rule 920450; a site that lifts it gets no further than here.

// maxRatio is how many times larger a body may become. Text compresses to a tenth, and repetitive JSON to a fiftieth.
const maxRatio = 100

var (
	errEncoding = errors.New("content encoding that cannot be inspected")
	errGarbled  = errors.New("not what the content encoding says")
)

// encoding returns "" for a plain body, "gzip", or an error.
func encoding(h http.Header) (string, error) {
	values := h.Values("Content-Encoding")
	if len(values) == 0 {
		return "", nil
	}
	if name := strings.ToLower(values[0]); len(values) == 1 && (name == "gzip" || name == "x-gzip") {
		return "gzip", nil
	}
	return "", errEncoding
}

// inflate returns what data decompresses to, at most limit bytes and maxRatio times its own size. charged is what the
// caller owes the budget in any case. More than one gzip member is refused: backends disagree on whether the second
// belongs to the body.
func inflate(data []byte, limit int64, budget *Budget) (plain []byte, charged int64, err error) {
	source := bufio.NewReader(bytes.NewReader(data))
	z, err := gzip.NewReader(source)
	if err != nil {
		return nil, 0, errGarbled
	}
	z.Multistream(false)
	limit = min(limit, int64(len(data))*maxRatio)
	plain, charged, err = slurp(z, -1, limit, budget)
	switch {
	case errors.Is(err, errTooLarge) || errors.Is(err, errOverBudget):
		return nil, charged, err
	case err != nil:
		return nil, charged, errGarbled
	}
	if _, err := source.ReadByte(); err != io.EOF {
		return nil, charged, errGarbled
	}
	return plain, charged, nil
}
