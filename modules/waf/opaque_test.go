package waf

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse.internal/modules/internal/verdict"
)

const (
	webshell = "<?php system($_GET['c']); ?>"
	png      = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00\x08\x06\x00\x00\x00"
)

// What says that it is opaque and reads as text is judged as text, as far as it was looked at; what is binary is not.
// Every byte goes on.
func TestOpaqueBodies(t *testing.T) {
	e := engineAt(t, 1, Block)
	deep := engineAt(t, 4, Block)
	long := strings.Repeat("row,of,numbers\n", 1000)
	tests := []struct {
		name, contentType, text string
		headers                 []string
		refused                 bool
		skipped                 string
	}{
		{"a picture", "image/png", png + strings.Repeat("\x00\xff' or 1=1 --", 500), nil, false, "content_type"},
		{"an archive", "application/zip", "PK\x03\x04\x14\x00" + strings.Repeat("\x01\x80{}[]<>'", 500), nil, false, "content_type"},
		{"PHP for a picture", "image/png", webshell, nil, true, ""},
		{"PHP behind a picture's head", "image/png", png + webshell, nil, true, "content_type"},
		{"in other letters", "image/gif", "GIF89a\x01\x00;<?PHP system('id');", nil, true, "content_type"},
		{"PHP behind bytes that are no UTF-8", "image/jpeg", "\xff\xd8\xff\x00" + strings.Repeat("\xbc", 300) + webshell, nil, true, "content_type"},
		{"a page for a picture", "image/jpeg", "<html><script>alert(document.cookie)</script></html>", nil, true, ""},
		{"JSON for octets", "application/octet-stream", `{"q":"x' OR '1'='1' --"}`, nil, true, ""},
		{"JSON with escapes", "application/octet-stream", `{"q":"\u003cscript\u003ealert(1)\u003c/script\u003e"}`, nil, true, ""},
		{"JSON behind spaces", "application/octet-stream", "\n\t " + `{"q":"\u003cscript\u003ealert(1)\u003c/script\u003e"}`, nil, true, ""},
		{"JSON with a byte that is no UTF-8", "application/octet-stream", "{\"q\":\"\xff<script>alert(1)</script>\"}", nil, true, ""},
		{"JSON longer than looked at", "application/cbor", `{"q":"<script>alert(1)</script>","r":"` + long + `"}`, nil, true, "content_type"},
		{"XML for octets", "application/octet-stream", "<?xml version='1.0'?><a>&lt;script&gt;alert(1)&lt;/script&gt;<script>alert(1)</script></a>", nil, true, ""},
		{"a form for octets", "application/protobuf", "q=%3Cscript%3Ealert(1)%3C/script%3E", nil, true, ""},
		{"packed", "application/octet-stream", gzipped(`{"q":"<script>alert(1)</script>"}`), []string{"Content-Encoding", "gzip"}, true, ""},
		{"packed badly", "application/octet-stream", "no gzip", []string{"Content-Encoding", "gzip"}, false, "content_type"},
		{"beyond what is looked at", "application/octet-stream", long + webshell, nil, false, "content_type"},
		{"innocent JSON", "application/octet-stream", `{"title":"Notes of Tuesday","tags":["a","b"]}`, nil, false, ""},
		{"a table", "application/octet-stream", long, nil, false, "content_type"},
		{"a PDF", "application/pdf", "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>\nendobj\n", nil, false, "content_type"},
		{"PHP in a PDF", "application/pdf", "%PDF-1.4\n" + webshell, nil, true, "content_type"},
		{"gRPC is not waited for", "application/grpc", webshell, nil, false, "content_type"},
		{"nothing", "application/octet-stream", "", nil, false, ""},
		{"one byte", "application/octet-stream", "\x00", nil, false, "content_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := body("POST", "/upload", tt.contentType, tt.text, tt.headers...)
			v, i := judge(e, r)
			if (v.Reason == verdict.WAFBlocked) != tt.refused || v.Given() != tt.refused || i.skipped != tt.skipped {
				t.Errorf("%v, skipped %q, want %q; rules %v", v, i.skipped, tt.skipped, i.found.Rules)
			}
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != tt.text {
				t.Errorf("%d of %d bytes go on, %v", len(got), len(tt.text), err)
			}
			if used := e.budget.Used(); used != 0 {
				t.Errorf("%d bytes still in use", used)
			}
		})
	}
	t.Run("binary data is shown to no rule, at any level", func(t *testing.T) {
		for _, text := range []string{tests[0].text, tests[1].text} {
			_, i := judge(deep, body("PUT", "/upload", "image/png", text))
			_, without := judge(deep, body("PUT", "/upload", "application/grpc", text))
			if !slices.Equal(i.found.Rules, without.found.Rules) {
				t.Errorf("rules %v, without a body %v", i.found.Rules, without.found.Rules)
			}
		}
	})
	t.Run("cut short", func(t *testing.T) {
		r := body("POST", "/upload", "image/png", "x")
		r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
		if v, _ := judge(e, r); v.Reason != verdict.BodyUnreadable {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a rule may look away", func(t *testing.T) {
		away := engineOf(t, Config{Rules: RuleFiles{"before/a.conf": `SecRule REQUEST_FILENAME "@streq /upload" "id:10001,phase:1,pass,nolog,t:none,ctl:requestBodyAccess=Off"`}})
		if v, i := judge(away, body("POST", "/upload", "image/png", webshell)); v.Given() || i.skipped != "rule" {
			t.Errorf("%+v, %q", v, i.skipped)
		}
	})
}

// FuzzBeginning: whatever the body, all of it goes on, and nothing that is judged was not in it.
func FuzzBeginning(f *testing.F) {
	f.Add([]byte(png+webshell), 3)
	f.Add([]byte("\xbc\xbc\xbc\x00<?PHP"), 121)
	f.Add([]byte(`{"a":1}`), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		head, whole, err := peek(iotest.OneByteReader(bytes.NewReader(data)), max(0, size%8192))
		if err != nil || whole != (len(head) == len(data) && max(0, size%8192) > len(data)) || !bytes.HasPrefix(data, head) {
			t.Fatalf("%d of %d bytes, whole %v, %v", len(head), len(data), whole, err)
		}
		text, all := readable(head)
		if !bytes.Contains(head, text) || len(text) > 0 && len(untilControl(text)) != len(text) || all && len(bytes.TrimSpace(text)) < len(bytes.TrimSpace(head))-3 {
			t.Errorf("%q of %q", text, head)
		}
	})
}

// failing is a body whose source breaks after what it has sent.
func TestPeekKeepsWhatCame(t *testing.T) {
	broken := errors.New("broken")
	head, whole, err := peek(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), 10)
	if string(head) != "abc" || whole || !errors.Is(err, broken) {
		t.Errorf("%q, %v, %v", head, whole, err)
	}
}
