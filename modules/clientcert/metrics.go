package clientcert

import "github.com/prometheus/client_golang/prometheus"

// shown outlives configurations, so that it does not start again with each (CADDY 49).
var shown = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "gatehouse_client_certificates_total",
	Help: "Requests on connections with a client certificate, by what became of it: accepted, refused. What TLS refuses never becomes a request.",
}, []string{"result"})
