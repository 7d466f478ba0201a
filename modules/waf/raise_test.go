package waf

import (
	"testing"

	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/reqpath"
)

// What is raised was compiled before it counts, is no lower anywhere than it was or than it says, and leaves no engine behind.
func TestRaised(t *testing.T) {
	pattern := func(text string) reqpath.Pattern {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	h := &Handler{
		Prover: Off, logger: zap.NewNop(), site: &gatehouse.Site{Name: "app.test"},
		Routes: []Route{{Path: pattern("/lax/*"), Paranoia: 1}, {Path: pattern("/strict/*"), Paranoia: 4}, {Path: pattern("/off/*"), InsecureOff: true}},
	}
	cfg, err := h.config()
	if err != nil {
		t.Fatal(err)
	}
	h.raised = &raised{cfg: cfg}
	refs := func(want int, when string) {
		t.Helper()
		n := 0
		engines.Range(func(_, _ any) bool { n++; return true })
		if n != want {
			t.Errorf("%s: %d engines in the pool, want %d", when, n, want)
		}
	}
	before := 0
	engines.Range(func(_, _ any) bool { before++; return true })

	if h.takeReady(3) {
		t.Error("nothing was compiled, and it is ready")
	}
	if err := h.prepare(3); err != nil {
		t.Fatal(err)
	}
	if h.raised.over() != nil {
		t.Error("in force before it was thrown")
	}
	if !h.takeReady(3) || h.raised.over() == nil {
		t.Fatal("compiled, and not in force when it was thrown")
	}
	p := h.raised.over()
	for _, tt := range []struct {
		path  string
		level int
	}{{"/x", 3}, {"/lax/x", 3}, {"/strict/x", 4}, {"/STRICT/x", 4}} {
		at, err := reqpath.Parse(tt.path, reqpath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e := p.choose(at).engine; e == nil || e.cfg.Paranoia != tt.level {
			t.Errorf("%s: %+v, want level %d", tt.path, e, tt.level)
		}
	}
	off, err := reqpath.Parse("/off/x", reqpath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.choose(off).engine != nil {
		t.Error("what is off was raised")
	}
	if err := h.prepare(4); err != nil { // and then it is not thrown after all
		t.Fatal(err)
	}
	if !h.takeReady(3) || h.raised.over() != p || h.raised.ready != nil {
		t.Error("what was not thrown changed something")
	}
	cfg.BodyLimit = 1 << 20 // the site's rules have changed meanwhile
	h.reraise(cfg)
	if got := h.raised.over(); got == p || got.site.cfg.BodyLimit != 1<<20 || got.site.cfg.Paranoia != 3 {
		t.Errorf("raised over what the site was: %+v", got.site.cfg)
	}
	if !h.takeReady(0) || h.raised.over() != nil {
		t.Error("lifted, and still in force")
	}
	refs(before, "lifted")
	h.raise(2)
	if got := h.raised.over(); got == nil || got.site.cfg.Paranoia != 2 {
		t.Errorf("not raised: %+v", got)
	}
	h.unraise()
	refs(before, "the configuration is gone")
	if h.raise(4); h.raised.over().site.cfg.Paranoia != 2 {
		t.Error("a configuration that is gone was raised")
	}
}
