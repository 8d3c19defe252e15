package admin

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMeter(t *testing.T) {
	m, reg := NewMeter(), prometheus.NewRegistry()
	if err := errors.Join(RegisterMetrics(reg, newFake(t)), m.Register(reg)); err != nil {
		t.Fatal(err)
	}
	m.HandlerEnded("default", "ping", "panicked", 2*time.Millisecond)
	m.HandlerConflict("default", "ping")
	m.InteractionSkipped("default", "interactions")
	m.EventsRead("default", 3)
	m.Gateway("default", "resume")
	m.GatewayClosed("default", 4009)
	m.GatewayClosed("default", 0)
	m.TookOver("default", "failover", 50*time.Millisecond, 7)
	m.StoredLogs(2, 300, time.Millisecond)
	m.Proposed(time.Millisecond, errors.New("no quorum"))
	m.SnapshotTaken(time.Second, nil)
	got := series(t, reg)
	for name, want := range map[string]float64{
		"botnode_handler_conflicts_total{bot=default,handler=ping}":            1,
		"botnode_interactions_skipped_total{bot=default,handler=interactions}": 1,
		"botnode_gateway_events_total{bot=default}":                            3,
		"botnode_gateway_total{bot=default,what=resume}":                       1,
		"botnode_gateway_closes_total{bot=default,code=4009}":                  1,
		"botnode_gateway_closes_total{bot=default,code=none}":                  1,
		"botnode_takeover_replayed_events_total{bot=default,why=failover}":     7,
		"botnode_log_entries_total{}":                                          2,
		"botnode_log_bytes_total{}":                                            300,
		"botnode_handler_seconds{bot=default,handler=ping,result=panicked}":    1,
		"botnode_takeover_seconds{bot=default,why=failover}":                   1,
		"botnode_log_append_seconds{}":                                         1,
		"botnode_proposal_seconds{result=failed}":                              1,
		"botnode_snapshot_seconds{result=ok}":                                  1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %t), want %v", name, v, ok, want)
		}
	}
}
