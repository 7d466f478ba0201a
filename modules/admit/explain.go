package admit

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

// explain turns an error that no room gave into a verdict. When the client went away, that is the reason of every error
// that came with it: net/http cancels the request's context then (a browser resets what it does not want to read).
func explain(r *http.Request, err error) verdict.Verdict {
	v := verdict.Verdict{Reason: verdict.Internal, Detail: err.Error()}
	var he caddyhttp.HandlerError
	if !errors.As(err, &he) {
		if r.Context().Err() != nil {
			v.Reason = verdict.ClientClosed
		}
		return v
	}
	switch he.StatusCode {
	case http.StatusBadGateway:
		v.Reason = verdict.UpstreamDown
	case http.StatusGatewayTimeout:
		v.Reason = verdict.UpstreamTimeout
	case http.StatusServiceUnavailable:
		v.Reason = verdict.Unavailable
	case http.StatusRequestEntityTooLarge:
		v.Reason = verdict.BodyTooLarge
	case http.StatusRequestTimeout:
		v.Reason = verdict.RequestTimeout
	case http.StatusBadRequest:
		v.Reason = verdict.BadRequest
	case http.StatusMethodNotAllowed:
		v.Reason = verdict.BadMethod
	case http.StatusNotFound:
		v.Reason = verdict.NotFound
	case http.StatusMisdirectedRequest:
		v.Reason = verdict.Misdirected
	case 499:
		v.Reason = verdict.ClientClosed
	}
	return v
}

// brokenOff is why an answer that had begun was not finished: the proxy tells only that it was not.
func brokenOff(r *http.Request, req *gatehouse.Request) verdict.Verdict {
	if cut, ok := noteCut(req); ok {
		return cut.Verdict()
	}
	if r.Context().Err() != nil {
		return verdict.Verdict{Reason: verdict.ClientClosed, Detail: "before the answer was complete"}
	}
	return verdict.Verdict{Reason: verdict.UpstreamDown, Detail: "the answer was cut short"}
}
