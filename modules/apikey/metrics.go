package apikey

import "github.com/prometheus/client_golang/prometheus"

// presented outlives configurations, so that it does not start again with each (CADDY 49).
var presented = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "gatehouse_api_keys_total",
	Help: "API keys in requests by what became of them: accepted, refused, out_of_scope (good, but not for this request).",
}, []string{"result"})

// accessTokens outlives configurations as well.
var accessTokens = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "gatehouse_access_tokens_total",
	Help: "Access tokens of the gateway's own by what became of them: issued (for a key), denied (to who asked for one), accepted, refused, out_of_scope (good, but not for this request).",
}, []string{"result"})
