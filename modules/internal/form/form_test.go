package form

import (
	"bytes"
	"mime/multipart"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

// parts writes a multipart form: name, value, name, value; a name that begins with "file:" is a field for files, whose
// value is its file name.
func parts(t testing.TB, pairs ...string) (contentType string, body []byte) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		h, value := textproto.MIMEHeader{}, pairs[i+1]
		if name, ok := strings.CutPrefix(pairs[i], "file:"); ok {
			h.Set("Content-Disposition", `form-data; name="`+name+`"; filename="`+value+`"`)
			h.Set("Content-Type", "application/octet-stream")
			value = strings.Repeat("x", len(value))
		} else {
			h.Set("Content-Disposition", `form-data; name="`+pairs[i]+`"`)
		}
		p, err := w.CreatePart(h)
		if err == nil {
			_, err = p.Write([]byte(value))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), buf.Bytes()
}

func TestParse(t *testing.T) {
	form := func(body string) (string, []byte) { return URLEncoded, []byte(body) }
	multi := func(pairs ...string) (string, []byte) { return parts(t, pairs...) }
	type in = func() (string, []byte)
	tests := []struct {
		name string
		in   in
		want []Field // nil: refused
	}{
		{"a form, in its order", func() (string, []byte) { return form("b=1&a=%C3%A9+%26&b=2&empty=&bare") },
			[]Field{{Name: "b", Value: "1"}, {Name: "a", Value: "é &"}, {Name: "b", Value: "2"}, {Name: "empty"}, {Name: "bare"}}},
		{"lines", func() (string, []byte) { return form("t=a%0D%0Ab") }, []Field{{Name: "t", Value: "a\r\nb"}}},
		{"with a charset", func() (string, []byte) { return URLEncoded + "; charset=utf-8", []byte("a=1") }, []Field{{Name: "a", Value: "1"}}},
		{"multipart", func() (string, []byte) { return multi("text", "a\r\nb", "file:upload", "") },
			[]Field{{Name: "text", Value: "a\r\nb"}, {Name: "upload", Empty: true}}},
		{"a lone line feed, which a browser would change", func() (string, []byte) { return form("t=a%0Ab") }, nil},
		{"a NUL", func() (string, []byte) { return form("t=a%00b") }, nil},
		{"another encoding", func() (string, []byte) { return form("t=%E9") }, nil},
		{"a broken escape", func() (string, []byte) { return form("t=%zz") }, nil},
		{"a file", func() (string, []byte) { return multi("file:upload", "photo.jpg") }, nil},
		{"too many fields", func() (string, []byte) { return form(strings.Repeat("a&", MaxFields+1)) }, nil},
		{"too large", func() (string, []byte) { return form("a=" + strings.Repeat("b", MaxBytes)) }, nil},
		{"json", func() (string, []byte) { return "application/json", []byte(`{"a":1}`) }, nil},
		{"text/plain", func() (string, []byte) { return "text/plain", []byte("a=1") }, nil},
		{"no type", func() (string, []byte) { return "", []byte("a=1") }, nil},
		{"multipart without boundary", func() (string, []byte) { return Multipart, []byte("--x") }, nil},
		{"multipart cut off", func() (string, []byte) {
			contentType, body := multi("text", "a")
			return contentType, body[:len(body)-6]
		}, nil},
		{"multipart of another kind", func() (string, []byte) { return "multipart/mixed; boundary=x", []byte("--x--") }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := tt.in()
			enctype, fields, err := Parse(contentType, body)
			if (err == nil) != (tt.want != nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil && (!reflect.DeepEqual(fields, tt.want) || enctype != strings.Split(contentType, ";")[0]) {
				t.Errorf("%s %+v, want %+v", enctype, fields, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(URLEncoded, []byte("a=1&b=%20"))
	contentType, body := parts(f, "a", "b", "file:c", "")
	f.Add(contentType, body)
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name*=utf-8''a\r\n\r\nb\r\n--x--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		enctype, fields, err := Parse(contentType, body)
		if err != nil {
			return
		}
		size := 0
		for _, field := range fields {
			if !plain(field.Name) || !plain(field.Value) || field.Empty && field.Value != "" {
				t.Errorf("field %+v", field)
			}
			size += len(field.Name) + len(field.Value)
		}
		if enctype != URLEncoded && enctype != Multipart || len(fields) > MaxFields || size > 2*len(body) {
			t.Errorf("%s with %d fields of %d bytes from %d", enctype, len(fields), size, len(body))
		}
	})
}
