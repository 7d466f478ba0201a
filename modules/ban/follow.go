package ban

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
)

const counts store.Bucket = "ban_count"

// waiting is a ban that is in force and not written yet.
type waiting struct {
	Ban
	nth int64 // of its network; 0 until it was counted
}

// write makes durable what the jails pronounce, one after the other, and tells of it.
func (d *Desk) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryEvery)
			defer cancel()
			for d.writeNext(last) == nil {
			}
			return
		case <-d.wake:
		}
		for {
			err := d.writeNext(ctx)
			if errors.Is(err, errNone) {
				break
			}
			if err == nil {
				continue
			}
			select { // it stays in force meanwhile
			case <-ctx.Done():
			case <-time.After(retryEvery):
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
}

var errNone = errors.New("nothing waits to be written")

// writeNext writes the ban that has waited longest; errNone when there is none.
func (d *Desk) writeNext(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	if len(d.waiting) == 0 {
		d.mu.Unlock()
		return errNone
	}
	w := d.waiting[0]
	d.mu.Unlock()
	if w.nth == 0 {
		n, err := d.store.Incr(ctx, store.Key{Bucket: counts, ID: w.id()}, 1, escalateFor)
		if err != nil {
			return err
		}
		w.nth = n
	}
	if r := d.rules.Load(); r != nil {
		for i := range r.jails {
			if j := &r.jails[i]; j.Name == w.Jail {
				w.Until = w.Since.Add(j.length(w.nth))
			}
		}
	}
	if time.Now().Before(w.Until) {
		if err := d.keep(ctx, w.Ban); err != nil {
			return err
		}
		b := w.Ban
		d.bans.set(&b)
		pronounced.WithLabelValues(b.Jail).Inc()
		d.tell(event.BanAdded, b, "")
	}
	d.mu.Lock()
	d.waiting = slices.DeleteFunc(d.waiting, func(x *waiting) bool { return x == w })
	d.mu.Unlock()
	return nil
}

// follow takes over what is written, by whichever node.
func (d *Desk) follow(ctx context.Context, feed <-chan store.Event) {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	broken := false // everything has to be read again
	for {
		select {
		case ev, open := <-feed:
			if !open {
				return
			}
			if ev.Kind == store.Resync {
				broken = d.read(ctx) != nil
			} else if d.reread(ctx, ev.Key) != nil {
				broken = true
			}
		case <-again.C:
			if broken {
				broken = d.read(ctx) != nil
			}
		}
	}
}

// read takes over all bans that are written, and leaves those in force that are not yet.
func (d *Desk) read(ctx context.Context) error {
	all := map[Whom]*Ban{}
	for item, err := range d.store.Scan(ctx, bucket, "") {
		if err != nil {
			return err
		}
		if b, ok := d.decode(item); ok {
			all[b.Whom] = b
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.waiting {
		b := w.Ban
		all[b.Whom] = &b
	}
	d.bans.replace(all)
	d.present.shutOut()
	return nil
}

func (d *Desk) reread(ctx context.Context, k store.Key) error {
	whom, err := ParseWhom(k.ID)
	if err != nil {
		return nil // none of ours
	}
	item, err := d.store.Get(ctx, k)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.waiting, func(w *waiting) bool { return w.Whom == whom }) {
		return nil // a newer one is in force
	}
	if b, ok := d.decode(item); err == nil && ok {
		d.bans.set(b)
		d.present.shutOut()
	} else {
		d.bans.delete(whom)
	}
	return nil
}

// decode reads a ban; one that cannot be read shuts nobody out, for it does not say whom. One that began where the clock is ahead began
// when it came here, or no proof that it asks for would be young enough until this clock has caught up.
func (d *Desk) decode(item store.Item) (*Ban, bool) {
	b := new(Ban)
	if err := json.Unmarshal(item.Value, b); err != nil || !b.valid() {
		return nil, false
	}
	if now := time.Now(); b.Since.After(now) {
		b.Since = now.UTC()
		if was, ok := d.bans.get(b.Whom); ok && was.Since.Before(now) && was.Until.Equal(b.Until) {
			b.Since = was.Since
		}
	}
	return b, true
}
