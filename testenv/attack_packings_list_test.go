package testenv

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
)

// packing is one way to wrap a text into a request.
type packing struct {
	name    string
	refused bool // whatever it wraps
	pack    func(text string) ([]byte, error)
}

// plainPacking is a packing that cannot fail.
func plainPacking(name string, pack func(text string) []byte) packing {
	return packing{name: name, pack: func(text string) ([]byte, error) { return pack(text), nil }}
}

// packings are all of them.
func packings() []packing {
	return slices.Concat(targetPackings(), formPackings(), jsonPackings(), multipartPackings(), xmlPackings(), bodyPackings())
}

// Encodings of a text.

func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func eachByte(format, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func inJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be written
	}
	return string(b)
}

func inXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s)
}

func inUTF16(s string) string {
	b := []byte{0xfe, 0xff}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

func gzipped(s string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		return "", err
	}
	err := w.Close()
	return b.String(), err
}

func deflated(s string) (string, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(w, s); err != nil {
		return "", err
	}
	err = w.Close()
	return b.String(), err
}

func quotedPrintable(s string) (string, error) {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		return "", err
	}
	err := w.Close()
	return b.String(), err
}

// targetPackings stand in the request line or in a header.
func targetPackings() []packing {
	get := func(name string, target func(string) string, lines ...func(string) string) packing {
		return plainPacking(name, func(s string) []byte {
			var head []string
			for _, line := range lines {
				head = append(head, line(s))
			}
			return rawRequest("GET", target(s), "", head...)
		})
	}
	home := func(string) string { return "/" }
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		get("query", func(s string) string { return "/?q=" + percent(s) }),
		get("query, every byte encoded", func(s string) string { return "/?q=" + eachByte("%%%02x", s) }),
		get("query, encoded twice", func(s string) string { return "/?q=" + percent(percent(s)) }),
		get("query, %u escapes", func(s string) string { return "/?q=" + eachByte("%%u%04x", s) }),
		refused(get("query, JavaScript escapes", func(s string) string { return "/?q=" + percent(eachByte(`\u%04x`, s)) })),
		get("query, character references", func(s string) string { return "/?q=" + percent(eachByte("&#%d;", s)) }),
		get("query, base64", func(s string) string { return "/?q=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) }),
		get("query, name", func(s string) string { return "/?" + percent(s) + "=1" }),
		get("query, last of 100", func(s string) string { return "/?" + strings.Repeat("a=1&", 99) + "q=" + percent(s) }),
		get("query, array", func(s string) string { return "/?q[a][]=" + percent(s) }),
		get("path", func(s string) string { return "/items/" + percent(s) }),
		get("cookie", home, func(s string) string { return "Cookie: theme=dark; q=" + percent(s) }),
		get("user agent", home, func(s string) string { return "User-Agent: Mozilla/5.0 " + s }),
		get("referer", home, func(s string) string { return "Referer: https://localhost/?q=" + percent(s) }),
	}
}

// bodyPackings are bodies of other types, compressed bodies and missing types.
func bodyPackings() []packing {
	post := func(name, contentType string, body func(string) string) packing {
		return plainPacking(name, func(s string) []byte {
			if contentType == "" {
				return rawRequest("POST", "/graphql", body(s))
			}
			return rawRequest("POST", "/graphql", body(s), "Content-Type: "+contentType)
		})
	}
	coded := func(name, coding, contentType string, refused bool, body func(string) string, compress func(string) (string, error)) packing {
		return packing{name: name, refused: refused, pack: func(s string) ([]byte, error) {
			data, err := compress(body(s))
			return rawRequest("POST", "/", data, "Content-Type: "+contentType, "Content-Encoding: "+coding), err
		}}
	}
	asIs := func(s string) string { return s }
	field := func(s string) string { return "q=" + percent(s) }
	object := func(s string) string { return `{"q":` + inJSON(s) + `}` }
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		post("text", "text/plain", asIs),
		post("csv", "text/csv", func(s string) string { return "id,name\r\n1,\"" + s + "\"\r\n" }),
		post("yaml", "application/yaml", func(s string) string { return "a:\n  b: " + inJSON(s) + "\n" }),
		post("graphql", "application/graphql", func(s string) string { return "{ user(id: " + inJSON(s) + ") { name } }" }),
		post("lines of JSON", "application/x-ndjson", func(s string) string { return "{\"a\":1}\n" + object(s) + "\n" }),
		refused(post("no type", "", asIs)),
		refused(post("no type, form", "", field)),
		refused(post("no type, JSON", "", object)),
		refused(post("unknown type", "application/x-unheard-of", asIs)),
		refused(post("a type that JSON is the beginning of", "application/jsonp", object)),
		post("form as text", "text/plain", field),
		post("JSON as text", "text/plain", object),
		post("JSON as form", "application/x-www-form-urlencoded", object),
		refused(post("form as JSON", "application/json", field)),
		post("bytes", "application/octet-stream", asIs),
		coded("form, gzip", "gzip", "application/x-www-form-urlencoded", false, field, gzipped),
		coded("JSON, gzip", "gzip", "application/json", false, object, gzipped),
		coded("JSON, x-gzip", "x-gzip", "application/json", false, object, gzipped),
		coded("JSON, deflate", "deflate", "application/json", true, object, deflated),
		coded("JSON, gzip twice", "gzip, gzip", "application/json", true, object, gzipped),
		plainPacking("form, chunked", func(s string) []byte {
			body, chunks := field(s), ""
			for i := range len(body) {
				chunks += "1\r\n" + body[i:i+1] + "\r\n"
			}
			r := rawRequest("POST", "/", "", "Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked")
			return append(r, chunks+"0\r\n\r\n"...)
		}),
		refused(plainPacking("two types", func(s string) []byte {
			return rawRequest("POST", "/", object(s), "Content-Type: image/png", "Content-Type: application/json")
		})),
	}
}
