package waf

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	w.Close()
	return b.String()
}

func TestCompressedBodies(t *testing.T) {
	e := engineAt(t, 1, Block)
	const attack, benign = `{"q":"` + scriptText + `"}`, `{"q":"hello"}`
	of := func(raw string, codings ...string) *http.Request {
		r := jsonBody(raw)
		r.Header["Content-Encoding"] = codings
		return r
	}
	octets := of(gzipped("x"), "gzip")
	octets.Header.Set("Content-Type", "application/octet-stream")
	tests := []struct {
		name string
		r    *http.Request
		want verdict.Reason
	}{
		{"benign", of(gzipped(benign), "gzip"), ""},
		{"attack", of(gzipped(attack), "gzip"), verdict.WAFBlocked},
		{"attack, by its other name", of(gzipped(attack), "X-GZIP"), verdict.WAFBlocked},
		{"not compressed", of(benign, "gzip"), verdict.BodyUnreadable},
		{"cut off", of(gzipped(benign)[:20], "gzip"), verdict.BodyUnreadable},
		{"a second member", of(gzipped(benign)+gzipped(attack), "gzip"), verdict.BodyUnreadable},
		{"something behind", of(gzipped(benign)+"x", "gzip"), verdict.BodyUnreadable},
		{"a bomb", of(gzipped(`{"q":"`+strings.Repeat("a", 50<<20)+`"}`), "gzip"), verdict.BodyTooLarge},
		{"a small bomb", of(gzipped(`{"q":"`+strings.Repeat("a", 120_000)+`"}`), "gzip"), verdict.BodyTooLarge},
		{"deflate has two readings", of(benign, "deflate"), verdict.WAFBlocked},
		{"brotli", of(benign, "br"), verdict.WAFBlocked},
		{"twice", of(gzipped(gzipped(benign)), "gzip", "gzip"), verdict.WAFBlocked},
		{"a list", of(gzipped(benign), "gzip, gzip"), verdict.WAFBlocked},
		{"of a streamed type", octets, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, _ := io.ReadAll(tt.r.Body)
			tt.r.Body = io.NopCloser(bytes.NewReader(want))
			v, i := judge(e, tt.r)
			if v.Reason != tt.want {
				t.Fatalf("%+v %v, want %q", v, i.found.Rules, tt.want)
			}
			if e.budget.Used() != 0 {
				t.Errorf("%d bytes still in use", e.budget.Used())
			}
			if got, _ := io.ReadAll(tt.r.Body); !v.Given() && !bytes.Equal(got, want) {
				t.Errorf("the backend gets %q", got)
			}
		})
	}
}

// TestEncodingWithoutTheRule: a site that lifts CRS's rule on encodings gets no body past the engine.
func TestEncodingWithoutTheRule(t *testing.T) {
	e := engineOf(t, Config{Rules: RuleFiles{"after/x.conf": "SecRuleRemoveById 920450"}})
	r := jsonBody("x")
	r.Header.Set("Content-Encoding", "br")
	if v, _ := judge(e, r); v.Reason != verdict.BodyUnreadable {
		t.Fatalf("%+v", v)
	}
}
