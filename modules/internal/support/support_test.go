package support_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/support"
)

func draft(change ...func(*support.Grant)) *support.Grant {
	g := &support.Grant{
		Person: owner.Person{Provider: "corp", Subject: "sam"}, Approver: owner.Person{Provider: "corp", Subject: "olga"},
		Roles: []string{"support", "admin"}, Sites: []string{"app.test"}, Ticket: "T-1", Expires: time.Now().Add(time.Hour),
	}
	for _, f := range change {
		f(g)
	}
	return g
}

// Two nodes on one store: a grant counts on both, for this person, on these sites; it ends by itself, is told of once, and
// what runs by it is cut on both, as it is when it is revoked.
func TestGrantsEndEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := keyring.New(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		st, ctx := store.NewMemory(), t.Context()
		defer st.Close()
		var told atomic.Int32
		var nodes [2]*support.Grants
		for i := range nodes {
			if nodes[i], err = support.Open(st, keys, func(support.Grant) { told.Add(1) }); err != nil {
				t.Fatal(err)
			}
			defer nodes[i].Destruct()
		}
		app := support.Site{Name: "shop", Hosts: []string{"app.test"}}
		for _, end := range []string{"expires", "revoked"} {
			g := draft()
			if err := nodes[0].Give(ctx, g); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var runs [2]*running.Run
			for i, n := range nodes {
				h := n.Of("corp", "sam", app, time.Now())
				if !slices.Equal(h.Roles, []string{"admin", "support"}) || !slices.Equal(h.Tickets, []string{"T-1"}) || !h.Until.Equal(g.Expires) {
					t.Fatalf("node %d: %+v", i, h)
				}
				for _, s := range []support.Site{{Name: "app"}, {Name: "shop", Hosts: app.Hosts, Tenant: "acme"}, {}} {
					if h := n.Of("corp", "sam", s, time.Now()); len(h.Roles) > 0 {
						t.Errorf("on %+v: %+v", s, h)
					}
				}
				if h := n.Of("other", "sam", app, time.Now()); len(h.Roles) > 0 {
					t.Errorf("somebody else: %+v", h)
				}
				runs[i] = running.New(context.Background(), nil)
				defer runs[i].Leave()
				defer n.Enter(runs[i], h)()
			}
			time.Sleep(59 * time.Minute)
			if runs[0].Err() != nil || runs[1].Err() != nil {
				t.Fatal("cut before its time")
			}
			if end == "revoked" {
				if _, err := nodes[0].Revoke(ctx, g.ID, "olga"); err != nil {
					t.Fatal(err)
				}
			} else {
				time.Sleep(time.Minute)
			}
			time.Sleep(time.Second)
			for i, n := range nodes {
				if _, cut := runs[i].WasCut(); !cut || len(n.Of("corp", "sam", app, time.Now()).Roles) > 0 {
					t.Errorf("%s: it goes on at node %d", end, i)
				}
			}
			if told.Load() != 1 {
				t.Errorf("%s: told %d times", end, told.Load())
			}
		}
		if list, err := nodes[1].List(ctx, true); err != nil || len(list) != 2 || list[0].EndedBy == "" {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// mute is a store that, while it is told so, takes nothing and never says so.
type mute struct {
	store.Store
	is atomic.Bool
}

func (m *mute) Put(ctx context.Context, k store.Key, v []byte, o store.PutOptions) (uint64, error) {
	if m.is.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return m.Store.Put(ctx, k, v, o)
}

// BRF-18: grants end in time while the store says nothing, and what runs by them is cut: each, not only the first.
func TestGrantsEndWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := keyring.New(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		st := &mute{Store: store.NewMemory()}
		defer st.Close()
		grants, err := support.Open(st, keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer grants.Destruct()
		site := support.Site{Hosts: []string{"app.test"}}
		var runs []*running.Run
		for i, who := range []string{"sam", "kim"} {
			g := draft(func(g *support.Grant) {
				g.Person.Subject, g.Expires = who, time.Now().Add(time.Duration(i+1)*time.Hour)
			})
			if err := grants.Give(t.Context(), g); err != nil {
				t.Fatal(err)
			}
			run := running.New(context.Background(), nil)
			defer run.Leave()
			defer grants.Enter(run, grants.Of("corp", who, site, time.Now()))()
			runs = append(runs, run)
		}
		st.is.Store(true)
		for i, who := range []string{"sam", "kim"} {
			time.Sleep(time.Hour - time.Second)
			if runs[i].Err() != nil {
				t.Errorf("%s is cut before the time", who)
			}
			time.Sleep(time.Second + 300*time.Millisecond)
			synctest.Wait()
			if _, cut := runs[i].WasCut(); !cut || len(grants.Of("corp", who, site, time.Now()).Roles) > 0 {
				t.Errorf("the grant of %s goes on without a store", who)
			}
		}
	})
}

// blind is a store that, while it is told so, lists nothing.
type blind struct {
	store.Store
	is atomic.Bool
}

func (b *blind) Scan(ctx context.Context, bucket store.Bucket, index string) iter.Seq2[store.Item, error] {
	if b.is.Load() {
		return func(yield func(store.Item, error) bool) { yield(store.Item{}, store.ErrDown) }
	}
	return b.Store.Scan(ctx, bucket, index)
}

// A grant that was revoked gives nothing at this node, and what runs by it is cut, while the others cannot be read.
func TestGrantsRevokedUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := keyring.New(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		st := &blind{Store: store.NewMemory()}
		defer st.Close()
		grants, err := support.Open(st, keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer grants.Destruct()
		g, site := draft(), support.Site{Hosts: []string{"app.test"}}
		if err := grants.Give(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		run := running.New(context.Background(), nil)
		defer run.Leave()
		defer grants.Enter(run, grants.Of("corp", "sam", site, time.Now()))()
		st.is.Store(true)
		ended, err := grants.Revoke(t.Context(), g.ID, "olga")
		if ended == nil || ended.EndedBy != "olga" || !errors.Is(err, store.ErrDown) {
			t.Errorf("revoked: %+v, %v", ended, err)
		}
		if _, cut := run.WasCut(); !cut || len(grants.Of("corp", "sam", site, time.Now()).Roles) > 0 {
			t.Error("a revoked grant goes on")
		}
	})
}

func TestGrantsThatAreRefused(t *testing.T) {
	for says, change := range map[string]func(*support.Grant){
		"nobody approves":   func(g *support.Grant) { g.Approver = owner.Person{Provider: "Corp", Subject: "SAM"} },
		"who receives":      func(g *support.Grant) { g.Person = owner.Person{} },
		"who has approved":  func(g *support.Grant) { g.Approver = owner.Person{} },
		"the ticket":        func(g *support.Grant) { g.Ticket = "two words" },
		"name sites":        func(g *support.Grant) { g.Sites = nil },
		"24h at the most":   func(g *support.Grant) { g.Expires = time.Now().Add(25 * time.Hour) },
		"24h at the most:":  func(g *support.Grant) { g.Expires = time.Now() },
		"name the roles":    func(g *support.Grant) { g.Roles = nil },
		"16 at the most":    func(g *support.Grant) { g.Roles = make([]string, 17) },
		"roles and sites":   func(g *support.Grant) { g.Sites = []string{" x"} },
		"the note has more": func(g *support.Grant) { g.Note = strings.Repeat("x", 1000) },
	} {
		if err := draft(change).Check(time.Now()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if err := draft(func(g *support.Grant) { g.Sites, g.Tenant = nil, "acme" }).Check(time.Now()); err != nil {
		t.Error(err)
	}
}
