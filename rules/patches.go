package rules

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"
)

// Patch is a virtual patch: rules against one known hole, until those who run the application have mended it.
type Patch struct {
	File     string // its name in FS
	CVE      string
	Expires  time.Time // the last day on which it should be here
	Canary   string    // method and target of a request that it refuses
	Harmless string    // method and target of the nearest request that it lets pass
}

var (
	patchField = regexp.MustCompile(`(?m)^# ([a-z ]+): (.+)$`)
	cveName    = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,}$`)
	requestOf  = regexp.MustCompile(`^[A-Z]+ /\S*$`)
)

// Patches reads the headers of all virtual patches. A file whose header is not complete is an error.
func Patches() ([]Patch, error) { return patches(FS) }

func patches(files fs.FS) ([]Patch, error) {
	names, err := fs.Glob(files, "virtual-patches/*.conf")
	if err != nil {
		return nil, err
	}
	all := make([]Patch, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		p, err := parsePatch(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// parsePatch reads the comments that a virtual patch begins with.
func parsePatch(name, text string) (p Patch, err error) {
	head, _, _ := strings.Cut(text, "\nSec")
	fields := map[string]string{}
	for _, m := range patchField.FindAllStringSubmatch(head, -1) {
		if fields[m[1]] != "" {
			return p, fmt.Errorf("%q stands twice", m[1])
		}
		fields[m[1]] = strings.TrimSpace(m[2])
	}
	p = Patch{File: name, CVE: fields["cve"], Canary: fields["canary"], Harmless: fields["harmless"]}
	p.Expires, err = time.Parse(time.DateOnly, fields["expires"])
	switch {
	case !cveName.MatchString(p.CVE):
		return p, fmt.Errorf("cve: want a line such as # cve: CVE-2023-22515, have %q", p.CVE)
	case path.Base(name) != p.CVE+".conf":
		return p, fmt.Errorf("cve: the file of %s is called %s.conf", p.CVE, p.CVE)
	case err != nil:
		return p, fmt.Errorf("expires: want a day such as 2028-12-31, have %q", fields["expires"])
	case fields["why"] == "" || fields["fixed by"] == "":
		return p, fmt.Errorf("why and fixed by: say what the hole is and which release closes it")
	case !requestOf.MatchString(p.Canary) || !requestOf.MatchString(p.Harmless):
		return p, fmt.Errorf("canary and harmless: want a method and a target each, have %q and %q", p.Canary, p.Harmless)
	}
	return p, nil
}

// Expired reports whether the patch should be gone.
func (p Patch) Expired(now time.Time) bool { return now.After(p.Expires.AddDate(0, 0, 1)) }
