package chain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// Options say how a chain is kept. Zero fields take the defaults.
type Options struct {
	// Origin names the chain, to witnesses and in its keys: letters, digits, dots, slashes. Required.
	Origin string
	// Identity signs published checkpoints besides the epoch's key: it does not change with epochs, so that witnesses can know
	// it. It is asked for each time. May be nil.
	Identity func() *Signer
	// Epoch is how long a key is used. Default: an hour.
	Epoch time.Duration
	// Segment is how large a file may become, in bytes. Default: 16 MiB.
	Segment int64
	// Keep is how long records are kept; whole segments go when the newest in them is older. Default: 395 days, 13 months.
	Keep time.Duration
	// Notify is told, on the chain's goroutine, when writing fails and when it works again (nil). May be nil.
	Notify func(err error)
}

const (
	// DefaultKeep is 13 months.
	DefaultKeep    = 395 * 24 * time.Hour
	defaultEpoch   = time.Hour
	defaultSegment = 16 << 20

	maxWaiting   = 8192 // events in memory
	segmentsKept = 13   // at least so many a retention: only whole segments are pruned

	linger     = 20 * time.Millisecond // for others, when nobody waits
	roundEvery = time.Minute           // checkpoints are published, keys rotated, segments pruned
	tolerance  = 2 * time.Second       // of a clock that is set back
)

// ErrDown: the record cannot be written.
var ErrDown = errors.New("the audit log cannot be written")

// waiting is an event in the queue. done is nil when nobody waits.
type waiting struct {
	entry
	done chan error
}

// Chain is safe for concurrent use. Make one with [Open].
type Chain struct {
	dir   string
	start time.Time
	run   string

	people *subjects

	mu     sync.Mutex
	o      Options   // guarded by mu
	queue  []waiting // guarded by mu
	lost   uint64    // guarded by mu; since they were last recorded
	status Status    // guarded by mu
	ended  bool      // guarded by mu
	wake   chan struct{}
	urgent chan struct{}
	asked  chan chan struct{} // for a published checkpoint
	done   chan struct{}

	// The rest is the writer's alone.
	file        *os.File
	fileFirst   int64
	offset      int64 // where the file ends that is known to be good
	tip         tip
	last        string    // checkpoint
	lastCert    string    // in a record, until the chain is open
	segment     time.Time // when the file was begun
	lastTime    time.Time
	key         epochKey
	signer      *Signer
	began       time.Time // the epoch
	unforgotten bool      // the file of keys still has that of the epoch before
	epochAt     int64     // the size when it began
	published   int64     // the size of the published checkpoint
	broken      error
}

// Status is what is known of a chain that is open.
type Status struct {
	Origin   string        `json:"origin"`
	Run      string        `json:"run"`
	First    int64         `json:"first"` // the oldest record that is there
	Size     int64         `json:"size"`
	Epoch    int           `json:"epoch"`
	Lost     uint64        `json:"lost"` // since the start
	Down     string        `json:"down,omitempty"`
	Commits  uint64        `json:"commits"`
	LastTook time.Duration `json:"last_took"` // the last commit
}

// Open opens the chain in the directory, or begins one there; the directory is made. What was never acknowledged is cut off.
// One process may have it open.
func Open(dir string, o Options) (*Chain, error) {
	if o.Origin == "" {
		return nil, errors.New("a chain needs an origin")
	}
	c := &Chain{dir: dir, start: time.Now(), wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), asked: make(chan chan struct{}), done: make(chan struct{})}
	c.run = fmt.Sprintf("%x", newSeed()[:6])
	c.o = o.orDefault()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if c.people, err = openSubjects(dir); err != nil {
		return nil, fmt.Errorf("opening the audit log %s: %w", dir, errors.Join(err, c.people.close()))
	}
	cut, err := c.resume()
	if err != nil {
		_ = c.people.close()
		return nil, fmt.Errorf("opening the audit log %s: %w", dir, err)
	}
	c.status.Origin, c.status.Run, c.status.Size, c.status.Epoch = c.o.Origin, c.run, c.tip.size, c.key.Epoch
	c.Keep(event.Event{Kind: Opened, Time: time.Now()})
	if cut > 0 {
		c.Keep(event.Event{Kind: Recovered, Time: time.Now(), Detail: fmt.Sprintf("%d bytes were cut off that had never been acknowledged", cut)})
	}
	go c.write()
	return c, nil
}

func (o Options) orDefault() Options {
	if o.Epoch <= 0 {
		o.Epoch = defaultEpoch
	}
	if o.Segment <= 0 {
		o.Segment = defaultSegment
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	return o
}

// Use changes how long keys are used and records are kept, from now on.
func (c *Chain) Use(epoch, keep time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.o.Epoch, c.o.Keep = epoch, keep
	c.o = c.o.orDefault()
}

// Keep implements event.Keeper.
func (c *Chain) Keep(e event.Event) { c.put(e, nil) }

// Record implements event.Keeper. Its errors are ErrDown and why.
func (c *Chain) Record(e event.Event) error {
	done := make(chan error, 1)
	c.put(e, done)
	if err := <-done; err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return nil
}

func (c *Chain) put(e event.Event, done chan error) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	w := waiting{entry{Event: e, mono: time.Since(c.start)}, done}
	c.mu.Lock()
	full := len(c.queue) >= maxWaiting
	if c.ended || full {
		if done == nil {
			c.lost++
			c.status.Lost++
		}
		c.mu.Unlock()
		if done != nil {
			done <- errors.New("too many records wait, or it is closed")
		}
		return
	}
	c.queue = append(c.queue, w)
	c.mu.Unlock()
	signal(c.wake)
	if done != nil {
		signal(c.urgent)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Status returns what is known now.
func (c *Chain) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Dir is where the chain is.
func (c *Chain) Dir() string { return c.dir }

// Destruct writes what waits, publishes a checkpoint and closes the files.
func (c *Chain) Destruct() error {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	signal(c.wake)
	signal(c.urgent)
	<-c.done
	err := errors.Join(c.broken, c.people.close())
	if c.file == nil {
		return err
	}
	return errors.Join(err, c.file.Close())
}

// resume finds the end of the chain.
func (c *Chain) resume() (cut int64, err error) {
	firsts, err := segments(c.dir)
	if err != nil {
		return 0, err
	}
	if c.key, err = readKey(c.dir); errors.Is(err, fs.ErrNotExist) && len(firsts) == 0 {
		return 0, c.begin()
	} else if err != nil {
		return 0, err
	}
	certs, err := readEpochs(c.dir, "")
	if err != nil {
		return 0, err
	}
	if o := certs[0].Origin; o != c.o.Origin {
		c.o.Origin = o // the house's name may change, the chain's does not
	}
	if len(firsts) == 0 && len(certs) == 1 {
		return 0, c.newSegment(certs[0].epoch)
	} else if len(firsts) == 0 {
		return 0, errors.New("its segments are gone")
	}
	c.status.First = firsts[0]
	cut, epoch, err := c.readLast(firsts)
	if err != nil {
		return cut, err
	}
	return cut, c.settle(certs, epoch)
}

// begin makes the first key and the first segment. A crash in the middle leaves no segment, and it is begun again.
func (c *Chain) begin() error {
	c.key = epochKey{Seed: newSeed()}
	c.signer = c.key.signer(c.o.Origin)
	c.began = time.Now()
	cert := epochCert{Checkpoint: Checkpoint{c.o.Origin, 0, new(tip).root()}, key: c.signer.Verifier()}
	msg, err := signNote(cert.text(), c.signer)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(c.dir, epochsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := appendLine(filepath.Join(c.dir, epochsFile), epochLine{msg}); err != nil {
		return err
	}
	if err := writeKey(c.dir, c.key); err != nil {
		return err
	}
	return c.newSegment(0)
}

// newSegment begins a file where the chain ends.
func (c *Chain) newSegment(epoch int) error {
	header, err := headerOf(c.o.Origin, &c.tip, epoch, c.last)
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, segmentName(c.tip.size))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(header)
	if err = errors.Join(err, f.Sync(), syncDir(c.dir)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if c.file != nil {
		err = c.file.Close()
	}
	c.file, c.fileFirst, c.offset, c.segment = f, c.tip.size, int64(len(header)), time.Now()
	return err
}

// readLast reads the last segment up to its last checkpoint, and cuts off the rest. It returns the epoch that the records
// there say it is.
func (c *Chain) readLast(firsts []int64) (cut int64, epoch int, err error) {
	first := firsts[len(firsts)-1]
	l, err := openLines(c.dir, first)
	if err != nil {
		return 0, 0, err
	}
	defer l.close()
	line, err := l.next()
	if errors.Is(err, io.EOF) || errors.Is(err, errTorn) { // it was just begun: nothing stands in it
		if len(firsts) == 1 {
			return 0, 0, fmt.Errorf("%s: the only segment has no header", l.file)
		}
		if err := os.Remove(filepath.Join(c.dir, l.file)); err != nil {
			return 0, 0, err
		}
		return c.readLast(firsts[:len(firsts)-1])
	}
	if err != nil {
		return 0, 0, err
	}
	h, t, err := parseHeader(line)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", l.file, err)
	}
	c.tip, c.last, c.offset, c.fileFirst, epoch = t.clone(), h.Checkpoint, l.at, first, h.Epoch
	c.segment = time.Now()
	next := epoch
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
		if checkpoint, ok := checkpointOf(line); ok {
			text, err := noteText(checkpoint)
			if err != nil {
				return 0, 0, fmt.Errorf("%s, line %d: %w", l.file, l.n, err)
			}
			if cp, err := parseCheckpoint(text); err != nil || cp.Size != t.size || cp.Root != t.root() {
				return 0, 0, fmt.Errorf("%s, line %d: the records before are not those that this checkpoint is of; run `gatehouse audit verify`", l.file, l.n)
			}
			c.tip, c.last, c.offset, epoch = t.clone(), checkpoint, l.at, next
			continue
		}
		r, err := parseRecord(line)
		if err != nil || r.Seq != t.size {
			break // a torn group; what is damaged before a checkpoint fails there
		}
		if r.Epoch != "" {
			next++
			c.lastCert = r.Epoch
		}
		if t.size == first {
			c.segment = r.When()
		}
		t.add(leaf(r.Line))
		c.lastTime = r.When()
	}
	f, err := os.OpenFile(filepath.Join(c.dir, l.file), os.O_RDWR, 0o600)
	if err != nil {
		return 0, 0, err
	}
	c.file = f
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if cut = info.Size() - c.offset; cut > 0 {
		err = errors.Join(f.Truncate(c.offset), f.Sync())
	}
	return cut, epoch, err
}

// settle finishes a change of keys that was interrupted, and refuses a key that is not the one of the chain.
func (c *Chain) settle(certs []epochCert, epoch int) error {
	if len(certs) == epoch && c.lastCert != "" { // it was taken back, and was on the disk after all
		last, err := openCert(c.lastCert, certs[epoch-1].key, epoch)
		if err == nil {
			err = appendLine(filepath.Join(c.dir, epochsFile), epochLine{c.lastCert})
		}
		if err != nil {
			return err
		}
		certs = append(certs, last)
	}
	if len(certs) <= epoch {
		return fmt.Errorf("the certificate of epoch %d is gone from %s", epoch, epochsFile)
	}
	if c.key.Next != nil {
		k := epochKey{Epoch: c.key.Epoch, Seed: c.key.Seed}
		if epoch == c.key.Epoch+1 {
			k = epochKey{Epoch: epoch, Seed: c.key.Next}
		} else { // it never began: its certificate goes, too, if there is one
			if err := c.dropCert(epoch + 1); err != nil {
				return err
			}
		}
		if err := writeKey(c.dir, k); err != nil {
			return err
		}
		c.key = k
	}
	c.signer = c.key.signer(c.o.Origin)
	c.began, c.epochAt = time.Now(), certs[epoch].Size
	if c.key.Epoch != epoch || certs[epoch].key != c.signer.Verifier() {
		return fmt.Errorf("the file %s holds the key of epoch %d, and the records are in epoch %d: they are not of one time", keyFile, c.key.Epoch, epoch)
	}
	return nil
}
