package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminBackup   = "/gatehouse/backup"
	adminNow      = "/gatehouse/backup/now"
	adminVerified = "/gatehouse/backup/verified"
)

// Admin answers at Caddy's administration endpoint:
//
//	GET  /gatehouse/backup           what is there, and what became of it
//	POST /gatehouse/backup/now       makes one
//	POST /gatehouse/backup/verified  a [Report] of a test restore, for the record
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_backup", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodGet, adminBackup, show),
		gatehouse.AdminRoute(http.MethodPost, adminNow, makeNow),
		gatehouse.AdminRoute(http.MethodPost, adminVerified, verified),
	)
}

// Shown is what there is to say of backups.
type Shown struct {
	Dir     string  `json:"dir"`
	Every   string  `json:"every"`
	Carry   string  `json:"carry,omitempty"` // the program that takes them elsewhere
	Files   []Entry `json:"files"`
	Trouble string  `json:"trouble,omitempty"` // why there are no files
	Logbook
}

func running() (*Settings, error) {
	app, _, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	s, _ := app.Room("backup").(*Settings)
	if s == nil || s.shelf == nil {
		return nil, gatehouse.AdminError(http.StatusNotFound, errors.New("the running gateway makes no backups: the word `backup` is not in its Caddyfile"))
	}
	return s, nil
}

func show(*http.Request) (any, error) {
	s, err := running()
	if err != nil {
		return nil, err
	}
	all := Shown{Dir: s.Dir, Every: s.every().String(), Logbook: s.shelf.Book()}
	if len(s.Carry) > 0 {
		all.Carry = s.Carry[0]
	}
	if all.Files, err = List(s.Dir); err != nil {
		all.Trouble = err.Error()
	}
	return all, nil
}

func makeNow(r *http.Request) (any, error) {
	s, err := running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // a gateway that stops waits for nobody
	m, err := s.make(ctx)
	if err == nil {
		err = s.carry(ctx) // who asks for one now wants to know that it is elsewhere
	}
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, fmt.Errorf("the backup failed: %w", err))
	}
	return m, nil
}

// verified takes the report of a test restore, which was done where the identity is. One that says that all was well counts only for
// the very file that is there, or was made last.
func verified(r *http.Request) (any, error) {
	s, err := running()
	if err != nil {
		return nil, err
	}
	report, err := gatehouse.ReadAsk[Report](r)
	if err != nil {
		return nil, err
	}
	e := event.Event{
		Time: time.Now(), Kind: event.BackupVerified,
		Attrs: attrsOf(event.Clip(report.File, 200), event.Clip(report.SHA256, 64), report.Bytes, len(report.Items), total(report.Items), report.Store, report.Keys),
	}
	e.Attrs = append(e.Attrs, event.Attr{Key: "audit_records", Value: fmt.Sprint(report.Audit.Records)}, event.Attr{Key: "audit_root", Value: event.Clip(report.Audit.Root, 64)},
		event.Attr{Key: "took", Value: report.Took.Round(time.Millisecond).String()})
	if report.Error != "" {
		e.Kind, e.Detail = event.BackupUnfit, event.Clip(report.Error, 300)
		return report, s.bus.Record(e)
	}
	if last := s.shelf.Book().Made; last == nil || last.SHA256 != report.SHA256 {
		sum, err := sumOf(filepath.Join(s.Dir, filepath.Base(report.File)))
		if err != nil || sum != report.SHA256 {
			return nil, fmt.Errorf("%s is none of this gateway's backups: its SHA-256 is that of no file of this name in %s", report.File, s.Dir)
		}
	}
	if err := s.bus.Record(e); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	report.Time = time.Now().UTC() // by this machine's clock
	return report, s.shelf.Verified(report)
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

var _ caddy.AdminRouter = Admin{}
