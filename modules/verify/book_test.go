package verify

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
)

func newDesk(t testing.TB, policy Policy) (*desk, *book) {
	t.Helper()
	st := store.NewMemory()
	ring, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	b, err := openBook(st, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = b.Destruct(), st.Close() })
	return &desk{
		book: b, places: newPlaces(nil, nil, func(trouble) {}), policy: policy, roam: true,
		trusted: new(prefixset.Set).Contains, remember: defaultRememberInTests,
	}, b
}

const defaultRememberInTests = 90 * 24 * time.Hour

var sam = person{who: identity.Identity{Provider: "p", Issuer: "i", Subject: "sam"}, hasRole: func(string) bool { return false }}

func never(time.Time) bool { return false }

func now(addr, device string) visit {
	return visit{Addr: netip.MustParseAddr(addr), Device: device, Now: time.Now()}
}

func TestJudge(t *testing.T) {
	d, _ := newDesk(t, Policy{NewNetwork: AskAdmin})
	ctx := context.Background()
	judge := func(what string, p person, v visit, proven func(time.Time) bool, want Outcome) decision {
		t.Helper()
		got, err := d.judge(ctx, p, v, proven)
		if err != nil || got.Outcome != want {
			t.Fatalf("%s: %v %v, want %v", what, got, err, want)
		}
		return got
	}
	judge("first", sam, now("192.0.2.1", "d1"), never, Allow)
	judge("known", sam, now("192.0.2.2", "d1"), never, Allow)
	held := judge("another device", sam, now("192.0.2.1", "d2"), never, StepUp)
	if again := judge("the same", sam, now("192.0.2.1", "d2"), never, StepUp); again.News || again.Held.ID != held.Held.ID {
		t.Errorf("told of twice: %+v", again)
	}
	judge("a proof from before it was held", sam, now("192.0.2.1", "d2"), func(since time.Time) bool { return since.IsZero() }, StepUp)
	judge("a proof since", sam, now("192.0.2.1", "d2"), func(since time.Time) bool { return !since.IsZero() }, Allow)
	judge("known since", sam, now("192.0.2.1", "d2"), never, Allow)

	held = judge("another network", sam, now("198.51.100.1", "d1"), func(time.Time) bool { return true }, AskAdmin)
	who := sam.who
	if _, err := d.book.rule(ctx, personRef(who), held.Held.ID, defaultRememberInTests, true); err != nil {
		t.Fatal(err)
	}
	d.policy = Policy{NewNetwork: AskAdmin, NewDevice: AskAdmin}
	judge("approved, elsewhere", sam, now("203.0.113.1", "d1"), never, AskAdmin)
	judge("approved", sam, now("198.51.100.1", "d1"), never, Allow)

	held = judge("a third network", sam, now("100.64.0.1", "d1"), never, AskAdmin)
	if _, err := d.book.rule(ctx, personRef(who), held.Held.ID, defaultRememberInTests, false); err != nil {
		t.Fatal(err)
	}
	judge("denied", sam, now("100.64.0.1", "d1"), func(time.Time) bool { return true }, Deny)

	namesake := sam
	namesake.who.Issuer = "another"
	judge("a person of the same name at another issuer is a new one", namesake, now("203.0.113.9", "d9"), never, Allow)
}

// What an administrator approved is what was held then, and nothing that has come to it since.
func TestApprovalIsForWhatWasHeld(t *testing.T) {
	d, _ := newDesk(t, Policy{NewNetwork: AskAdmin, NewDevice: AskAdmin})
	ctx := context.Background()
	if _, err := d.judge(ctx, sam, now("192.0.2.1", "d1"), never); err != nil {
		t.Fatal(err)
	}
	got, err := d.judge(ctx, sam, now("192.0.2.1", "d2"), never)
	if err != nil || got.Outcome != AskAdmin {
		t.Fatal(got, err)
	}
	if _, err := d.book.rule(ctx, personRef(sam.who), got.Held.ID, defaultRememberInTests, true); err != nil {
		t.Fatal(err)
	}
	if err := d.book.forget(ctx, personRef(sam.who), "192.0.2.0/24", defaultRememberInTests); err != nil {
		t.Fatal(err)
	}
	if got, err = d.judge(ctx, sam, now("192.0.2.1", "d2"), never); err != nil || got.Outcome != AskAdmin || len(got.Signals) != 2 {
		t.Errorf("the network has become new since: %+v %v", got, err)
	}
	if got, err = d.judge(ctx, sam, now("192.0.2.1", "d2"), never); err != nil || got.Outcome != AskAdmin {
		t.Errorf("once more: %+v %v", got, err)
	}
}

func TestCodes(t *testing.T) {
	d, b := newDesk(t, nil)
	ctx := context.Background()
	_, _ = d.judge(ctx, sam, now("192.0.2.1", "d1"), never)
	v := now("192.0.2.1", "d2")
	if _, err := d.code(ctx, sam, v); !errors.Is(err, errNothing) {
		t.Errorf("a code for nothing: %v", err)
	}
	_, _ = d.judge(ctx, sam, v, never)
	code, err := d.code(ctx, sam, v)
	if err != nil || len(code) != 8 {
		t.Fatal(code, err)
	}
	late := v
	late.Now = v.Now.Add(codeFor + time.Second)
	if _, err := d.useCode(ctx, sam, late, code); !errors.Is(err, errCode) {
		t.Errorf("too late: %v", err)
	}
	if _, err := d.useCode(ctx, sam, v, code); err != nil {
		t.Errorf("in time: %v", err)
	}
	if _, err := d.useCode(ctx, sam, v, code); !errors.Is(err, errNothing) {
		t.Errorf("twice: %v", err)
	}
	for i := 2; ; i++ {
		if err := b.mayMail(ctx, "p", "sam"); errors.Is(err, errTooMany) {
			break
		} else if err != nil || i > 12 {
			t.Fatalf("%d messages: %v", i, err)
		}
	}
}

// The device's cookie is ours or nobody's, and says nothing that two records have in common.
func TestDeviceCookie(t *testing.T) {
	_, b := newDesk(t, nil)
	c := b.cookieOf()
	id := b.deviceOf(c, "p", "sam")
	if id == "" || id == b.deviceOf(c, "p", "ann") || id != b.deviceOf(c, "p", "sam") {
		t.Errorf("the device is called %q", id)
	}
	_, other := newDesk(t, nil)
	for _, bad := range []string{"", ".", c[1:], c[:len(c)-1], c + "A", "A" + c, other.cookieOf(), c[:22], c[:23]} {
		if got := b.deviceOf(bad, "p", "sam"); got != "" {
			t.Errorf("%q is %q", bad, got)
		}
	}
}

func TestReports(t *testing.T) {
	_, b := newDesk(t, nil)
	at := time.Now()
	text, err := b.sealReport(report{Provider: "p", Subject: "sam", At: at})
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := b.openReport(text, at.Add(time.Hour)); !ok || r.Subject != "sam" {
		t.Errorf("%+v %v", r, ok)
	}
	if _, ok := b.openReport(text, at.Add(reportFor+time.Hour)); ok {
		t.Error("too old")
	}
	if _, ok := b.openReport(text[:len(text)-2], at); ok {
		t.Error("changed")
	}
}

// A change of the person's record, here or on another node, has them judged anew.
func TestMemoEndsWithAChange(t *testing.T) {
	d, b := newDesk(t, nil)
	ctx, v := context.Background(), now("192.0.2.1", "d1")
	_, _ = d.judge(ctx, sam, v, never)
	key := keyOf("p", "sam")
	slot := slotOf(key.ID)
	told := func(before uint64) { // the feed tells of a write
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); b.gens[slot].Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nobody told of the write")
			}
		}
	}
	told(0)
	gen := b.gens[slot].Load()
	b.remember("s", memo{by: d, addr: v.Addr, cookie: "c", slot: slot, gen: gen}, v.Now)
	other := netip.MustParseAddr("192.0.2.2")
	if !passes(b, d, "s", v.Addr, "c", v.Now) || passes(b, d, "s", other, "c", v.Now) || passes(b, d, "s", v.Addr, "x", v.Now) ||
		passes(b, d, "s", v.Addr, "", v.Now) || passes(b, new(desk), "s", v.Addr, "c", v.Now) || passes(b, d, "s", v.Addr, "c", v.Now.Add(2*memoFor)) {
		t.Error("a visit passes, or does not, that should not, or should")
	}
	if err := b.forget(ctx, personRef(sam.who), "all", defaultRememberInTests); err != nil {
		t.Fatal(err)
	}
	told(gen)
	if passes(b, d, "s", v.Addr, "c", v.Now) {
		t.Error("a device that was forgotten passes")
	}
}

// With nothing new a request costs a look, and no memory.
func TestNothingNewAllocatesNothing(t *testing.T) {
	d, b := newDesk(t, nil)
	v := now("192.0.2.1", "d1")
	b.remember("session", memo{by: d, addr: v.Addr, cookie: "c"}, v.Now)
	if n := testing.AllocsPerRun(100, func() {
		if !passes(b, d, "session", v.Addr, "c", v.Now) {
			t.Fatal("it does not pass")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNothingNew(bm *testing.B) {
	d, b := newDesk(bm, nil)
	v := now("192.0.2.1", "d1")
	const session = "0123456789abcdef0123456789abcdef"
	b.remember(session, memo{by: d, addr: v.Addr, cookie: "c"}, v.Now)
	bm.ReportAllocs()
	for bm.Loop() {
		passes(b, d, session, v.Addr, "c", v.Now)
	}
}

func BenchmarkJudged(bm *testing.B) {
	d, _ := newDesk(bm, nil)
	ctx, v := context.Background(), now("192.0.2.1", "d1")
	_, _ = d.judge(ctx, sam, v, never)
	bm.ReportAllocs()
	for bm.Loop() {
		_, _ = d.judge(ctx, sam, v, never)
	}
}

func personRef(who identity.Identity) standing.Person {
	return standing.Person{Provider: who.Provider, Subject: who.Subject}
}

func passes(b *book, d *desk, session string, addr netip.Addr, cookie string, now time.Time) bool {
	_, ok := b.passes(d, session, addr, cookie, now)
	return ok
}
