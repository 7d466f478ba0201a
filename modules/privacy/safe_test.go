package privacy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
)

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func open(t testing.TB, dir string) *Safe {
	t.Helper()
	s, err := OpenSafe(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Safe, id, tenant, user string) {
	t.Helper()
	h := Head{RequestID: id, Time: time.Now().UTC(), Site: "app", Tenant: tenant, Rules: []int{941100}}
	plain, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(h, user, plain)
	s.flush()
}

// Records outlive a restart, are found by person and tenant, and go when they are too old or too many.
func TestSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, id := filepath.Join(t.TempDir(), "safe"), newIdentity(t)
		s := open(t, dir)
		var lost []string
		limits := Limits{Keep: time.Hour, Most: 4}
		s.Use([]age.Recipient{id.Recipient()}, limits, func(why string) { lost = append(lost, why) })
		put(t, s, "A", "acme", "local:ada")
		put(t, s, "B", "acme", "local:bob")
		put(t, s, "C", "", "")
		put(t, s, "C", "", "") // the same request is kept once
		if err := s.Destruct(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		defer s.Destruct()
		s.Use([]age.Recipient{id.Recipient()}, limits, func(why string) { lost = append(lost, why) })
		r, err := s.Find("A")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(strings.NewReader(id.String())); err != nil {
			t.Error(err)
		}
		if _, err := r.Open(strings.NewReader(newIdentity(t).String())); err == nil {
			t.Error("opened with another identity")
		}
		r.Rules = []int{942100}
		if _, err := r.Open(strings.NewReader(id.String())); err == nil || !strings.Contains(err.Error(), "exchanged") {
			t.Errorf("with another head: %v", err)
		}
		if heads, err := s.OfUser("local:ada"); err != nil || len(heads) != 1 || heads[0].RequestID != "A" {
			t.Errorf("ada's: %v, %v", heads, err)
		}
		if n, err := s.ForgetUser("local:ada"); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		if n := s.OfTenant("acme"); n != 1 {
			t.Errorf("acme has %d", n)
		}
		if n, err := s.ForgetTenant("acme"); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		if n, _ := s.ForgetUser(""); n != 0 {
			t.Errorf("forgot %d of nobody", n)
		}
		for i := range 6 {
			time.Sleep(time.Second)
			put(t, s, "N"+strconv.Itoa(i), "", "")
		}
		if _, err := s.Find("N1"); !errors.Is(err, ErrNoRecord) {
			t.Errorf("too many: %v", err)
		}
		if _, err := s.Find("N2"); err != nil {
			t.Errorf("not too many: %v", err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if files, _ := os.ReadDir(dir); len(files) != 0 {
			t.Errorf("after two hours there are %d", len(files))
		}
		if len(lost) != 0 {
			t.Errorf("lost: %v", lost)
		}
		for _, bad := range []string{"../x", "a_b", ""} {
			put(t, s, bad, "", "")
		}
		if len(lost) != 3 {
			t.Errorf("impossible names: %v", lost)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("1700000000000_acme_0123456789abcdef0123456789abcdef_ABC.age")
	f.Add("1700000000000_-_-_ABC.age")
	f.Fuzz(func(t *testing.T, name string) {
		if e, ok := parseName(name); ok && (strings.ContainsAny(e.name, "/\\") || e.id == "") {
			t.Errorf("%q is %+v", name, e)
		}
	})
}
