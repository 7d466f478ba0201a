package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/build"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/wholefile"
)

func init() { caddy.RegisterModule(new(Settings)) }

const (
	defaultEvery  = 24 * time.Hour
	defaultWithin = 90 * 24 * time.Hour
	defaultKeep   = 14
	mostKept      = 10_000
	againIn       = 10 * time.Minute // after one that failed
	madeIn        = time.Hour        // one takes at the most
)

// Settings are the house's word backup. The zero Settings make none.
type Settings struct {
	// To whom backups are encrypted: age recipients. Required.
	Recipients []string `json:"recipients,omitempty"`
	// The directory they are put into; it must exist, outside of the state directory. Required.
	Dir string `json:"dir,omitempty"`
	// How often. Default: 24h; an hour at least.
	Every caddy.Duration `json:"every,omitempty"`
	// How many are kept. Default: 14.
	Keep int `json:"keep,omitempty"`
	// After how long without a test restore there is an alert. Default: 90d.
	VerifyWithin caddy.Duration `json:"verify_within,omitempty"`
	// A program, by its absolute path, and its arguments, that takes the last backup elsewhere: {file} stands for the backup's path. It is run
	// without a shell, with little of the gateway's environment, for half an hour at the most. A backup that it did not take counts as none,
	// and is not taken any more once there is another.
	Carry []string `json:"carry,omitempty"`
	// Leave the master keys out, which are then kept elsewhere: without them a backup is of no use.
	WithoutKeys bool `json:"without_keys,omitempty"`

	recipients []age.Recipient
	shelf      *Shelf             // from StartRoom on
	source     Source             // from StartRoom on
	bus        *event.Bus         // from StartRoom on
	ctx        context.Context    // from StartRoom on; ends with StopRoom
	stop       context.CancelFunc // from StartRoom on; ends ctx
	made       chan struct{}      // from StartRoom on; capacity 1: a backup was made
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.backup", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return gatehouse.Refused(fmt.Errorf("backup: %w", err))
	}
	return gatehouse.RegisterMetrics(ctx, ages, every, within, untested, size)
}

func (s *Settings) check() (err error) {
	switch {
	case len(s.Recipients) == 0:
		return errors.New("say to whom it is encrypted: `recipient age1…`, which `age-keygen -y` prints")
	case s.Dir == "":
		return errors.New("say where it is put: `to <directory>`")
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("to: %s is no absolute path", s.Dir)
	case s.Every < 0 || s.Every > 0 && time.Duration(s.Every) < time.Hour:
		return errors.New("every: want an hour or more, such as 24h")
	case s.VerifyWithin < 0 || s.VerifyWithin > 0 && time.Duration(s.VerifyWithin) < time.Hour:
		return errors.New("verify_within: want an hour or more, such as 90d")
	case s.Keep < 0 || s.Keep > mostKept:
		return fmt.Errorf("keep: want 1 to %d", mostKept)
	}
	if err := checkCarry(s.Carry); err != nil {
		return err
	}
	s.recipients, err = parseRecipients(s.Recipients)
	return err
}

// parseRecipients reads age recipients that can be used together. An identity, which is a secret, is refused.
func parseRecipients(texts []string) (all []age.Recipient, err error) {
	for _, text := range texts {
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return nil, errors.New("recipient: that is an identity, which is secret and must not be on this machine: write its recipient, which `age-keygen -y` prints")
		}
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(r) != 1 {
			return nil, fmt.Errorf("recipient: %q is no age recipient: write one like age1…, which `age-keygen -y` prints", text)
		}
		all = append(all, r...)
	}
	if _, err := age.Encrypt(new(bytes.Buffer), all...); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	return all, nil
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Settings) StartRoom(house *gatehouse.App, state *gatehouse.State) error {
	dir, home := filepath.Clean(s.Dir), filepath.Clean(house.Dir())
	if dir == home || strings.HasPrefix(dir, home+string(filepath.Separator)) {
		return fmt.Errorf("to: %s is in the state directory, and would be lost with it: name a directory on another disk", s.Dir)
	}
	kept, err := state.Keep("backup.shelf", func() (caddy.Destructor, error) { return OpenShelf(house.Dir(), time.Now()) })
	if err != nil {
		return err
	}
	s.shelf, s.bus = kept.(*Shelf), state.Bus
	host, _ := os.Hostname() // a name is welcome, and nothing depends on it
	version := build.Read().Version
	s.source = Source{Store: state.Store, Ring: state.Keys, Keys: house.KeysPath(), Audit: state.Audit.Dir(), Host: host, Version: version}
	if s.WithoutKeys {
		s.source.Keys = ""
	}
	s.source.Publish = func() {
		if c, err := state.Audit.Chain(); err == nil {
			c.Publish()
		}
	}
	s.tellOfRestore(house.Dir())
	if err := s.shelf.Carries(len(s.Carry) > 0, time.Now()); err != nil {
		return err
	}
	watch(watched{s.shelf, s.every(), cmp.Or(time.Duration(s.VerifyWithin), defaultWithin), len(s.Carry) > 0})
	ctx, stop := context.WithCancel(context.Background())
	s.ctx, s.stop, s.made = ctx, stop, make(chan struct{}, 1)
	go s.run(ctx)
	if len(s.Carry) > 0 {
		go s.runCarry(ctx)
	}
	return nil
}

// Reaches implements gatehouse.Reacher.
func (s *Settings) Reaches() []gatehouse.Reach {
	if len(s.Carry) == 0 {
		return nil
	}
	return []gatehouse.Reach{{What: "the program that carries backups elsewhere", Address: s.Carry[0], Data: true, Program: true}}
}

// StopRoom implements gatehouse.RoomStopper.
func (s *Settings) StopRoom() {
	if s.stop != nil {
		s.stop()
	}
}

// Cleanup ends what a start that failed has begun.
func (s *Settings) Cleanup() error {
	s.StopRoom()
	return nil
}

func (s *Settings) every() time.Duration { return cmp.Or(time.Duration(s.Every), defaultEvery) }

// run makes a backup whenever one is due, until ctx ends.
func (s *Settings) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(due(s.shelf.Book(), s.every(), time.Now())):
		}
		if due(s.shelf.Book(), s.every(), time.Now()) <= 0 { // nobody has made one meanwhile
			_, _ = s.make(ctx) // it is told of
		}
	}
}

// runCarry has the last backup carried whenever that is due, until ctx ends. It is apart from run: a program that hangs keeps no backup
// from being made.
func (s *Settings) runCarry(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.made:
		case <-time.After(carryDue(s.shelf.Book(), time.Now())):
		}
		if carryDue(s.shelf.Book(), time.Now()) <= 0 {
			_ = s.carry(ctx) // it is told of
		}
	}
}

// due is how long the next backup has time.
func due(b Logbook, every time.Duration, now time.Time) time.Duration {
	var next time.Time
	if b.Made != nil {
		next = b.Made.Time.Add(every)
	}
	if again := b.Tried.Add(min(againIn, every)); b.Failed != "" && again.After(next) {
		next = again
	}
	return min(next.Sub(now), every) // a clock that was set back delays none for longer
}

// make makes a backup, and tells of it.
func (s *Settings) make(ctx context.Context) (Made, error) {
	ctx, cancel := context.WithTimeout(ctx, madeIn)
	defer cancel()
	m, err := s.shelf.Make(ctx, s.source, Plan{s.recipients, s.Dir, cmp.Or(s.Keep, defaultKeep)}, time.Now())
	e := event.Event{Time: time.Now(), Kind: event.BackupMade}
	if m.SHA256 != "" {
		e.Attrs = attrsOf(m.File, m.SHA256, m.Bytes, len(m.Items), total(m.Items), m.Store, m.Keys)
	}
	if err != nil {
		e.Kind, e.Detail = event.BackupFailed, event.Clip(err.Error(), 300)
		s.bus.Publish(e)
		return m, err
	}
	size.Set(float64(m.Bytes))
	if err := s.bus.Record(e); err != nil {
		return m, err
	}
	select {
	case s.made <- struct{}{}:
	default:
	}
	return m, nil
}

func attrsOf(file, sum string, bytes int64, spaces, items int, store, keys bool) []event.Attr {
	where := "in it"
	if !store {
		where = "on its server"
	}
	return []event.Attr{
		{Key: "file", Value: file}, {Key: "sha256", Value: sum}, {Key: "bytes", Value: strconv.FormatInt(bytes, 10)},
		{Key: "keyspaces", Value: strconv.Itoa(spaces)}, {Key: "items", Value: strconv.Itoa(items)},
		{Key: "store", Value: where}, {Key: "keys", Value: strconv.FormatBool(keys)},
	}
}

func total[K comparable](counts map[K]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// restoredName is the file in which a restore leaves word of itself for the gateway that starts next.
const restoredName = "restored.json"

// tellOfRestore puts on record that the state was restored.
func (s *Settings) tellOfRestore(state string) {
	path := filepath.Join(state, restoredName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var r Report
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	e := event.Event{Time: time.Now(), Kind: event.BackupRestored, Attrs: attrsOf(r.File, r.SHA256, r.Bytes, len(r.Items), total(r.Items), r.Store, r.Keys)}
	e.Attrs = append(e.Attrs, event.Attr{Key: "made", Value: r.Made.Format(time.RFC3339)}, event.Attr{Key: "restored", Value: r.Time.Format(time.RFC3339)})
	if err != nil {
		e.Detail = "what " + restoredName + " says of it cannot be read"
	}
	if s.bus.Record(e) == nil {
		_ = os.Remove(path) // if it stays it is told of once more
	}
}

// leaveWord is what a restore does for tellOfRestore.
func leaveWord(state string, r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return wholefile.Replace(filepath.Join(state, restoredName), text)
}

var (
	_ caddy.Provisioner     = (*Settings)(nil)
	_ caddy.CleanerUpper    = (*Settings)(nil)
	_ gatehouse.RoomStarter = (*Settings)(nil)
	_ gatehouse.Reacher     = (*Settings)(nil)
	_ gatehouse.RoomStopper = (*Settings)(nil)
)
