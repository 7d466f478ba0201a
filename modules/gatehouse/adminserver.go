package gatehouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

// maxAdminAsk bounds what is asked of an administration endpoint, in bytes.
const maxAdminAsk = 1 << 20

// AdminRoute is a route of the administration endpoint that takes one method. What serve returns is answered as JSON. Its
// error is the caller's own fault (400), unless it is an [AdminError], says that there is no such record (404), or that the
// store is down (503).
func AdminRoute(method, pattern string, serve func(r *http.Request) (any, error)) caddy.AdminRoute {
	return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method {
			return AdminError(http.StatusMethodNotAllowed, fmt.Errorf("the method is %s", method))
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminAsk)
		answer, err := serve(r)
		if err != nil {
			return asAdminError(err)
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(answer)
	})}
}

func asAdminError(err error) error {
	status := http.StatusBadRequest
	switch already := (caddy.APIError{}); {
	case errors.As(err, &already):
		return err
	case errors.Is(err, ledger.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrDown), errors.Is(err, ErrClosed):
		status = http.StatusServiceUnavailable
	}
	return AdminError(status, err)
}

// ReadAsk returns what a request to the administration endpoint asks for, as JSON.
func ReadAsk[T any](r *http.Request) (ask T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return ask, fmt.Errorf("the request is not the JSON it should be: %w", err)
	}
	return ask, nil
}
