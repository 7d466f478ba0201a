package page

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNavigation(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	const form = "application/x-www-form-urlencoded"
	type headers = map[string]string
	tests := []struct {
		name    string
		method  string
		headers headers
		want    bool
	}{
		// Fetch Metadata
		{"page", "GET", headers{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": browser}, true},
		{"frame in a page", "GET", headers{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, true},
		{"form", "POST", headers{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Content-Type": form}, true},
		{"service worker passes a navigation on", "GET", headers{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "empty"}, true},
		{"fetch", "GET", headers{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "*/*"}, false},
		{"fetch that asks for html", "GET", headers{"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty", "Accept": browser}, false},
		{"image", "GET", headers{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, false},
		{"plug-in", "GET", headers{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"}, false},
		{"websocket", "GET", headers{"Sec-Fetch-Mode": "websocket", "Sec-Fetch-Dest": "websocket", "Accept": browser}, false},
		{"only the destination, a page", "GET", headers{"Sec-Fetch-Dest": "document"}, true},
		{"only the destination, a script", "GET", headers{"Sec-Fetch-Dest": "script", "Accept": browser}, false},
		{"only the mode", "GET", headers{"Sec-Fetch-Mode": "navigate"}, true},
		{"contradiction", "GET", headers{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "document", "Accept": browser}, false},

		// without it
		{"old browser", "GET", headers{"Accept": browser}, true},
		{"old browser, HEAD", "HEAD", headers{"Accept": browser}, true},
		{"old browser, form", "POST", headers{"Accept": browser, "Content-Type": form + "; charset=utf-8"}, true},
		{"old browser, form with files", "POST", headers{"Accept": browser, "Content-Type": "Multipart/Form-Data; boundary=x"}, true},
		{"post of json", "POST", headers{"Accept": browser, "Content-Type": "application/json"}, false},
		{"post of nothing", "POST", headers{"Accept": browser}, false},
		{"put", "PUT", headers{"Accept": browser}, false},
		{"preflight", "OPTIONS", headers{"Accept": browser}, false},
		{"jquery", "GET", headers{"Accept": browser, "X-Requested-With": "XMLHttpRequest"}, false},
		{"curl", "GET", headers{"Accept": "*/*"}, false},
		{"no accept", "GET", nil, false},
		{"axios", "GET", headers{"Accept": "application/json, text/plain, */*"}, false},
		{"json before html", "GET", headers{"Accept": "application/json, text/html;q=0.9"}, false},
		{"html before json", "GET", headers{"Accept": "application/problem+json;q=0.5 , TEXT/HTML ; q=0.9"}, true},
		{"html refused", "GET", headers{"Accept": "text/html;q=0, */*"}, false},
		{"a weight that is none", "GET", headers{"Accept": "text/html;q=NaN"}, false},
		{"a weight out of range", "GET", headers{"Accept": "text/html;q=5"}, false},
		{"parameters", "GET", headers{"Accept": "text/html;level=1;Q=0.4"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Header = http.Header{}
			for name, value := range tt.headers {
				r.Header.Set(name, value)
			}
			if got := Navigation(r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
