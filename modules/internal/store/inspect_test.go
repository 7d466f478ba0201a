package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestInspect(t *testing.T) {
	live := open(t, file(t), EmbeddedOptions{})
	for _, id := range []string{"a", "b", "c"} {
		mustPut(t, live, Key{"session", id}, "of "+id, PutOptions{TTL: time.Hour, Index: []string{"user:ada"}})
	}
	mustPut(t, live, Key{"user", "ada"}, string(bytes.Repeat([]byte("x"), 9000)), PutOptions{})
	if _, err := live.Incr(ctx, Key{"user", "tries"}, 1, 0); err != nil {
		t.Fatal(err)
	}
	var copied bytes.Buffer
	if err := live.Snapshot(ctx, &copied); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(copied.Bytes())
	got, err := Inspect(path)
	if err != nil || got["session"] != 3 || got["user"] != 1 || len(got) != 2 {
		t.Fatalf("Inspect = %v, %v", got, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, copied.Bytes()) {
		t.Errorf("it changed the file, %v", err)
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "no store": bytes.Repeat([]byte("gatehouse"), 4000), "half": copied.Bytes()[:copied.Len()/2],
	} {
		write(content)
		if got, err := Inspect(path); err == nil || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// A record whose first byte is wrong: the format of no record.
	damaged := bytes.Clone(copied.Bytes())
	head := len("user:ada") + 2 + recordHead
	for at := 0; ; at++ { // pages of before are in the file, too
		i := bytes.Index(damaged[at:], []byte("of b"))
		if i < 0 {
			break
		}
		at += i
		damaged[at-head] = 99
	}
	write(damaged)
	if got, err := Inspect(path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged record: %v, %v", got, err)
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
