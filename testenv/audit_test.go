package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// auditDir is where the gateway keeps the record of what was done.
func (g *gateway) auditDir() string { return filepath.Join(g.dir, "state", "audit") }

// stranger verifies with a program that shares no code with the gateway, and returns what it says.
func otherVerifier(t testing.TB, dir, key string, anchors ...string) string {
	t.Helper()
	text, err := tryOtherVerifier(dir, key, anchors...)
	if err != nil && !strings.HasPrefix(text, "bad ") {
		t.Fatalf("the other verifier: %v: %s", err, text)
	}
	return text
}

// tryOtherVerifier is otherVerifier, to which files may make no sense at all.
func tryOtherVerifier(dir, key string, anchors ...string) (string, error) {
	out, err := exec.Command("/usr/bin/python3", append([]string{"audit_verify.py", dir, key}, anchors...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// TestAuditSurvivesKill9: administrators do things while the gateway is killed. What a command said was done is on record
// after the restart, in order, and two verifiers that share nothing but the description of the files agree that all is well;
// and, after each kind of tampering, on the first sequence that is bad.
func TestAuditSurvivesKill9(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	var mu sync.Mutex
	var done []string // guarded by mu
	var why string    // guarded by mu; a ban was refused
	admin := g.adminClient()
	ban := func(network string) bool {
		body := strings.NewReader(fmt.Sprintf(`{"network":%q,"for":"1h","by":"olga"}`, network))
		res, err := admin.Post("http://localhost/gatehouse/bans", "application/json", body)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			mu.Lock()
			why = string(text)
			mu.Unlock()
		}
		return err == nil && res.StatusCode == http.StatusOK
	}
	for round := range 3 {
		var wg sync.WaitGroup
		first := make(chan struct{})
		var once sync.Once
		for worker := range 2 {
			wg.Go(func() {
				for i := range 250 {
					network := fmt.Sprintf("198.51.%d.%d", 10*round+worker, i)
					if !ban(network) {
						return // not acknowledged
					}
					mu.Lock()
					done = append(done, network+"/32")
					enough := i == 20
					mu.Unlock()
					if enough {
						once.Do(func() { close(first) })
					}
				}
			})
		}
		all := make(chan struct{})
		go func() { wg.Wait(); close(all) }()
		select {
		case <-first:
		case <-all:
			t.Fatalf("no ban was acknowledged: the test tests nothing; the gateway says %v", why)
		}
		if err := g.kill9(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := g.start(); err != nil {
			t.Fatal(err)
		}
	}
	dir := g.auditDir()
	key := strings.TrimSpace(g.cli(t, "audit", "key", dir))
	shown := g.cli(t, "audit", "export", dir, "--key", key)
	if me, err := user.Current(); err != nil || !strings.Contains(shown, fmt.Sprintf(`"operator":["olga"],"peer":[%q],"peer_process":["uid %s pid %d"]`, me.Username, me.Uid, os.Getpid())) {
		t.Errorf("who claims to have done it and who the kernel says it was are not both on record, %v", err)
	}
	for _, network := range done {
		if !strings.Contains(shown, network) {
			t.Errorf("the ban of %s was acknowledged and is not on record", network)
		}
	}
	if err := g.stop(); err != nil { // publishes a checkpoint
		t.Fatal(err)
	}
	anchor := filepath.Join(dir, "checkpoint")
	ours := g.cli(t, "audit", "verify", dir, "--key", key, "--checkpoint", anchor)
	theirs := otherVerifier(t, dir, key, anchor)
	var records int
	if _, err := fmt.Sscanf(theirs, "ok %d", &records); err != nil || !strings.Contains(ours, fmt.Sprintf("verified %d records", records)) || records < len(done) {
		t.Fatalf("they disagree: %q and %q", ours, theirs)
	}
	t.Logf("%d acknowledged, %s", len(done), theirs)
	agreeOnTampering(t, g, dir, key, records)
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
}

// TestLoadWhileStarting: the administration endpoint answers a moment before the house does. What is asked of it then is on record, too.
func TestLoadWhileStarting(t *testing.T) {
	t.Parallel()
	g := startGateway(t, config{Backend: startBackend(t).Listen})
	conf, err := g.adapted()
	if err != nil {
		t.Fatal(err)
	}
	onRecord := func() int {
		return strings.Count(g.cli(t, "audit", "export", g.auditDir(), "--kind", "admin.requested"), `"path":"/load"`)
	}
	for range 3 {
		before := onRecord()
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		loaded := make(chan error)
		go func() {
			loaded <- until(readyIn, "the first moment of the administration endpoint", func() bool { return g.loadJSON(conf) == nil })
		}()
		if err := errors.Join(g.start(), <-loaded); err != nil {
			t.Fatal(err)
		}
		if n := onRecord() - before; n < 1 {
			t.Error("a configuration was loaded, and nothing says so")
		}
	}
}

// agreeOnTampering does to copies what can be done to files.
func agreeOnTampering(t *testing.T, g *gateway, dir, key string, records int) {
	t.Helper()
	anchor := filepath.Join(dir, "checkpoint")
	person := strings.TrimSpace(g.cli(t, "audit", "export", dir, "--kind", "admin.requested"))
	var asked struct{ Seq int }
	if err := json.Unmarshal([]byte(strings.Split(person, "\n")[0]), &asked); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		seq    int
		change func(lines []string, at int) []string
	}{
		"edited": {7, func(lines []string, at int) []string {
			lines[at] = strings.Replace(lines[at], `"kind":"`, `"kind":"x`, 1)
			return lines
		}},
		"deleted": {5, func(lines []string, at int) []string { return append(lines[:at:at], lines[at+1:]...) }},
		"out of order": {4, func(lines []string, at int) []string {
			for next := at + 1; ; next++ {
				if strings.HasPrefix(lines[next], `{"seq":`) {
					lines[at], lines[next] = lines[next], lines[at]
					return lines
				}
			}
		}},
		"cut off": {records - 3, func(lines []string, at int) []string { return lines[:at] }},
		"another person": {asked.Seq, func(lines []string, at int) []string {
			lines[at] = strings.Replace(lines[at], "olga", "ida", 1)
			return lines
		}},
	} {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(copied, "segment-0000000000000000.log")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines, at := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), 0
			for at = range lines {
				if strings.HasPrefix(lines[at], fmt.Sprintf(`{"seq":%d,`, test.seq)) {
					break
				}
			}
			before := strings.Join(lines, "\n")
			after := strings.Join(test.change(lines, at), "\n")
			if before == after {
				t.Fatal("nothing was changed: the test tests nothing")
			}
			if err := os.WriteFile(file, []byte(after+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, says, code, err := g.command("audit", "verify", copied, "--key", key, "--checkpoint", anchor, "--quiet")
			if err != nil || code == 0 || !strings.Contains(says, fmt.Sprintf("first bad sequence %d ", test.seq)) && !strings.Contains(says, fmt.Sprintf("first bad sequence %d:", test.seq)) {
				t.Errorf("the gateway's verifier: exit %d, %v: %s", code, err, says)
			}
			if says := otherVerifier(t, copied, key, anchor); !strings.HasPrefix(says, fmt.Sprintf("bad %d ", test.seq)) {
				t.Errorf("the other verifier: %s", says)
			}
		})
	}
}
