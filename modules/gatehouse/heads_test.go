package gatehouse

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// member is a gateway as far as heads go.
type member struct {
	t     *testing.T
	dir   string
	keys  *keyring.Ring
	bus   *event.Bus
	audit *AuditLog
	heads *heads
	told  []event.Event
}

func join(t *testing.T, st store.Store, keys *keyring.Ring, dir string) *member {
	t.Helper()
	m := &member{t: t, dir: dir, keys: keys, bus: event.NewBus()}
	m.audit = newAuditLog(dir, keys, m.bus)
	m.heads = newHeads(st, m.audit, func(e event.Event) {
		m.told = append(m.told, e)
		if err := m.bus.Record(e); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *member) exchange() {
	m.t.Helper()
	if err := m.heads.exchange(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) leave() {
	m.t.Helper()
	m.bus.Close()
	if err := m.audit.close(); err != nil {
		m.t.Fatal(err)
	}
}

// heard is how often something was told.
func (m *member) heard(kind event.Kind) (n int) {
	for _, e := range m.told {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// Gateways witness each other's audit logs. One whose log went back while it was away is told of by itself and by the others;
// what no gateway of the house has signed is no head.
func TestHeads(t *testing.T) {
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	others, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	st, top := store.NewMemory(), t.TempDir()
	defer st.Close()
	a, b := join(t, st, keys, filepath.Join(top, "a")), join(t, st, keys, filepath.Join(top, "b"))
	defer b.leave()
	a.exchange()
	b.exchange()
	b.exchange()
	if b.heard(event.AuditWitnessed) != 1 || a.heard(event.AuditWitnessed) != 0 {
		t.Fatalf("%+v, %+v", a.told, b.told)
	}
	a.exchange()
	if a.heard(event.AuditWitnessed) != 1 {
		t.Fatalf("%+v", a.told)
	}
	a.leave()

	if err := os.CopyFS(filepath.Join(top, "old"), os.DirFS(a.dir)); err != nil {
		t.Fatal(err)
	}
	a = join(t, st, keys, a.dir)
	for range 5 {
		if err := a.bus.Record(event.Event{Time: time.Now(), Kind: event.UserDisabled, User: "local:ada"}); err != nil {
			t.Fatal(err)
		}
	}
	a.exchange()
	b.exchange()
	a.leave()
	if a.heard(event.AuditRewound) != 0 || b.heard(event.AuditRewound) != 0 {
		t.Fatalf("nothing was cut: %+v, %+v", a.told, b.told)
	}
	a = join(t, st, keys, filepath.Join(top, "old"))
	a.exchange()
	b.exchange()
	if a.heard(event.AuditRewound) != 1 || b.heard(event.AuditRewound) != 1 {
		t.Errorf("the log was cut: %+v, %+v", a.told, b.told)
	}
	a.leave()

	stranger := join(t, st, others, filepath.Join(top, "stranger"))
	stranger.exchange()
	stranger.leave()
	before := b.heard(event.AuditWitnessed)
	b.exchange()
	if b.heard(event.AuditWitnessed) != before {
		t.Error("a log of another house is witnessed")
	}
	c, err := b.audit.Chain()
	if err != nil {
		t.Fatal(err)
	}
	c.Publish()
	n := 0
	if _, err := chain.Verify(b.dir, chain.VerifyOptions{Each: func(r *chain.Record) error {
		if r.Kind == string(event.AuditWitnessed) && r.Attr(chain.HeadAttr) != "" {
			n++
		}
		return nil
	}}); err != nil || n != b.heard(event.AuditWitnessed) {
		t.Errorf("%d are on record, %v", n, err)
	}
}
