package gatehouse

import (
	"fmt"
	"regexp"
)

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// TakeName checks the name of one of several things, which kind calls by their plural, and that it is not among taken, and
// adds it to them.
func TakeName(taken map[string]bool, kind, name string) error {
	if !plainName.MatchString(name) {
		return fmt.Errorf("name %q: use 1 to 63 of a-z, 0-9 and -", name)
	}
	if taken[name] {
		return fmt.Errorf("two %s are called %q: give one a `name` of its own", kind, name)
	}
	taken[name] = true
	return nil
}
