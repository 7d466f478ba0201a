package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/wholefile"
)

// write is the writer: everything that changes files runs on it.
func (c *Chain) write() {
	defer close(c.done)
	round := time.NewTicker(roundEvery)
	defer round.Stop()
	for {
		select {
		case <-c.wake:
			c.gather()
			c.commitAll()
		case published := <-c.asked:
			c.commitAll()
			c.publish()
			close(published)
		case <-round.C:
			c.commitAll() // what failed before may work now
			c.look()
		}
		c.mu.Lock()
		ended := c.ended
		c.mu.Unlock()
		if ended {
			c.commitAll()
			c.publish()
			return
		}
	}
}

// gather waits for more, unless somebody waits for what is there.
func (c *Chain) gather() {
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-c.urgent:
	case <-t.C:
	}
}

// commitAll writes the queue, in one group or a few.
func (c *Chain) commitAll() {
	for {
		c.mu.Lock()
		batch, lost := c.queue, c.lost
		c.queue = nil
		c.mu.Unlock()
		if len(batch) == 0 && lost == 0 {
			return
		}
		group := batch
		if lost > 0 {
			group = append(group, waiting{entry: c.own(Lost, fmt.Sprintf("%d events could not be kept", lost))})
		}
		err := c.commit(group)
		c.tell(err)
		if err == nil {
			c.mu.Lock()
			c.lost -= lost
			c.mu.Unlock()
		} else {
			c.putBack(batch)
		}
		for _, w := range batch {
			if w.done != nil {
				w.done <- err
			}
		}
		if err != nil {
			return
		}
	}
}

// putBack keeps what nobody waited for, for the next attempt. What somebody waits for is refused, and must not appear later.
func (c *Chain) putBack(batch []waiting) {
	kept := make([]waiting, 0, len(batch))
	for _, w := range batch {
		if w.done == nil {
			kept = append(kept, w)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	room := max(maxWaiting-len(c.queue), 0)
	if over := len(kept) - room; over > 0 {
		kept = kept[:room]
		c.lost += uint64(over)
		c.status.Lost += uint64(over)
	}
	c.queue = append(kept, c.queue...)
}

// tell says whether writing works, once.
func (c *Chain) tell(err error) {
	was := c.broken
	c.broken = err
	c.mu.Lock()
	c.status.Size, c.status.Epoch, c.status.Down = c.tip.size, c.key.Epoch, ""
	if err != nil {
		c.status.Down = err.Error()
	} else {
		c.status.Commits++
	}
	notify := c.o.Notify
	c.mu.Unlock()
	if notify != nil && (was == nil) != (err == nil) {
		notify(err)
	}
}

func (c *Chain) own(kind event.Kind, detail string) entry {
	return entry{Event: event.Event{Kind: kind, Time: time.Now(), Detail: detail}, mono: time.Since(c.start)}
}

func (c *Chain) options() Options {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.o
}

// commit writes a group and its checkpoint. Either all of it is on the disk, or nothing of it will be.
func (c *Chain) commit(group []waiting) error {
	begun := time.Now()
	if c.broken != nil {
		if err := c.mend(); err != nil {
			return err
		}
	}
	if c.offset > c.options().Segment {
		if err := c.newSegment(c.key.Epoch); err != nil {
			return err
		}
	}
	t, lastTime := c.tip.clone(), c.lastTime
	var buf []byte
	var err error
	add := func(e *entry) error {
		buf, err = appendRecord(buf, &t, c.run, e, c.people)
		return err
	}
	for i := range group {
		e := &group[i].entry
		if back := lastTime.Sub(e.Time); back > tolerance {
			rolled := c.own(event.ClockRolledBack, fmt.Sprintf("the wall clock is %s behind the record before", back.Round(time.Millisecond)))
			if err := add(&rolled); err != nil {
				return err
			}
		}
		lastTime = e.Time
		if err := add(e); err != nil {
			return err
		}
	}
	msg, err := c.seal(&t)
	if err != nil {
		return err
	}
	line, err := json.Marshal(checkpointLine{msg})
	if err != nil {
		return err
	}
	buf = append(append(buf, line...), '\n')
	if _, err := c.file.WriteAt(buf, c.offset); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	c.tip, c.last, c.lastTime = t, msg, lastTime
	c.offset += int64(len(buf))
	c.mu.Lock()
	c.status.LastTook = time.Since(begun)
	c.mu.Unlock()
	return nil
}

// seal signs the tree with the epoch's key.
func (c *Chain) seal(t *tip) (string, error) {
	return signNote(Checkpoint{c.options().Origin, t.size, t.root()}.text(), c.signer)
}

// mend opens the files again after an error, and cuts off what may stand there: after a failed fsync nobody knows. What cannot be
// opened stays closed, so that a file system may be unmounted, repaired and mounted again meanwhile.
func (c *Chain) mend() error {
	if c.file != nil {
		_ = c.file.Close() // what it says of earlier writes is known to be bad
		c.file = nil
	}
	if err := c.people.reopen(c.dir); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(c.dir, segmentName(c.fileFirst)), os.O_RDWR, 0o600)
	if err != nil {
		return errors.Join(err, c.people.close())
	}
	if err := errors.Join(f.Truncate(c.offset), f.Sync()); err != nil {
		return errors.Join(err, f.Close(), c.people.close())
	}
	c.file = f
	return nil
}

// look does what is due once in a while.
func (c *Chain) look() {
	if c.broken != nil {
		return
	}
	o := c.options()
	if err := c.forget(); err != nil {
		c.tell(fmt.Errorf("forgetting a key: %w", err))
		return
	}
	if time.Since(c.began) >= o.Epoch && c.tip.size > c.epochAt {
		if err := c.rotate(); err != nil {
			c.tell(fmt.Errorf("changing keys: %w", err))
			return
		}
	}
	if c.tip.size > c.fileFirst && time.Since(c.segment) > o.Keep/segmentsKept {
		if err := c.newSegment(c.key.Epoch); err != nil {
			c.tell(fmt.Errorf("beginning a segment: %w", err))
			return
		}
	}
	if err := c.prune(time.Now().Add(-o.Keep)); err != nil {
		c.tell(fmt.Errorf("pruning: %w", err))
		return
	}
	c.publish()
}

// rotate certifies the next key, and forgets the one before.
func (c *Chain) rotate() error {
	next := epochKey{Epoch: c.key.Epoch + 1, Seed: newSeed()}
	origin := c.options().Origin
	if err := c.dropCert(next.Epoch); err != nil { // of an attempt that failed, the disk being full
		return err
	}
	if err := writeKey(c.dir, epochKey{Epoch: c.key.Epoch, Seed: c.key.Seed, Next: next.Seed}); err != nil {
		return err
	}
	signer := next.signer(origin)
	cert := epochCert{Checkpoint: Checkpoint{origin, c.tip.size, c.tip.root()}, epoch: next.Epoch, key: signer.Verifier()}
	msg, err := signNote(cert.text(), c.signer)
	if err != nil {
		return err
	}
	if err := appendLine(filepath.Join(c.dir, epochsFile), epochLine{msg}); err != nil {
		return errors.Join(err, c.dropCert(next.Epoch))
	}
	e := c.own(Rotated, "")
	e.epoch = msg
	size := c.tip.size
	if err := c.commit([]waiting{{entry: e}}); err != nil {
		return errors.Join(err, c.dropCert(next.Epoch))
	}
	c.key, c.signer, c.began, c.epochAt, c.unforgotten = next, signer, time.Now(), size+1, true
	return c.forget()
}

// forget overwrites the key of the epoch before, if that is still due.
func (c *Chain) forget() error {
	if !c.unforgotten {
		return nil
	}
	err := writeKey(c.dir, c.key)
	c.unforgotten = err != nil
	return err
}

// dropCert takes the certificate of an epoch that never began out of the file, or what there is of it. It needs no room on the disk.
func (c *Chain) dropCert(epoch int) error {
	path := filepath.Join(c.dir, epochsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	kept, n := 0, 0
	for line := range bytes.Lines(text) {
		if n++; n > epoch {
			break
		}
		kept += len(line)
	}
	if kept == len(text) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(kept)), f.Sync(), f.Close())
}

// publish writes the checkpoint that others may take away, unless it is the one that is there.
func (c *Chain) publish() {
	if c.broken != nil || c.tip.size == c.published {
		return
	}
	o := c.options()
	signers := []*Signer{c.signer}
	if o.Identity != nil {
		signers = append(signers, o.Identity())
	}
	msg, err := signNote(Checkpoint{o.Origin, c.tip.size, c.tip.root()}.text(), signers...)
	if err == nil {
		err = wholefile.Replace(filepath.Join(c.dir, checkpointFile), []byte(msg))
	}
	if err != nil {
		c.tell(fmt.Errorf("publishing a checkpoint: %w", err))
		return
	}
	c.published = c.tip.size
}
