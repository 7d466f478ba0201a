package siem

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/DeRuina/timberjack"
)

// Each file of a family has the head first, and once, whether another was begun because it was long or because it was old, and
// nothing is lost or written twice.
func TestEachFileHasTheHead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "siem.csv")
	open := func() *rolledFile {
		f := &rolledFile{Logger: &timberjack.Logger{Filename: name, MaxSize: 1, FileMode: 0o600}, head: []byte("head\n"), most: 1 << 20}
		if err := f.roll(time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := f.add(nil); err != nil {
			t.Fatal(err)
		}
		return f
	}
	f, lines := open(), 0
	add := func(n int) {
		t.Helper()
		for range n {
			if err := f.add([]byte(strings.Repeat("x", 999) + "\n")); err != nil {
				t.Fatal(err)
			}
			lines++
		}
	}
	add(2500) // more than two files
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = open() // after a restart
	add(10)
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(name, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if err := f.roll(time.Now()); err != nil {
		t.Fatal(err)
	}
	add(10)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(name), "*"))
	if len(files) != 4 {
		t.Fatalf("the files are %q", files)
	}
	for _, file := range files {
		text := unzipped(t, file)
		if !bytes.HasPrefix(text, []byte("head\n")) || bytes.Count(text, []byte("head")) != 1 || len(text) > 1<<20 {
			t.Errorf("%s has %d bytes, %d heads", file, len(text), bytes.Count(text, []byte("head")))
		}
		lines -= bytes.Count(text, []byte("\n")) - 1
	}
	if lines != 0 {
		t.Errorf("%d lines are missing", lines)
	}
}

func unzipped(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(file, ".gz") {
		return text
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return text
}
