package waf

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

// testLimit is the body limit of the test engines.
const testLimit = 128 << 10

var testClient = netip.MustParseAddr("192.0.2.7")

// engineAt compiles one engine per paranoia level and mode for all tests; compiling takes about a second.
func engineAt(t testing.TB, paranoia int, mode Mode) *Engine {
	t.Helper()
	compiled.Lock()
	defer compiled.Unlock()
	key := fmt.Sprint(paranoia, mode)
	if compiled.engines[key] == nil {
		e, err := New(Config{Paranoia: paranoia, Mode: mode, BodyLimit: testLimit}, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(err)
		}
		compiled.engines[key] = e
	}
	return compiled.engines[key]
}

// engineOf compiles an engine that blocks at paranoia 1, with what else cfg says.
func engineOf(t testing.TB, cfg Config) *Engine {
	t.Helper()
	cfg.Paranoia, cfg.Mode, cfg.BodyLimit = 1, Block, max(cfg.BodyLimit, testLimit)
	e, err := New(cfg, NewBudget(DefaultBudget))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var compiled = struct {
	sync.Mutex
	engines map[string]*Engine // guarded by the mutex
}{engines: map[string]*Engine{}}

// get, form, jsonBody and body make requests as a browser's would arrive.
func get(target string, headers ...string) *http.Request {
	return dressed(httptest.NewRequest("GET", "https://app.example.com"+target, nil), headers...)
}

func body(method, target, contentType, text string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "https://app.example.com"+target, strings.NewReader(text))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if r.ContentLength >= 0 {
		r.Header.Set("Content-Length", fmt.Sprint(r.ContentLength))
	}
	return dressed(r, headers...)
}

func form(pairs ...string) *http.Request {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return body("POST", "/save", "application/x-www-form-urlencoded", v.Encode())
}

func jsonBody(text string) *http.Request { return body("POST", "/api/save", "application/json", text) }

// upload is a multipart form with one field and one file.
func upload(field, file, fileType, content string) *http.Request {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("comment", field)
	part, _ := w.CreatePart(map[string][]string{
		"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename="%s"`, file)},
		"Content-Type":        {fileType},
	})
	_, _ = io.WriteString(part, content)
	w.Close()
	return body("POST", "/upload", w.FormDataContentType(), b.String())
}

func dressed(r *http.Request, headers ...string) *http.Request {
	h := map[string]string{
		"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
		"Accept":          "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language": "de,en-US;q=0.7,en;q=0.3",
		"Accept-Encoding": "gzip, deflate, br, zstd",
		"Sec-Fetch-Mode":  "navigate",
	}
	for k, v := range h {
		r.Header.Set(k, v)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

// judge runs a request through both phases, as the two handlers do.
func judge(e *Engine, r *http.Request) (verdict.Verdict, *Inspection) {
	i := e.Inspect("req-1")
	defer i.Close()
	if v := i.Head(r, testClient); v.Given() {
		return v, i
	}
	return i.Body(r), i
}

func TestPhases(t *testing.T) {
	e := engineAt(t, 1, Block)
	t.Run("a probe without a body is refused by the head", func(t *testing.T) {
		i := e.Inspect("r")
		defer i.Close()
		if v := i.Head(get("/?id=1%27%20OR%20%271%27=%271"), testClient); v.Reason != verdict.WAFBlocked {
			t.Fatalf("verdict %+v", v)
		}
	})
	t.Run("a body waits for the body phase", func(t *testing.T) {
		r := form("q", "1' OR '1'='1' --")
		i := e.Inspect("r")
		defer i.Close()
		if v := i.Head(r, testClient); v.Given() {
			t.Fatalf("the head said %+v of a body it has not read", v)
		}
		if v := i.Body(r); v.Reason != verdict.WAFBlocked {
			t.Fatalf("verdict %+v", v)
		}
		if v := i.Body(r); v.Reason != verdict.WAFBlocked {
			t.Fatalf("asked again, the verdict became %+v", v)
		}
	})
	t.Run("bad headers are refused before the body is read", func(t *testing.T) {
		r := form("q", "x")
		r.Header.Set("Lock-Token", "x")
		i := e.Inspect("r")
		defer i.Close()
		if v := i.Head(r, testClient); v.Reason != verdict.WAFBlocked {
			t.Fatalf("verdict %+v", v)
		}
	})
	t.Run("the body without the head fails", func(t *testing.T) {
		i := e.Inspect("r")
		defer i.Close()
		if v := i.Body(form("q", "x")); v.Reason != verdict.WAFFailed {
			t.Fatalf("verdict %+v", v)
		}
	})
	t.Run("memory goes back before the backend works", func(t *testing.T) {
		r := form("q", "x")
		i := e.Inspect("r")
		defer i.Close()
		i.Head(r, testClient)
		i.Body(r)
		if i.tx != nil {
			t.Fatal("the transaction is still open")
		}
	})
}

func TestDetectNeverRefuses(t *testing.T) {
	e := engineAt(t, 1, Detect)
	tests := []struct {
		name    string
		r       *http.Request
		outcome Outcome
		skipped string
	}{
		{"attack in the query", get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"), Detected, ""},
		{"attack in the body", form("q", "<script>alert(1)</script>"), Detected, ""},
		{"broken json", jsonBody(`{"a":`), Detected, ""},
		{"too many arguments", form(many(1200)...), Detected, ""},
		{"too large", body("POST", "/", "text/plain", strings.Repeat("a", testLimit+1)), Passed, "too_large"},
		{"benign", get("/?q=hello"), Passed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, i := judge(e, tt.r)
			if v.Given() || i.outcome != tt.outcome || i.skipped != tt.skipped {
				t.Fatalf("verdict %+v, outcome %q, skipped %q; want none, %q, %q", v, i.outcome, i.skipped, tt.outcome, tt.skipped)
			}
		})
	}
	t.Run("what a rule of the site would refuse by itself", func(t *testing.T) {
		e, err := New(Config{Paranoia: 1, Mode: Detect, BodyLimit: testLimit, ResponseLimit: DefaultResponseLimit, Rules: RuleFiles{
			"before/a.conf": `SecRule ARGS:q "@streq forbidden" "id:1,phase:2,deny,status:403,log,msg:'a word'"
SecRule RESPONSE_BODY "@contains forbidden" "id:2,phase:4,deny,status:403,log,msg:'a word in an answer'"`}}, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(err)
		}
		if v, i := judge(e, form("q", "forbidden")); v.Given() || i.outcome != Detected {
			t.Errorf("%+v %q", v, i.outcome)
		}
		i, r := e.Inspect("r"), get("/")
		defer i.Close()
		if v := i.Head(r, testClient); v.Given() || i.outcome != Passed {
			t.Fatalf("%+v %q", v, i.outcome)
		}
		hold, v := i.ResponseHead(r, http.StatusOK, http.Header{"Content-Type": {"text/plain"}})
		if !hold || v.Given() {
			t.Fatalf("%v %+v", hold, v)
		}
		if v := i.ResponseBody(t.Context(), []byte("a forbidden word"), true); v.Given() || i.answer.outcome != Detected {
			t.Errorf("an answer: %+v %q", v, i.answer.outcome)
		}
	})
}

func many(n int) (pairs []string) {
	for i := range n {
		pairs = append(pairs, fmt.Sprint("a", i), "1")
	}
	return pairs
}

func TestArgumentBombs(t *testing.T) {
	e := engineOf(t, Config{ArgLimit: 2000})
	query := strings.Repeat("&a=1", 1001)[1:]
	parts := strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n", 1001) + "--b--\r\n"
	files := strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.txt\"\r\n\r\n1\r\n", 201) + "--b--\r\n"
	tests := []struct {
		name string
		r    *http.Request
		rule int
	}{
		{"query", get("/?" + query), 90007},
		{"form", body("POST", "/", "application/x-www-form-urlencoded", query), 90001},
		{"json", jsonBody("[" + strings.Repeat(",1", 2001)[1:] + "]"), 200005},
		{"multipart fields", body("POST", "/", "multipart/form-data; boundary=b", parts), 90001},
		{"multipart files", body("POST", "/", "multipart/form-data; boundary=b", files), 90002},
		{"xml texts", body("POST", "/", "application/xml", "<a>"+strings.Repeat("<b>1</b>", 2001)+"</a>"), 90004},
		{"xml attributes", body("POST", "/", "application/xml", "<a>"+strings.Repeat(`<b c="1"/>`, 1001)+"</a>"), 90005},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, i := judge(e, tt.r)
			if v.Reason != verdict.WAFBlocked {
				t.Fatalf("verdict %+v, rules %v", v, i.found.Rules)
			}
			if !slices.Contains(i.found.Rules, tt.rule) {
				t.Errorf("rules %v, want %d", i.found.Rules, tt.rule)
			}
		})
	}
	t.Run("just below", func(t *testing.T) {
		if v, i := judge(e, form(many(900)...)); v.Given() {
			t.Fatalf("verdict %+v, rules %v", v, i.found.Rules)
		}
	})
}

func TestBadBodies(t *testing.T) {
	e := engineAt(t, 1, Block)
	short := form("q", "x")
	short.Body = io.NopCloser(io.MultiReader(strings.NewReader("q="), errReader{io.ErrUnexpectedEOF}))
	tests := []struct {
		name string
		r    *http.Request
		want verdict.Reason
	}{
		{"ended early", short, verdict.BodyUnreadable},
		{"broken json", jsonBody(`{"a":`), verdict.BodyUnreadable},
		{"json by xml's name", body("POST", "/", "application/xml", `<a`), ""},
		{"broken multipart", body("POST", "/", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"), verdict.BodyUnreadable},
		{"nested too deep", jsonBody(strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), verdict.BodyUnreadable},
		{"declared too large", body("POST", "/", "text/plain", strings.Repeat("a", testLimit+1)), verdict.BodyTooLarge},
		{"as large as may be", body("POST", "/", "text/plain", strings.Repeat("a", testLimit)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, i := judge(e, tt.r); v.Reason != tt.want {
				t.Fatalf("verdict %+v, want %q; rules %v", v, tt.want, i.found.Rules)
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestConcurrentRequests(t *testing.T) {
	e := engineAt(t, 1, Block)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 6 {
				if n%2 == 0 {
					if v, i := judge(e, form("q", "hello world")); v.Given() {
						t.Errorf("benign: %+v %v", v, i.found.Rules)
					}
				} else if v, _ := judge(e, jsonBody(`{"q":"<script>alert(1)</script>"}`)); v.Reason != verdict.WAFBlocked {
					t.Errorf("attack: %+v", v)
				}
			}
		})
	}
	wg.Wait()
	if used := e.budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still in use", used)
	}
}
