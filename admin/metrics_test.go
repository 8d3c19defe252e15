package admin

import (
	"regexp"
	"strings"
	"testing"

	armon "github.com/armon/go-metrics"
	hashi "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// series gathers a registry into lines "name{label=value,...} value". The value
// of a histogram is how many samples it has.
func series(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetSummary().GetSampleSum() +
				float64(m.GetHistogram().GetSampleCount())
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	f := newFake(t)
	reg := prometheus.NewRegistry()
	if err := RegisterMetrics(reg, f); err != nil {
		t.Fatal(err)
	}
	got := series(t, reg)
	for name, want := range map[string]float64{
		"botnode_info{cluster=c1,node=mike,version=v1}":                         1,
		"botnode_health{health=ok}":                                             1,
		"botnode_health{health=down}":                                           0,
		"botnode_problem{code=few_voters}":                                      1,
		"botnode_is_leader{}":                                                   1,
		"botnode_applied_index{}":                                               5,
		"botnode_node_up{node=mike}":                                            1,
		"botnode_memory_bytes{}":                                                1 << 20,
		"botnode_shards{bot=default,state=ready}":                               1,
		"botnode_shards{bot=default,state=unassigned}":                          0,
		"botnode_shard_latency_seconds{bot=default,shard=0}":                    0.012,
		"botnode_shard_takeover_gap_seconds{bot=default,kind=failover,shard=0}": 0.02,
		"botnode_cache_objects{bot=default,kind=channels}":                      2,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %t), want %v", name, v, ok, want)
		}
	}
	f.fail(ErrNoQuorum)
	if _, err := reg.Gather(); err == nil {
		t.Error("a status that can't be read gives no error")
	}
}

// TestTwoNodesHaveTwoRegistries: several nodes run in one process in tests.
func TestTwoNodesHaveTwoRegistries(t *testing.T) {
	for _, id := range []string{"joe", "mike"} {
		f := newFake(t)
		f.status.ID = id
		reg := prometheus.NewRegistry()
		if err := RegisterMetrics(reg, f); err != nil {
			t.Fatal(err)
		}
		if got := series(t, reg); got["botnode_info{cluster=c1,node="+id+",version=v1}"] != 1 {
			t.Errorf("the registry of %s: %v", id, got)
		}
	}
}

// TestLabels: no label can hold a guild, a channel or a user.
func TestLabels(t *testing.T) {
	f := newFake(t)
	reg := prometheus.NewRegistry()
	if err := RegisterMetrics(reg, f); err != nil {
		t.Fatal(err)
	}
	snowflake := regexp.MustCompile(`\d{17,}`)
	for name := range series(t, reg) {
		if snowflake.MatchString(name) || strings.Contains(name, "guild=") {
			t.Errorf("%s has an id of Discord's", name)
		}
	}
}

func TestBridgeTakesBothLibraries(t *testing.T) {
	reg := prometheus.NewRegistry()
	if err := BridgeMetrics(reg); err != nil {
		t.Fatal(err)
	}
	hashi.IncrCounter([]string{"raft", "apply"}, 2)
	armon.AddSample([]string{"raft", "boltdb", "storeLogs"}, 3)
	got := series(t, reg)
	for name, want := range map[string]float64{"botnode_raft_apply{}": 2, "botnode_raft_boltdb_storeLogs{}": 3} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v in %v", name, got[name], want, got)
		}
	}
	second := prometheus.NewRegistry()
	if err := BridgeMetrics(second); err != nil {
		t.Fatalf("a second node of the process: %v", err)
	}
}
