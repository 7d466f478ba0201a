package form

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
)

// Sum names what a body says.
type Sum [sha256.Size]byte

// Digest returns the SHA-256 of what the body says. Of a form that is what its fields say, whatever escapes or boundary the
// sender chose, since a browser that sends a form again chooses new ones; of anything else, and of a form that cannot be
// read, it is the media type and the bytes. The caller bounds the body.
func Digest(contentType string, body []byte) Sum {
	media, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	delete(params, "boundary")
	if strings.EqualFold(params["charset"], "utf-8") {
		delete(params, "charset")
	}
	if err == nil && len(params) == 0 { // whatever else there is could change what the body says
		w := writer{sha256.New()}
		if media == URLEncoded && w.pairs(string(body)) || media == Multipart && boundary != "" && w.parts(body, boundary) {
			return w.sum()
		}
	}
	w := writer{sha256.New()}
	w.text("raw")
	w.text(contentType)
	w.text(string(body))
	return w.sum()
}

// writer hashes texts so that no two lists of them look alike.
type writer struct{ hash.Hash }

func (w writer) text(s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	w.Write(n[:]) // never fails (hash.Hash)
	_, _ = io.WriteString(w, s)
}

func (w writer) sum() (s Sum) {
	w.Sum(s[:0])
	return s
}

// pairs hashes the fields of an urlencoded form; false when it is none.
func (w writer) pairs(body string) bool {
	w.text("form")
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=") // "a" is "a=": a hidden field has no way to say the first
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return false
		}
		w.text(n)
		w.text(v)
	}
	return true
}

// parts hashes the parts of a multipart form, headers and all; false when it is none.
func (w writer) parts(body []byte, boundary string) bool {
	w.text("multipart")
	for parts, n := multipart.NewReader(bytes.NewReader(body), boundary), 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return true
		}
		if err != nil || n == MaxFields {
			return false
		}
		names := make([]string, 0, len(part.Header))
		for name := range part.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		w.text("part")
		for _, name := range names {
			for _, value := range part.Header[name] {
				w.text(name)
				w.text(value)
			}
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return false
		}
		w.text("content")
		w.text(string(content))
	}
}
