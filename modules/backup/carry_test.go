package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script writes a program.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "carry")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// CAL-24: a program takes a backup elsewhere, once, without what is secret in the environment; one that fails says why, and is tried again
// with the same file.
func TestCarry(t *testing.T) {
	h, away := newHouse(t), t.TempDir()
	t.Setenv("OIDC_SECRET", "a canary")
	ctx := context.Background()
	if m, err := h.shelf.Carry(ctx, []string{"/bin/true"}, h.plan.Dir, time.Now()); m != nil || err != nil {
		t.Errorf("nothing was made: %v, %v", m, err)
	}
	made, err := h.shelf.Make(ctx, h.source, h.plan, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if carryDue(h.shelf.Book(), now) > 0 {
		t.Error("it is not due")
	}
	bad := script(t, "echo the bucket is not there >&2\nhead -c 100000 /dev/zero | tr '\\0' x\nexit 3\n")
	_, err = h.shelf.Carry(ctx, []string{bad, "{file}"}, h.plan.Dir, now)
	if err == nil || !strings.Contains(err.Error(), "exit status 3: the bucket is not there") || len(err.Error()) > maxSaid+500 {
		t.Errorf("%.300v", err)
	}
	if b := h.shelf.Book(); b.Last != nil || b.Uncarried == "" || carryDue(b, now) != againIn || due(b, time.Hour, made.Time) != time.Hour {
		t.Errorf("after a failure: %+v, due again in %v", b, carryDue(b, now))
	}
	good := script(t, "cp \"$2\" \""+away+"/$1\" && env > \""+away+"/env\"\n")
	words := []string{good, "a $(name); with words", "{file}"}
	m, err := h.shelf.Carry(ctx, words, h.plan.Dir, now)
	if err != nil || m == nil || m.Carried.IsZero() {
		t.Fatalf("%+v, %v", m, err)
	}
	if sum, err := sumOf(filepath.Join(away, words[1])); err != nil || sum != made.SHA256 {
		t.Errorf("what is elsewhere has the SHA-256 %s, %v", sum, err)
	}
	if env, err := os.ReadFile(filepath.Join(away, "env")); err != nil || strings.Contains(string(env), "canary") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("its environment: %s, %v", env, err)
	}
	if again, err := h.shelf.Carry(ctx, words, h.plan.Dir, now); again != nil || err != nil {
		t.Errorf("carried twice: %v, %v", again, err)
	}
	reopened, err := OpenShelf(h.state, now)
	if err != nil || reopened.Book().Last == nil || reopened.Book().Last.SHA256 != made.SHA256 || reopened.Book().Uncarried != "" {
		t.Errorf("after a restart: %+v, %v", reopened.Book(), err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := runCarry(ended, words, "x", heldFor); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

// A program that hangs keeps no backup from being made. It ends with all that it has started when the gateway does, which is no failure:
// the backup is due again.
func TestCarryHangs(t *testing.T) {
	h, away := newHouse(t), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := h.shelf.Make(ctx, h.source, h.plan, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(away, "pid")
	hangs := script(t, "sleep 600 &\necho $! > "+pid+".new && mv "+pid+".new "+pid+"\nwait\n")
	done := make(chan error, 1)
	go func() {
		m, err := h.shelf.Carry(ctx, []string{hangs, "{file}"}, h.plan.Dir, time.Now())
		if m != nil && err == nil {
			err = errors.New("it was carried")
		}
		done <- err
	}()
	var child []byte
	for ; len(child) == 0; time.Sleep(time.Millisecond) { // what the test waits for is another process
		child, _ = os.ReadFile(pid)
	}
	if _, err := h.shelf.Make(ctx, h.source, h.plan, time.Now()); err != nil {
		t.Errorf("a backup meanwhile: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if b := h.shelf.Book(); b.Uncarried != "" || carryDue(b, time.Now()) > 0 {
		t.Errorf("afterwards: %+v", b)
	}
	for stat := "/proc/" + strings.TrimSpace(string(child)) + "/stat"; ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(stat); err != nil || strings.Contains(string(text), ") Z ") {
			break
		}
	}
}

// A program that ends with 0 has carried the backup, even when something that it has left behind holds its output.
func TestCarryLeavesSomebody(t *testing.T) {
	if err := runCarry(t.Context(), []string{script(t, "sleep 5 &\nexit 0\n")}, "x", time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := runCarry(t.Context(), []string{script(t, "sleep 5 &\nexit 3\n")}, "x", time.Millisecond); err == nil {
		t.Error("a failure counts")
	}
}

// Whoever has backups carried no more has none that could not be; whoever begins to is given time.
func TestCarries(t *testing.T) {
	h, now := newHouse(t), time.Now()
	if _, err := h.shelf.Make(t.Context(), h.source, h.plan, now); err != nil {
		t.Fatal(err)
	}
	if err := h.shelf.Carries(true, now); err != nil || !h.shelf.Book().CarrySince.Equal(now) {
		t.Errorf("%+v, %v", h.shelf.Book(), err)
	}
	if _, err := h.shelf.Carry(t.Context(), []string{"/bin/false", "{file}"}, h.plan.Dir, now); err == nil || h.shelf.Book().Uncarried == "" {
		t.Errorf("%+v, %v", h.shelf.Book(), err)
	}
	if err := h.shelf.Carries(true, now.Add(time.Hour)); err != nil || !h.shelf.Book().CarrySince.Equal(now) || h.shelf.Book().Uncarried == "" {
		t.Errorf("told again: %+v, %v", h.shelf.Book(), err)
	}
	if err := h.shelf.Carries(false, now); err != nil || !h.shelf.Book().CarrySince.IsZero() || h.shelf.Book().Uncarried != "" {
		t.Errorf("no more: %+v, %v", h.shelf.Book(), err)
	}
}

func TestCarryWords(t *testing.T) {
	for says, words := range map[string][]string{
		"no absolute path": {"rclone", "{file}"}, "has {file}": {"/usr/bin/rclone", "copy"},
	} {
		if err := checkCarry(words); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", words, err)
		}
	}
	if err := errors.Join(checkCarry(nil), checkCarry([]string{"/usr/bin/rclone", "copyto", "{file}", "offsite:b/{file}"})); err != nil {
		t.Error(err)
	}
}
