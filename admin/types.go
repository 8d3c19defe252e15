package admin

import (
	"encoding/json"
	"time"
)

// Status is the answer to GET /v1/status. Its form is stable: Schema rises
// only when a field changes its meaning.
type Status struct {
	Schema       int       `json:"schema"`
	Version      string    `json:"version"`
	ClusterID    string    `json:"cluster_id"`
	ID           string    `json:"id"`
	Health       string    `json:"health"` // ok, degraded, down
	Problems     []Problem `json:"problems"`
	State        string    `json:"state"` // leader, follower, candidate, nonvoter, idle, joining
	Leader       *LeaderID `json:"leader"`
	Term         uint64    `json:"term"`
	CommitIndex  uint64    `json:"commit_index"`
	AppliedIndex uint64    `json:"applied_index"`
	Quorum       Quorum    `json:"quorum"`
	Stale        bool      `json:"stale"`
	Insecure     bool      `json:"insecure"`
	// Rules is the number that selects the effects of commands, in force on all nodes.
	Rules uint64 `json:"rules"`
	// StateHash is what a majority of the voters agreed that the state was, at the
	// newest entry at which they compared.
	StateHash Digest  `json:"state_hash"`
	Nodes     []Node  `json:"nodes"`
	Bots      []Bot   `json:"bots"`
	Shards    []Shard `json:"shards"`
}

// Problem is something that an operator should know, with the command to run.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// LeaderID names the leader.
type LeaderID struct {
	ID string `json:"id"`
}

// Quorum says how many voters are needed, and how many are alive.
type Quorum struct {
	Have int `json:"have"`
	Need int `json:"need"`
}

// Node is one node as the answering node knows it.
type Node struct {
	ID            string  `json:"id"`
	ClusterAddr   string  `json:"cluster_addr"`
	HTTPAddr      string  `json:"http_addr"`
	State         string  `json:"state"` // leader, follower, candidate, nonvoter, unknown
	Voter         bool    `json:"voter"`
	Alive         bool    `json:"alive"`
	Status        string  `json:"status"` // alive, suspect, dead, left
	AppliedIndex  uint64  `json:"applied_index"`
	LastContactMS int64   `json:"last_contact_ms"` // -1 where unknown
	Draining      bool    `json:"draining"`
	Version       string  `json:"version"`
	UptimeS       int64   `json:"uptime_s"`
	Shards        int     `json:"shards"`
	EventsPerS    float64 `json:"events_per_s"`
	MemoryBytes   uint64  `json:"memory_bytes"`
	Fresh         bool    `json:"fresh"`
	Weight        int     `json:"weight"`     // share of the shards
	MaxShards     int     `json:"max_shards"` // 0 for no bound
	ProxyAddr     string  `json:"proxy_addr"` // "" where the node has no proxy, or doesn't answer
	Clients       int     `json:"clients"`    // gateway connections of the proxy's clients
}

// Bot is one bot.
type Bot struct {
	Name          string         `json:"name"`
	Guilds        int            `json:"guilds"`
	Layout        int            `json:"layout"` // the shard count in force
	Manual        bool           `json:"manual"` // shards are connected by hand
	Placement     string         `json:"placement"`
	Identify      Identify       `json:"identify"`
	Fatal         string         `json:"fatal"` // why Discord refuses the bot, or ""
	ShardsByState map[string]int `json:"shards_by_state"`
	Unacked       int            `json:"unacked"`
	UnackedBytes  int64          `json:"unacked_bytes"`
	OldestMS      int64          `json:"oldest_ms"` // age of the oldest unacknowledged event
	DeadLetters   int            `json:"dead_letters"`
	Gaps          uint64         `json:"gaps"`
	LastPos       uint64         `json:"last_pos"`
	RESTPerS      float64        `json:"rest_per_s"`
	// RESTInvalid is the invalid requests of the last ten minutes, of all nodes, as
	// the node that answers knows them.
	RESTInvalid int `json:"rest_invalid"`
	// OldIntents counts the sessions that have other intents than the
	// configuration and wait for their turn to be replaced.
	OldIntents int `json:"old_intents,omitempty"`
}

// Identify is a bot's session start budget.
type Identify struct {
	Remaining int `json:"remaining"`
	Limit     int `json:"limit"`
}

// Shard is one shard.
type Shard struct {
	Bot          string    `json:"bot"`
	ID           int       `json:"id"`
	Total        int       `json:"total"`
	Owner        string    `json:"owner"` // node id, "" for none
	Epoch        uint64    `json:"epoch"`
	State        string    `json:"state"` // unassigned, connecting, resuming, ready, moving, manual
	Seq          int64     `json:"seq"`
	SessionID    string    `json:"session_id,omitempty"`
	Guilds       int       `json:"guilds"`
	LatencyMS    float64   `json:"latency_ms"`
	Unacked      int       `json:"unacked"`
	Pin          string    `json:"pin"` // node that an operator wants it on, "" for none
	LastTakeover *Takeover `json:"last_takeover"`
}

// Takeover describes how a shard last came to its owner.
type Takeover struct {
	Kind     string    `json:"kind"` // normal, failover, takeover, handoff
	From     string    `json:"from"`
	GapMS    float64   `json:"gap_ms"`
	Replayed int       `json:"replayed"`
	At       time.Time `json:"at"`
}

// Digest is the answer to GET /v1/digest: at the same index the same digest on
// every node.
type Digest struct {
	AppliedIndex uint64 `json:"applied_index"`
	Digest       string `json:"digest"`
}

// JoinResult is the answer to POST /v1/join.
type JoinResult struct {
	ClusterID string      `json:"cluster_id"`
	Stages    []JoinStage `json:"stages"`
	TookMS    int64       `json:"took_ms"`
}

// JoinStage is a step of a join and when it was reached, counted from its
// beginning.
type JoinStage struct {
	Stage string `json:"stage"` // contacted, nonvoter, caught_up, voter
	AtMS  int64  `json:"at_ms"`
}

// KVItem is one key of a bot's replicated store. Value is the value itself
// where it is JSON, else a JSON string of base64 with Base64 set.
type KVItem struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Base64  bool            `json:"base64,omitempty"`
	Version uint64          `json:"version"`
}

// CacheStats is one kind of cached object.
type CacheStats struct {
	Bot     string `json:"bot"`
	Kind    string `json:"kind"`
	Policy  string `json:"policy"`
	Count   int    `json:"count"`
	Bytes   int64  `json:"bytes"`
	Evicted uint64 `json:"evicted"`
	// Sweeping: the policy has changed, and not all objects follow it yet.
	Sweeping bool `json:"sweeping,omitempty"`
}

// Event is one journal entry as GET /v1/events streams it.
type Event struct {
	Pos   uint64          `json:"pos"`
	Bot   string          `json:"bot"`
	Shard int             `json:"shard"`
	Seq   int64           `json:"seq"`
	Type  string          `json:"type"`
	Guild string          `json:"guild_id,omitempty"`
	AtMS  int64           `json:"at_ms"`
	Data  json.RawMessage `json:"data"`
}

// DeadLetter is an event that was given up.
type DeadLetter struct {
	Pos      uint64   `json:"pos"`
	Bot      string   `json:"bot"`
	Shard    int      `json:"shard"`
	Type     string   `json:"type"`
	Handlers []string `json:"handlers"`
	Attempts int      `json:"attempts"`
	Error    string   `json:"error"`
	AtMS     int64    `json:"at_ms"`
}

// BotConfig is a bot's replicated configuration with its revision.
type BotConfig struct {
	Bot      string          `json:"bot"`
	Revision uint64          `json:"revision"`
	Config   json.RawMessage `json:"config"`
}
