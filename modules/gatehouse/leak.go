package gatehouse

import "net/http"

// OnLeak has f called with each request whose credentials others may have seen. f must not block for long. Only
// Provision may call it; authn does, once a site, always with the same meaning, so that the last call counts.
func (app *App) OnLeak(f func(r *http.Request)) { app.leak = f }

// CredentialLeaked says that the request came over a connection that others could read, such as plain HTTP: whatever
// session it names must end, since whoever read it could use it. It is admit's to call, having refused the request, and the
// listener's, which hears plain HTTP on a port that speaks TLS. Of r only the head counts.
// Without authn in any row there are no sessions, and it does nothing.
func (app *App) CredentialLeaked(r *http.Request) {
	if app.leak != nil {
		app.leak(r)
	}
}
