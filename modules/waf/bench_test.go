package waf

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// benchRequests are the shapes that WAF.md measures: a GET with 14 headers, a cookie of 1 KB and 5 arguments; JSON of
// 2 KB; a form of 1 KB.
func benchRequests() map[string]func() *http.Request {
	headers := []string{
		"Cookie", "_ga=GA1.2.1234567890.1234567890; " + session(900), "Referer", "https://app.example.com/dashboard?tab=2",
		"Sec-Ch-Ua", `"Chromium";v="140", "Not=A?Brand";v="24"`, "Sec-Ch-Ua-Mobile", "?0", "Sec-Ch-Ua-Platform", `"Linux"`,
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "document", "Upgrade-Insecure-Requests", "1", "Cache-Control", "max-age=0",
	}
	var object, fields []string
	for i := range 40 {
		object = append(object, fmt.Sprintf(`"field_%02d":"a value of about %d bytes here"`, i, 30+i))
	}
	for i := range 20 {
		fields = append(fields, fmt.Sprintf("field_%02d=a+value+of+about+%d+bytes+for+this+form", i, 30+i))
	}
	jsonText, formText := "{"+strings.Join(object, ",")+"}", strings.Join(fields, "&")
	return map[string]func() *http.Request{
		"get": func() *http.Request {
			return get("/projects/42/issues?page=2&sort=updated&order=desc&label=bug&q=login+button", headers...)
		},
		"json2k": func() *http.Request { return body("POST", "/api/items", "application/json", jsonText, headers...) },
		"form1k": func() *http.Request {
			return body("POST", "/items", "application/x-www-form-urlencoded", formText, headers...)
		},
	}
}

func session(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return "app_session=" + strings.Repeat(letters, n/len(letters)+1)[:n]
}

// BenchmarkRequest is one request through both phases of one engine at paranoia 1.
func BenchmarkRequest(b *testing.B) {
	e := engineAt(b, 1, Block)
	requests := benchRequests()
	for _, name := range []string{"get", "json2k", "form1k"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, i := judge(e, requests[name]()); v.Given() {
					b.Fatalf("%+v %v", v, i.found.Rules)
				}
			}
		})
	}
}

// BenchmarkCompile is what a site with rules of its own costs when a configuration is loaded.
func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit}, NewBudget(1)); err != nil {
			b.Fatal(err)
		}
	}
}
