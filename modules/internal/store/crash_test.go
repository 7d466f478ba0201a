package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

const crashEnv = "GATEHOUSE_STORE_CRASH" // path of the file and number of the round: this process is the writer

func TestMain(m *testing.M) {
	if arg := os.Getenv(crashEnv); arg != "" {
		path, round, _ := strings.Cut(arg, "|")
		if err := crashWriter(path, round); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// crashWriter writes until it is killed: "+" says a put was acknowledged, "?" that a delete begins, "-" that it was acknowledged.
func crashWriter(path, round string) error {
	s, err := OpenEmbedded(path, EmbeddedOptions{})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				if err := crashStep(s, fmt.Sprintf("%s-%d-%d", round, w, i), fmt.Sprintf("%s-%d-%d", round, w, i-2), i); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func crashStep(s Store, id, before string, i int) error {
	if _, err := s.Put(ctx, Key{"user", id}, []byte(id), PutOptions{TTL: time.Hour, Index: []string{"all"}}); err != nil {
		return err
	}
	say("+", id)
	if i%3 != 2 {
		return nil
	}
	say("?", before)
	if err := s.Delete(ctx, Key{"user", before}); err != nil {
		return err
	}
	say("-", before)
	return nil
}

// say writes one line in one system call: all of it, or none, reaches the parent.
func say(what, id string) { _, _ = os.Stdout.WriteString(what + " " + id + "\n") }

func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("kills ten processes")
	}
	path := file(t)
	there, begun, gone := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for round := range 10 {
		crashRound(t, path, round, func(what, id string) {
			map[string]map[string]bool{"+": there, "?": begun, "-": gone}[what][id] = true
		})
		s := open(t, path, EmbeddedOptions{})
		for id := range there {
			it, err := s.Get(ctx, Key{"user", id})
			switch {
			case err == nil && gone[id]:
				t.Errorf("round %d: %s came back", round, id)
			case errors.Is(err, ErrNotFound) && begun[id]:
			case err != nil || string(it.Value) != id:
				t.Errorf("round %d: %s = %q, %v: lost", round, id, it.Value, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path)
	}
	if len(there) < 100 {
		t.Errorf("only %d writes acknowledged", len(there))
	}
	t.Logf("%d puts and %d deletes acknowledged", len(there), len(gone))
}

// crashRound starts a writer, kills it at some instant after its first acknowledgement, and reports all it said.
func crashRound(t *testing.T, path string, round int, said func(what, id string)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path+"|"+strconv.Itoa(round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() { _ = cmd.Process.Kill() }
	defer time.AfterFunc(30*time.Second, kill).Stop() // a writer that never gets going
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		once.Do(func() { time.AfterFunc(time.Duration(rand.IntN(200_000))*time.Microsecond, kill) })
		if what, id, ok := strings.Cut(lines.Text(), " "); ok {
			said(what, id)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed: always an error
}

// checkFile asks bbolt whether its pages, and us whether our indexes, are consistent.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("Check: %v", err)
		}
		n := tx.Bucket(recordsBucket).Stats().KeyN
		for _, b := range [][]byte{indexBucket, expiryBucket} { // each record here has one index and an expiry
			if m := tx.Bucket(b).Stats().KeyN; m != n {
				t.Errorf("%d records, %d entries in %s", n, m, b)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
