package audit

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// A log that was cut after another gateway had seen it does not verify against that gateway's; one that was removed is missed.
func TestVerifyAgainstPeers(t *testing.T) {
	top := t.TempDir()
	dir := func(name string) string { return filepath.Join(top, name) }
	open := func(name string) *chain.Chain {
		t.Helper()
		c, err := chain.Open(dir(name), chain.Options{Origin: name})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	record := func(c *chain.Chain, e event.Event) {
		t.Helper()
		e.Time = time.Now()
		if err := c.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	shut := func(c *chain.Chain) {
		t.Helper()
		if err := c.Destruct(); err != nil {
			t.Fatal(err)
		}
	}
	a := open("a")
	record(a, event.Event{Kind: event.UserDisabled, User: "local:ada"})
	shut(a)
	if err := os.CopyFS(dir("before"), os.DirFS(dir("a"))); err != nil {
		t.Fatal(err)
	}
	a = open("a")
	record(a, event.Event{Kind: event.UserEnabled, User: "local:ada"})
	head, err := a.Head()
	if err != nil {
		t.Fatal(err)
	}
	shut(a)
	for _, name := range []string{"b", "c"} {
		c := open(name)
		record(c, event.Event{Kind: event.AuditWitnessed, Attrs: []event.Attr{{Key: "origin", Value: "a"}, {Key: chain.HeadAttr, Value: string(head)}}})
		shut(c)
	}
	verify := func(dirs ...string) error {
		cmd := verifyCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		args := []string{"--quiet", dir(dirs[0])}
		for _, d := range dirs[1:] {
			args = append(args, "--peer", dir(d))
		}
		cmd.SetArgs(args)
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetErr(io.Discard)
		return cmd.Execute()
	}
	if err := verify("a", "b", "c"); err != nil {
		t.Errorf("as it was: %v", err)
	}
	if err := verify("b", "a", "c"); err != nil {
		t.Errorf("as the peer was: %v", err)
	}
	if err := verify("before"); err != nil {
		t.Errorf("without peers nothing is seen of a cut: %v", err)
	}
	if err := verify("before", "b"); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("what was cut: %v", err)
	}
	if err := verify("b", "c"); err == nil || !strings.Contains(err.Error(), "seen audit logs that are not here: a") {
		t.Errorf("what was removed: %v", err)
	}
}
