package page

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

func refusing(ref Refusal) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { WriteRefusal(w, r, ref) }
}

func program(method string) *http.Request {
	r := httptest.NewRequest(method, "https://intranet.example.com/api?q=reflected-marker", nil)
	r.Header.Set("Accept", "application/json")
	return r
}

func decode(t *testing.T, body []byte) (p problem) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p
}

func TestProblemDocumentsMatchGolden(t *testing.T) {
	reasons := verdict.All()
	slices.Sort(reasons)
	var all bytes.Buffer
	for _, reason := range reasons {
		w := httptest.NewRecorder()
		WriteRefusal(w, program("GET"), Refusal{Reason: reason, RequestID: sampleID})
		if err := json.Indent(&all, w.Body.Bytes(), "", "  "); err != nil {
			t.Fatal(err)
		}
		all.WriteByte('\n')
	}
	golden(t, "problems.json", all.Bytes())
}

func TestWriteRefusalToPrograms(t *testing.T) {
	tests := []struct {
		name   string
		ref    Refusal
		status int
		want   problem // without title and detail
		header map[string]string
	}{
		{
			"blocked", Refusal{Reason: verdict.WAFBlocked, RequestID: "r1"}, 403,
			problem{Reason: "waf_blocked", RequestID: "r1", Instance: "urn:gatehouse:request:r1"}, nil,
		},
		{
			"login with the way to it", Refusal{Reason: verdict.LoginRequired, RequestID: "r1", LoginURL: "/.gatehouse/login?next=%2Fa"}, 401,
			problem{Reason: "login_required", RequestID: "r1", Instance: "urn:gatehouse:request:r1", LoginURL: "/.gatehouse/login?next=%2Fa"},
			map[string]string{"Www-Authenticate": `Bearer realm="gatehouse"`},
		},
		{
			"login on another host", Refusal{Reason: verdict.LoginRequired, LoginURL: "//evil.example/"}, 401,
			problem{Reason: "login_required"}, nil,
		},
		{
			"wait, rounded up", Refusal{Reason: verdict.TooManyAttempts, RetryAfter: 1500 * time.Millisecond}, 429,
			problem{Reason: "too_many_attempts", RetryAfter: 2}, map[string]string{"Retry-After": "2"},
		},
		{
			"the longest wait", Refusal{Reason: verdict.TooManyAttempts, RetryAfter: math.MaxInt64}, 429,
			problem{Reason: "too_many_attempts", RetryAfter: 9223372037}, map[string]string{"Retry-After": "9223372037"},
		},
		{
			"no wait for the past", Refusal{Reason: verdict.TooManyAttempts, RetryAfter: -time.Second}, 429,
			problem{Reason: "too_many_attempts"}, map[string]string{"Retry-After": ""},
		},
		{
			"unknown reason", Refusal{Reason: "made_up"}, 500,
			problem{Reason: "internal"}, nil,
		},
		{
			"no reason", Refusal{}, 500,
			problem{Reason: "internal"}, nil,
		},
		{
			"request id of an attacker", Refusal{Reason: verdict.Forbidden, RequestID: "a\r\nSet-Cookie: b"}, 403,
			problem{Reason: "forbidden"}, nil,
		},
		{
			"request id that needs escaping", Refusal{Reason: verdict.Forbidden, RequestID: `"</script>`}, 403,
			problem{Reason: "forbidden", RequestID: `"</script>`, Instance: "urn:gatehouse:request:%22%3C%2Fscript%3E"}, nil,
		},
		{
			"request id beyond bounds", Refusal{Reason: verdict.Forbidden, RequestID: strings.Repeat("a", 129)}, 403,
			problem{Reason: "forbidden"}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteRefusal(w, program("GET"), tt.ref)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			got := decode(t, w.Body.Bytes())
			if got.Title == "" || got.Detail == "" {
				t.Error("no words")
			}
			got.Title, got.Detail = "", ""
			tt.want.Status, tt.want.Type = tt.status, "urn:gatehouse:reason:"+tt.want.Reason
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if bytes.ContainsAny(w.Body.Bytes(), "<>") || strings.Contains(w.Body.String(), "marker") {
				t.Errorf("unescaped: %s", w.Body)
			}
			headers := map[string]string{
				"Content-Type":            "application/problem+json",
				"Content-Length":          strconv.Itoa(w.Body.Len()),
				"Cache-Control":           "no-store",
				"Content-Security-Policy": policyNone,
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Vary":                    negotiatedOn,
			}
			for name, want := range tt.header {
				headers[name] = want
			}
			for name, want := range headers {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestHeadOfProblem(t *testing.T) {
	get, head := httptest.NewRecorder(), httptest.NewRecorder()
	WriteRefusal(get, program("GET"), Refusal{Reason: verdict.Forbidden})
	WriteRefusal(head, program("HEAD"), Refusal{Reason: verdict.Forbidden})
	if head.Code != 403 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != strconv.Itoa(get.Body.Len()) {
		t.Errorf("HEAD: status %d, %d bytes, headers %v", head.Code, head.Body.Len(), head.Header())
	}
}

// The application's answer may have set headers before it was refused on its way back.
func TestHeadersOfAnotherBodyAreRemoved(t *testing.T) {
	for _, r := range []*http.Request{navigate("GET"), program("GET")} {
		w := httptest.NewRecorder()
		h := w.Header()
		for _, name := range stale {
			h.Set(name, "left over")
		}
		for name, value := range map[string]string{
			"Content-Length": "1", "Content-Type": "image/png", "Www-Authenticate": `Basic realm="app"`, "Retry-After": "9",
			"Cache-Control": "public", "Content-Security-Policy": "script-src *", "Vary": "Origin",
			"X-Request-Id": "r1", "Allow": "GET", "Strict-Transport-Security": "max-age=1",
		} {
			h.Set(name, value)
		}
		WriteRefusal(w, r, Refusal{Reason: verdict.WAFBlocked, RequestID: "r1"})
		for name, values := range h {
			if slices.Contains(values, "left over") {
				t.Errorf("%s is left", name)
			}
		}
		for _, name := range []string{"Www-Authenticate", "Retry-After"} {
			if h.Get(name) != "" {
				t.Errorf("%s: %q", name, h.Get(name))
			}
		}
		if len(h["Cache-Control"]) != 1 || len(h["Content-Security-Policy"]) != 1 || len(h["Content-Length"]) != 1 {
			t.Errorf("doubled: %v", h)
		}
		if got := h["Vary"]; !slices.Equal(got, []string{"Origin", negotiatedOn}) {
			t.Errorf("Vary: %v", got)
		}
		if h.Get("X-Request-Id") != "r1" || h.Get("Allow") != "GET" || h.Get("Strict-Transport-Security") == "" {
			t.Errorf("the caller's headers are gone: %v", h)
		}
	}
}

func TestChallengeOfCallerStays(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	WriteRefusal(w, program("GET"), Refusal{Reason: verdict.LoginRequired})
	if got := w.Header()["Www-Authenticate"]; !slices.Equal(got, []string{`Bearer error="invalid_token"`}) {
		t.Errorf("challenge %v", got)
	}
	for value, stays := range map[string]bool{`Bearer error="insufficient_scope", scope="a"`: true, `Basic realm="app"`: false} {
		w := httptest.NewRecorder()
		w.Header().Set("WWW-Authenticate", value)
		WriteRefusal(w, program("GET"), Refusal{Reason: verdict.OutOfScope})
		if got := w.Header().Get("WWW-Authenticate"); (got != "") != stays {
			t.Errorf("with a 403, %q became %q", value, got)
		}
	}
}

func TestPageAndProblemSayTheSame(t *testing.T) {
	for _, reason := range verdict.All() {
		ref := Refusal{Reason: reason, RequestID: sampleID, LoginURL: "/.gatehouse/login"}
		html, doc := httptest.NewRecorder(), httptest.NewRecorder()
		WriteRefusal(html, navigate("GET"), ref)
		WriteRefusal(doc, program("GET"), ref)
		if html.Code != reason.Status() || doc.Code != reason.Status() {
			t.Errorf("%s: status %d and %d, want %d", reason, html.Code, doc.Code, reason.Status())
		}
		p, e := decode(t, doc.Body.Bytes()), elements(t, html.Body.Bytes())
		var codes []string
		for _, c := range e["code"] {
			codes = append(codes, c.text)
		}
		if !slices.Equal(codes, []string{p.RequestID, p.Reason}) {
			t.Errorf("%s: page shows %v, problem %q, %q", reason, codes, p.RequestID, p.Reason)
		}
		if len(e["a"]) != 1 || e["a"][0].attr["href"] != ref.LoginURL {
			t.Errorf("%s: not exactly one link, to the login", reason)
		}
		told := ref.LoginURL
		if reason == verdict.Forbidden { // the same user would get the same answer
			told = ""
		}
		if got := p.LoginURL + p.StepUpURL; got != told || (p.StepUpURL != "") != (reason == verdict.MFARequired) {
			t.Errorf("%s: the problem says login_url %q, step_up_url %q, want %q", reason, p.LoginURL, p.StepUpURL, told)
		}
	}
}

func TestNextStep(t *testing.T) {
	tests := []struct {
		name  string
		ref   Refusal
		href  string // "-" for no link
		words string
	}{
		{"sign in", Refusal{Reason: verdict.LoginRequired, LoginURL: "/l"}, "/l", "Sign in"},
		{"sign in with a wait", Refusal{Reason: verdict.LoginFailed, LoginURL: "/l", RetryAfter: time.Second}, "/l", "You can try again in 1 second."},
		{"load again", Refusal{Reason: verdict.UpstreamDown}, "", "Load again"},
		{"load again, but later", Refusal{Reason: verdict.Unavailable, RetryAfter: time.Minute}, "-", "You can try again in about 1 minute."},
		{"start page", Refusal{Reason: verdict.NotFound}, "/", "Start page"},
		{"nothing to do", Refusal{Reason: verdict.WAFBlocked}, "-", "tell your administrator this request number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteRefusal(w, navigate("GET"), tt.ref)
			links := elements(t, w.Body.Bytes())["a"]
			if href := "-"; len(links) > 0 {
				href = links[0].attr["href"]
				if href != tt.href {
					t.Errorf("link to %q, want %q", href, tt.href)
				}
			} else if tt.href != "-" {
				t.Errorf("no link, want %q", tt.href)
			}
			if !strings.Contains(w.Body.String(), tt.words) {
				t.Errorf("does not say %q", tt.words)
			}
		})
	}
}

// discard is a ResponseWriter that costs nothing itself.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestProblemAllocations(t *testing.T) {
	w, r := discard{http.Header{}}, program("GET")
	ref := Refusal{Reason: verdict.LoginRequired, RequestID: sampleID, LoginURL: "/.gatehouse/login", RetryAfter: time.Second}
	got := testing.AllocsPerRun(100, func() {
		clear(w.h)
		WriteRefusal(w, r, ref)
	})
	if got > 15 {
		t.Errorf("%v allocations, want at most 15", got)
	}
}

func BenchmarkProblem(b *testing.B) { benchmark(b, program("GET")) }
func BenchmarkPage(b *testing.B)    { benchmark(b, navigate("GET")) }

func benchmark(b *testing.B, r *http.Request) {
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		WriteRefusal(w, r, Refusal{Reason: verdict.WAFBlocked, RequestID: sampleID})
	}
}

// TestInsufficientAuthentication: programs are told as RFC 9470 has it.
func TestInsufficientAuthentication(t *testing.T) {
	const head = `Bearer realm="gatehouse", error="insufficient_user_authentication", error_description="A second factor is required"`
	for _, tt := range []struct {
		name    string
		stepUp  *verdict.StepUp
		header  string
		members string
	}{
		{"whenever", nil, head, ""},
		{"lately", &verdict.StepUp{MaxAge: 15 * time.Minute}, head + `, max_age="900"`, `"max_age":900`},
		{"now", &verdict.StepUp{Ticket: "t1"}, head + `, max_age="0"`, `"step_up_ticket":"t1","max_age":0`},
	} {
		w := httptest.NewRecorder()
		WriteRefusal(w, program("POST"), Refusal{Reason: verdict.MFARequired, LoginURL: "/s", StepUp: tt.stepUp})
		if got := w.Header().Get("Www-Authenticate"); w.Code != 401 || got != tt.header {
			t.Errorf("%s: status %d, %s", tt.name, w.Code, got)
		}
		if body := w.Body.String(); !strings.Contains(body, `"step_up_url":"/s"`) || !strings.Contains(body, tt.members) {
			t.Errorf("%s: %s", tt.name, body)
		}
	}
}
