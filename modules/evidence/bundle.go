package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/chain"
)

// A bundle is a folder with the report in every form, and a note (C2SP signed note) with the hashes of the files, which the gateway
// has signed:
//
//	gatehouse evidence
//	<origin of the audit log>
//	<time, RFC 3339>
//	<how many controls came out how>
//	sha256 <hash> <file>
//	…
const (
	noteHead = "gatehouse evidence"
	noteFile = "evidence.note"
)

// Hashed is a file of a bundle.
type Hashed struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

var (
	bundleName = regexp.MustCompile(`^evidence\.[a-z]{2,5}$`)
	hexSHA256  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// summaryLine is what the note says of the controls.
var summaryLine = regexp.MustCompile(`^[0-9]+ pass, [0-9]+ fail, [0-9]+ declared, [0-9]+ not applicable$`)

// noteText is what is signed. What a caller says is taken in no other form than it has in a note.
func noteText(origin string, now time.Time, summary string, files []Hashed) (string, error) {
	if !summaryLine.MatchString(summary) {
		return "", errors.New("say how many controls pass, fail, are declared and do not apply")
	}
	if len(files) == 0 {
		return "", errors.New("name the files and their hashes")
	}
	lines := []string{noteHead, origin, now.UTC().Format(time.RFC3339), summary}
	for _, f := range files {
		if !bundleName.MatchString(f.Name) || !hexSHA256.MatchString(f.SHA256) {
			return "", errors.New("a file of a bundle is evidence.<form>, with a SHA-256 in hexadecimal digits")
		}
		lines = append(lines, "sha256 "+f.SHA256+" "+f.Name)
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// hashOf is the SHA-256 in hexadecimal digits.
func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// writeBundle writes the report into a new folder in every form, and returns the hashes.
func writeBundle(dir string, r *Report) (files []Hashed, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("a bundle has a folder of its own: %w", err)
	}
	for _, form := range bundleForms {
		var b strings.Builder
		if err := formats[form].write(&b, r); err != nil {
			return nil, err
		}
		name := "evidence." + formats[form].ending
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o644); err != nil {
			return nil, err
		}
		files = append(files, Hashed{name, hashOf([]byte(b.String()))})
	}
	return files, nil
}

// Checked is what a bundle's note says.
type Checked struct {
	Origin, Summary string
	Made            time.Time
	Files           []string
}

// checkBundle reports whether a folder holds what the holder of the key has signed, and all of it.
func checkBundle(dir, key string) (c Checked, err error) {
	msg, err := os.ReadFile(filepath.Join(dir, noteFile))
	if err != nil {
		return c, err
	}
	text, err := chain.OpenNote(string(msg), key)
	if err != nil {
		return c, fmt.Errorf("%s: %w", noteFile, err)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 5 || lines[0] != noteHead {
		return c, fmt.Errorf("%s is signed, and no note of evidence", noteFile)
	}
	c.Origin, c.Summary = lines[1], lines[3]
	if c.Made, err = time.Parse(time.RFC3339, lines[2]); err != nil {
		return c, fmt.Errorf("%s: %w", noteFile, err)
	}
	for _, line := range lines[4:] {
		var f Hashed
		if n, err := fmt.Sscanf(line, "sha256 %s %s", &f.SHA256, &f.Name); n != 2 || err != nil || !bundleName.MatchString(f.Name) {
			return c, fmt.Errorf("%s: %q names no file", noteFile, line)
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			return c, err
		}
		if hashOf(text) != f.SHA256 {
			return c, fmt.Errorf("%s was changed", f.Name)
		}
		c.Files = append(c.Files, f.Name)
	}
	inside, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	for _, e := range inside {
		if e.Name() != noteFile && !slices.Contains(c.Files, e.Name()) {
			return c, fmt.Errorf("%s is in the folder, and was not signed", e.Name())
		}
	}
	return c, nil
}
