package admin

import (
	"errors"
	"time"

	armon "github.com/armon/go-metrics"
	armonprom "github.com/armon/go-metrics/prometheus"
	hashi "github.com/hashicorp/go-metrics"
	hashiprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// bridgeExpiry drops series that were not written for so long, those of a peer
// that is gone say.
const bridgeExpiry = 10 * time.Minute

// BridgeMetrics makes the metrics of raft and memberlist (hashicorp/go-metrics)
// and of the log store (armon/go-metrics) part of a registry, under
// botnode_raft_, botnode_memberlist_ and so on, in milliseconds where they are
// times: these libraries' names are kept.
//
// Both libraries write to a collector of the whole process, so the last registry
// that was bridged has them, for all nodes of the process together.
func BridgeMetrics(reg prometheus.Registerer) error {
	h, err := hashiprom.NewPrometheusSinkFrom(hashiprom.PrometheusOpts{Expiration: bridgeExpiry, Registerer: reg, Name: "botnode_raft_sink"})
	if err != nil {
		return err
	}
	a, err := armonprom.NewPrometheusSinkFrom(armonprom.PrometheusOpts{Expiration: bridgeExpiry, Registerer: reg, Name: "botnode_store_sink"})
	if err != nil {
		return err
	}
	hc := hashi.DefaultConfig("botnode")
	hc.EnableHostname, hc.EnableRuntimeMetrics = false, false // the registry has the runtime's own
	ac := armon.DefaultConfig("botnode")
	ac.EnableHostname, ac.EnableRuntimeMetrics = false, false
	_, herr := hashi.NewGlobal(hc, h)
	_, aerr := armon.NewGlobal(ac, a)
	return errors.Join(herr, aerr)
}
