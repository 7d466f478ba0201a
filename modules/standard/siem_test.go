package standard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 20 seconds there was not: %s", what)
		}
	}
}

// content is a file's, or "".
func content(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

// canaried returns requests to app.test that hold the canary wherever there is a place for it, in attacks too.
func canaried(t testing.TB, canary string) []*http.Request {
	t.Helper()
	form := func(text string) *http.Request {
		r, _ := http.NewRequest("POST", "https://app.test/save", strings.NewReader("note="+text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	jsonBody := func(text string) *http.Request {
		r, _ := http.NewRequest("POST", "https://app.test/api/"+canary, strings.NewReader(`{"`+canary+`":"`+text+`"}`))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	upload := func(text string) *http.Request {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		f, _ := w.CreateFormFile(canary, canary+".txt")
		_, _ = io.WriteString(f, text)
		_ = w.WriteField("comment", text)
		_ = w.Close()
		r, _ := http.NewRequest("POST", "https://app.test/upload", &b)
		r.Header.Set("Content-Type", w.FormDataContentType())
		return r
	}
	plain := func(method, target string, header ...string) *http.Request {
		r, err := http.NewRequest(method, "https://app.test"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	attack := "1' OR '1'='1' UNION SELECT " + canary + " FROM users--"
	return []*http.Request{
		plain("GET", "/orders/list"), plain("GET", "/"+canary+"/x"), plain("GET", "/x?q="+canary), plain("GET", "/x?"+canary+"=1"),
		plain("GET", "/x", "X-"+canary, canary), plain("GET", "/x", "User-Agent", canary), plain("GET", "/x", "Referer", "https://x.test/"+canary),
		plain("GET", "/x", "Cookie", canary+"="+canary), plain("GET", "/x", "Authorization", "Bearer "+canary), plain("GET", "/x", "Authorization", "Basic "+canary),
		plain("GET", "/x", "Traceparent", "00-"+canary), plain(canary, "/x"), plain("GET", "/x", "X-Forwarded-For", "203.0.113.99"),
		plain("GET", "/x?q="+strings.ReplaceAll(attack, " ", "+")), plain("GET", "/"+canary+"/..%2f..%2fetc/passwd"), plain("GET", "/x", "Cookie", "q=<script>"+canary+"</script>"),
		form(canary), form("<script>" + canary + "</script>"), jsonBody(canary), jsonBody(strings.ReplaceAll(attack, `"`, "")), upload(canary), upload("<script>" + canary + "</script>"),
		form(strings.Repeat(canary, 5000)), plain("GET", "/users/ann@example.com"),
	}
}

// NAT-05: what is secret, and what names people, is in no record, wherever in a request it stands; people can be
// followed all the same, and a tenant may have it otherwise.
// Controls: NAT-13.
func TestRecordsNameNobody(t *testing.T) {
	const canary = "kw7Rt2Xq9ZmCANARY41"
	out := filepath.Join(t.TempDir(), "siem.%s")
	var sends []string
	formats := []string{"json", "ecs", "ocsf", "cef", "leef", "gelf", "syslog", "csv"}
	for _, f := range formats {
		sends = append(sends, fmt.Sprintf("send file %s {\n name %s\n format %s\n }", fmt.Sprintf(out, f), f, f))
	}
	// The application's answers are of interest too: one gives away what the WAF looks for.
	site := func(host, tenant string) string {
		return fmt.Sprintf("https://%s:{{addr}} {\n {{tls}}\n gatehouse {\n tenant %s\n allow role staff\n }\n reverse_proxy %s\n}", host, tenant, backend(t))
	}
	g := gatetest.Start(t, fill(newcomer, pairs(
		"idp", "voucher\n tenant acme {\n }\n tenant open {\n }\n siem {\n node gw1\n personal_data clear open\n "+strings.Join(sends, "\n ")+"\n }",
		"policy", "tenant acme\n allow role staff\n waf {\n inspect_limit 64KiB\n }", "backend", "reverse_proxy "+backend(t),
		"more", site("open.test", "open"))))
	ann := as(t, g, "app.test", "as=ann@example.com&roles=staff")
	for _, r := range canaried(t, canary) {
		res, err := ann.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", r.URL.Path, err)
		}
		res.Body.Close()
	}
	bob := as(t, g, "open.test", "as=bob@example.com&roles=staff")
	get(t, bob, "https://open.test/last")

	for _, f := range formats {
		eventually(t, "the last request in "+f, func() bool { return strings.Contains(content(fmt.Sprintf(out, f)), "/last") })
		text := content(fmt.Sprintf(out, f))
		for _, secret := range []string{canary, strings.ToLower(canary), "ann@", "203.0.113"} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s tells %q: %s", f, secret, text[max(0, i-300):min(len(text), i+100)])
			}
		}
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			if strings.Contains(line, "127.0.0.1") && !strings.Contains(line, "open") {
				t.Errorf("%s tells an address: %s", f, line)
			}
		}
		if !strings.Contains(text, "bob@example.com") || !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "/orders/list") {
			t.Errorf("%s does not tell what it may", f)
		}
	}
	lines := decode(t, content(fmt.Sprintf(out, "json")))
	users, refused := map[string]int{}, map[string]int{}
	for _, l := range lines {
		if l["kind"] == "request" && l["site"] == "app.test" && l["user"] != nil {
			users[l["user"].(string)]++
		}
		if l["reason"] == "waf_blocked" {
			refused[fmt.Sprint(l["request_id"])]++
			if l["stream"] != "waf" || l["rules"] == nil || l["score"] == nil {
				t.Errorf("what the WAF refused: %v", l)
			}
		}
	}
	if len(users) != 1 {
		t.Errorf("one user is %v", users)
	}
	for id, n := range refused {
		if n != 1 {
			t.Errorf("%d records of refusal %s", n, id)
		}
	}
	if len(refused) < 4 {
		t.Errorf("%d requests were refused by the WAF", len(refused))
	}
}

func decode(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, m)
	}
	return all
}

// A collector that is away gets everything later, in order and each once, over a reload too; operators see it, and find people by
// their pseudonyms, which is on record.
func TestCollectorIsAway(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	down := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down || r.Header.Get("Authorization") != "Splunk hush" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		dec := json.NewDecoder(r.Body)
		for dec.More() {
			var e struct{ Event map[string]any }
			if err := dec.Decode(&e); err != nil {
				t.Error(err)
				return
			}
			if p, _ := e.Event["path"].(string); e.Event["kind"] == "request" && strings.HasPrefix(p, "/number-") {
				ids = append(ids, p)
			}
		}
	}))
	defer srv.Close()
	t.Setenv("GATEHOUSE_TEST_TOKEN", "hush")
	siem := "voucher\n siem {\n personal_data clear\n send splunk " + srv.URL + " {\n token {env.GATEHOUSE_TEST_TOKEN}\n insecure_plain\n streams access\n }\n }"
	o := operate(t, "idp", siem, "policy", "public /*\n waf {\n }", "backend", "reverse_proxy "+backend(t))
	words := strings.Fields("one two three four five six seven eight nine ten")
	for i, n := range words {
		get(t, o.Client(), "https://app.test/number-"+n)
		if i == 4 {
			if err := o.Load(o.text("idp", siem, "policy", "public /*", "backend", "reverse_proxy "+backend(t))); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the failure in the status", func() bool { return strings.Contains(o.ok("siem", "status"), "503") })
	mu.Lock()
	down = false
	mu.Unlock()
	eventually(t, "all records", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) >= len(words) })
	if want := "/number-" + strings.Join(words, " /number-"); strings.Join(ids, " ") != want {
		t.Errorf("it has %q", ids)
	}
	eventually(t, "an empty spool", func() bool {
		return regexp.MustCompile(`splunk +\d+ +0 +0 bytes +ok`).MatchString(o.ok("siem", "status"))
	})

	o.no("say why", "siem", "pseudonym", "user", "ann")
	first := o.ok("siem", "pseudonym", "user", "ann", "--why", "case 7")
	if again := o.ok("siem", "pseudonym", "user", "ann", "--why", "case 7"); again != first || !strings.HasPrefix(first, "u_") {
		t.Errorf("ann is %s and %s", first, again)
	}
	if p := o.ok("siem", "pseudonym", "address", "192.0.2.1", "--why", "case 7", "--day", "2020-01-01"); !strings.HasPrefix(p, "ip_") {
		t.Errorf("an address is %s", p)
	}
	if shown := o.ok("audit", "show", filepath.Join(o.Dir, "state", "audit"), "--kind", "pseudonym"); !strings.Contains(shown, `pseudonym.asked pseudonym="`+first+`" operator="olga" why="case 7"`) {
		t.Errorf("on record is: %s", shown)
	}
	if raw, err := o.Adapt(o.text("idp", siem)); err != nil || strings.Contains(string(raw), "hush") {
		t.Errorf("the configuration tells the token: %s, %v", raw, err)
	}
}

// A configuration that fails, because of its sinks or of anything else, leaves those of the running one as they were.
func TestSinksOutliveARefusedConfiguration(t *testing.T) {
	out := filepath.Join(t.TempDir(), "siem.json")
	with := func(siem string, more ...string) string {
		return fill(newcomer, pairs(append([]string{"policy", "public /*", "idp", "voucher\n siem {\n " + siem + "\n }"}, more...)...))
	}
	g := gatetest.Start(t, with("send file "+out))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for i, bad := range []string{
		with("send file " + out + " {\n roll 5\n }\n send file /proc/nowhere/x {\n name other\n }"),
		with("send file "+out+" {\n roll 5\n }", "more", "https://app.test:"+port+" {\n {{tls}}\n gatehouse {\n public /*\n }\n respond hello\n}"),
	} {
		if err := g.Load(bad); err == nil {
			t.Fatalf("configuration %d is accepted", i)
		}
		path := fmt.Sprintf("/after-%c", 'a'+i)
		get(t, g.Client(), "https://app.test"+path)
		eventually(t, "a record of "+path, func() bool { return strings.Contains(content(out), path) })
	}
	if err := g.Load(fill(newcomer, pairs("policy", "public /*", "idp", "voucher"))); err != nil {
		t.Fatal(err)
	}
	get(t, g.Client(), "https://app.test/unheard")
	if strings.Contains(content(out), "unheard") {
		t.Error("a sink that nobody wants any more is told of requests")
	}
}

// Each way to get it wrong is refused with a sentence that names the fix.
func TestRefusedSinks(t *testing.T) {
	for siem, want := range map[string][]string{
		"":                                      {"nowhere to send to", "send <kind> <address>"},
		"send":                                  {"send <kind> <address>"},
		"send pigeon x":                         {"pigeon", "use file, stdout"},
		"send file siem.json":                   {"absolute path"},
		"send stdout /x":                        {"no address"},
		"send syslog siem.example.com":          {"tls://siem.example.com:6514"},
		"send syslog tls://siem.example.com":    {"no port"},
		"send syslog tcp://siem.example.com:1":  {"in clear", "insecure_plain"},
		"send splunk http://splunk.example.com": {"in clear", "insecure_plain"},
		"send splunk https://u:p@splunk.test":   {"is not an address"},
		"send stdout {\n format xml\n }":        {`format "xml"`, "ocsf"},
		"send stdout {\n streams all\n }":       {`stream "all"`, "access, waf, audit, system"},
		"send stdout {\n color red\n }":         {`"color"`, "options are name"},
		"send stdout {\n name A\n }":            {"a-z"},
		"send stdout\n send stdout":             {"two sinks", "`name`"},
		"send stdout\n epoch 1s":                {"an hour or more"},
		"send stdout\n personal_data maybe":     {"personal_data pseudonyms"},
		"send stdout\n personal_data clear nobody\n }\n tenant acme {":         {"no tenant", "nobody"},
		"send stdout\n paths some":                                             {"paths words"},
		"send stdout\n sink x":                                                 {`"sink"`, "options are node"},
		"send loki https://loki.test {\n spool 3\n }":                          {"1GiB"},
		"send file /x {\n roll many\n }":                                       {"roll 100 10 30d"},
		"send loki https://loki.test {\n ca /nowhere/ca.pem\n }":               {"/nowhere/ca.pem"},
		"send loki https://loki.test {\n token {env.GATEHOUSE_TEST_UNSET}\n }": {"token", "empty"},
		"send elasticsearch https://elastic.test {\n format cef\n }":           {"takes JSON"},
		"send elasticsearch https://elastic.test {\n token_type Digest\n }":    {"ApiKey"},
		"send file " + "/proc/nowhere/siem.csv {\n format csv\n }":             {"/proc/nowhere", "make the directory"},
		"send stdout\n personal_data clear\n personal_data pseudonyms x":       {"personal_data"},
	} {
		err := gatetest.New(t).Load(fill(newcomer, pairs("idp", "local\n siem {\n "+siem+"\n }")))
		if err == nil {
			t.Errorf("%q is accepted", siem)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %q", siem, err, w)
			}
		}
	}
}
