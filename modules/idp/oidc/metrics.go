package oidc

import "github.com/prometheus/client_golang/prometheus"

// The collectors outlive configurations; the label is the provider's name.
var (
	providerUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatehouse_oidc_provider_up",
		Help: "1 when the provider's metadata and keys could last be fetched (hourly, every 30 s while it fails), else 0.",
	}, []string{"provider"})
	clockSkew = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatehouse_oidc_clock_skew_seconds",
		Help: "How far the provider's clock is ahead of ours, when that is 5 seconds or more, either way; else 0.",
	}, []string{"provider"})
	renewals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_oidc_renewals_total",
		Help: "Renewals of sessions, by result: renewed, ended, failed.",
	}, []string{"provider", "result"})
)
