package audit

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/retain"
)

func init() { caddy.RegisterModule(new(Settings)) }

// Settings are the house's words about the record of what was done.
type Settings struct {
	// How long records are kept. Default: 395d, 13 months.
	Retention caddy.Duration `json:"retention,omitempty"`
	// How long a key signs. Who steals it can rewrite what it signed since then, and nothing before. Default: 1h.
	Epoch caddy.Duration `json:"epoch,omitempty"`
	// Log files that Caddy's loggers write, and how long they and what they are rolled into are kept.
	Logs []Log `json:"logs,omitempty"`

	// Directories that copies of the record are kept in, best where nobody can change or remove anything.
	Copies []string `json:"copies,omitempty"`

	ctx    caddy.Context
	logger *zap.Logger
}

// Log is a file that a logger writes.
type Log struct {
	// Its absolute path.
	File string `json:"file"`
	// How long records in it are kept after the file was rolled. Default: 30d.
	Keep caddy.Duration `json:"keep,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.audit", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) error {
	if s.Retention != 0 && time.Duration(s.Retention) < 24*time.Hour {
		return errors.New("audit: retention: want a day or more, such as 395d")
	}
	if s.Epoch != 0 && (time.Duration(s.Epoch) < time.Minute || time.Duration(s.Epoch) > 24*time.Hour) {
		return errors.New("audit: epoch: want 1m to 24h")
	}
	for i := range s.Logs {
		l := &s.Logs[i]
		if !filepath.IsAbs(l.File) {
			return fmt.Errorf("audit: logs: %q is not an absolute path: write the one that the logger's `output file` has", l.File)
		}
		if l.Keep = cmp.Or(l.Keep, caddy.Duration(retain.Default)); time.Duration(l.Keep) < 24*time.Hour {
			return errors.New("audit: logs: want a day or more, such as 30d")
		}
	}
	for i, place := range s.Copies {
		if !filepath.IsAbs(place) || slices.Contains(s.Copies[:i], place) {
			return fmt.Errorf("audit: copy: %q is not an absolute path, or is there twice: write one such as /mnt/worm/gatehouse-audit", place)
		}
	}
	if ctx.Context == nil { // the Caddyfile is read
		return nil
	}
	s.ctx, s.logger = ctx, ctx.Logger()
	return gatehouse.RegisterMetrics(ctx, copyUp, copySize)
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Settings) StartRoom(_ *gatehouse.App, state *gatehouse.State) error {
	state.Audit.Use(time.Duration(s.Epoch), time.Duration(s.Retention))
	sweep := newSweeper(state.Removals(), func(file string, err error) {
		s.logger.Error("log files that are too old were not removed", zap.String("file", file), zap.Error(err))
	})
	for _, l := range s.Logs {
		sweep.families = append(sweep.families, retain.Family{File: l.File, Keep: time.Duration(l.Keep)})
	}
	sweeping.Store(sweep)
	go sweep.run(s.ctx)
	for _, place := range s.Copies {
		if within(state.Audit.Dir(), place) || within(place, state.Audit.Dir()) {
			return fmt.Errorf("audit: copy: %s is the audit log's own directory, or in it: write another, on another machine if you can", place)
		}
	}
	keep := newCopier(state.Audit.Dir(), s.Copies, state.Bus.Publish, func() {
		if c, err := state.Audit.Chain(); err == nil {
			c.Publish()
		}
	})
	copying.Store(keep)
	go keep.run(s.ctx)
	return nil
}

// Remains implements gatehouse.Remainer.
func (s *Settings) Remains(app *gatehouse.App, tenant string, now time.Time) (all []string) {
	for _, l := range s.Logs {
		files, err := retain.Family{File: l.File}.Files()
		if err == nil && len(files) == 0 {
			continue
		}
		days := int(time.Duration(l.Keep).Hours() / 24)
		all = append(all, fmt.Sprintf("lines of %s, %s, until %d days after the file that is written now is rolled", l.File, app.LocalLogsAs(tenant), days))
	}
	if len(s.Logs) == 0 {
		all = append(all, app.OtherLogs(tenant))
	}
	return all
}

// within reports whether the path is the directory, or in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

var (
	_ caddy.Provisioner     = (*Settings)(nil)
	_ gatehouse.RoomStarter = (*Settings)(nil)
	_ gatehouse.Remainer    = (*Settings)(nil)
)

// status is what the running gateway says of its record.
type status struct {
	chain.Status
	Identity  string       `json:"identity"` // the public key that stays
	Directory string       `json:"directory"`
	Holds     []chain.Hold `json:"holds"`
	Logs      []logStatus  `json:"logs,omitempty"`
	Copies    []copyStatus `json:"copies,omitempty"`
}
