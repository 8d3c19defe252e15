package node

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/shard"
)

// report is what a node tells others about itself, for the status.
type report struct {
	ClusterID   string        `json:"cluster_id"`
	ID          string        `json:"id"`
	State       string        `json:"state"`
	Applied     uint64        `json:"applied"`
	Commit      uint64        `json:"commit"`
	UptimeS     int64         `json:"uptime_s"`
	Memory      uint64        `json:"memory"`
	Fresh       bool          `json:"fresh"`
	Version     string        `json:"version"`
	EventsPerS  float64       `json:"events_per_s"`
	RESTPerS    float64       `json:"rest_per_s"`
	Identifies  uint64        `json:"identifies"`
	Shards      []shardReport `json:"shards"`
	HandlersRun uint64        `json:"handlers_run"`
	ProxyAddr   string        `json:"proxy_addr,omitempty"`
	Clients     int           `json:"clients,omitempty"`
	Backup      *backupReport `json:"backup,omitempty"`
	// Refused says by bot why Discord's REST API refuses it.
	Refused map[string]string `json:"refused,omitempty"`
}

// shardReport is one shard in a report of its owner.
type shardReport struct {
	Bot       string          `json:"bot"`
	Index     uint32          `json:"index"`
	Phase     string          `json:"phase"`
	LatencyMS float64         `json:"latency_ms"`
	Fatal     string          `json:"fatal,omitempty"`
	Takeover  *admin.Takeover `json:"takeover,omitempty"`
}

// askReport asks the node at addr for its report.
func (n *Node) askReport(ctx context.Context, addr string) (report, error) {
	a, err := n.ask(ctx, addr, clusterRequest{Kind: "report"})
	if err != nil || a.Report == nil {
		return report{}, err
	}
	return *a.Report, nil
}

// state names what this node is in its cluster.
func (n *Node) state() string {
	r := n.raftOrNil()
	switch {
	case r == nil || !n.inCluster():
		if n.identity.Joining() != "" {
			return "joining"
		}
		return "idle"
	case !n.voter():
		return "nonvoter"
	case r.IsLeader():
		return "leader"
	case r.Leader().Known:
		return "follower"
	}
	return "candidate"
}

func (n *Node) report() report {
	r := n.raft.Load()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	st := n.manager.Stats()
	rep := report{
		ClusterID: n.ClusterID(), ID: n.o.ID, State: n.state(), Applied: r.AppliedIndex(), Commit: r.CommitIndex(),
		UptimeS: int64(time.Since(n.started).Seconds()), Memory: mem.Sys - mem.HeapReleased,
		Fresh: n.manager.Fresh(), Version: n.o.Version, Identifies: st.Identifies.Load(), HandlersRun: st.Started.Load(),
		Backup: n.backups.report(),
	}
	if p := n.proxy.Load(); p != nil {
		rep.ProxyAddr, rep.Clients = p.addr, p.clients()
	}
	var read uint64
	for ref, s := range n.manager.Status() {
		read += s.Read
		if !s.Mine {
			continue
		}
		rep.Shards = append(rep.Shards, shardReport{
			Bot: ref.Bot, Index: ref.Shard.Index, Phase: s.Phase.String(),
			LatencyMS: float64(s.Latency) / 1e6, Fatal: s.Fatal, Takeover: takeover(s.Takeover),
		})
	}
	rep.EventsPerS = n.rates.events.per(read)
	var requests uint64
	for name, rt := range n.bots {
		requests += rt.requests()
		if why := rt.refusal(); why != "" {
			if rep.Refused == nil {
				rep.Refused = make(map[string]string)
			}
			rep.Refused[name] = why
		}
	}
	rep.RESTPerS = n.rates.rest.per(requests)
	return rep
}

func takeover(t *shard.Takeover) *admin.Takeover {
	if t == nil {
		return nil
	}
	return &admin.Takeover{
		Kind: t.Why.String(), From: t.From.ID, GapMS: float64(t.Gap) / 1e6, Replayed: t.Replayed, At: t.At,
	}
}

// rates are this node's throughputs as its reports show them.
type rates struct{ events, rest rate }

// rate turns a counter into a rate over at least a second.
type rate struct {
	mu    sync.Mutex // guards what follows
	at    time.Time
	count uint64
	value float64
}

func (r *rate) per(count uint64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch since := now.Sub(r.at); {
	case r.at.IsZero():
		r.at, r.count = now, count
	case since >= time.Second:
		r.value = float64(count-r.count) / since.Seconds()
		r.at, r.count = now, count
	}
	return r.value
}

// reports collects the reports of all nodes that answer soon, by id.
func (n *Node) reports(ctx context.Context) map[string]report {
	ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	out := map[string]report{n.o.ID: n.report()}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range n.raft.Load().Servers() {
		addr, ok := n.addrOf(s.ID)
		if s.ID == n.o.ID || !ok {
			continue
		}
		wg.Go(func() {
			if rep, err := n.askReport(ctx, addr); err == nil {
				mu.Lock()
				out[rep.ID] = rep
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

func (rt *botRuntime) requests() uint64 {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.trip == nil {
		return 0
	}
	return uint64(rt.trip.Stats().Requests)
}

// invalid returns the invalid requests of all nodes, as this one knows them.
func (rt *botRuntime) invalid() int {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.trip == nil {
		return 0
	}
	s := rt.trip.Stats()
	return s.Invalid + s.Others
}

// memberOf is gossip's word on a node, and false where it has none.
func (n *Node) memberOf(id string) (membership.Member, bool) { return n.members.Lookup(id) }
