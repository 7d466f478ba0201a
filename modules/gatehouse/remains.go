package gatehouse

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Remainer is implemented by what the house says to a room that keeps what cannot be taken out again, such as log files: it says what
// there is, and until when, if all records end now. Of a tenant's, or of anybody's if it is "".
type Remainer interface {
	Remains(app *App, tenant string, now time.Time) []string
}

// Remains is what erasing does not take away, and until when it is there.
func (app *App) Remains(tenant string, now time.Time) (all []string, err error) {
	state, err := app.State()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(app.rooms)) {
		if r, ok := app.rooms[name].(Remainer); ok {
			all = append(all, r.Remains(app, tenant, now)...)
		}
	}
	if _, ok := app.rooms["audit"]; !ok {
		all = append(all, app.OtherLogs(tenant))
	}
	days := int(state.Audit.keeps().Hours() / 24)
	all = append(all, fmt.Sprintf("records of the audit log that name nobody until %d days after their segment is full", days))
	held, err := state.Audit.Held()
	if held {
		all = append(all, "all of it as long as there is a hold")
	}
	return all, err
}

// OtherLogs says that there are logs of which the house does not know how long they are kept.
func (app *App) OtherLogs(tenant string) string {
	return "what Caddy's loggers write, " + app.LocalLogs.as(tenant) + ", as long as their own settings keep it"
}

// as says how lines name people of a tenant's sites, or of anybody's.
func (l LocalLogs) as(tenant string) string {
	if l.Pseudonyms && !slices.Contains(l.ClearTenants, tenant) && (tenant != "" || len(l.ClearTenants) == 0) {
		return "under pseudonyms"
	}
	return "by name"
}

// LocalLogsAs says how the lines of the gateway's own log name people of a tenant's sites: "under pseudonyms" or "by name".
func (app *App) LocalLogsAs(tenant string) string { return app.LocalLogs.as(tenant) }
