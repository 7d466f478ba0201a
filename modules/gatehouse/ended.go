package gatehouse

import "gatehouse.internal/modules/internal/event"

// OnEnded has f called with each request that has ended, on the goroutine that served it: f must not block. Only Provision and StartRoom may call it; the last call counts.
func (app *App) OnEnded(f func(event.Ended)) { app.ended.Store(&f) }

// Ended returns whom to tell of requests that have ended, or nil.
func (app *App) Ended() func(event.Ended) {
	if f := app.ended.Load(); f != nil {
		return *f
	}
	return nil
}

// Sites returns the sites that stand behind a gate. The slice and what it holds must not be changed.
func (app *App) Sites() []*Site { return app.sites }
