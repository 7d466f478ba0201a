package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"
)

const sweepStep = 256 // records removed in one request: other writers get their turn in between

// hurrySweep has an expired record that a reader met removed now, not at the next tick: its absence was reported,
// so store time must become durable before a crash and a wall clock set back could undo it.
func (e *embedded) hurrySweep() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

func (e *embedded) sweepLoop() {
	defer close(e.swept)
	tick := time.NewTicker(e.opts.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-e.kick:
		case <-tick.C:
		}
		e.sweep()
	}
}

// sweep removes what has expired. While the engine is broken it also is the probe that finds it healed.
func (e *embedded) sweep() {
	if e.broken.Load() == nil && !e.anyDue() {
		return
	}
	for {
		removed := 0
		err := e.write(context.Background(), 0, func(w *writeTx) error {
			removed = w.sweep(sweepStep)
			return nil
		})
		if err != nil || removed < sweepStep {
			return
		}
	}
}

func (e *embedded) anyDue() (due bool) {
	// An error is Close or a broken engine; either way there is nothing to sweep now.
	_ = e.view(context.Background(), func(tx *bolt.Tx) error {
		now, _ := e.clock.read()
		k, _ := tx.Bucket(expiryBucket).Cursor().First()
		due = len(k) >= 8 && bytes.Compare(k[:8], binary.BigEndian.AppendUint64(nil, uint64(now))) <= 0
		return nil
	})
	return due
}
