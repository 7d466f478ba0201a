package authn

import (
	"slices"
	"strings"
	"sync"

	"gatehouse.internal/modules/internal/identity"
)

// Bounds of [names]: what many sessions share is little; what comes beyond is not shared.
const (
	internBytes  = 8 << 20 // of texts and lists, about
	internLength = 1 << 16 // longer ones are not worth keeping
)

// names makes sessions share what is equal in many of them: issuers, hosts, lists of roles. It is bounded, and starts
// again when it is full: sessions keep what they have. The zero value is ready to use; it is safe for concurrent use.
type names struct {
	mu    sync.Mutex
	texts map[string]string   // guarded by mu
	lists map[string][]string // guarded by mu; by their elements, joined
	bytes int                 // guarded by mu
}

// identity replaces what many have in common by what they share.
func (n *names) identity(who *identity.Identity) {
	who.Normalize()
	n.mu.Lock()
	defer n.mu.Unlock()
	who.Roles, who.AMR = n.list(who.Roles), n.list(who.AMR)
	who.Provider, who.Issuer, who.ACR = n.text(who.Provider), n.text(who.Issuer), n.text(who.ACR)
}

// host is a text of its own; identity holds the lock for all of its own.
func (n *names) host(s string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text(s)
}

// text returns a text equal to s. n.mu must be held, here and below.
func (n *names) text(s string) string {
	if s == "" || len(s) > internLength {
		return s
	}
	if kept, ok := n.texts[s]; ok {
		return kept
	}
	n.room(2*len(s) + 64)
	s = strings.Clone(s)
	n.texts[s] = s
	return s
}

// list returns a list with these elements, which nobody may write.
func (n *names) list(l []string) []string {
	if len(l) == 0 {
		return nil
	}
	key := strings.Join(l, "\x00")
	if len(key) > internLength {
		return l
	}
	// An element may hold a zero byte, so that two lists could have one key: equality is looked at, not assumed.
	if kept, ok := n.lists[key]; ok && slices.Equal(kept, l) {
		return kept
	}
	kept := make([]string, len(l))
	for i, s := range l {
		kept[i] = n.text(s)
	}
	n.room(len(key) + 16*len(l) + 64)
	n.lists[key] = kept
	return kept
}

// room starts again when these bytes would be too many.
func (n *names) room(bytes int) {
	if n.texts == nil || n.bytes+bytes > internBytes {
		n.texts, n.lists, n.bytes = make(map[string]string), make(map[string][]string), 0
	}
	n.bytes += bytes
}
