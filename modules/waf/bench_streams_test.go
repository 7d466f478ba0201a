package waf

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// Streams of the traffic that benchmarks and proofs are about: 200 sessions on 12 browsers, whose cookies, user agents
// and header sets come again, while the values in queries, forms and JSON are new in each request.

// streamKinds are the kinds of exchanges, in the order in which tables show them.
var streamKinds = []string{"get", "json2k", "form1k", "json64k", "multipart", "html8k", "html64k", "sqli", "xss", "cold_get"}

// alphanumeric has no x: at paranoia 2 and above, CRS takes 0xab for SQL.
const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwyz0123456789"

// letters returns n random letters and digits.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphanumeric[r.IntN(len(alphanumeric))]
	}
	return string(b)
}

var benignWords = strings.Fields(`quick report shows customer invoices region north paid shipping documents project gamma
	remain review attached summary confirm delivery address warehouse friday afternoon carrier pickup window noon thanks
	regards colour yellow number seven garden kitchen holiday meeting budget quarter annual forecast`)

// sentence returns n bytes of words.
func sentence(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(benignWords[r.IntN(len(benignWords))])
	}
	return b.String()[:n]
}

// browser is what one session sends with each request.
type browser struct{ cookie, agent string }

func newBrowser(r *rand.Rand, version int) browser {
	return browser{
		cookie: "app_session=" + letters(r, 1024) + "; theme=dark; lang=en-GB; _csrf=" + letters(r, 32),
		agent: fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.0 Safari/537.36",
			120+version%12, version/12),
	}
}

// page makes the headers of a click.
func (b browser) page(referer string) []field {
	return []field{
		{"User-Agent", b.agent},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"},
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Connection", "keep-alive"},
		{"Referer", referer},
		{"Cookie", b.cookie},
		{"Sec-Fetch-Dest", "document"},
		{"Sec-Fetch-Mode", "navigate"},
		{"Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-User", "?1"},
		{"Upgrade-Insecure-Requests", "1"},
		{"Sec-Ch-Ua", `"Chromium";v="131", "Not_A Brand";v="24"`},
	}
}

// script makes the headers of a request that a page's program sends.
func (b browser) script() []field {
	return []field{
		{"User-Agent", b.agent},
		{"Accept", "application/json, text/plain, */*"},
		{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"},
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Connection", "keep-alive"},
		{"Referer", "https://portal.example.com/app/orders/new"},
		{"Cookie", b.cookie},
		{"Sec-Fetch-Dest", "empty"},
		{"Sec-Fetch-Mode", "cors"},
		{"Sec-Fetch-Site", "same-origin"},
		{"Origin", "https://portal.example.com"},
		{"Sec-Ch-Ua", `"Chromium";v="131", "Not_A Brand";v="24"`},
	}
}

// jsonText makes an object of so many keys and about so many bytes.
func jsonText(r *rand.Rand, size, keys int) string {
	var b bytes.Buffer
	b.WriteString(`{"order":{`)
	per := max(size/keys-14, 4)
	for i := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if i == keys/2 {
			b.WriteString(`"customer":{`)
		}
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, `"field_%d":"%s"`, i, sentence(r, per))
		case 1:
			fmt.Fprintf(&b, `"amount_%d":%d.%02d`, i, r.IntN(100000), r.IntN(100))
		case 2:
			fmt.Fprintf(&b, `"id_%d":"%s"`, i, letters(r, 24))
		case 3:
			fmt.Fprintf(&b, `"note_%d":"%s"`, i, sentence(r, per*2))
		}
	}
	b.WriteString(`}}}`)
	return b.String()
}

// formText makes 14 fields of about 1 KB.
func formText(r *rand.Rand) string {
	v := url.Values{}
	for i := range 14 {
		switch i % 3 {
		case 0:
			v.Set(fmt.Sprint("field", i), sentence(r, 70))
		case 1:
			v.Set(fmt.Sprint("qty", i), fmt.Sprint(r.IntN(5000)))
		case 2:
			v.Set(fmt.Sprint("ref", i), letters(r, 90))
		}
	}
	return v.Encode()
}

// uploadText makes two fields and a file of 256 KB.
func uploadText(r *rand.Rand) (contentType, text string) {
	const boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
	var b bytes.Buffer
	for _, name := range []string{"title", "comment"} {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", boundary, name, sentence(r, 60+r.IntN(140)))
	}
	fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report %d.pdf\"\r\nContent-Type: application/pdf\r\n\r\n", boundary, r.IntN(1e6))
	for range 256 << 10 / 8 {
		_, _ = b.Write([]byte{byte(r.Uint32()), byte(r.Uint32()), 'x', 0, 0xff, byte(r.Uint32()), '\n', 'y'})
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return "multipart/form-data; boundary=" + boundary, b.String()
}

// htmlPage makes a page of about size bytes.
func htmlPage(r *rand.Rand, size int) []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html><html><head><title>Orders</title></head><body>\n")
	for b.Len() < size-20 {
		fmt.Fprintf(&b, "<p class=\"row\"><a href=\"/app/orders/%d\">%s</a></p>\n", r.IntN(1e6), sentence(r, 160))
	}
	b.WriteString("</body></html>")
	return b.Bytes()
}

// stream makes n exchanges of one kind. Equal seeds make equal streams.
func stream(kind string, n int, seed uint64) []*exchange {
	r := rand.New(rand.NewPCG(seed, 1))
	sessions := make([]browser, 200)
	for i := range sessions {
		sessions[i] = newBrowser(r, i%12)
	}
	all := make([]*exchange, n)
	for i := range all {
		b := sessions[r.IntN(len(sessions))]
		if kind == "cold_get" {
			b = newBrowser(r, 12+i) // nobody has seen this one
		}
		all[i] = streamed(r, kind, b)
		all[i].name = fmt.Sprintf("%s %d of seed %d", kind, i, seed)
	}
	return all
}

func streamed(r *rand.Rand, kind string, b browser) *exchange {
	query := func(more string) string {
		return fmt.Sprintf("/app/orders/list?page=%d&size=50&sort=created&filter=%s&q=%s%s", r.IntN(1000),
			url.QueryEscape(sentence(r, 14)), url.QueryEscape(sentence(r, 10+r.IntN(20))), more)
	}
	x := &exchange{method: "GET", host: "portal.example.com"}
	post := func(target, contentType, text string) {
		x.headers, x.target = b.script(), target
		x.carry(contentType, text)
	}
	x.headers = b.page(fmt.Sprintf("https://portal.example.com/app/orders/list?page=%d", r.IntN(1000)))
	switch kind {
	case "get", "cold_get":
		x.target = query("")
	case "sqli":
		x.target = query("&id=" + url.QueryEscape(fmt.Sprintf("%d' UNION SELECT username,password FROM users WHERE '1'='1' -- -", r.IntN(1e6))))
	case "html8k", "html64k":
		x.target, x.status, x.whole = query(""), 200, true
		x.answer = []field{
			{"Content-Type", "text/html; charset=utf-8"}, {"Server", "backend"}, {"Cache-Control", "no-store"},
			{"Date", "Fri, 20 Nov 2026 13:00:00 GMT"}, {"Set-Cookie", "theme=dark; Path=/; HttpOnly; Secure; SameSite=Lax"},
		}
		x.page = htmlPage(r, map[string]int{"html8k": 8 << 10, "html64k": 64 << 10}[kind])
	case "json2k":
		post("/api/v1/orders", "application/json", jsonText(r, 2<<10, 40))
	case "json64k":
		post("/api/v1/import", "application/json", jsonText(r, 64<<10, 300))
	case "form1k":
		post("/app/orders/save", "application/x-www-form-urlencoded", formText(r))
	case "xss":
		post("/app/orders/save", "application/x-www-form-urlencoded", fmt.Sprintf("title=hello&comment=%s&qty=%d",
			url.QueryEscape(`<script>alert(document.cookie)</script><img src=x onerror=alert(1)>`), r.IntN(1e6)))
	case "multipart":
		contentType, text := uploadText(r)
		post("/app/files/upload", contentType, text)
	default:
		panic("no such stream: " + kind)
	}
	return x
}

// newSeeded is chance that repeats itself.
func newSeeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// quoteJSON writes s as a JSON string, byte for byte but for what must be escaped: broken UTF-8 stays broken.
func quoteJSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
