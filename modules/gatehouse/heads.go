package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
)

const (
	headBucket store.Bucket = "audithead"
	headsEvery              = 5 * time.Minute // what is cut off in between, only the gateway itself knows of
	lastHeadIn              = time.Second     // at a stop
	maxHead                 = 4 << 10
)

// heads has gateways that share a store bear witness for each other's audit logs. Each puts the signed checkpoint of its log into
// the store, and what it finds there of others into its own log: a log that is cut, replaced or removed then contradicts the logs of
// all other gateways (`gatehouse audit verify --peer`). One that went back while its gateway was away is told of at once.
type heads struct {
	store store.Store
	audit *AuditLog
	tell  func(event.Event)
	known map[string]chain.Checkpoint // by origin; the loop's alone
	end   context.CancelFunc
	done  chan struct{}
}

// bearWitness begins, where the store is shared.
func (s *State) bearWitness() error {
	if _, shared := store.Nodes(s.Store); !shared {
		return nil
	}
	_, err := s.Keep("gatehouse.heads", func() (caddy.Destructor, error) {
		ctx, end := context.WithCancel(context.Background())
		h := newHeads(s.Store, s.Audit, s.Bus.Publish)
		h.end, h.done = end, make(chan struct{})
		go h.run(ctx)
		return h, nil
	})
	return err
}

func newHeads(st store.Store, audit *AuditLog, tell func(event.Event)) *heads {
	return &heads{store: st, audit: audit, tell: tell, known: map[string]chain.Checkpoint{}}
}

func (h *heads) run(ctx context.Context) {
	defer close(h.done)
	for {
		_ = h.exchange(ctx) // the store and the audit log tell of themselves; tried again
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastHeadIn)
			defer cancel()
			_, _ = h.show(last)
			return
		case <-time.After(headsEvery):
		}
	}
}

// Destruct implements caddy.Destructor.
func (h *heads) Destruct() error {
	h.end()
	<-h.done
	return nil
}

// exchange shows this gateway's head, and witnesses the others'.
func (h *heads) exchange(ctx context.Context) error {
	own, err := h.show(ctx)
	if err != nil {
		return err
	}
	for item, err := range h.store.Scan(ctx, headBucket, "") {
		if err != nil {
			return err
		}
		if item.Key.ID != own && len(item.Value) <= maxHead {
			h.witness(item.Key.ID, item.Value)
		}
	}
	return nil
}

// show puts this gateway's head into the store, tells when what it said there before is more than its log has now, and returns what
// the log is called.
func (h *heads) show(ctx context.Context) (origin string, err error) {
	c, err := h.audit.Chain()
	if err != nil {
		return "", err
	}
	msg, err := c.Head()
	if err != nil {
		return "", err
	}
	origin = c.Status().Origin
	now, err := chain.ParseCheckpoint(msg, h.audit.Identities(origin)...)
	if err != nil {
		return "", err
	}
	k := store.Key{Bucket: headBucket, ID: origin}
	item, err := h.store.Get(ctx, k)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return "", err
	default:
		if before, err := chain.ParseCheckpoint(item.Value, h.audit.Identities(origin)...); err == nil {
			h.compare(before, now, item.Value)
		}
	}
	_, err = h.store.Put(ctx, k, msg, store.PutOptions{})
	return origin, err
}

// witness puts another gateway's head on record, if it is signed and new.
func (h *heads) witness(origin string, msg []byte) {
	now, err := chain.ParseCheckpoint(msg, h.audit.Identities(origin)...)
	if err != nil || now.Origin != origin {
		return // no gateway of this house said it
	}
	before, seen := h.known[origin]
	if seen && before == now {
		return
	}
	h.known[origin] = now
	if seen {
		h.compare(before, now, nil)
	}
	h.tell(event.Event{Time: time.Now(), Kind: event.AuditWitnessed, Attrs: headAttrs(now, msg)})
}

// compare tells of a log that has less than it had.
func (h *heads) compare(before, now chain.Checkpoint, msg []byte) {
	if now.Size > before.Size || now == before {
		return
	}
	h.tell(event.Event{
		Time: time.Now(), Kind: event.AuditRewound, Attrs: headAttrs(before, msg),
		Detail: fmt.Sprintf("the audit log %s has %d records now, and had %d: it was cut, or taken from a copy. Keep the files of all gateways, and verify them with `gatehouse audit verify --peer`", before.Origin, now.Size, before.Size),
	})
}

func headAttrs(c chain.Checkpoint, msg []byte) []event.Attr {
	attrs := []event.Attr{{Key: "origin", Value: c.Origin}, {Key: "size", Value: strconv.FormatInt(c.Size, 10)}, {Key: "root", Value: c.Root.String()}}
	if msg != nil {
		attrs = append(attrs, event.Attr{Key: chain.HeadAttr, Value: string(msg)})
	}
	return attrs
}
