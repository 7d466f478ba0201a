package page

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

func TestSpeak(t *testing.T) {
	for accept, want := range map[string]string{
		"":                          "en",
		"de":                        "de",
		"de-CH, fr;q=0.8":           "de",
		"fr-CA":                     "fr",
		"sv, de;q=0.5, en;q=0.1":    "de",
		"sv":                        "en",
		"*":                         "en",
		"en-GB,en;q=0.9,de;q=0.8":   "en",
		"de;q=0.1, fr;q=0.9":        "fr",
		"de;q=0, fr":                "fr",
		"gsw":                       "de",
		"not a language!!":          "en",
		"de\x00":                    "en",
		strings.Repeat("de,", 1000): "en",
	} {
		r := navigate("GET")
		r.Header.Set("Accept-Language", accept)
		if got := speak(r).tag; got != want {
			t.Errorf("%.40q: %s, want %s", accept, got, want)
		}
	}
}

func FuzzSpeak(f *testing.F) {
	f.Add("de-CH, fr;q=0.8")
	f.Add("x-a-b-c;q=;;,,--")
	f.Fuzz(func(t *testing.T, accept string) {
		r := navigate("GET")
		r.Header["Accept-Language"] = []string{accept}
		if speak(r) == nil {
			t.Error("speechless")
		}
	})
}

// TestEveryTextInEveryLanguage fails when one is missing, says the same as in English, or formats something else.
func TestEveryTextInEveryLanguage(t *testing.T) {
	same := map[string]bool{"Name": true, "Email": true} // words that two languages share
	verb := regexp.MustCompile(`%[a-z]`)
	en := reflect.ValueOf(english.words)
	for _, l := range tongues {
		w := reflect.ValueOf(l.words)
		for _, f := range reflect.VisibleFields(w.Type()) {
			if f.Anonymous {
				continue
			}
			name, s, e := f.Name, w.FieldByIndex(f.Index).String(), en.FieldByIndex(f.Index).String()
			if strings.TrimSpace(s) == "" {
				t.Errorf("%s: %s is missing", l.tag, name)
			}
			if l != &english && s == e && !same[name] {
				t.Errorf("%s: %s is still English: %q", l.tag, name, s)
			}
			if got, want := verb.FindAllString(s, -1), verb.FindAllString(e, -1); !slices.Equal(got, want) {
				t.Errorf("%s: %s has verbs %v, want %v", l.tag, name, got, want)
			}
		}
		for m := range messages {
			if l.messages[m] == "" || l != &english && l.messages[m] == english.messages[m] {
				t.Errorf("%s: message %s: %q", l.tag, m, l.messages[m])
			}
		}
		for _, u := range l.units {
			if u.one == "" || u.many == "" {
				t.Errorf("%s: a unit is missing", l.tag)
			}
		}
		for _, m := range l.months {
			if m == "" {
				t.Errorf("%s: a month is missing", l.tag)
			}
		}
		if len(l.messages) != len(messages) || len(l.reasons) != len(verdict.All()) || l.group == "" {
			t.Errorf("%s: %d messages, %d reasons", l.tag, len(l.messages), len(l.reasons))
		}
	}
}

// jargon are words that a person need not know, in each language.
var jargon = map[string]*regexp.Regexp{
	"en": regexp.MustCompile(`(?i)\b(waf|tls|sni|ssl|http|header|token|upstream|backend|proxy|origin|websocket|body|payload|timeout|server|client|invalid|illegal|denied|forbidden|unauthori[sz]ed|error|attack(er|ing)|request id|regex|rule|score)\b`),
	"de": regexp.MustCompile(`(?i)\b(waf|tls|sni|ssl|http|header|token|upstream|backend|proxy|origin|websocket|body|payload|timeout|server|client|request|login|account|user|ungültig\w*|verboten|illegal\w*|autorisier\w*|fehlgeschlagen|fehler\b\s\d|regel)\b`),
	"fr": regexp.MustCompile(`(?i)\b(waf|tls|sni|ssl|http|header|token|upstream|backend|proxy|origin|websocket|body|payload|timeout|serveur|client|requête|login|invalide|illégal\w*|refusé\w*|interdit\w*|non autorisé\w*|échec|règle)\b`),
}

// TestWords: every reason has words of its own in every language, and a person can understand them.
func TestWords(t *testing.T) {
	for _, l := range tongues {
		seen := map[string]verdict.Reason{}
		for _, reason := range verdict.All() {
			words, ok := l.reasons[reason]
			if !ok {
				t.Errorf("%s: %s has no words", l.tag, reason)
				continue
			}
			if (words.login == "") != (english.reasons[reason].login == "") {
				t.Errorf("%s: %s: the label of the login is %q", l.tag, reason, words.login)
			}
			for name, s := range map[string]string{"title": words.title, "what": words.what, "next": words.next, "detail": reasons[reason].detail} {
				if len(s) < 15 && name != "title" || s == "" {
					t.Errorf("%s: %s: %s %q says nothing", l.tag, reason, name, s)
				}
				if other, taken := seen[s]; taken && name != "next" {
					t.Errorf("%s: %s and %s share the %s %q", l.tag, reason, other, name, s)
				}
				seen[s] = reason
				if strings.HasSuffix(s, ".") == (name == "title") {
					t.Errorf("%s: %s: %s %q: sentences end in a full stop, titles do not", l.tag, reason, name, s)
				}
				if word := jargon[l.tag].FindString(strings.ReplaceAll(s, "https://", "")); word != "" && name != "detail" {
					t.Errorf("%s: %s: %s uses the word %q", l.tag, reason, name, word)
				}
				if n := strings.Count(s, ". ") + 1; n > 3 {
					t.Errorf("%s: %s: %s has %d sentences", l.tag, reason, name, n)
				}
				if l.tag == "fr" && name != "detail" && regexp.MustCompile(`'| [:;?!]`).MatchString(strings.ReplaceAll(s, "https://", "")) {
					t.Errorf("fr: %s: %s %q: typography", reason, name, s)
				}
			}
			if n := len([]rune(words.title)); n > 50 {
				t.Errorf("%s: %s: title is too long: %d", l.tag, reason, n)
			}
		}
	}
	if len(reasons) != len(verdict.All()) {
		t.Errorf("details for %d reasons, want %d", len(reasons), len(verdict.All()))
	}
}

// TestPagesInEveryLanguage: each page says its language, and none of the templates has words of its own.
func TestPagesInEveryLanguage(t *testing.T) {
	spoken := regexp.MustCompile(`>\s*([A-Za-zÀ-ÿ][^<>]*?)\s*<`)
	ours := map[string]map[string]bool{}
	for _, l := range tongues {
		ours[l.tag] = map[string]bool{}
	}
	for _, s := range samples() {
		for _, l := range tongues {
			r := navigate("GET")
			r.Header.Set("Accept-Language", l.tag+"-XX, en;q=0.1")
			w := httptest.NewRecorder()
			s.write(w, r)
			if got := w.Header().Get("Content-Language"); got != l.tag || !strings.Contains(w.Body.String(), `<html lang="`+l.tag+`">`) {
				t.Errorf("%s in %s: Content-Language %q", s.name, l.tag, got)
			}
			if !strings.Contains(strings.Join(w.Header()["Vary"], ","), "Accept-Language") {
				t.Errorf("%s: Vary %q", s.name, w.Header()["Vary"])
			}
			page := regexp.MustCompile(`(?s)<(style|script|code|bdi)[ >].*?</(style|script|code|bdi)>`).ReplaceAllString(w.Body.String(), "")
			for _, m := range spoken.FindAllStringSubmatch(page, -1) {
				ours[l.tag][m[1]] = true
			}
		}
	}
	same := []string{"Name", "E-mail", "Example Workspace", "Partner login", "accounting", "staff", "role-of-some-length"}
	for _, l := range tongues[1:] {
		for s := range ours[l.tag] {
			if ours["en"][s] && !slices.Contains(same, s) {
				t.Errorf("%s: %q is said in English", l.tag, s)
			}
		}
	}
}

func TestSpans(t *testing.T) {
	for _, tt := range []struct {
		seconds    int64
		en, de, fr string
	}{
		{0, "", "", ""},
		{1, "1 second", "1 Sekunde", "1 seconde"},
		{59, "59 seconds", "59 Sekunden", "59 secondes"},
		{60, "about 1 minute", "etwa 1 Minute", "environ 1 minute"},
		{61, "about 2 minutes", "etwa 2 Minuten", "environ 2 minutes"},
		{3600, "about 60 minutes", "etwa 60 Minuten", "environ 60 minutes"},
		{5401, "about 2 hours", "etwa 2 Stunden", "environ 2 heures"},
		{36 * 3600, "about 36 hours", "etwa 36 Stunden", "environ 36 heures"},
		{36*3600 + 1, "about 2 days", "etwa 2 Tagen", "environ 2 jours"},
	} {
		for i, want := range []string{tt.en, tt.de, tt.fr} {
			if got := tongues[i].span(tt.seconds); got != want {
				t.Errorf("%d: %q, want %q", tt.seconds, got, want)
			}
		}
	}
}

func TestMoments(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 5, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		l                      *tongue
		moment, ago, fresh, no string
	}{
		{&english, "1 March 2026, 07:05 UTC", "3 days ago", "just now", "1,234,567"},
		{&german, "1. März 2026, 07:05 UTC", "vor 3 Tagen", "gerade eben", "1.234.567"},
		{&french, "1er mars 2026, 07:05 UTC", "il y a 3 jours", "à l’instant", "1\u202f234\u202f567"},
	} {
		if got := tt.l.moment(at); got != tt.moment {
			t.Errorf("%q, want %q", got, tt.moment)
		}
		if got := tt.l.ago(80 * time.Hour); got != tt.ago {
			t.Errorf("%q, want %q", got, tt.ago)
		}
		if got := tt.l.ago(-time.Hour); got != tt.fresh { // another node's clock may be ahead
			t.Errorf("%q, want %q", got, tt.fresh)
		}
		if got := tt.l.number(1234567) + tt.l.number(7); got != tt.no+"7" {
			t.Errorf("%q, want %q", got, tt.no)
		}
	}
}

// TestKeptNamesNoValue: what was typed is in hidden fields, and nowhere a person behind the chair could read it.
func TestKeptNamesNoValue(t *testing.T) {
	fields := []Field{{Name: "secret", Value: "hunter2\r\nhunter3"}}
	for i := range 20 {
		fields = append(fields, Field{Name: fmt.Sprint("f", i)})
	}
	w := httptest.NewRecorder()
	Write(w, navigate("GET"), 200, Kept{Action: "/save", Enctype: "application/x-www-form-urlencoded", Fields: fields})
	e := elements(t, w.Body.Bytes())
	if len(e["input"]) != len(fields) || strings.Count(w.Body.String(), "hunter2") != 1 {
		t.Errorf("%d inputs, the value stands there %d times", len(e["input"]), strings.Count(w.Body.String(), "hunter2"))
	}
	if got := e["input"][0].attr["value"]; got != "hunter2\nhunter3" { // as XML and HTML read line ends; forms send \r\n for each
		t.Errorf("value %q", got)
	}
	if len(e["dt"]) != keptRows || !strings.Contains(w.Body.String(), "and 9 more") {
		t.Errorf("%d names", len(e["dt"]))
	}
}
