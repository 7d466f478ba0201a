package bearer

import "github.com/prometheus/client_golang/prometheus"

// tokens outlives configurations, so that it does not start again with each (CADDY 49).
var tokens = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "gatehouse_bearer_tokens_total",
	Help: "Access tokens by what became of them: verified (seen for the first time, and good), refused, out_of_scope (good, but not for this request), down (the issuer's keys could not be had).",
}, []string{"result"})
