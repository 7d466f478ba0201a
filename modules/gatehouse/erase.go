package gatehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gatehouse.internal/modules/internal/standing"
)

// Erase deletes what a room keeps of a person, and returns how many records there were.
type Erase func(ctx context.Context, who standing.Person) (int, error)

// OnErase says how the records of this name are deleted, for when a person is erased. It is called while provisioning; under the
// same name again, it replaces.
func (app *App) OnErase(name string, f Erase) {
	if app.erasers == nil {
		app.erasers = map[string]Erase{}
	}
	app.erasers[name] = f
}

// ErasePerson ends the person's sessions, and deletes what the house's rooms keep of them: how many records of which name. It
// may be called again after an error.
func (app *App) ErasePerson(ctx context.Context, who standing.Person, why string) (map[string]int, error) {
	state, err := app.State()
	if err != nil {
		return nil, err
	}
	done := map[string]int{}
	if done["sessions"], err = app.EndSessions(ctx, who, "", why); err != nil {
		return done, fmt.Errorf("ending sessions: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(app.erasers)) {
		if done[name], err = app.erasers[name](ctx, who); err != nil {
			return done, fmt.Errorf("deleting %s: %w", name, err)
		}
	}
	if done["second factors"], err = app.ResetFactors(ctx, who); err != nil {
		return done, fmt.Errorf("deleting second factors: %w", err)
	}
	people, err := state.Roster()
	if err != nil {
		return done, err
	}
	if err := people.Forget(ctx, who.Provider, who.Subject); err != nil {
		return done, fmt.Errorf("deleting what was last said of the person: %w", err)
	}
	return done, state.Standing.Forget(ctx, who)
}
