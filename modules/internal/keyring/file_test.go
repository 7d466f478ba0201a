package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func path(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.keys") }

func TestCreateLoad(t *testing.T) {
	p := path(t)
	if _, err := Load(p); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Load = %v, want fs.ErrNotExist", err)
	}
	made, err := Create(p)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	loaded, err := Load(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loaded.Open("p", made.Seal("p", []byte("x"), nil), nil); err != nil || string(got) != "x" {
		t.Errorf("Open = %q, %v", got, err)
	}
	before, _ := os.ReadFile(p)
	if _, err := Create(p); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create again = %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(p); !bytes.Equal(before, after) {
		t.Error("overwritten")
	}
	onlyFiles(t, p)
}

// onlyFiles: nothing temporary is left beside.
func onlyFiles(t *testing.T, p string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(p)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLoadOrCreateRace(t *testing.T) {
	p := path(t)
	var mu sync.Mutex
	ids, made := map[string]bool{}, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, created, err := LoadOrCreate(p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			ids[r.Keys()[0].ID()] = true
			if created {
				made++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || made != 1 {
		t.Errorf("%d rings, %d created", len(ids), made)
	}
}

func TestRotateFile(t *testing.T) {
	p := path(t)
	old, err := Create(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("\n# mine, without a newline at the end")
	f.Close()
	for n := 2; n <= 4; n++ { // within one second, so as old as one another
		fresh, err := Rotate(p, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(p)
		if err != nil || loaded.String() != fresh.String() || len(loaded.Keys()) != n {
			t.Fatalf("loaded %v, %v; want %v", loaded, err, fresh)
		}
		if _, err := old.Open("p", fresh.Seal("p", nil, nil), nil); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("not sealed with the new key: %v", err)
		}
		if _, err := fresh.Open("p", old.Seal("p", nil, nil), nil); err != nil {
			t.Errorf("does not open what the old ring sealed: %v", err)
		}
		old = fresh
	}
	if text, _ := os.ReadFile(p); !bytes.Contains(text, []byte("# mine")) {
		t.Error("comment lost")
	}
	if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	onlyFiles(t, p)
}

// A key that was made under a clock that was ahead stays in use until its time has come, and gives way to the newer one then.
func TestRotateAfterClockWasAhead(t *testing.T) {
	p := path(t)
	synctest.Test(t, func(t *testing.T) {
		ahead := key(t, 7, time.Now().Add(24*time.Hour))
		if err := create(p, ahead); err != nil {
			t.Fatal(err)
		}
		r, err := Rotate(p, time.Now())
		if err != nil || len(r.Keys()) != 2 || r.Keys()[0].ID() != ahead.ID() {
			t.Fatalf("active %v, %v: want the old key while no time has come", r, err)
		}
		time.Sleep(24 * time.Hour)
		if r.Keys()[0].ID() == ahead.ID() {
			t.Errorf("active %v: not the new key", r)
		}
	})
}

// A rotation as operators do it: the new key is known before it is used, the old one opens and verifies until it is retired, and then
// opens what is stored alone.
func TestOverlap(t *testing.T) {
	p := path(t)
	synctest.Test(t, func(t *testing.T) {
		held, err := Create(p)
		if err != nil {
			t.Fatal(err)
		}
		old, msg := held.Keys()[0].ID(), []byte("m")
		box, mac, sig := held.Seal("p", msg, nil), held.MAC("p", msg), held.Sign("p", msg)
		adopt := func(r *Ring, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			held.Adopt(r)
		}
		adopt(Rotate(p, time.Now().Add(Lead)))
		if SealedBy(held.Seal("p", msg, nil)) != old || len(held.PublicKeys("p")) != 2 || held.Keys()[0].ID() != old {
			t.Errorf("before its time the new key seals, or is not known: %v", held)
		}
		fresh := held.Keys()[1].ID()
		time.Sleep(Lead)
		if SealedBy(held.Seal("p", msg, nil)) != fresh || held.Keys()[0].ID() != fresh || held.PublicKeys("p")[0].ID != fresh {
			t.Errorf("the new key's time has come, and it does not seal: %v", held)
		}
		if _, err := held.Open("p", box, nil); err != nil || !held.CheckMAC("p", msg, mac) || held.Verify("p", msg, sig) != nil {
			t.Errorf("what the old key made counts no more: %v", err)
		}
		time.Sleep(Overlap - time.Second)
		if _, err := Retire(p, old, false); !errors.Is(err, ErrNotYet) {
			t.Errorf("retired within the overlap: %v", err)
		}
		if _, err := Retire(p, fresh, true); !errors.Is(err, ErrNotYet) {
			t.Errorf("retired the key that seals: %v", err)
		}
		if _, err := Retire(p, "00000000", true); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("retired a key that is not there: %v", err)
		}
		time.Sleep(time.Second)
		adopt(Retire(p, old, false))
		if _, err := held.Open("p", box, nil); !errors.Is(err, ErrUnknownKey) || held.CheckMAC("p", msg, mac) || held.Verify("p", msg, sig) == nil {
			t.Errorf("what the retired key made still counts: %v", err)
		}
		if keys, err := held.ES256Keys("p"); err != nil || len(keys) != 1 || keys[0].ID != fresh || len(held.PublicKeys("p")) != 1 {
			t.Errorf("the retired key is published: %v, %v", keys, err)
		}
		if got, err := held.OpenStored("p", box, nil); err != nil || string(got) != "m" {
			t.Errorf("what is stored does not open: %q, %v", got, err)
		}
		again, err := Load(p)
		if err != nil || again.String() != held.String() || !again.Keys()[1].Retired() {
			t.Errorf("loaded %v, %v; want %v", again, err, held)
		}
	})
}

func TestRotateRefuses(t *testing.T) {
	if _, err := Rotate(path(t), time.Now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	p := path(t)
	if _, err := Create(p); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p+".rotating", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(p, time.Now()); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "rm ") {
		t.Errorf("while another runs: %v", err)
	}
	if r, err := Load(p); err != nil || len(r.Keys()) != 1 {
		t.Errorf("Load = %v, %v", r, err)
	}
}

func TestRotateThroughLink(t *testing.T) {
	p := path(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(p, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(p); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(link, time.Now()); err != nil {
		t.Fatal(err)
	}
	if r, err := Load(p); err != nil || len(r.Keys()) != 2 {
		t.Errorf("the linked file: %v, %v", r, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := key(t, 1, epoch).line()
	id, rest, _ := strings.Cut(good, " ")
	created, secret, _ := strings.Cut(strings.TrimSpace(rest), " ")
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
		want       error
	}{
		{"group may read", good, 0o640, ErrPermissions},
		{"all may read", good, 0o604, ErrPermissions},
		{"all may write", good, 0o602, ErrPermissions},
		{"empty", "", 0o600, ErrNoKeys},
		{"comments only", "# nothing\n\n", 0o600, ErrNoKeys},
		{"twice", good + good, 0o600, ErrDuplicate},
		{"two fields", id + " " + secret, 0o600, nil},
		{"four fields", strings.TrimSpace(good) + " x", 0o600, nil},
		{"no time", id + " yesterday " + secret, 0o600, nil},
		{"no base64", id + " " + created + " ***", 0o600, nil},
		{"short key", id + " " + created + " AAAA", 0o600, nil},
		{"id of another key", key(t, 2, epoch).ID() + " " + created + " " + secret, 0o600, nil},
		{"too long", strings.Repeat("#\n", maxFile), 0o600, nil},
	} {
		p := path(t)
		if err := os.WriteFile(p, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(p)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), secret[:8]) || errors.Is(err, ErrPermissions) && !strings.Contains(err.Error(), "chmod 600 "+p) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("loaded a directory")
	}
	p := path(t)
	if err := os.WriteFile(p, []byte("# c\r\n\r\n  "+good+" # c\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if r, err := Load(p); err != nil || len(r.Keys()) != 1 {
		t.Errorf("read-only, spaces, CRLF: %v, %v", r, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fileHead + key(f, 1, epoch).line() + key(f, 2, epoch).line()))
	f.Add([]byte("a b c\n"))
	f.Add([]byte{0xff, '\n', '#'})
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(text)
		if err != nil {
			return
		}
		if len(r.Keys()) == 0 {
			t.Fatal("a ring without keys")
		}
		var again []byte
		keys := r.Keys()
		for i := range keys { // oldest first, as New takes them
			again = append(again, keys[len(keys)-1-i].line()...)
		}
		if r2, err := parse(again); err != nil || r2.String() != r.String() {
			t.Fatalf("not the same again: %v, %v; want %v", r2, err, r)
		}
	})
}
