package backup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// house is a state directory with something in it.
type house struct {
	t      testing.TB
	state  string
	source Source
	plan   Plan
	shelf  *Shelf
	id     *age.X25519Identity
	put    func(b store.Bucket, id, value string)
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, state: t.TempDir()}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Create(filepath.Join(h.state, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenEmbedded(filepath.Join(h.state, "store.db"), store.EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c, err := chain.Open(filepath.Join(h.state, "audit"), chain.Options{Origin: "gw/audit/1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Destruct() })
	for range 20 {
		if err := c.Record(event.Event{Time: time.Now(), Kind: event.UserCreated, User: "local:ada"}); err != nil {
			t.Fatal(err)
		}
	}
	if h.shelf, err = OpenShelf(h.state, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.id, h.plan = id, Plan{Recipients: []age.Recipient{id.Recipient()}, Dir: t.TempDir()}
	h.source = Source{Store: st, Ring: ring, Keys: filepath.Join(h.state, "keys"), Audit: filepath.Join(h.state, "audit"), Publish: c.Publish, Host: "gw-1", Version: "test"}
	h.put = func(b store.Bucket, id, value string) {
		t.Helper()
		if _, err := st.Put(t.Context(), store.Key{Bucket: b, ID: id}, []byte(value), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	h.put("user", "ada", strings.Repeat("a canary of ada's ", 2000))
	h.put("session", "s1", "one that is open now")
	return h
}

func (h *house) make(now time.Time) (Made, string) {
	h.t.Helper()
	m, err := h.shelf.Make(h.t.Context(), h.source, h.plan, now)
	if err != nil {
		h.t.Fatal(err)
	}
	return m, filepath.Join(h.plan.Dir, m.File)
}

// What was made is read by nobody without the identity, holds what the store had at that moment, and is a state directory again.
func TestBackupAndRestore(t *testing.T) {
	h := newHouse(t)
	m, file := h.make(time.Now())
	h.put("user", "eve", "who came later")
	content, err := os.ReadFile(file)
	if err != nil || bytes.Contains(content, []byte("canary")) || int64(len(content)) != m.Bytes {
		t.Fatalf("%d bytes, told of %d, %v; or it can be read", len(content), m.Bytes, err)
	}
	to := filepath.Join(t.TempDir(), "lib", "gatehouse")
	r, err := Restore(t.Context(), file, to, Want{SHA256: m.SHA256}, h.id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Items["user"] != 1 || r.Items["session"] != 1 || r.Audit.Records < 20 || !r.Keys || r.SHA256 != m.SHA256 {
		t.Errorf("%+v", r)
	}
	st, err := store.OpenEmbedded(filepath.Join(to, "store.db"), store.EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if item, err := st.Get(t.Context(), store.Key{Bucket: "user", ID: "ada"}); err != nil || !bytes.Contains(item.Value, []byte("canary")) {
		t.Errorf("ada: %v", err)
	}
	for _, gone := range []store.Key{{Bucket: "user", ID: "eve"}, {Bucket: "session", ID: "s1"}} {
		if _, err := st.Get(t.Context(), gone); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v, want it not to be there", gone, err)
		}
	}
	was, _ := os.ReadFile(h.source.Keys)
	if is, err := os.ReadFile(filepath.Join(to, "keys")); err != nil || !bytes.Equal(was, is) {
		t.Errorf("the keys are others, %v", err)
	}
	for _, secret := range []string{"subjects", "key"} { // what must be in no copy
		if _, err := os.Stat(filepath.Join(to, "audit-before", secret)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of the audit log was backed up: %v", secret, err)
		}
	}
	if _, err := Restore(t.Context(), file, to, Want{}, h.id); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a state that is there: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(h.state, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Whatever is wrong with a file is said, and nothing is made of it.
func TestUnfitBackups(t *testing.T) {
	h := newHouse(t)
	m, file := h.make(time.Now())
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := age.GenerateX25519Identity()
	forged := func(a Archive, files map[string]string) []byte {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		if err := Pack(&out, dir, a, h.id.Recipient()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	note := func() []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, h.id.Recipient())
		if err == nil {
			_, err = io.WriteString(w, strings.Repeat("a letter, not a backup. ", 100))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	stranger := forged(Archive{Keys: true, Seal: h.source.Ring.Seal(sealPurpose, nil, nil)}, map[string]string{"keys": newKeys(t)})
	for name, c := range map[string]struct {
		content []byte
		id      age.Identity
		want    Want
		says    string
	}{
		"cut in half":         {whole[:len(whole)/2], h.id, Want{}, "damaged"},
		"cut by a byte":       {whole[:len(whole)-1], h.id, Want{}, "damaged"},
		"cut in its head":     {whole[:40], h.id, Want{}, "damaged"},
		"one bit":             {flipped, h.id, Want{}, "damaged"},
		"nothing":             {nil, h.id, Want{}, "damaged"},
		"more behind it":      {append(bytes.Clone(whole), 'x'), h.id, Want{}, "damaged"},
		"another identity":    {whole, other, Want{}, "another recipient"},
		"another hash":        {whole, h.id, Want{SHA256: strings.Repeat("0", 64)}, "not the one that is on record"},
		"another audit key":   {whole, h.id, Want{Audit: "gw/audit/1/epoch/0+00000000+AQAA"}, "audit log"},
		"a letter":            {note(), h.id, Want{}, "damaged"},
		"a way out":           {forged(Archive{}, map[string]string{"etc/passwd": "x"}), h.id, Want{}, "no gateway packs"},
		"no store":            {forged(Archive{Store: true}, map[string]string{"store.db": "x"}), h.id, Want{}, "the store"},
		"keys that fit not":   {stranger, h.id, Want{}, "not those"},
		"keys that are none":  {forged(Archive{Keys: true}, map[string]string{"keys": "x"}), h.id, Want{}, "the keys"},
		"a log that is gone":  {forged(Archive{Audit: 7}, nil), h.id, Want{}, "audit log"},
		"a store that is not": {forged(Archive{Store: true}, nil), h.id, Want{}, "the store"},
	} {
		t.Run(name, func(t *testing.T) {
			bad, to := filepath.Join(t.TempDir(), m.File), filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(bad, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Restore(t.Context(), bad, to, c.want, c.id)
			if err == nil || !strings.Contains(err.Error(), c.says) || r.Error != err.Error() {
				t.Errorf("%v (reported: %q), want %q", err, r.Error, c.says)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is something at %s: %v", to, err)
			}
		})
	}
}

func newKeys(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := keyring.Create(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWithoutKeysAndStore(t *testing.T) {
	h := newHouse(t)
	keys := h.source.Keys
	h.source.Keys, h.source.Store = "", store.NewMemory()
	m, file := h.make(time.Now())
	if m.Keys || m.Store || m.Audit < 20 {
		t.Errorf("%+v", m)
	}
	for want, w := range map[string]Want{"": {Keys: keys}, "not those": {Keys: filepath.Join(t.TempDir(), "keys")}} {
		if want != "" {
			if _, err := keyring.Create(w.Keys); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(t.Context(), file, t.TempDir(), w, h.id); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// The oldest go, of this host alone, and nothing goes when none could be made.
func TestKeep(t *testing.T) {
	h := newHouse(t)
	h.plan.Keep = 2
	others := []string{"gatehouse-gw2-20200101T000000Z.age", "letter.txt"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(h.plan.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for i := range 4 {
		h.make(now.Add(time.Duration(i) * time.Hour))
	}
	all, err := List(h.plan.Dir)
	if err != nil || len(all) != 3 || all[0].Host != "gw2" || all[1].Time != now.Add(2*time.Hour).UTC().Truncate(time.Second) {
		t.Errorf("%+v, %v", all, err)
	}
	good := h.shelf.Book().Made
	h.source.Audit = filepath.Join(h.state, "keys") // no directory: it cannot be copied
	if _, err := h.shelf.Make(t.Context(), h.source, h.plan, now.Add(5*time.Hour)); err == nil {
		t.Fatal("a backup without the audit log was made")
	}
	if after, _ := List(h.plan.Dir); len(after) != 3 {
		t.Errorf("%+v", after)
	}
	again, err := OpenShelf(h.state, now)
	if err != nil || again.Book().Failed == "" || again.Book().Made.SHA256 != good.SHA256 {
		t.Errorf("after a restart: %+v, %v", again.Book(), err)
	}
	h.plan.Dir = filepath.Join(h.plan.Dir, "not mounted")
	if _, err := h.shelf.Make(t.Context(), h.source, h.plan, now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into a directory that is not there: %v", err)
	}
}

func TestDue(t *testing.T) {
	now := time.Now()
	made := func(ago time.Duration) *Made { return &Made{Time: now.Add(-ago)} }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		book Logbook
		want time.Duration
	}{
		"made an hour ago":          {Logbook{Made: made(time.Hour)}, day - time.Hour},
		"failed a minute ago":       {Logbook{Made: made(2 * day), Tried: now.Add(-time.Minute), Failed: "no room"}, againIn - time.Minute},
		"failed by hand, not due":   {Logbook{Made: made(time.Hour), Tried: now.Add(-time.Minute), Failed: "no room"}, day - time.Hour},
		"the clock was set back":    {Logbook{Made: made(-100 * day)}, day},
		"failed, and long ago, too": {Logbook{Made: made(2 * day), Tried: now.Add(-day), Failed: "no room"}, againIn - day},
	} {
		if got := due(c.book, day, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := due(Logbook{Since: now}, day, now); got > 0 {
		t.Errorf("none yet: %v", got)
	}
}
