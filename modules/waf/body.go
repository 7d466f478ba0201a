package waf

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Which bodies are read is decided here and nowhere else: a body is streamed unread only when its one content type is
// well formed and on a closed list of types that no parser of form fields, JSON or XML would take. Everything else,
// a missing, doubled, malformed or unknown type included, is inspected.

// streamedFamilies are top-level types that hold media.
var streamedFamilies = map[string]bool{"image": true, "audio": true, "video": true, "font": true, "model": true}

// streamedTypes are the other types that are opaque to us.
var streamedTypes = map[string]bool{}

func init() {
	for _, name := range strings.Fields(`
		application/octet-stream application/offset+octet-stream
		application/protobuf application/x-protobuf application/vnd.google.protobuf
		application/grpc application/grpc+proto application/grpc-web application/grpc-web+proto
		application/cbor application/msgpack application/x-msgpack application/vnd.msgpack
		application/pdf application/msword application/vnd.ms-excel application/vnd.ms-powerpoint application/epub+zip
		application/zip application/x-zip-compressed application/gzip application/x-gzip application/x-tar
		application/x-7z-compressed application/x-bzip2 application/zstd application/vnd.rar
		application/wasm application/ocsp-request
		application/x-git-upload-pack-request application/x-git-receive-pack-request
		application/vnd.docker.image.rootfs.diff.tar.gzip application/vnd.oci.image.layer.v1.tar+gzip`) {
		streamedTypes[name] = true
	}
}

// streamedPrefixes are vendors' trees of binary documents.
var streamedPrefixes = []string{
	"application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.",
}

// streams reports whether a body with these headers goes to the backend unread.
func streams(h http.Header) bool {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	name, _, err := mime.ParseMediaType(values[0])
	if err != nil || strings.HasSuffix(name, "+xml") || strings.HasSuffix(name, "+json") {
		return false
	}
	// ParseMediaType trims every space that Unicode knows; backends need not.
	if raw, _, _ := strings.Cut(values[0], ";"); !strings.EqualFold(strings.TrimRight(raw, " 	"), name) {
		return false
	}
	family, _, _ := strings.Cut(name, "/")
	if streamedFamilies[family] || streamedTypes[name] {
		return true
	}
	for _, prefix := range streamedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// hasBody reports whether r comes with a body, of known length or not.
func hasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}

var (
	errTooLarge   = errors.New("the body is over the limit")
	errOverBudget = errors.New("too many bodies are being held")
)

// firstRead is what a body may hold before its sender has shown more: a declared length is only a promise. It is believed
// once one part in `believed` of it has come; until then, what has come vouches for four times as much.
const (
	firstRead = 16 << 10
	believed  = 5
)

// slurp reads all of body, at most limit bytes. The buffer grows with what has arrived, is charged to the budget
// before it grows, and charged is what the caller owes in any case. With errTooLarge, data is what was read so far.
func slurp(body io.Reader, declared, limit int64, budget *Budget) (data []byte, charged int64, err error) {
	if declared > limit {
		return nil, 0, errTooLarge
	}
	size := int64(firstRead)
	if declared >= 0 {
		size = min(size, declared+1)
	}
	size = min(size, limit+1) // one more than may come: how the end is told from too much
	for {
		// Growing copies: both buffers live for a moment, so that the old one is given back only afterwards.
		if !budget.take(size) {
			return data, charged, errOverBudget
		}
		grown := make([]byte, len(data), size)
		copy(grown, data)
		data = grown
		budget.give(charged)
		charged = size
		for int64(len(data)) < size {
			n, err := body.Read(data[len(data):size])
			data = data[:len(data)+n]
			if err == io.EOF {
				if int64(len(data)) > limit {
					return data, charged, errTooLarge
				}
				if declared > int64(len(data)) {
					return data, charged, io.ErrUnexpectedEOF
				}
				return data, charged, nil
			}
			if err != nil {
				return data, charged, err
			}
		}
		if int64(len(data)) > limit {
			return data, charged, errTooLarge
		}
		n := int64(len(data))
		switch {
		case declared < n: // unknown, or a lie
			size = min(2*n, limit+1)
		case declared <= believed*n:
			size = declared + 1
		default: // what has come vouches for no more than this, and each step copies
			size = min(4*n, limit+1)
		}
	}
}

// replay is a body that has been read, in whole or in part, to be read once more. Its buffer is never reused: a
// transport may go on reading after the answer is there.
type replay struct {
	io.Reader
	closer io.Closer
}

// replayed returns a body that reads data and then rest, which is nil when nothing follows.
func replayed(data []byte, rest io.Reader, original io.Closer) io.ReadCloser {
	var r io.Reader = bytes.NewReader(data)
	if rest != nil {
		r = io.MultiReader(r, rest)
	}
	return &replay{r, original}
}

// Close closes the body that was read.
func (b *replay) Close() error { return b.closer.Close() }
