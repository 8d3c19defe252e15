package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// scrapeTimeout bounds how long a scrape may ask the node.
const scrapeTimeout = 5 * time.Second

// metric is one row of the table of metrics: its name after "botnode_", what
// it says, and its labels. Guilds, users and channels are never labels: there
// are too many, and they are nobody's business.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
}

// The metrics. docs/operations.md tells which to watch.
var (
	mInfo        = metric{"info", "Always 1; what this node is.", gauge, []string{"node", "version", "cluster"}}
	mHealth      = metric{"health", "1 for the cluster's health as this node sees it: ok, degraded or down.", gauge, []string{"health"}}
	mProblem     = metric{"problem", "1 for each problem that status shows, by code.", gauge, []string{"code"}}
	mLeader      = metric{"is_leader", "1 on the node that leads.", gauge, nil}
	mHasLeader   = metric{"has_leader", "1 if this node knows a leader.", gauge, nil}
	mStale       = metric{"stale", "1 if no leader has answered this node of late.", gauge, nil}
	mTerm        = metric{"term", "Raft term.", gauge, nil}
	mCommit      = metric{"commit_index", "Newest committed log entry that this node knows of.", gauge, nil}
	mApplied     = metric{"applied_index", "Newest log entry applied here.", gauge, nil}
	mQuorumHave  = metric{"voters_alive", "Voters that are alive.", gauge, nil}
	mQuorumNeed  = metric{"voters_needed", "Voters that a majority needs.", gauge, nil}
	mNodeUp      = metric{"node_up", "1 if the node is alive, as this node sees it.", gauge, []string{"node"}}
	mNodeShards  = metric{"node_shards", "Shards that the node owns.", gauge, []string{"node"}}
	mEvents      = metric{"events_per_second", "Events that this node reads from Discord.", gauge, nil}
	mMemory      = metric{"memory_bytes", "Memory that this process holds.", gauge, nil}
	mClients     = metric{"proxy_clients", "Gateway connections of the proxy's clients to this node.", gauge, nil}
	mGuilds      = metric{"guilds", "Guilds of the bot.", gauge, []string{"bot"}}
	mShards      = metric{"shards", "Shards of the bot by state.", gauge, []string{"bot", "state"}}
	mUnacked     = metric{"unacked_events", "Events that handlers have not finished.", gauge, []string{"bot"}}
	mUnackedSize = metric{"unacked_bytes", "Size of the events that handlers have not finished.", gauge, []string{"bot"}}
	mOldest      = metric{"oldest_unacked_seconds", "Age of the oldest event that handlers have not finished.", gauge, []string{"bot"}}
	mDead        = metric{"dead_letters", "Events that were given up and wait for an operator.", gauge, []string{"bot"}}
	mGaps        = metric{"session_gaps_total", "Times that Discord may have withheld events.", counter, []string{"bot"}}
	mPosition    = metric{"journal_position", "Position of the newest journal entry.", counter, []string{"bot"}}
	mBudget      = metric{"identify_remaining", "Session starts that are left today.", gauge, []string{"bot"}}
	mBudgetLimit = metric{"identify_limit", "Session starts of a day.", gauge, []string{"bot"}}
	mFatal       = metric{"bot_refused", "1 if Discord refuses the bot.", gauge, []string{"bot"}}
	mInvalid     = metric{"rest_invalid_requests", "Invalid REST requests (401, 403, 429) of all nodes in the last ten minutes; Discord bans addresses at 10,000.", gauge, []string{"bot"}}
	mOwned       = metric{"shard_ready", "1 for each shard of this node that is ready, else 0.", gauge, []string{"bot", "shard"}}
	mLatency     = metric{"shard_latency_seconds", "Heartbeat round trip of each shard of this node.", gauge, []string{"bot", "shard"}}
	mTakeover    = metric{"shard_takeover_gap_seconds", "Time from the grant of each shard of this node to its first event or RESUMED; the death before it is not in it.", gauge, []string{"bot", "shard", "kind"}}
	mCached      = metric{"cache_objects", "Cached objects by kind.", gauge, []string{"bot", "kind"}}
	mCachedSize  = metric{"cache_bytes", "Size of the cached objects by kind.", gauge, []string{"bot", "kind"}}
	mEvicted     = metric{"cache_evicted_total", "Objects that a policy dropped.", counter, []string{"bot", "kind"}}
)

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// RegisterMetrics registers a collector that reads b at each scrape, and those
// of the Go runtime and the process.
func RegisterMetrics(reg prometheus.Registerer, b Backend) error {
	for _, c := range []prometheus.Collector{
		&collector{b: b}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// collector reads the backend. It is unchecked: what it sends depends on what
// there is.
type collector struct{ b Backend }

// Describe implements prometheus.Collector.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	out := emitter{ch}
	st, err := c.b.Status(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("botnode_info", mInfo.help, nil, nil), err)
		return
	}
	out.cluster(&st)
	for _, b := range st.Bots {
		out.bot(&b)
		_, _ = c.b.View(b.Name, func(_ *fsm.Bot, cached *cache.Cache) { out.cache(b.Name, cached.Stats()) }) // a bot that is gone has no caches
	}
	for _, sh := range st.Shards {
		if sh.Owner == st.ID {
			out.shard(&sh)
		}
	}
}

// emitter sends samples.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) send(m metric, v float64, labels ...string) {
	desc := prometheus.NewDesc("botnode_"+m.name, m.help, m.labels, nil)
	s, err := prometheus.NewConstMetric(desc, m.kind, v, labels...)
	if err != nil {
		s = prometheus.NewInvalidMetric(desc, err)
	}
	e.ch <- s
}

func (e emitter) cluster(st *Status) {
	e.send(mInfo, 1, st.ID, st.Version, st.ClusterID)
	for _, h := range []string{"ok", "degraded", "down"} {
		e.send(mHealth, truth(st.Health == h), h)
	}
	seen := make(map[string]bool)
	for _, p := range st.Problems {
		if !seen[p.Code] {
			e.send(mProblem, 1, p.Code)
		}
		seen[p.Code] = true
	}
	e.send(mLeader, truth(st.Leader != nil && st.Leader.ID == st.ID))
	e.send(mHasLeader, truth(st.Leader != nil))
	e.send(mStale, truth(st.Stale))
	e.send(mTerm, float64(st.Term))
	e.send(mCommit, float64(st.CommitIndex))
	e.send(mApplied, float64(st.AppliedIndex))
	e.send(mQuorumHave, float64(st.Quorum.Have))
	e.send(mQuorumNeed, float64(st.Quorum.Need))
	for _, n := range st.Nodes {
		e.send(mNodeUp, truth(n.Alive), n.ID)
		e.send(mNodeShards, float64(n.Shards), n.ID)
		if n.ID == st.ID {
			e.send(mEvents, n.EventsPerS)
			e.send(mMemory, float64(n.MemoryBytes))
			e.send(mClients, float64(n.Clients))
		}
	}
}

func (e emitter) bot(b *Bot) {
	e.send(mGuilds, float64(b.Guilds), b.Name)
	for _, state := range []string{"unassigned", "connecting", "resuming", "ready", "moving", "manual"} {
		e.send(mShards, float64(b.ShardsByState[state]), b.Name, state)
	}
	e.send(mUnacked, float64(b.Unacked), b.Name)
	e.send(mUnackedSize, float64(b.UnackedBytes), b.Name)
	e.send(mOldest, float64(b.OldestMS)/1000, b.Name)
	e.send(mDead, float64(b.DeadLetters), b.Name)
	e.send(mGaps, float64(b.Gaps), b.Name)
	e.send(mPosition, float64(b.LastPos), b.Name)
	e.send(mBudget, float64(b.Identify.Remaining), b.Name)
	e.send(mBudgetLimit, float64(b.Identify.Limit), b.Name)
	e.send(mFatal, truth(b.Fatal != ""), b.Name)
	e.send(mInvalid, float64(b.RESTInvalid), b.Name)
}

func (e emitter) shard(s *Shard) {
	id := strconv.Itoa(s.ID)
	e.send(mOwned, truth(s.State == "ready"), s.Bot, id)
	e.send(mLatency, s.LatencyMS/1000, s.Bot, id)
	if s.LastTakeover != nil {
		e.send(mTakeover, s.LastTakeover.GapMS/1000, s.Bot, id, s.LastTakeover.Kind)
	}
}

func (e emitter) cache(bot string, stats []cache.KindStats) {
	for _, k := range stats {
		e.send(mCached, float64(k.Count), bot, k.Kind.String())
		e.send(mCachedSize, float64(k.Bytes), bot, k.Kind.String())
		e.send(mEvicted, float64(k.Evicted), bot, k.Kind.String())
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
