package containment_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/containment"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

var (
	acme = containment.Place{Site: "shop", Tenant: "acme", Hosts: []string{"shop.test"}}
	bolt = containment.Place{Site: "app", Tenant: "bolt", Hosts: []string{"app.test"}}
)

func kept(*containment.Switch) error { return nil }

func draft(kind containment.Kind, change ...func(*containment.Switch)) *containment.Switch {
	s := &containment.Switch{Kind: kind, Reason: "ticket 7", By: "olga", Until: time.Now().Add(time.Hour)}
	for _, f := range change {
		f(s)
	}
	return s
}

func path(t testing.TB, text string) reqpath.Path {
	t.Helper()
	p, err := reqpath.Parse(text, reqpath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pattern(t testing.TB, text string) reqpath.Pattern {
	t.Helper()
	p, err := reqpath.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// boards are those of n nodes on one store. Each switch that ends by itself is counted.
func boards(t testing.TB, n int) (nodes []*containment.Board, ended *atomic.Int32) {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	st := store.NewMemory()
	t.Cleanup(func() { _ = st.Close() })
	ended = new(atomic.Int32)
	for range n {
		b, err := containment.Open(st, keys, func(s containment.Switch) {
			if s.EndedBy == containment.Expired {
				ended.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Destruct() })
		nodes = append(nodes, b)
	}
	return nodes, ended
}

// person has proven who they are, and a second factor so long before now, or none.
func person(factor time.Duration) identity.Proof {
	p := identity.Prove(identity.Identity{Provider: "local", Subject: "ada"}, "s", time.Now())
	if factor < 0 {
		return p
	}
	return identity.ProveFactor(p, &identity.Factor{Method: identity.TOTP, At: time.Now().Add(-factor)}, factor)
}

// CTB-08: a switch counts on each node of the store within 100 ms of being thrown, where it says and nowhere else, and ends by itself,
// told of once; or when it is lifted.
func TestSwitchesCountEverywhereAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, ended := boards(t, 2)
		there := containment.Asked{Place: &acme, Path: path(t, "/x"), Writes: true}
		elsewhere := containment.Asked{Place: &bolt, Path: path(t, "/x"), Writes: true}
		page := containment.Asked{Place: &acme, Path: path(t, "/.gatehouse/login"), Portal: true, Writes: true}
		for _, end := range []string{"expires", "lifted"} {
			s := draft(containment.Lock, func(s *containment.Switch) { s.Tenant = "acme" })
			before := 0
			if err := nodes[0].Throw(t.Context(), s, func(said *containment.Switch) error {
				if before = len(nodes[0].Active(time.Now())); said.ID == "" || said.Reason != "ticket 7" {
					t.Errorf("on record: %+v", said)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if before != 0 {
				t.Error("in force before it was on record")
			}
			time.Sleep(100 * time.Millisecond)
			for i, b := range nodes {
				hit := b.Hits(&there, time.Now())
				if hit == nil || hit.ID != s.ID {
					t.Fatalf("node %d: %+v", i, hit)
				}
				if v := hit.Verdict(time.Now()); v.Reason != verdict.Locked || v.RetryAfter != 15*time.Minute || !strings.Contains(v.Detail, s.ID) {
					t.Errorf("%+v", v)
				}
				if hit := b.Hits(&elsewhere, time.Now()); hit != nil {
					t.Errorf("node %d, on another tenant's site: %+v", i, hit)
				}
				if hit := b.Hits(&page, time.Now()); hit != nil {
					t.Errorf("node %d, at the portal: %+v", i, hit)
				}
			}
			if end == "lifted" {
				if _, err := nodes[1].Lift(t.Context(), s.ID, "olga", "all is well"); err != nil {
					t.Fatal(err)
				}
				if _, err := nodes[1].Lift(t.Context(), s.ID, "olga", ""); err == nil || !strings.Contains(err.Error(), "ended already") {
					t.Errorf("lifted twice: %v", err)
				}
				time.Sleep(100 * time.Millisecond)
			} else {
				time.Sleep(time.Until(s.Until))
			}
			for i, b := range nodes {
				if hit := b.Hits(&there, time.Now()); hit != nil {
					t.Errorf("node %d: %s, and still %+v", i, end, hit)
				}
			}
			time.Sleep(time.Second)
			if ended.Load() != 1 {
				t.Errorf("told %d times", ended.Load())
			}
		}
		if list, err := nodes[1].List(t.Context(), true); err != nil || len(list) != 2 || list[0].EndedBy != "olga" || list[1].EndedBy != containment.Expired {
			t.Errorf("%v, %v", list, err)
		}
		if list, err := nodes[1].List(t.Context(), false); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// What does not get on record is not done.
func TestNothingIsThrownThatIsNotOnRecord(t *testing.T) {
	nodes, _ := boards(t, 1)
	full := errors.New("the disk is full")
	s := draft(containment.Lock)
	if err := nodes[0].Throw(t.Context(), s, func(*containment.Switch) error { return full }); !errors.Is(err, full) || s.ID != "" {
		t.Errorf("%v, %q", err, s.ID)
	}
	if list, err := nodes[0].List(t.Context(), true); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// Each kind hits what it is for.
func TestWhatSwitchesHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := identity.ProveBy(identity.Identity{Provider: identity.HouseServices, Subject: "robot", Kind: identity.Service}, identity.Credential{Method: identity.ByAPIKey})
		get := containment.Asked{Place: &acme, Path: path(t, "/x")}
		post := get
		post.Writes = true
		known := get
		known.Who = person(-1)
		program := get
		program.Who = service
		export := get
		export.Path = path(t, "/Export/all")
		for _, tt := range []struct {
			s    *containment.Switch
			hits []bool // get, post, known, program, export
		}{
			{draft(containment.Lock), []bool{true, true, true, true, true}},
			{draft(containment.Lock, func(s *containment.Switch) { s.Site = "shop.test" }), []bool{true, true, true, true, true}},
			{draft(containment.Lock, func(s *containment.Switch) { s.Site = "app" }), make([]bool, 5)},
			{draft(containment.Lock, func(s *containment.Switch) { s.Site, s.Tenant = "shop", "bolt" }), make([]bool, 5)},
			{draft(containment.Lock, func(s *containment.Switch) { s.Route = pattern(t, "/export/*") }), []bool{false, false, false, false, true}},
			{draft(containment.ReadOnly), []bool{false, true, false, false, false}},
			{draft(containment.StepUp), []bool{false, false, true, false, false}},
			{draft(containment.Paranoia, func(s *containment.Switch) { s.Level = 3 }), make([]bool, 5)},
		} {
			nodes, _ := boards(t, 1)
			if err := nodes[0].Throw(t.Context(), tt.s, kept); err != nil {
				t.Fatal(err)
			}
			for i, a := range []containment.Asked{get, post, known, program, export} {
				if got := nodes[0].Hits(&a, time.Now()) != nil; got != tt.hits[i] {
					t.Errorf("%s: request %d hit: %v", tt.s.Why(), i, got)
				}
			}
			want := 0
			if tt.s.Kind == containment.Paranoia {
				want = 3
			}
			if got := nodes[0].Level(acme, time.Now()); got != want {
				t.Errorf("%s: level %d", tt.s.Why(), got)
			}
		}
	})
}

// A node whose clock is behind that of who threw a switch takes a proof that came after it, and goes on to.
func TestSwitchesFromAheadTakeProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, b, keys, _ := moodyBoard(t)
		ahead := *draft(containment.StepUp, func(s *containment.Switch) { s.ID, s.Since = "ahead", time.Now().Add(30*time.Second) })
		others, err := ledger.Open[containment.Switch](st, keys, ledger.Config[containment.Switch]{Bucket: "containment", Most: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer others.Destruct()
		write := func(s *containment.Switch) {
			t.Helper()
			if err := others.Put(t.Context(), s.ID, s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(containment.CutAfter / 2)
			synctest.Wait()
		}
		before := person(time.Minute)
		write(&ahead)
		since := containment.Asked{Place: &acme, Path: path(t, "/p"), Who: person(0)}
		hit := b.Hits(&since, time.Now())
		if hit == nil || before.Factor().Within(hit.ProofWithin(time.Now())) {
			t.Fatal("a proof from before it came counts")
		}
		time.Sleep(10 * time.Second) // still before its time, as the other clock has it
		other := *draft(containment.Paranoia, func(s *containment.Switch) { s.ID, s.Level, s.Since = "other", 2, time.Now() })
		write(&other) // all are read anew
		hit = b.Hits(&since, time.Now())
		if hit == nil || !since.Who.Factor().Given() || time.Since(since.Who.Factor().At) > hit.ProofWithin(time.Now()) {
			t.Errorf("a proof from after it came counts no more: %v old, may be %v", time.Since(since.Who.Factor().At), hit.ProofWithin(time.Now()))
		}
	})
}

// What a switch would refuse is cut a second after it was thrown, and nothing else.
func TestSwitchesCutWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for kind, want := range map[containment.Kind]map[string]bool{
			containment.Lock:     {"stream": true, "websocket": true, "proven": true, "unproven": true},
			containment.ReadOnly: {"websocket": true},
			containment.StepUp:   {"proven": true, "unproven": true},
			containment.Paranoia: {},
		} {
			nodes, _ := boards(t, 2)
			all := map[string]containment.Asked{
				"stream":    {Place: &acme, Path: path(t, "/s")},
				"websocket": {Place: &acme, Path: path(t, "/w"), Writes: true},
				"proven":    {Place: &acme, Path: path(t, "/p"), Who: person(time.Minute)},
				"unproven":  {Place: &acme, Path: path(t, "/p"), Who: person(-1)},
				"elsewhere": {Place: &bolt, Path: path(t, "/w"), Writes: true, Who: person(-1)},
				"portal":    {Place: &acme, Path: path(t, "/.gatehouse/account"), Writes: true, Portal: true},
			}
			ran := map[string]*running.Run{}
			for name, a := range all {
				ran[name] = running.New(context.Background(), nil)
				defer ran[name].Leave()
				defer nodes[1].Enter(ran[name], &a).Leave()
			}
			s := draft(kind, func(s *containment.Switch) { s.Tenant = "acme" })
			if kind == containment.Paranoia {
				s.Level = 2
			}
			if err := nodes[0].Throw(t.Context(), s, kept); err != nil {
				t.Fatal(err)
			}
			time.Sleep(containment.CutAfter - 10*time.Millisecond)
			since := all["proven"]
			since.Who = person(0)
			late := running.New(context.Background(), nil)
			defer late.Leave()
			defer nodes[1].Enter(late, &since).Leave()
			for name, run := range ran {
				if run.Err() != nil {
					t.Errorf("%s: %s cut before its time", kind, name)
				}
			}
			time.Sleep(100 * time.Millisecond)
			for name, run := range ran {
				if c, cut := run.WasCut(); cut != want[name] || cut && c.Note != "contain_cut" {
					t.Errorf("%s: %s cut: %v %+v", kind, name, cut, c)
				}
			}
			if _, cut := late.WasCut(); cut != (kind == containment.Lock) {
				t.Errorf("%s: somebody who has proven it since was cut: %v", kind, cut)
			}
		}
	})
}

func TestSwitchesThatAreRefused(t *testing.T) {
	for says, s := range map[string]*containment.Switch{
		"say why":             draft(containment.Lock, func(s *containment.Switch) { s.Reason = " " }),
		"say for how long":    draft(containment.Lock, func(s *containment.Switch) { s.Until = time.Time{} }),
		"7 days":              draft(containment.Lock, func(s *containment.Switch) { s.Until = time.Now().Add(8 * 24 * time.Hour) }),
		"168h":                draft(containment.Lock, func(s *containment.Switch) { s.Until = time.Now().Add(-time.Second) }),
		"there is no switch":  draft("off"),
		"only a lock":         draft(containment.ReadOnly, func(s *containment.Switch) { s.Route = pattern(t, "/x") }),
		"level 2, 3 or 4":     draft(containment.Paranoia, func(s *containment.Switch) { s.Level = 1 }),
		"only paranoia":       draft(containment.StepUp, func(s *containment.Switch) { s.Level = 2 }),
		"one word":            draft(containment.Lock, func(s *containment.Switch) { s.Site = "a b" }),
		"the reason has more": draft(containment.Lock, func(s *containment.Switch) { s.Reason = strings.Repeat("x", 1000) }),
	} {
		if err := s.Check(time.Now()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// A switch survives what a restart does, and counts on; what nobody can read does not.
func TestSwitchesSurvive(t *testing.T) {
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	st := store.NewMemory()
	defer st.Close()
	open := func(keys *keyring.Ring) *containment.Board {
		t.Helper()
		b, err := containment.Open(st, keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := open(keys)
	if err := first.Throw(t.Context(), draft(containment.ReadOnly), kept); err != nil {
		t.Fatal(err)
	}
	_ = first.Destruct()
	again := open(keys)
	defer again.Destruct()
	a := containment.Asked{Place: &acme, Path: path(t, "/x"), Writes: true}
	if again.Hits(&a, time.Now()) == nil {
		t.Error("forgotten")
	}
	other, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := containment.Open(st, other, nil); !errors.Is(err, keyring.ErrUnknownKey) { // or a switch would not be heeded
		t.Errorf("with another's keys: %v", err)
	}
}

func BenchmarkNoSwitch(b *testing.B) {
	nodes, _ := boards(b, 1)
	a := containment.Asked{Place: &acme, Path: path(b, "/x")}
	now := time.Now()
	b.Run("judge", func(b *testing.B) {
		for b.Loop() {
			if nodes[0].Hits(&a, now) != nil {
				b.Fatal("hit")
			}
		}
	})
	b.Run("enter", func(b *testing.B) {
		run := running.New(context.Background(), nil)
		defer run.Leave()
		b.ReportAllocs()
		for b.Loop() {
			nodes[0].Enter(run, &a).Leave()
		}
	})
}
