package waf

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse.internal/rules"
)

// appsDir is the folder of the embedded rules that holds one folder for each application: before and after, as a
// site's own directory has them.
const appsDir = "apps"

// Apps returns the names of the applications that exclusions are shipped for, sorted.
func Apps() (names []string) {
	entries, err := rules.FS.ReadDir(appsDir)
	if err != nil {
		panic("waf: unreadable embedded rules: " + err.Error()) // the binary itself is broken
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// checkApps refuses names that are unknown or stand twice.
func checkApps(names []string) error {
	known := Apps()
	for i, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("app %q: the applications are %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("app %s stands twice", name)
		}
	}
	return nil
}

// appFiles returns the rule files, as Coraza's parser knows them, that the applications have in the folder: in the
// order of their names, so that the order in a Caddyfile makes no difference.
func appFiles(apps []string, folder string) (names []string) {
	for _, app := range slices.Sorted(slices.Values(apps)) {
		files, err := fs.Glob(rules.FS, path.Join(appsDir, app, folder, "*.conf"))
		if err != nil {
			panic("waf: " + err.Error()) // a malformed pattern: an application's folder has an impossible name
		}
		for _, name := range files {
			names = append(names, path.Join(oursDir, name))
		}
	}
	return names
}
