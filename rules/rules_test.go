package rules

import (
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestPatches(t *testing.T) {
	all, err := Patches()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no virtual patch is embedded")
	}
	for _, p := range all {
		if p.Expired(time.Now()) {
			t.Logf("WARNING: %s has expired on %s: remove it, or say why it must stay", p.File, p.Expires.Format(time.DateOnly))
		}
	}
}

func TestPatchHeaders(t *testing.T) {
	const good = "# cve: CVE-2023-22515\n# expires: 2028-12-31\n# why: x\n# fixed by: 1\n# canary: GET /a\n# harmless: GET /b\n\nSecRule A \"@rx b\" \"id:95000\"\n"
	tests := []struct{ name, file, text, err string }{
		{"complete", "CVE-2023-22515", good, ""},
		{"another file's name", "confluence", good, "is called"},
		{"no cve", "CVE-2023-22515", strings.Replace(good, "# cve", "# see", 1), "cve:"},
		{"no day", "CVE-2023-22515", strings.Replace(good, "2028-12-31", "some day", 1), "expires:"},
		{"no such day", "CVE-2023-22515", strings.Replace(good, "12-31", "02-30", 1), "expires:"},
		{"no reason", "CVE-2023-22515", strings.Replace(good, "# why", "# what", 1), "why"},
		{"no canary", "CVE-2023-22515", strings.Replace(good, "# canary", "# bird", 1), "canary"},
		{"half a canary", "CVE-2023-22515", strings.Replace(good, "GET /a", "/a", 1), "canary"},
		{"twice", "CVE-2023-22515", "# cve: CVE-2023-22515\n" + good, "twice"},
		{"after the rules", "CVE-2023-22515", "SecAction x\nSecAction y\n" + good, "cve:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := patches(fstest.MapFS{"virtual-patches/" + tt.file + ".conf": {Data: []byte(tt.text)}})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("err = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestPatchExpires(t *testing.T) {
	p := Patch{Expires: time.Date(2028, 12, 31, 0, 0, 0, 0, time.UTC)}
	if p.Expired(time.Date(2028, 12, 31, 23, 0, 0, 0, time.UTC)) {
		t.Error("expired on its last day")
	}
	if !p.Expired(time.Date(2029, 1, 1, 1, 0, 0, 0, time.UTC)) {
		t.Error("not expired on the day after")
	}
}

// TestRuleIDs: every id lies in the range that README.md gives to its folder, and is given once.
func TestRuleIDs(t *testing.T) {
	id := regexp.MustCompile(`\bid:([0-9]+)`)
	owner := map[int]string{}
	err := fs.WalkDir(FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".conf" {
			return err
		}
		text, err := fs.ReadFile(FS, name)
		if err != nil {
			return err
		}
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return err
			}
			low, high := idRange(name)
			if n < low || n > high {
				t.Errorf("%s: id %d, want one of %d to %d", name, n, low, high)
			}
			if owner[n] != "" {
				t.Errorf("%s: id %d is that of a rule in %s", name, n, owner[n])
			}
			owner[n] = name
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func idRange(name string) (low, high int) {
	switch folder, _, _ := strings.Cut(name, "/"); folder {
	case "apps":
		return 91000, 94999
	case "virtual-patches":
		return 95000, 95999
	case "before", "after":
		return 90000, 90999
	case "coraza.conf":
		return 200000, 200999
	}
	return 900000, 900999
}
