package audit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// witnessed is what other gateways' audit logs say of audit logs: by origin, the signed checkpoints that they saw.
type witnessed map[string][][]byte

// readPeers verifies other gateways' audit logs, and returns what they witnessed and which origins they have.
func readPeers(dirs []string) (seen witnessed, origins []string, err error) {
	seen = witnessed{}
	for _, dir := range dirs {
		r, err := chain.Verify(dir, chain.VerifyOptions{Each: func(r *chain.Record) error {
			if k := event.Kind(r.Kind); k != event.AuditWitnessed && k != event.AuditRewound {
				return nil
			}
			if head := r.Attr(chain.HeadAttr); head != "" {
				seen[r.Attr("origin")] = append(seen[r.Attr("origin")], []byte(head))
			}
			return nil
		}})
		if err != nil {
			return nil, nil, fmt.Errorf("the peer %s: %w", dir, fault(err))
		}
		origins = append(origins, r.Origin)
	}
	return seen, origins, nil
}

// gone is an error that names the audit logs that peers witnessed and nobody shows; nil when there are none.
func (w witnessed) gone(shown []string) error {
	var names []string
	for _, origin := range slices.Sorted(maps.Keys(w)) {
		if !slices.Contains(shown, origin) {
			names = append(names, origin)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return errors.New("peers have seen audit logs that are not here: " + strings.Join(names, ", ") +
		". Name their directories with --peer; if they are nowhere, they were removed")
}
