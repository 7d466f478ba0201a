package authn

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

func TestNamesShare(t *testing.T) {
	var n names
	two := [2]identity.Identity{}
	for i := range two {
		two[i] = identity.Identity{Provider: "oi" + "dc", Issuer: string([]byte("https://idp.test")), Roles: []string{"staff", "admin", "staff", ""}}
		n.identity(&two[i])
	}
	if !slices.Equal(two[0].Roles, []string{"admin", "staff"}) {
		t.Errorf("roles %q", two[0].Roles)
	}
	if unsafe.StringData(two[0].Issuer) != unsafe.StringData(two[1].Issuer) || &two[0].Roles[0] != &two[1].Roles[0] {
		t.Error("equal texts and lists are not shared")
	}
	proof := identity.Prove(identity.Identity{Provider: "oidc", Subject: "ada", Roles: two[0].Roles}, "", time.Time{})
	if &proof.Identity().Roles[0] != &two[0].Roles[0] {
		t.Error("a proof copies the roles")
	}
	if a, b := n.list([]string{"a\x00b"}), n.list([]string{"a", "b"}); len(a) != 1 || len(b) != 2 {
		t.Errorf("%q and %q are mistaken for one another", a, b)
	}
	for i := range 200_000 {
		n.text(fmt.Sprintf("%0100d", i))
	}
	if n.bytes > internBytes || len(n.texts)*(100+64) > internBytes {
		t.Errorf("%d texts of %d bytes", len(n.texts), n.bytes)
	}
}

// populate logs people in, each with a name, an address and some of a few sets of groups, and has the node read them.
func populate(tb testing.TB, s *Sessions, n int) (tokens []string) {
	tb.Helper()
	for i := range n {
		roles := []string{"staff"}
		for g := range 20 {
			roles = append(roles, fmt.Sprintf("group-%02d-of-department-%02d", g, i%16))
		}
		v := vouching{Identity: identity.Identity{
			Provider: "oidc", Issuer: "https://idp.example.com/realms/house", Subject: fmt.Sprintf("%08x-1111-4222-8333-%012x", i, i),
			Name: fmt.Sprintf("Person Number %d", i), Email: fmt.Sprintf("person%d@example.com", i), Roles: roles,
			AMR: []string{"pwd", "otp"}, ACR: "urn:mace:incommon:iap:silver", AuthTime: time.Now(),
		}, Keep: make([]byte, 1200), SID: fmt.Sprintf("sid-%d", i), Renew: time.Now().Add(time.Hour)}
		token, _, err := s.Create(tb.Context(), v, host, Meta{Agent: "Firefox on Linux", Network: "192.0.2.0/24"}, limits)
		if err != nil {
			tb.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// gcPause returns the median pause of some collections.
func gcPause() time.Duration {
	var pauses []uint64
	for range 15 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		pauses = append(pauses, m.PauseNs[(m.NumGC+255)%256])
	}
	slices.Sort(pauses)
	return time.Duration(pauses[len(pauses)/2])
}

// maxSession is what a session at hand may take, of a person with 21 groups: 16 bytes of it spare each request the making of a name.
const maxSession = 752

func TestMemoryOfASession(t *testing.T) {
	const n = 10_000
	st, keys := store.NewMemory(), ring(t)
	t.Cleanup(func() { _ = st.Close() })
	tokens := populate(t, node(t, st, keys), n)
	s := node(t, st, keys)
	before := heap()
	for _, token := range tokens {
		wantLive(t, s, token, true)
	}
	each := int(heap()-before) / n
	t.Logf("%d bytes a session", each)
	if each > maxSession {
		t.Errorf("a session at hand takes %d bytes, more than %d", each, maxSession)
	}
	runtime.KeepAlive(s)
}

// BenchmarkSessions100k looks sessions up among 100,000, and reports what they cost.
func BenchmarkSessions100k(b *testing.B) {
	const n = 100_000
	st, keys := store.NewMemory(), ring(b)
	defer st.Close()
	first, err := NewSessions(st, keys, nil)
	if err != nil {
		b.Fatal(err)
	}
	tokens := populate(b, first, n)
	if err := first.Destruct(); err != nil {
		b.Fatal(err)
	}
	s, err := NewSessions(st, keys, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Destruct()
	before, empty := heap(), gcPause()
	began := time.Now()
	for _, token := range tokens {
		if _, err := s.Lookup(b.Context(), token, host, limits, ByPerson); err != nil {
			b.Fatal(err)
		}
	}
	load := time.Since(began)
	each := float64(heap()-before) / n
	pause := gcPause()
	if err := s.writeAll(); err != nil { // no use is due to be written while we measure
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.Lookup(ctx, tokens[i%n], host, limits, ByPerson); err != nil {
			b.Fatal(err)
		}
		i += 7919
	}
	b.ReportMetric(each, "B/session")
	b.ReportMetric(float64(load.Nanoseconds())/n, "ns/load")
	b.ReportMetric(float64(pause.Microseconds()), "GC-pause-µs")
	b.ReportMetric(float64(empty.Microseconds()), "GC-pause-without-µs")
}

// BenchmarkEnter is what a request in a session costs beside its lookup: to be cut with it.
func BenchmarkEnter(b *testing.B) {
	st, keys := store.NewMemory(), ring(b)
	defer st.Close()
	s, err := NewSessions(st, keys, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Destruct()
	token := populate(b, s, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		v, err := s.Enter(runs(b), token, host, limits, ByPerson)
		if err != nil {
			b.Fatal(err)
		}
		v.Leave()
	}
}

// BenchmarkRevocationToCut is the time from a revocation on one node to the end of what runs on another.
func BenchmarkRevocationToCut(b *testing.B) {
	st, keys := store.NewMemory(), ring(b)
	defer st.Close()
	var nodes [2]*Sessions
	for i := range nodes {
		var err error
		if nodes[i], err = NewSessions(st, keys, nil); err != nil {
			b.Fatal(err)
		}
		defer nodes[i].Destruct()
	}
	for b.Loop() {
		b.StopTimer()
		token := populate(b, nodes[0], 1)[0]
		v, err := nodes[1].Enter(runs(b), token, host, limits, ByPerson)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := nodes[0].End(b.Context(), token); err != nil {
			b.Fatal(err)
		}
		<-v.run.Done()
		b.StopTimer()
		v.Leave()
		b.StartTimer()
	}
}
