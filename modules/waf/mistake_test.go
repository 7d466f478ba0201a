package waf

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	_ "gatehouse.internal/modules/mfa" // a house always has it
)

// told is a teller that remembers.
type told struct{ mistakes []Mistake }

func (t *told) tellMistake(m Mistake) { t.mistakes = append(t.mistakes, m) }

// caught returns what the check of a lying prover tells of x.
func caught(t *testing.T, e *Engine, x *exchange) Mistake {
	t.Helper()
	var who told
	i := e.Inspect("REQUEST")
	i.site, i.teller = "app.test", &who
	i.Head(x.request(), testClient)
	i.Body(x.request())
	if x.status != 0 {
		header := map[string][]string{}
		fill(header, x.answer)
		if hold, _ := i.ResponseHead(x.request(), x.status, header); hold {
			i.ResponseBody(t.Context(), x.page, x.whole)
		}
	}
	i.Close()
	checked(e)
	if len(who.mistakes) != 1 {
		t.Fatalf("%d mistakes are told", len(who.mistakes))
	}
	return who.mistakes[0]
}

// TestMistakesAreKeptSealed: what the check finds is told once, with the whole exchange; it lies in the state directory,
// unreadable, and the house's keys open it.
func TestMistakesAreKeptSealed(t *testing.T) {
	e := always(lying(t))
	x := clicked(func(x *exchange) {
		x.carry("application/x-www-form-urlencoded", "q=%3Cscript%3Ealert(1)%3C/script%3E&note=\x1b[31mred")
		x.set("Authorization", "Bearer "+strings.Repeat("secret", 4))
	})
	m := caught(t, e, x)
	if !slices.Contains(m.Rules, 941100) || !strings.Contains(FormatMatches(m.Matches), "941100 ARGS:q markup") ||
		m.Site != "app.test" || m.RequestID != "REQUEST" || !strings.Contains(m.Why, "matches what was shown to match nothing") {
		t.Errorf("%+v", m)
	}
	if string(m.Request.Body) != string(x.body) || m.Request.Client != testClient.String() || m.Request.URI != x.target {
		t.Errorf("the request is not what it was: %+v", m.Request)
	}
	dir := t.TempDir()
	keys, err := keyring.Create(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	name, err := m.Keep(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, mistakesDir, name+mistakeSuffix)
	content, err := os.ReadFile(file)
	if err != nil || bytes.Contains(content, []byte("secret")) || bytes.Contains(content, []byte("941100")) {
		t.Fatalf("the file can be read: %v %q", err, content)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	got, err := OpenMistake(dir, name, keys)
	if err != nil || cmp.Diff(m, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(m, got))
	}
	for what, run := range map[string]struct {
		args []string
		says []string
		not  string
	}{
		"list":  {[]string{"list", "--state", dir}, []string{name, "app.test", "REQUEST", "matches what was shown"}, "secret"},
		"show":  {[]string{"show", "--state", dir, name}, []string{"941100", "ARGS:q", "POST /", "Bearer secretsecret", `\x1b[31m`}, "\x1b"},
		"raw":   {[]string{"show", "--state", dir, "--raw", name}, []string{"POST /", "\x1b[31m"}, "941100"},
		"empty": {[]string{"list", "--state", t.TempDir()}, []string{"none in"}, "NAME"},
	} {
		t.Run(what, func(t *testing.T) {
			cmd := mistakeCommand()
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetArgs(run.args)
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			for _, want := range run.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), run.not) {
				t.Errorf("it says %q:\n%s", run.not, out.String())
			}
		})
	}
	if r, err := readRequest([]byte(got.Request.text())); err != nil || r.RequestURI != x.target {
		t.Errorf("`gatehouse waf test` cannot read it: %v", err)
	}
}

// TestMistakesThatDoNotOpen: another house's keys, another name, a damaged file, no name at all.
func TestMistakesThatDoNotOpen(t *testing.T) {
	dir := t.TempDir()
	keys, other := ring(t), ring(t)
	first := Mistake{Time: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Why: "x"}
	name, err := first.Keep(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMistake(dir, name, other); err == nil {
		t.Error("another house's keys open it")
	}
	at := filepath.Join(dir, mistakesDir)
	renamed := "20310102T030405.000000Z"
	content, err := os.ReadFile(filepath.Join(at, name+mistakeSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, renamed+mistakeSuffix), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{renamed, "../keys", "", name + mistakeSuffix, "20320102T030405.000000Z"} {
		if _, err := OpenMistake(dir, bad, keys); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
}

// TestMistakesAreFew: the oldest gives way, nothing else does, and what is too large is not kept.
func TestMistakesAreFew(t *testing.T) {
	dir, keys := t.TempDir(), ring(t)
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var want []string
	for n := range maxMistakes + 3 {
		name, err := Mistake{Time: begin.Add(time.Duration(n) * time.Hour)}.Keep(dir, keys)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	got, err := Mistakes(dir)
	if err != nil || !slices.Equal(got, want[3:]) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (Mistake{Request: Message{Body: make([]byte, maxMistake)}}).Keep(dir, keys); err == nil {
		t.Error("a mistake of any size is kept")
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, mistakeSuffix) {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ring(t *testing.T) *keyring.Ring {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestTame(t *testing.T) {
	for text, want := range map[string]string{
		"a \"b\"\tc\n": "a \"b\"\tc\n", "\x1b[0m": `\x1b[0m`, "\xff": `\xff`, "Zoë": "Zoë", "\u202e": `\u202e`, `\x1b`: `\\x1b`, "\r\n": "\\r\n",
	} {
		if got := tame(text); got != want {
			t.Errorf("tame(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestMistakesAreShouted: log, event and metric say that the prover is off, where the request is kept, and nothing of it.
func TestMistakesAreShouted(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	app := &gatehouse.App{StateDir: t.TempDir()}
	if err := app.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Cleanup() }()
	state, err := app.State()
	if err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	heard := state.Bus.Subscribe("test", 16, func(e event.Event) { events = append(events, e) })
	lines, log := observer.New(zap.InfoLevel)
	h := &Handler{house: app, live: new(live), logger: zap.New(lines)}
	e := always(lying(t))
	h.live.swap(&plan{site: e})
	for range 3 {
		r, _ := admitted(get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"))
		if err := row(h, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })).ServeHTTP(httptest.NewRecorder(), r); err != nil {
			break // the prover is off
		}
		checked(e)
	}
	heard.Close()
	names, err := Mistakes(app.Dir())
	if err != nil || len(names) != 1 {
		t.Fatalf("%v are kept, %v", names, err)
	}
	if len(events) != 1 || events[0].Kind != event.WAFProverOff || events[0].Site != "app.test" || events[0].RequestID != "REQUEST" ||
		!strings.Contains(events[0].Detail, "rule 941") || !strings.Contains(events[0].Detail, names[0]) {
		t.Errorf("%+v", events)
	}
	if log.Len() != 1 || log.All()[0].Level != zap.ErrorLevel || strings.Contains(fmt.Sprint(log.All(), events), "alert") {
		t.Errorf("%+v", log.All())
	}
	if m, err := OpenMistake(app.Dir(), names[0], state.Keys); err != nil || !strings.Contains(m.Request.URI, "alert") {
		t.Errorf("%+v, %v", m, err)
	}
}
