package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
)

// Status implements admin.Backend.
func (n *Node) Status(ctx context.Context) (admin.Status, error) {
	r := n.raft.Load()
	reports := n.reports(ctx)
	st := admin.Status{
		Schema: 1, Version: n.o.Version, ClusterID: n.ClusterID(), ID: n.o.ID, State: n.state(),
		CommitIndex: r.CommitIndex(), Stale: !n.manager.Fresh(), Insecure: n.o.Insecure,
		Problems: []admin.Problem{}, Nodes: []admin.Node{}, Bots: []admin.Bot{}, Shards: []admin.Shard{},
	}
	if l := r.Leader(); l.Known {
		st.Leader = &admin.LeaderID{ID: l.ID}
		st.Term = l.Term
	}
	st.Nodes = n.nodeStatus(reports)
	for _, node := range st.Nodes {
		if node.Voter {
			st.Quorum.Need++
			if node.Alive {
				st.Quorum.Have++
			}
		}
	}
	if st.Quorum.Need > 0 {
		st.Quorum.Need = st.Quorum.Need/2 + 1
	}
	st.AppliedIndex = r.AppliedIndex()
	n.machine.View(func(_ uint64, s *fsm.State) {
		st.Rules, st.StateHash = s.Rules, stateHash(s.Agreed())
		for _, name := range s.BotNames() {
			bot, shards := botStatus(s.Bot(name), reports, s)
			st.Bots = append(st.Bots, bot)
			st.Shards = append(st.Shards, shards...)
		}
	})
	for i, b := range st.Bots {
		if rt := n.bots[b.Name]; rt != nil {
			st.Bots[i].RESTInvalid = rt.invalid()
		}
	}
	for i := range st.Nodes {
		for _, sh := range st.Shards {
			if sh.Owner == st.Nodes[i].ID {
				st.Nodes[i].Shards++
			}
		}
	}
	for i, sh := range st.Shards {
		if n.manager.Moving(sh.Bot, fsm.ShardKey{Layout: uint32(sh.Total), Index: uint32(sh.ID)}) {
			st.Shards[i].State = "moving"
		}
	}
	st.Problems = problems(&st, n.manager.Waiting(), overdueBackup(reports, st.Leader, time.Now()), n.transport.Refusal)
	if at := n.differs.Load(); at != nil {
		st.Problems = append(st.Problems, admin.Problem{
			Code: "state_differs", Message: fmt.Sprintf("the nodes' states differ at entry %d, and no majority agrees", *at),
			Hint: "compare `botnode status` and GET /v1/digest of all nodes; restore a backup if it stays",
		})
	}
	st.Health = health(&st)
	return st, nil
}

// stateHash shows a hash point, and nothing before the first.
func stateHash(p fsm.HashPoint) admin.Digest {
	if p.Index == 0 {
		return admin.Digest{}
	}
	return admin.Digest{AppliedIndex: p.Index, Digest: p.Digest.String()}
}

func (n *Node) nodeStatus(reports map[string]report) []admin.Node {
	out := []admin.Node{}
	r := n.raft.Load()
	for _, s := range r.Servers() {
		node := admin.Node{ID: s.ID, ClusterAddr: s.Addr, Voter: s.Voter, State: "unknown", Status: "dead", LastContactMS: -1}
		if m, ok := n.memberOf(s.ID); ok {
			node.ClusterAddr, node.HTTPAddr, node.Version, node.Status = m.ClusterAddr, m.HTTPAddr, m.Version, m.Status.String()
			node.Alive = m.Status == membership.Alive
		}
		if rep, ok := reports[s.ID]; ok {
			node.State, node.Alive, node.Status = rep.State, true, "alive"
			node.AppliedIndex, node.UptimeS, node.Version = rep.Applied, rep.UptimeS, rep.Version
			node.EventsPerS, node.MemoryBytes, node.Fresh = rep.EventsPerS, rep.Memory, rep.Fresh
			node.ProxyAddr, node.Clients = rep.ProxyAddr, rep.Clients
			node.LastContactMS = 0
		}
		if s.ID == n.o.ID {
			node.HTTPAddr, node.ClusterAddr = n.o.HTTPAddr, n.transport.Addr()
		}
		n.machine.View(func(_ uint64, st *fsm.State) {
			known, _ := st.Node(s.ID)
			node.Draining, node.Weight, node.MaxShards = known.Draining, int(known.Weight), int(known.MaxShards)
		})
		out = append(out, node)
	}
	slices.SortFunc(out, func(a, b admin.Node) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// botStatus describes a bot and its shards out of the applied state and the
// owners' reports.
func botStatus(b *fsm.Bot, reports map[string]report, s *fsm.State) (admin.Bot, []admin.Shard) {
	bot := admin.Bot{
		Name: b.Name, Layout: int(b.Layout), ShardsByState: map[string]int{},
		Identify: admin.Identify{Remaining: b.Budget.Remaining, Limit: b.Budget.Limit},
		Manual:   b.Config.Shards == "manual", Placement: b.Config.Placement,
		Gaps: b.GapCount, DeadLetters: b.DeadCount(), LastPos: b.LastPos,
	}
	bot.Unacked, bot.UnackedBytes = b.Pending()
	var shards []admin.Shard
	var oldest int64
	for _, sh := range b.Shards() {
		out := admin.Shard{
			Bot: b.Name, ID: int(sh.Key.Index), Total: int(sh.Key.Layout), Owner: sh.Owner.ID, Epoch: sh.Epoch,
			Seq: sh.C, SessionID: sh.SID, Guilds: b.Cache().GuildCount(int(sh.Key.Index), int(sh.Key.Layout)), Unacked: sh.PendingCount(), State: "connecting", Pin: sh.Pin,
		}
		bot.Guilds += out.Guilds
		if sh.SID != "" && sh.Intents != b.Config.Intents {
			bot.OldIntents++
		}
		if e := sh.Oldest(); e != nil && (oldest == 0 || e.At < oldest) {
			oldest = e.At
		}
		rep, ok := ownerReport(reports, sh.Owner.ID, b.Name, sh.Key.Index)
		switch {
		case sh.Parked:
			out.State = "manual"
		case !s.IsUp(sh.Owner):
			out.State = "unassigned"
		case ok:
			out.State, out.LatencyMS, out.LastTakeover = shardState(rep.Phase, sh.SID), rep.LatencyMS, rep.Takeover
			if rep.Fatal != "" {
				bot.Fatal = rep.Fatal
			}
		}
		bot.ShardsByState[out.State]++
		shards = append(shards, out)
	}
	if oldest > 0 {
		bot.OldestMS = time.Now().UnixMilli() - oldest
	}
	for _, rep := range reports {
		bot.RESTPerS += rep.RESTPerS
		if why := rep.Refused[b.Name]; why != "" {
			bot.Fatal = why
		}
	}
	return bot, shards
}

func ownerReport(reports map[string]report, owner, bot string, index uint32) (shardReport, bool) {
	for _, s := range reports[owner].Shards {
		if s.Bot == bot && s.Index == index {
			return s, true
		}
	}
	return shardReport{}, false
}

// shardState turns an owner's phase into the contract's words.
func shardState(phase, sid string) string {
	switch phase {
	case "live":
		return "ready"
	case "resuming":
		return "resuming"
	case "identifying":
		return "connecting"
	}
	if sid != "" {
		return "resuming"
	}
	return "connecting"
}

// problems lists what an operator should know, the worst first. refusal says why the node at an address and this one don't
// speak, if one of them refuses.
func problems(st *admin.Status, waiting []string, overdue string, refusal func(addr string) error) []admin.Problem {
	out := []admin.Problem{}
	add := func(code, hint, format string, args ...any) {
		out = append(out, admin.Problem{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	switch st.State {
	case "idle":
		add("not_in_cluster", "botnode join PEER", "this node belongs to no cluster yet")
		return out
	case "joining":
		add("joining", "botnode join PEER", "this node has begun to join a cluster and has not been admitted yet")
		return out
	}
	if st.Leader == nil {
		add("no_leader", "botnode status --http URL of another node", "no leader is known: %d of %d voters needed are alive", st.Quorum.Have, st.Quorum.Need)
	}
	if st.Stale {
		add("stale", "check the network between the nodes", "no leader has answered this node of late: what it shows may be old, and it is quiet")
	}
	if len(waiting) > 0 {
		add("waiting_for_nodes", "start them and have them join; or wait for --sync-timeout", "the bot has not started: it waits for %s", strings.Join(waiting, ", "))
	}
	if n := withoutRoom(st); n > 0 {
		add("no_room", "start another node, or one with a larger --max-shards", "%d shards have no node: all that are up have as many as --max-shards allows", n)
	}
	member := func(id string) bool {
		return slices.ContainsFunc(st.Nodes, func(n admin.Node) bool { return n.ID == id })
	}
	for _, b := range st.Bots {
		if b.Fatal != "" {
			add("bot_refused", "check the token, the intents in the developer portal, and `botnode config show`", "discord refuses bot %s: %s", b.Name, b.Fatal)
		}
		if waiting := unconnected(&b); b.Fatal == "" && waiting != "" {
			add("shards_not_ready", "the log of the shard's owner says why: look for code=gateway_unreachable or code=discord_unreachable",
				"bot %s: %s", b.Name, waiting)
		}
		if n := b.ShardsByState["manual"]; n > 0 && !b.Manual {
			add("shards_disconnected", "botnode shard connect N", "bot %s: shards that an operator has disconnected: %d", b.Name, n)
		}
		if b.OldIntents > 0 {
			add("sessions_outdated", "wait: they are replaced one by one while session starts are left; `botnode status --watch`",
				"bot %s: %d of %d sessions were begun with other intents than the configuration has now", b.Name, b.OldIntents, b.Layout)
		}
		if names := strangers(b.Placement, member); len(names) > 0 {
			others := ""
			if p, _ := fsm.ParsePlacement(b.Placement); len(names) == len(p.Names()) {
				others = ", and no other node"
			}
			add("placement_unknown_node", "have them join, or change it: `botnode config apply`",
				"the placement of bot %s names %s, which the cluster doesn't have%s", b.Name, strings.Join(names, ", "), others)
		}
		if b.DeadLetters > 0 {
			add("dead_letters", "botnode dead-letter list", "bot %s has %d dead letters", b.Name, b.DeadLetters)
		}
		if b.OldestMS > 60_000 && b.Unacked > 0 {
			add("handlers_lag", "botnode status --watch", "bot %s has %d events unhandled, the oldest for %d s", b.Name, b.Unacked, b.OldestMS/1000)
		}
		if b.Identify.Limit > 0 && b.Identify.Remaining*10 < b.Identify.Limit {
			add("identify_budget", "wait for the daily reset; don't restart sessions", "bot %s has %d of %d session starts left", b.Name, b.Identify.Remaining, b.Identify.Limit)
		}
	}
	voters := 0
	for _, node := range st.Nodes {
		if node.Voter {
			voters++
		}
		var refused error
		if !node.Alive {
			refused = refusal(node.ClusterAddr)
		}
		switch {
		case refused != nil:
			add("node_refused", "do what it says; if it is this node that is refused, the status of another one shows the cluster",
				"node %s and this one don't speak: %v", node.ID, refused)
		case !node.Alive:
			add("node_down", "start it again, or `botnode node remove "+node.ID+"`", "node %s is %s", node.ID, node.Status)
		case node.Draining:
			add("node_draining", "botnode undrain "+node.ID, "node %s is draining: it gets no shards", node.ID)
		}
	}
	if voters > 0 && voters < 3 {
		add("few_voters", "start another node and `botnode join` it", "voters: %d: the cluster does not survive the loss of a node", voters)
	}
	if overdue != "" {
		add("backup_overdue", "look for code=backup_failed in the leader's log; give --backup-dir to every node", "%s", overdue)
	}
	if st.Insecure {
		add("insecure", "use TLS between the nodes", "this node runs with --insecure")
	}
	return out
}

// withoutRoom counts the shards that no node may have: those without an owner,
// if every node that could have one is full.
func withoutRoom(st *admin.Status) int {
	up := 0
	for _, node := range st.Nodes {
		if !node.Alive || node.Draining {
			continue
		}
		if up++; node.MaxShards == 0 || node.Shards < node.MaxShards {
			return 0
		}
	}
	waiting := 0
	for _, sh := range st.Shards {
		if sh.State == "unassigned" && up > 0 {
			waiting++
		}
	}
	return waiting
}

// unconnected says which shards of a bot are not served, "" if all are.
func unconnected(b *admin.Bot) string {
	if b.Layout == 0 && b.Manual {
		return "" // nobody has connected one yet
	}
	if b.Layout == 0 {
		return "its shard count is not known yet: Discord has not been asked with success"
	}
	waiting, all := 0, 0
	for state, n := range b.ShardsByState {
		all += n
		if state != "ready" && state != "manual" {
			waiting += n
		}
	}
	if waiting == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d shards are not connected to Discord", waiting, all)
}

func health(st *admin.Status) string {
	if st.Leader == nil || st.Stale {
		return "down"
	}
	for _, p := range st.Problems {
		switch p.Code {
		case "few_voters", "insecure", "node_draining", "shards_disconnected", "placement_unknown_node":
		default:
			return "degraded"
		}
	}
	return "ok"
}
