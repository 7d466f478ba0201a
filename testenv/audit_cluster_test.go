package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestAuditOfTwo: two gateways that share one state write an audit log each, at the same time. Each verifies with its own key, and
// nothing of one passes for the other's, whichever verifier is asked.
func TestAuditOfTwo(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	all := startCluster(t, 2, r, be.Listen)
	who := make([]*bans, len(all))
	var wg sync.WaitGroup
	for i, g := range all {
		who[i] = &bans{g: g, admin: g.adminClient(), n: 250 * i}
		wg.Go(func() {
			for range 40 {
				who[i].one(t)
			}
		})
	}
	wg.Wait()
	dirs, keys, anchors := make([]string, 2), make([]string, 2), make([]string, 2)
	for i, g := range all {
		dirs[i] = g.auditDir()
		keys[i] = strings.TrimSpace(g.cli(t, "audit", "key", dirs[i]))
		anchors[i] = filepath.Join(dirs[i], "checkpoint")
		if len(who[i].banned) != 40 {
			t.Fatalf("gateway %d acknowledged %d bans of 40", i, len(who[i].banned))
		}
	}
	if keys[0] == keys[1] {
		t.Fatal("both sign with one key")
	}
	for i, g := range all { // they share their bans, not what they did
		bans := g.cli(t, "ban", "list", "--address", "unix/"+g.env["ADMIN"])
		asked := g.cli(t, "audit", "export", dirs[i], "--key", keys[i], "--kind", "admin.requested")
		for j, b := range who {
			for _, network := range b.banned {
				address := strings.TrimSuffix(network, "/32")
				if !strings.Contains(bans, address) {
					t.Errorf("gateway %d knows nothing of the ban of %s", i, address)
				}
				if strings.Contains(asked, `"`+address+`"`) != (i == j) {
					t.Errorf("the ban of %s was asked of gateway %d; that gateway %d has it on record is %v", address, j, i, i != j)
				}
			}
		}
	}
	for _, g := range all {
		if err := g.stop(); err != nil { // publishes a checkpoint
			t.Fatal(err)
		}
	}
	ours := func(g *gateway, dir, key, anchor string) (string, bool) {
		_, says, code, err := g.command("audit", "verify", dir, "--key", key, "--checkpoint", anchor, "--quiet")
		if err != nil {
			t.Fatal(err)
		}
		return says, code == 0
	}
	for i, g := range all {
		if says, ok := ours(g, dirs[i], keys[i], anchors[i]); !ok {
			t.Errorf("gateway %d: %s", i, says)
		}
		if says := otherVerifier(t, dirs[i], keys[i], anchors[i]); !strings.HasPrefix(says, "ok ") {
			t.Errorf("gateway %d, the other verifier: %s", i, says)
		}
	}
	// What somebody might try who has the files of both, to hide what was done on the first.
	copied := func(from string) string {
		there := t.TempDir()
		if err := os.CopyFS(there, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		return there
	}
	move := func(name, from, to string) {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err = errors.Join(err, os.WriteFile(filepath.Join(to, name), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	const segment = "segment-0000000000000000.log"
	whole := copied(dirs[1])
	records := copied(dirs[0])
	move(segment, dirs[1], records)
	certificates := copied(dirs[0])
	move("epochs", dirs[1], certificates)
	for name, test := range map[string]struct{ dir, anchor string }{
		"all files are the other's":        {whole, anchors[0]},
		"the records are the other's":      {records, anchors[0]},
		"the certificates are the other's": {certificates, anchors[0]},
		"the checkpoint is the other's":    {dirs[0], anchors[1]},
	} {
		if _, ok := ours(all[0], test.dir, keys[0], test.anchor); ok {
			t.Errorf("%s: the gateway's verifier is content", name)
		}
		if says, err := tryOtherVerifier(test.dir, keys[0], test.anchor); err == nil {
			t.Errorf("%s: the other verifier is content: %s", name, says)
		}
	}
	// A record of the second, with its proof, is none of the first.
	out := t.TempDir()
	all[1].cli(t, "audit", "prove", "3", dirs[1], "--out", out)
	record, proof := filepath.Join(out, "3.record"), filepath.Join(out, "3.tlog-proof")
	for i := range all {
		_, says, code, err := all[i].command("audit", "check", record, proof, "--key", keys[i], "--epochs", dirs[i])
		if err != nil || (code == 0) != (i == 1) {
			t.Errorf("a record of gateway 1 under the key of gateway %d: exit %d, %v: %s", i, code, err, says)
		}
	}
}
