package page

import (
	"math"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

// TestPagesAreAccessible checks what can be checked without a person (WCAG 2.2 AA).
func TestPagesAreAccessible(t *testing.T) {
	all := samples()
	for _, reason := range verdict.All() {
		all = append(all, sample{"refusal_" + string(reason), refusing(Refusal{Reason: reason, Site: sampleSite, RequestID: sampleID})})
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.write(w, navigate("GET"))
			e := elements(t, w.Body.Bytes())

			for name, n := range map[string]int{"html": 1, "title": 1, "header": 1, "main": 1, "h1": 1, "footer": 1, "style": 1} {
				if len(e[name]) != n {
					t.Errorf("%d <%s>, want %d", len(e[name]), name, n)
				}
			}
			if e["html"][0].attr["lang"] != "en" {
				t.Error("no lang")
			}
			if title, h1, site := e["title"][0].text, e["h1"][0].text, e["bdi"][0].text; !strings.HasSuffix(title, h1+" – "+site) {
				t.Errorf("title %q does not name page %q and site", title, h1)
			}
			for _, code := range e["script"] {
				if code.attr["src"] != "" || len(e["script"]) > 1 {
					t.Error("a foreign <script>")
				}
			}
			for _, banned := range []string{"iframe", "object", "embed", "img", "base", "frame", "applet"} {
				if len(e[banned]) > 0 {
					t.Errorf("a <%s>", banned)
				}
			}

			ids, labelled := map[string]bool{}, map[string]bool{}
			for name, list := range e {
				for _, x := range list {
					if id := x.attr["id"]; id != "" {
						if ids[id] {
							t.Errorf("id %q twice", id)
						}
						ids[id] = true
					}
					for attr := range x.attr {
						if attr == "style" || attr == "tabindex" || strings.HasPrefix(attr, "on") {
							t.Errorf("<%s> has %s", name, attr)
						}
					}
				}
			}
			for _, label := range e["label"] {
				labelled[label.attr["for"]] = true
			}
			for _, input := range e["input"] {
				if _, hidden := input.attr["hidden"]; hidden || input.attr["type"] == "hidden" {
					continue
				}
				if !labelled[input.attr["id"]] || input.attr["id"] != input.attr["name"] {
					t.Errorf("input %q has no label", input.attr["name"])
				}
				if input.attr["autocomplete"] == "" {
					t.Errorf("input %q has no autocomplete", input.attr["name"])
				}
				for _, id := range strings.Fields(input.attr["aria-describedby"]) {
					if !ids[id] {
						t.Errorf("input %q is described by %q, which is not there", input.attr["name"], id)
					}
				}
				if input.attr["aria-invalid"] == "true" && !strings.Contains(input.attr["aria-describedby"], "alert") {
					t.Errorf("input %q is marked wrong without saying why", input.attr["name"])
				}
			}
			for _, link := range e["a"] {
				if strings.TrimSpace(link.text) == "" {
					t.Error("a link without words")
				}
			}
		})
	}
}

func TestFormFields(t *testing.T) {
	tests := []struct {
		name string
		page Page
		want map[string]string // input -> autocomplete, "hidden"
	}{
		{"login", Login{Local: &LocalForm{Action: "/x"}}, map[string]string{"flow": "hidden", "username": "username", "password": "current-password"}},
		{"setup with token", Setup{Action: "/x", Token: "t"}, map[string]string{"flow": "hidden", "token": "hidden", "username": "username", "password": "new-password", "password_again": "new-password"}},
		{"setup without token", Setup{Action: "/x"}, map[string]string{"flow": "hidden", "token": "one-time-code", "username": "username", "password": "new-password", "password_again": "new-password"}},
		{"setup with a token that was not valid", Setup{Action: "/x", Token: "t", Error: TokenInvalid}, map[string]string{"flow": "hidden", "token": "one-time-code", "username": "username", "password": "new-password", "password_again": "new-password"}},
		{"account", Account{LogoutURL: "/x"}, map[string]string{"csrf": "hidden"}},
		{"account without logout", Account{}, map[string]string{}},
		{"an app", EnrolApp{Action: "/x"}, map[string]string{"csrf": "hidden", "flow": "hidden", "next": "hidden", "code": "one-time-code"}},
		{"a passkey", EnrolPasskey{Action: "/x"}, map[string]string{"csrf": "hidden", "flow": "hidden", "next": "hidden", "credential": "hidden", "name": "off"}},
		{"a code", Verify{Action: "/x", Code: true, Challenge: "c"}, map[string]string{"csrf": "hidden", "next": "hidden", "challenge": "hidden", "code": "one-time-code"}},
		{"nudge", Nudge{Action: "/x", SetupURL: "/y"}, map[string]string{"csrf": "hidden", "next": "hidden"}},
		{"logout", Logout{Action: "/x"}, map[string]string{"csrf": "hidden"}},
		{"a new password", Password{Action: "/x", Flow: "f", Ticket: "t"}, map[string]string{"flow": "hidden", "ticket": "hidden", "username": "username", "password": "new-password", "password_again": "new-password"}},
		{"another password", Password{Action: "/x", CSRF: "c", AskCurrent: true}, map[string]string{"csrf": "hidden", "username": "username", "current": "current-password", "password": "new-password", "password_again": "new-password"}},
		{"register", Register{Action: "/x"}, map[string]string{"flow": "hidden", "username": "username", "name": "name", "email": "email", "password": "new-password", "password_again": "new-password"}},
		{"break glass", BreakGlass{Action: "/x", Any: true}, map[string]string{"flow": "hidden", "code": "off", "purpose": "off"}},
		{"no seals", BreakGlass{Action: "/x"}, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, navigate("GET"), 200, tt.page)
			e := elements(t, w.Body.Bytes())
			if len(e["input"]) != len(tt.want) {
				t.Errorf("%d inputs, want %d", len(e["input"]), len(tt.want))
			}
			for _, input := range e["input"] {
				kind := input.attr["autocomplete"]
				if input.attr["type"] == "hidden" {
					kind = "hidden"
				}
				if want := tt.want[input.attr["name"]]; kind != want {
					t.Errorf("input %q: %q, want %q", input.attr["name"], kind, want)
				}
			}
			for _, form := range e["form"] {
				if form.attr["method"] != "post" {
					t.Errorf("a form by %q", form.attr["method"])
				}
			}
		})
	}
}

func TestMessages(t *testing.T) {
	for key := range messages {
		w := httptest.NewRecorder()
		Write(w, navigate("GET"), 200, pageWith(key))
		e := elements(t, w.Body.Bytes())
		role, mistake := "alert", true
		if messages[key].Calm {
			role, mistake = "status", false
		}
		if !strings.Contains(w.Body.String(), `role="`+role+`" id="alert"`) || strings.HasPrefix(e["title"][0].text, "Error: ") != mistake {
			t.Errorf("message %q: not announced as it should be", key)
		}
		marked := 0
		for _, input := range e["input"] {
			if input.attr["aria-invalid"] == "true" {
				marked++
			}
		}
		if want := len(messages[key].inputs); marked != want {
			t.Errorf("message %q marks %d inputs, want %d", key, marked, want)
		}
	}
	w := httptest.NewRecorder()
	Write(w, navigate("GET"), 200, Login{Error: "made_up"})
	if body := w.Body.String(); !strings.Contains(body, "Something went wrong. Please try again.") || strings.Contains(body, "made_up") {
		t.Error("an unknown message is reflected or has no words")
	}
}

// pageWith is a page that has the inputs that the message is about.
func pageWith(key Message) Page {
	switch {
	case messages[key].On("current"):
		return Password{Action: "/x", Error: key, AskCurrent: true}
	case key == CodeWrong, key == CodeUsed:
		return Verify{Action: "/x", Code: true, Error: key}
	case key == DeviceCodeWrong:
		return Device{Action: "/x", Error: key}
	case key == SealWrong, key == PurposeMissing:
		return BreakGlass{Action: "/x", Any: true, Error: key}
	}
	return Setup{Action: "/x", Error: key, MinPassword: 12}
}

// TestContrast computes WCAG 2 contrast for every pair of colours that meet on a page, in both schemes.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("html/style.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllSubmatch(css, -1)
	if len(roots) != 2 {
		t.Fatalf("%d :root blocks, want light and dark", len(roots))
	}
	const text, shape = 4.5, 3.0
	pairs := []struct {
		front, back string
		least       float64
	}{
		{"ink", "ground", text}, {"ink", "card", text}, {"ink", "quiet", text},
		{"soft", "ground", text}, {"soft", "card", text},
		{"on-accent", "accent", text}, {"on-accent", "accent-deep", text},
		{"alert", "alert-ground", text}, {"alert", "card", shape},
		{"edge", "card", shape}, {"edge", "quiet", shape},
		{"accent", "ground", shape}, {"accent", "card", shape},
		{"focus", "card", shape}, {"focus", "ground", shape},
	}
	used := map[string]bool{}
	for i, scheme := range []string{"light", "dark"} {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllSubmatch(roots[i][1], -1) {
			colour[string(m[1])] = luminance(t, string(m[2]))
		}
		for _, p := range pairs {
			used[p.front], used[p.back] = true, true
			a, okA := colour[p.front]
			b, okB := colour[p.back]
			if !okA || !okB {
				t.Fatalf("%s: %s or %s is not defined", scheme, p.front, p.back)
			}
			if got := (max(a, b) + .05) / (min(a, b) + .05); got < p.least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", scheme, p.front, p.back, got, p.least)
			}
		}
		for name := range colour {
			if !used[name] && name != "line" { // lines only decorate
				t.Errorf("%s: no pair tests colour %q", scheme, name)
			}
		}
	}
	// Every colour used is one of those tested.
	rules := string(css[strings.Index(string(css), "* {"):])
	if stray := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b`).FindString(rules); stray != "" {
		t.Errorf("colour %s stands outside of the palette", stray)
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(shift uint) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*linear(16) + .7152*linear(8) + .0722*linear(0)
}
