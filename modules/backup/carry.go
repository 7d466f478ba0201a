package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
)

const (
	carriedIn = 30 * time.Minute // it takes at the most
	fileWord  = "{file}"
	maxSaid   = 2000             // bytes of what the program says
	heldFor   = 10 * time.Second // what it has left behind may hold its output, once it has ended
)

// passed is what a program that carries backups is given of the gateway's environment, which may hold secrets: how to find programs and
// its own configuration.
var passed = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "CREDENTIALS_DIRECTORY", "SSL_CERT_FILE", "SSL_CERT_DIR"}

func checkCarry(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case !filepath.IsAbs(words[0]):
		return fmt.Errorf("carry: %s is no absolute path: write where the program is, such as /usr/bin/rclone", words[0])
	case !slices.ContainsFunc(words[1:], func(w string) bool { return strings.Contains(w, fileWord) }):
		return errors.New("carry: none of the arguments has {file}, which stands for the backup, such as `carry /usr/bin/rclone copy {file} offsite:gatehouse`")
	}
	return nil
}

// carryDue is how long the last backup has time to be carried, where backups are.
func carryDue(b Logbook, now time.Time) time.Duration {
	if b.Made == nil || !b.Made.Carried.IsZero() {
		return 1<<63 - 1
	}
	if b.Uncarried == "" {
		return 0
	}
	return min(b.CarryTried.Add(againIn).Sub(now), againIn)
}

// carry has the last backup taken elsewhere, where the house says so, and tells of it.
func (s *Settings) carry(ctx context.Context) error {
	if len(s.Carry) == 0 {
		return nil
	}
	m, err := s.shelf.Carry(ctx, s.Carry, s.Dir, time.Now())
	if err == nil && m == nil {
		return nil
	}
	e := event.Event{Time: time.Now(), Kind: event.BackupCarried}
	if m != nil {
		e.Attrs = []event.Attr{{Key: "file", Value: m.File}, {Key: "sha256", Value: m.SHA256}, {Key: "program", Value: event.Clip(s.Carry[0], 200)}}
	}
	if err != nil {
		err = fmt.Errorf("it was made, and not carried elsewhere: %w", err)
		e.Kind, e.Detail = event.BackupFailed, event.Clip(err.Error(), 300)
		s.bus.Publish(e)
		return err
	}
	return s.bus.Record(e)
}

// Carries notes whether backups are to be carried.
func (s *Shelf) Carries(yes bool, now time.Time) error {
	if b := s.Book(); yes && !b.CarrySince.IsZero() || !yes && b.CarrySince.IsZero() && b.Uncarried == "" {
		return nil
	}
	return s.note(func(b *Logbook) {
		b.CarrySince = now.UTC()
		if !yes { // what could not be carried need not be
			b.CarrySince, b.Uncarried = time.Time{}, ""
		}
	})
}

// Carry has a program take the last backup of the directory elsewhere, unless it is there already, and returns which; nil: none is to be,
// or ctx was cancelled, and it is due again.
func (s *Shelf) Carry(ctx context.Context, words []string, dir string, now time.Time) (*Made, error) {
	s.carrying.Lock()
	defer s.carrying.Unlock()
	book := s.Book()
	if book.Made == nil || !book.Made.Carried.IsZero() {
		return nil, nil
	}
	m := *book.Made
	err := runCarry(ctx, words, filepath.Join(dir, m.File), heldFor)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) { // a reload is no failure
		return nil, nil
	}
	noted := s.note(func(b *Logbook) {
		b.CarryTried, b.Uncarried = now.UTC(), ""
		if err != nil {
			b.Uncarried = err.Error()
			return
		}
		m.Carried = time.Now().UTC()
		b.Last = &m
		if b.Made != nil && b.Made.File == m.File { // else another one was made meanwhile
			b.Made = &m
		}
	})
	return &m, errors.Join(err, noted)
}

// runCarry runs the program, which must end with 0. When its time is over, what it has started ends with it.
func runCarry(ctx context.Context, words []string, file string, held time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, carriedIn)
	defer cancel()
	var args []string
	for _, w := range words[1:] {
		args = append(args, strings.ReplaceAll(w, fileWord, file))
	}
	cmd := exec.CommandContext(ctx, words[0], args...)
	cmd.Dir, cmd.WaitDelay = filepath.Dir(file), held
	inGroup(cmd)
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	var said clipped
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil { // it ended with 0, and left somebody who holds its output
		return nil
	}
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	if text := strings.TrimSpace(string(said.text)); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return fmt.Errorf("%s: %w", words[0], err)
}

// clipped keeps the beginning of what is written.
type clipped struct{ text []byte }

func (c *clipped) Write(p []byte) (int, error) {
	c.text = append(c.text, p[:min(maxSaid-len(c.text), len(p))]...)
	return len(p), nil
}
