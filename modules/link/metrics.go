package link

import "github.com/prometheus/client_golang/prometheus"

// presented outlives configurations, so that it does not start again with each (CADDY 49).
var presented = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "gatehouse_links_total",
	Help: "Links by what became of them when they were presented: shown (the page with the button), opened, refused.",
}, []string{"result"})
