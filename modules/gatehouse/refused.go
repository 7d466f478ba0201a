package gatehouse

import (
	"fmt"
	"os"
)

// Refused tells the operator, on standard error and in one sentence, why a configuration is refused, and returns err
// unchanged; nil it returns silently. Caddy reports errors of loading too, but behind the names of a dozen modules,
// and into the log file when the configuration names one.
func Refused(err error) error {
	if err != nil {
		fmt.Fprintf(os.Stderr, "gatehouse: configuration refused: %v\n", err)
	}
	return err
}
