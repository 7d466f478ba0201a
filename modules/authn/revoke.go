package authn

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

// Info is what a list says of a session. It holds no secret.
type Info struct {
	Name     string    `json:"name"` // as in logs
	User     string    `json:"user"` // provider:subject
	Host     string    `json:"host"`
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Agent    string    `json:"agent,omitempty"`
	Network  string    `json:"network,omitempty"`
	Current  bool      `json:"-"` // it is the one that asks

	entry *live
}

// List returns the living sessions of a person, the one last used first. current is the name of the session that asks;
// "" when none does.
func (s *Sessions) List(ctx context.Context, provider, subject, current string) ([]Info, error) {
	found, _, err := s.scan(ctx, userIndex(provider, subject), current, 0)
	return found, err
}

// ListAll returns up to limit living sessions of everybody, and whether there are more.
func (s *Sessions) ListAll(ctx context.Context, limit int) (found []Info, more bool, err error) {
	return s.scan(ctx, "", "", limit)
}

// scan returns the living sessions that carry the index, or all; at most limit of them if that is positive.
func (s *Sessions) scan(ctx context.Context, index, current string, limit int) (found []Info, more bool, err error) {
	for item, err := range s.store.Scan(ctx, sessionBucket, index) {
		if err != nil {
			return nil, false, fmt.Errorf("listing sessions: %w", err)
		}
		id, ok := idOf(item.Key.ID)
		if !ok {
			continue
		}
		info, alive := s.info(id, item)
		if !alive {
			continue
		}
		if limit > 0 && len(found) == limit {
			more = true
			break
		}
		info.Current = current != "" && info.Name == current
		found = append(found, info)
	}
	slices.SortFunc(found, func(a, b Info) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Name, b.Name))
	})
	return found, more, nil
}

func (s *Sessions) info(id sessionID, item store.Item) (Info, bool) {
	rec, e, alive := s.look(id, item)
	if !alive {
		return Info{}, false
	}
	return Info{
		Name: logName(id), User: rec.user(), Host: rec.Host, Created: rec.Created,
		LastSeen: time.Unix(0, e.seen.Load()).UTC().Truncate(time.Second), Agent: rec.Agent, Network: rec.Network,
		entry: e,
	}, true
}

// look returns the session in a stored item as this node sees it, if it is alive.
func (s *Sessions) look(id sessionID, item store.Item) (*record, *live, bool) {
	rec, err := s.open(item)
	if err != nil {
		return nil, nil, false
	}
	e := s.enliven(id, rec, item)
	s.mu.RLock()
	if at := s.table[id]; at != nil {
		e.inherit(at)
	}
	s.mu.RUnlock()
	return rec, e, e.over(rec.limits(), s.clock.now()) == ""
}

// EndNamed ends the session of this name if it is that person's; an empty subject: whoever's. It reports whether there was one.
func (s *Sessions) EndNamed(ctx context.Context, provider, subject, name string) (bool, error) {
	index := ""
	if subject != "" {
		index = userIndex(provider, subject)
	}
	gone, err := s.endWhere(ctx, index, func(id sessionID) bool { return logName(id) == name })
	return len(gone) > 0, err
}

// EndOthers ends all sessions of the person but the one of this name, and returns the names of those that it ended.
func (s *Sessions) EndOthers(ctx context.Context, provider, subject, except string) ([]string, error) {
	return s.endWhere(ctx, userIndex(provider, subject), func(id sessionID) bool { return logName(id) != except })
}

// endWhere ends the sessions that carry the index, or any, and that are meant. One that begins meanwhile is not.
func (s *Sessions) endWhere(ctx context.Context, index string, meant func(sessionID) bool) (gone []string, err error) {
	var ids []sessionID
	for item, err := range s.store.Scan(ctx, sessionBucket, index) {
		if err != nil {
			return nil, fmt.Errorf("looking for sessions to end: %w", err)
		}
		if id, ok := idOf(item.Key.ID); ok && meant(id) {
			ids = append(ids, id)
			gone = append(gone, logName(id))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := s.end(ctx, ids...); err != nil {
		return nil, err
	}
	return gone, nil
}

// EndUser ends all sessions of a person, in one step, and returns their names.
func (s *Sessions) EndUser(ctx context.Context, provider, subject string) ([]string, error) {
	return s.endIndexed(ctx, userIndex(provider, subject))
}

// EndSID ends the sessions that the provider calls by this name, in one step, and returns their own names.
func (s *Sessions) EndSID(ctx context.Context, provider, sid string) ([]string, error) {
	return s.endIndexed(ctx, sidIndex(provider, sid))
}

func (s *Sessions) endIndexed(ctx context.Context, index string) (gone []string, err error) {
	keys, err := s.store.DeleteIndexed(ctx, sessionBucket, index)
	if err != nil {
		return nil, fmt.Errorf("ending sessions: %w", err)
	}
	for _, key := range keys {
		if id, ok := idOf(key.ID); ok {
			s.forget(id)
			gone = append(gone, logName(id))
		}
	}
	return gone, nil
}

// EndAll ends every session of everybody, and returns their names.
func (s *Sessions) EndAll(ctx context.Context) ([]string, error) {
	return s.endWhere(ctx, "", func(sessionID) bool { return true })
}

// EndLeaked ends the session of a cookie that somebody else may have seen, if there is one, and says so. A cookie that is
// nobody's costs a read, not a write.
func (s *Sessions) EndLeaked(ctx context.Context, token, why string) error {
	id, ok := sumOf(token)
	if !ok {
		return nil
	}
	e, _, err := s.current(ctx, id)
	switch {
	case err == errNoSession:
		return nil
	case err != nil:
		return err
	}
	if err := s.end(ctx, id); err != nil {
		return err
	}
	s.ended(e.proof.Name(), e.proof.Session(), why)
	return nil
}

// Remaining returns how long the session would last unused, and how long at the most; it counts as no use.
func (s *Sessions) Remaining(ctx context.Context, token, host string, l Limits) (idle, absolute time.Duration, ok bool) {
	_, e, err := s.find(ctx, token, host, l, Use{})
	if err != nil {
		return 0, 0, false
	}
	now := s.clock.now()
	absolute = max(time.Duration(e.end(l)-now), 0)
	return min(max(l.idle(e.roles)-time.Duration(now-e.seen.Load()), 0), absolute), absolute, true
}

// Expired returns whose session on host the cookie's value stood for, if it ended by age within the last half hour. It
// proves nobody: it only says whose unfinished form may be kept. A session that was ended leaves no trace.
func (s *Sessions) Expired(ctx context.Context, token, host string, l Limits) (identity.Identity, bool) {
	id, ok := sumOf(token)
	if !ok {
		return identity.Identity{}, false
	}
	item, err := s.store.Get(ctx, storeKey(id))
	if err != nil {
		return identity.Identity{}, false
	}
	rec, err := s.open(item)
	if err != nil || rec.Host != host || rec.Who.Tenant != l.Tenant {
		return identity.Identity{}, false
	}
	e, now := s.enliven(id, rec, item), s.clock.now()
	end := min(e.seen.Load()+int64(l.idle(e.roles)), e.end(l))
	if now <= end || now-end > int64(tombLife) {
		return identity.Identity{}, false
	}
	return rec.Who, true
}

// Kept returns what the provider has kept with the session: for logging out there too.
func (s *Sessions) Kept(ctx context.Context, token string) ([]byte, error) {
	id, ok := sumOf(token)
	if !ok {
		return nil, errNoSession
	}
	item, err := s.store.Get(ctx, storeKey(id))
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	rec, err := s.open(item)
	if err != nil {
		return nil, err
	}
	return rec.Keep, nil
}
