package authn

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

const (
	typeForm      = "application/x-www-form-urlencoded"
	typeMultipart = "multipart/form-data"

	maxKept   = 64 << 10 // bytes of a body
	maxFields = 512
)

// errForm says that a body is no form that a browser could send once more from hidden fields.
var errForm = errors.New("not a form of texts alone")

// formField is one field of a form, in its order. Empty is one for files in which none was chosen.
type formField struct {
	Name  string `json:"n"`
	Value string `json:"v,omitempty"`
	Empty bool   `json:"e,omitempty"`
}

// parseTextForm reads a form as a browser sent it, and returns its media type too.
func parseTextForm(contentType string, body []byte) (enctype string, fields []formField, err error) {
	media, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil || len(body) > maxKept:
		return "", nil, errForm
	case media == typeForm:
		fields, err = parsePairs(string(body))
	case media == typeMultipart && params["boundary"] != "":
		fields, err = parseParts(body, params["boundary"])
	default:
		err = errForm
	}
	if err != nil || len(fields) > maxFields {
		return "", nil, errForm
	}
	for _, f := range fields {
		if !plain(f.Name) || !plain(f.Value) {
			return "", nil, errForm
		}
	}
	return media, fields, nil
}

func parsePairs(body string) (fields []formField, err error) {
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var f formField
		var err1, err2 error
		f.Name, err1 = url.QueryUnescape(name)
		f.Value, err2 = url.QueryUnescape(value)
		if err1 != nil || err2 != nil || len(fields) == maxFields {
			return nil, errForm
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func parseParts(body []byte, boundary string) (fields []formField, err error) {
	for parts := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return fields, nil
		}
		if err != nil || len(fields) == maxFields {
			return nil, errForm
		}
		disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || disposition != "form-data" || part.Header.Get("Content-Transfer-Encoding") != "" {
			return nil, errForm
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, errForm
		}
		f := formField{Name: params["name"], Value: string(value)}
		if file, ok := params["filename"]; ok {
			if file != "" || len(value) > 0 {
				return nil, errForm
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
