package form

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The media types of forms.
const (
	URLEncoded = "application/x-www-form-urlencoded"
	Multipart  = "multipart/form-data"
)

// Bounds of a form that can be sent once more.
const (
	MaxBytes  = 64 << 10 // of a body
	MaxFields = 512
)

// ErrNotText says that a body is no form that a browser could send once more from hidden fields.
var ErrNotText = errors.New("not a form of texts alone")

// Field is one field of a form, in its order. Empty is one for files in which none was chosen.
type Field struct {
	Name  string `json:"n"`
	Value string `json:"v,omitempty"`
	Empty bool   `json:"e,omitempty"`
}

// Parse reads a form as a browser sent it, and returns its media type too; or ErrNotText.
func Parse(contentType string, body []byte) (enctype string, fields []Field, err error) {
	media, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil || len(body) > MaxBytes:
		return "", nil, ErrNotText
	case media == URLEncoded:
		fields, err = parsePairs(string(body))
	case media == Multipart && params["boundary"] != "":
		fields, err = parseParts(body, params["boundary"])
	default:
		err = ErrNotText
	}
	if err != nil || len(fields) > MaxFields {
		return "", nil, ErrNotText
	}
	for _, f := range fields {
		if !plain(f.Name) || !plain(f.Value) {
			return "", nil, ErrNotText
		}
	}
	return media, fields, nil
}

func parsePairs(body string) (fields []Field, err error) {
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var f Field
		var err1, err2 error
		f.Name, err1 = url.QueryUnescape(name)
		f.Value, err2 = url.QueryUnescape(value)
		if err1 != nil || err2 != nil || len(fields) == MaxFields {
			return nil, ErrNotText
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func parseParts(body []byte, boundary string) (fields []Field, err error) {
	for parts := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return fields, nil
		}
		if err != nil || len(fields) == MaxFields {
			return nil, ErrNotText
		}
		disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || disposition != "form-data" || part.Header.Get("Content-Transfer-Encoding") != "" {
			return nil, ErrNotText
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, ErrNotText
		}
		f := Field{Name: params["name"], Value: string(value)}
		if file, ok := params["filename"]; ok {
			if file != "" || len(value) > 0 {
				return nil, ErrNotText
			}
			f.Empty = true
		}
		fields = append(fields, f)
	}
}

// plain reports whether a hidden field brings the text back as it was: it is UTF-8, has no NUL, and ends its lines as
// forms do.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00") &&
		!strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}
