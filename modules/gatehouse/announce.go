package gatehouse

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/build"
	"gatehouse.internal/modules/internal/event"
)

// announce puts on record which configuration begins. A running gateway does not change to one that is not on record; one that
// starts does, since what stands behind it is worse off without a gateway, and says so.
func (app *App) announce(state *State) error {
	of := build.Read()
	e := event.Event{Time: time.Now(), Kind: event.HouseStarted, Attrs: []event.Attr{
		{Key: "version", Value: of.Version}, {Key: "commit", Value: cmp.Or(of.Commit, "unknown")}, {Key: "go", Value: of.Go},
		{Key: "config", Value: app.configDigest()},
	}}
	if app.Revision != "" {
		e.Attrs = append(e.Attrs, event.Attr{Key: "revision", Value: event.Clip(app.Revision, maxAskedText)})
	}
	e.Attrs = append(e.Attrs, loader()...)
	e.Attrs = append(e.Attrs, event.Attr{Key: "house", Value: app.digest})
	if app.TLSProfile != "" {
		e.Attrs = append(e.Attrs, event.Attr{Key: "tls_profile", Value: app.TLSProfile})
	}
	if app.Mode != nil {
		e.Attrs = append(e.Attrs, event.Attr{Key: "mode", Value: string(app.Mode.Name)})
	}
	for _, site := range app.sites {
		if site.Version != "" {
			e.Attrs = append(e.Attrs, event.Attr{Key: "site " + site.Name, Value: site.Version})
		}
	}
	e.Attrs = append(e.Attrs, keyAttrs(state.Keys)...) // also those that came while nobody could tell
	err := state.Bus.Record(e)
	if err != nil && Running() == nil {
		app.logger.Error("the audit log cannot be written: what administrators ask for is refused until it can", zap.Error(err))
		for _, e := range []event.Event{{Time: time.Now(), Kind: event.AuditFailed, Detail: err.Error()}, e} {
			state.Bus.Publish(e)
		}
		return nil
	}
	return err
}

// digestOfAll is a version of the house's option, wherever in a file it stands.
func (app *App) digestOfAll() string {
	if app.Mode == nil {
		return digestOf(app)
	}
	were := app.Mode.Places
	defer func() { app.Mode.Places = were }()
	app.Mode.Places = nil
	return digestOf(app)
}

// configDigest is a version of what the house and its sites say together: other when any of it is.
func (app *App) configDigest() string {
	var all strings.Builder
	fmt.Fprintf(&all, "%q", app.digest)
	for _, site := range app.sites {
		fmt.Fprintf(&all, " %q %q", site.Name, site.Version)
	}
	return Digest([]byte(all.String()))
}

// loading is what the administration endpoint is loading a configuration for; nil: nothing. Loads come one after the other.
var loading struct {
	one sync.Mutex // held while a configuration is loaded
	by  atomic.Pointer[event.Event]
}

// loader says who has the configuration loaded: what was put on record of the request, or the process that starts.
func loader() []event.Attr {
	if by := loading.by.Load(); by != nil {
		attrs := []event.Attr{{Key: "request", Value: by.RequestID}}
		for _, a := range by.Attrs {
			if a.Key == "operator" || a.Key == "peer" || a.Key == "sha256" {
				attrs = append(attrs, a)
			}
		}
		return attrs
	}
	name := "uid " + strconv.Itoa(os.Getuid())
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	return []event.Attr{{Key: "operator", Value: "process of " + name}}
}

// digestOf is a version of whatever can be written as JSON.
func digestOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return Digest(text)
}

// Digest is a version of a configuration: the beginning of its SHA-256.
func Digest(config []byte) string {
	sum := sha256.Sum256(config)
	return hex.EncodeToString(sum[:6])
}
