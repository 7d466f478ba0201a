package form

import (
	"bytes"
	"mime/multipart"
	"testing"
)

// A browser that sends a form again writes other escapes and another boundary; nothing else may differ.
func TestDigest(t *testing.T) {
	multi := func(boundary string, pairs ...string) (string, string) {
		var buf bytes.Buffer
		w := multipart.NewWriter(&buf)
		if err := w.SetBoundary(boundary); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		return w.FormDataContentType(), buf.String()
	}
	type body struct{ contentType, text string }
	of := func(contentType, text string) body { return body{contentType, text} }
	tests := []struct {
		name string
		a, b body
		same bool
	}{
		{"escapes", of(URLEncoded, "a=b+c&d=%C3%A9"), of(URLEncoded+"; charset=UTF-8", "a=b%20c&d=é"), true},
		{"a charset", of(URLEncoded, "a=1"), of(URLEncoded+"; charset=utf-16", "a=1"), false},
		{"empty pairs", of(URLEncoded, "a=1&&b"), of(URLEncoded, "a=1&b=&"), true},
		{"a value", of(URLEncoded, "to=bob&sum=1"), of(URLEncoded, "to=bob&sum=2"), false},
		{"the order", of(URLEncoded, "a=1&b=2"), of(URLEncoded, "b=2&a=1"), false},
		{"one field more", of(URLEncoded, "a=1"), of(URLEncoded, "a=1&a=1"), false},
		{"where a name ends", of(URLEncoded, "ab=c"), of(URLEncoded, "a=bc"), false},
		{"no fields", of(URLEncoded, ""), of("", ""), false},
		{"boundaries", of(multi("one", "a", "1")), of(multi("two", "a", "1")), true},
		{"a part's content", of(multi("one", "a", "1")), of(multi("one", "a", "2")), false},
		{"a part's header", of(multi("one", "a", "1")), of(multi("one", "b", "1")), false},
		{"the kind of form", of(multi("one", "a", "1")), of(URLEncoded, "a=1"), false},
		{"bytes of anything else", of("application/json", `{"a":1}`), of("application/json", `{"a": 1}`), false},
		{"the same bytes", of("application/json", `{"a":1}`), of("application/json", `{"a":1}`), true},
		{"the type of bytes", of("application/json", `{"a":1}`), of("text/plain", `{"a":1}`), false},
		{"a broken escape", of(URLEncoded, "a=%zz"), of(URLEncoded, "a=%zz"), true},
		{"another broken escape", of(URLEncoded, "a=%zz"), of(URLEncoded, "a=%zy"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := Digest(tt.a.contentType, []byte(tt.a.text)), Digest(tt.b.contentType, []byte(tt.b.text))
			if (a == b) != tt.same {
				t.Errorf("same: %v, want %v", a == b, tt.same)
			}
		})
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(URLEncoded, []byte("a=1&b=%20"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		sum := Digest(contentType, body)
		if sum != Digest(contentType, body) {
			t.Error("two digests of one body")
		}
		// What Parse has read is what Digest has hashed: a field more or less is another digest.
		if media, fields, err := Parse(contentType, body); err == nil && media == URLEncoded && len(fields) > 0 {
			if sum == Digest(URLEncoded, append(bytes.Clone(body), "&x"...)) {
				t.Error("one field more has the same digest")
			}
		}
	})
}
