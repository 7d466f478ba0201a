package waf

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

const forbidsWord = `SecRule ARGS "@streq %s" "id:10001,phase:2,deny,status:403,t:none,msg:'A word'"`

func rulesFor(word string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.ReplaceAll(forbidsWord, "%s", word))}
}

// TestRulesFollowTheirFiles looks as the goroutine does, without its pauses.
func TestRulesFollowTheirFiles(t *testing.T) {
	dir := fstest.MapFS{"before/a.conf": rulesFor("one")}
	files, err := ReadRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit, Rules: files}
	h := &Handler{logger: zap.NewNop(), live: new(live), site: &gatehouse.Site{Name: "app.test"}}
	p, err := h.plan(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.live.swap(p)
	var events []event.Event
	w := h.watcher(cfg, func(e event.Event) { events = append(events, e) })
	w.dir = dir
	refuses := func(word string) bool {
		i := h.engine().Inspect("x")
		defer i.Close()
		return i.Head(get("/?q="+word), netip.Addr{}).Reason == verdict.WAFBlocked
	}
	broken := &fstest.MapFile{Data: []byte("# a comment\nSecMarker A\nSecRule ARGS \"@rx (\" \\\n    \"id:10002,phase:2,deny\"\nSecMarker B\n")}
	steps := []struct {
		name   string
		change func()
		looks  int
		kind   event.Kind // of the event that must come; "" for none
		detail string
		word   string // what the rules in use refuse then
	}{
		{"nothing changed", func() {}, 3, "", "", "one"},
		{"being written", func() { dir["before/a.conf"] = rulesFor("two") }, 1, "", "", "one"},
		{"at rest", func() {}, 1, event.RulesLoaded, " rules", "two"},
		{"no more events", func() {}, 3, "", "", "two"},
		{"does not compile", func() { dir["after/b.conf"] = broken }, 2, event.RulesRejected, "after/b.conf:3: ", "two"},
		{"told once", func() {}, 3, "", "", "two"},
		{"not for a site", func() { dir["after/b.conf"] = &fstest.MapFile{Data: []byte("\nSecRuleEngine Off")} }, 2, event.RulesRejected, "after/b.conf:2: SecRuleEngine", "two"},
		{"the directory is gone", func() { delete(dir, "after/b.conf"); delete(dir, "before/a.conf") }, 2, event.RulesLoaded, "", ""},
		{"mended", func() { dir["before/a.conf"] = rulesFor("three") }, 2, event.RulesLoaded, "", "three"},
	}
	for _, s := range steps {
		events = nil
		s.change()
		for range s.looks {
			w.look()
		}
		switch {
		case s.kind == "" && len(events) != 0, s.kind != "" && (len(events) != 1 || events[0].Kind != s.kind):
			t.Errorf("%s: events %+v, want %q", s.name, events, s.kind)
		case s.kind != "" && (!strings.Contains(events[0].Detail, s.detail) || events[0].Site != "app.test"):
			t.Errorf("%s: event %+v, want %q", s.name, events[0], s.detail)
		}
		for _, word := range []string{"one", "two", "three"} {
			if refuses(word) != (word == s.word) {
				t.Errorf("%s: %q refused: %v, want only %q", s.name, word, refuses(word), s.word)
			}
		}
	}
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if engines.Range(func(key, _ any) bool { t.Errorf("an engine is left in the pool: %.12s", key); return true }); t.Failed() {
		return
	}
	dir["before/a.conf"] = rulesFor("four") // a look that comes after the end
	w.look()
	w.look()
	engines.Range(func(key, _ any) bool { t.Errorf("an engine came into the pool after the end: %.12s", key); return true })
}

// A faulty file is named at start, too.
func TestLocate(t *testing.T) {
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: 1 << 20, Rules: RuleFiles{
		"before/a.conf": "SecMarker A\n\n# c\nSecMarker B",
		"before/b.conf": "SecMarker C\nSecRule ARGS \"@nosuch x\" \"id:10001,phase:1,deny\"",
		"after/c.conf":  "SecMarker D",
	}}
	_, err := New(cfg, bodies)
	if err == nil {
		t.Fatal("compiled")
	}
	if got := cfg.locate(err); !strings.HasPrefix(got.Error(), "before/b.conf:2: ") || !errors.Is(got, err) {
		t.Errorf("got %v", got)
	}
}
