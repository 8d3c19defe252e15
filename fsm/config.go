package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/botnode/botnode/cache"
)

// Config is what all nodes agree on about a bot. It acts inside Apply, so
// nodes must not differ in it: flags and files only seed it, at the bot's
// first start.
type Config struct {
	// API is the base URL of Discord's REST API, with its version.
	API string `json:"api"`
	// Intents is the gateway's bit set.
	Intents uint64 `json:"intents"`
	// Shards is "auto", "manual", a number, or "LO-HI/N" for a part of N.
	Shards string `json:"shards"`
	// Placement is "spread" or "prefer:a,b+c".
	Placement string `json:"placement"`
	// Failback returns shards to a preferred node once it is back and stable.
	Failback bool `json:"failback"`
	// FailbackAfterMS is how long that node must have been up without a break
	// before, in milliseconds.
	FailbackAfterMS int64 `json:"failback_after_ms"`
	// Presence is the raw object of the presence that IDENTIFY carries.
	Presence json.RawMessage `json:"presence,omitempty"`
	// Journal says which event types enter the journal without a handler:
	// empty for all but TYPING_START and PRESENCE_UPDATE.
	Journal []string `json:"journal,omitempty"`
	// RetainBytes bounds the journal's newest entries for readers that follow.
	RetainBytes int64 `json:"retain_bytes"`
	// MaxAttempts is how often an entry is started before it is a dead letter.
	MaxAttempts int `json:"max_attempts"`
	// IdentifyReserve is how many identifies of the daily limit stay unused.
	IdentifyReserve int `json:"identify_reserve"`
	// RESTPerSecond is the global limit of REST requests that the cluster keeps as
	// a whole; 0 means Discord's 50 for Discord's own address, and none else.
	RESTPerSecond int `json:"rest_per_second,omitempty"`
	// Caches maps a kind of cached object to its policy.
	Caches map[string]CachePolicy `json:"caches,omitempty"`
}

// CachePolicy is one kind's policy as it is written down.
type CachePolicy struct {
	Mode     string `json:"mode"` // off, on, bounded
	MaxCount int    `json:"max_count,omitempty"`
	MaxBytes int64  `json:"max_bytes,omitempty"`
	// Filter says which objects are kept: see cache.Filter.
	Filter string `json:"filter,omitempty"`
}

// policy returns what p asks for.
func (p CachePolicy) policy() (out cache.Policy, err error) {
	if p.MaxCount < 0 || p.MaxBytes < 0 {
		return out, errors.New("a bound is a number above 0")
	}
	bounds := p.MaxCount > 0 || p.MaxBytes > 0
	switch {
	case p.Mode == "bounded" && !bounds:
		return out, errors.New("bounded needs max_count or max_bytes")
	case p.Mode == "bounded":
		out = cache.Policy{Mode: cache.Bounded, MaxCount: p.MaxCount, MaxBytes: p.MaxBytes}
	case p.Mode != "on" && p.Mode != "off":
		return out, fmt.Errorf("mode %q is none of off, on, bounded", p.Mode)
	case bounds:
		return out, fmt.Errorf("a kind that is %s has no bounds: they go with mode bounded", p.Mode)
	case p.Mode == "on":
		out.Mode = cache.On
	case p.Filter != "":
		return out, errors.New("a kind that is off has no filter")
	}
	out.Filter, err = cache.ParseFilter(p.Filter)
	return out, err
}

// DefaultConfig returns the configuration of a bot that sets nothing. Configure
// fills in from it what its JSON leaves out, so a change here is a new rule.
func DefaultConfig() Config {
	return Config{
		API:             "https://discord.com/api/v10",
		Shards:          "auto",
		Placement:       "spread",
		FailbackAfterMS: 10_000,
		RetainBytes:     32 << 20,
		MaxAttempts:     5,
		IdentifyReserve: 5,
	}
}

// encode returns c's JSON, equal for equal configurations. Plain fields and raw
// JSON that was parsed before always marshal.
func (c *Config) encode() []byte {
	b, _ := json.Marshal(c)
	return b
}

// Policies returns the cache policies that c asks for, over the defaults.
func (c *Config) Policies() (cache.Policies, error) {
	p := cache.DefaultPolicies()
	for _, name := range slices.Sorted(maps.Keys(c.Caches)) { // the first mistake is the same on all nodes
		kind, err := cache.ParseKind(name)
		if err == nil {
			p[kind], err = c.Caches[name].policy()
		}
		if err != nil {
			return p, fmt.Errorf("cache policy of %s: %w", name, err)
		}
	}
	return p, nil
}

// ParseConfig reads the JSON of a configuration more strictly than Configure,
// which has to take what a newer version wrote: a key that this version doesn't
// know is a mistake here.
func ParseConfig(raw []byte) (Config, error) {
	c := DefaultConfig()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, err
	}
	if _, err := ParseShards(c.Shards); err != nil {
		return c, fmt.Errorf("shards: %w", err)
	}
	_, err := c.Policies()
	return c, err
}

// Configure creates a bot or changes its configuration.
//
// Guard: Rev is the revision in force, 0 for a bot that doesn't exist, and the
// shards of a layout stay what they are. A repeat that carries what is already
// in force is answered OK. Effect: cache policies, bounds and limits are in
// force at once, what is cached follows by Sweep; the rest is for the leader
// and the owners to act on.
type Configure struct {
	Bot    string
	Rev    uint64
	Config []byte // JSON of a Config; validated before it is proposed
}

// Kind implements Command.
func (*Configure) Kind() Kind { return KindConfigure }

func (c *Configure) encode(w *writer) { w.string(c.Bot); w.uint(c.Rev); w.bytes(c.Config) }
func (c *Configure) decode(r *reader) { c.Bot, c.Rev, c.Config = r.string(), r.uint(), r.bytes() }

func (c *Configure) apply(s *State) Result {
	if c.Bot == "" {
		return refused("a bot needs a name")
	}
	cfg := DefaultConfig()
	if err := json.Unmarshal(c.Config, &cfg); err != nil {
		return refused("the configuration is not JSON")
	}
	policies, err := cfg.Policies()
	if err != nil {
		return refused(err.Error())
	}
	b := s.bots[c.Bot]
	if b == nil {
		if c.Rev != 0 {
			return Result{Code: Conflict, Msg: "the bot does not exist"}
		}
		b = newBot(c.Bot)
		b.cache = cache.New(policies)
		s.bots[c.Bot] = b
	} else if c.Rev != b.ConfigRev {
		if c.Rev+1 == b.ConfigRev && bytes.Equal(cfg.encode(), b.Config.encode()) {
			return Result{Version: b.ConfigRev} // a repeat
		}
		return Result{Code: Conflict, Version: b.ConfigRev, Msg: "the configuration has another revision"}
	}
	if why := b.shardsDiffer(cfg.Shards); why != "" {
		return refused(why)
	}
	b.Config = cfg
	b.ConfigRev++
	b.cache.SetPolicies(policies)
	return Result{Version: b.ConfigRev}
}

// Layout puts a shard count in force and makes its shards FROM to TO known.
//
// Guard: the bot has no layout yet, or this one. Resharding will lift it.
type Layout struct {
	Bot      string
	Total    uint32
	From, To uint32 // the first and the last shard that this cluster runs
}

// Kind implements Command.
func (*Layout) Kind() Kind { return KindLayout }

func (c *Layout) encode(w *writer) {
	w.string(c.Bot)
	w.uint(uint64(c.Total))
	w.uint(uint64(c.From))
	w.uint(uint64(c.To))
}

func (c *Layout) decode(r *reader) {
	c.Bot = r.string()
	c.Total, c.From, c.To = r.uint32(), r.uint32(), r.uint32()
}

// MaxShards bounds a layout.
const MaxShards = 1 << 16

func (c *Layout) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if c.Total == 0 || c.Total > MaxShards || c.From > c.To || c.To >= c.Total {
		return refused("a layout needs 1 to 65536 shards, and a range inside them")
	}
	if b.Layout != 0 && b.Layout != c.Total {
		return refused("the bot has another shard count in force")
	}
	b.Layout = c.Total
	for k := c.From; k <= c.To; k++ {
		key := ShardKey{Layout: c.Total, Index: k}
		if b.shards[key] == nil {
			b.shards[key] = &Shard{Key: key, pending: new(pendingTree)}
		}
	}
	return Result{}
}

// Interest is an event type and the handlers that want it; none means that
// the journal takes it for readers that follow.
type Interest struct {
	Type     string
	Handlers []string
}

// Interests replaces what the journal takes besides the events that a shard's
// owner has handlers for: types for readers that follow.
//
// Guard: Rev is the revision in force, or a late repeat would bring the list of
// an older program back. A repeat that carries what is already in force is
// answered OK.
type Interests struct {
	Bot  string
	Rev  uint64
	List []Interest
}

// Kind implements Command.
func (*Interests) Kind() Kind { return KindInterests }

func (c *Interests) encode(w *writer) {
	w.string(c.Bot)
	w.uint(c.Rev)
	encodeInterests(w, c.List)
}

func (c *Interests) decode(r *reader) {
	c.Bot, c.Rev, c.List = r.string(), r.uint(), decodeInterests(r)
}

func (c *Interests) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	next := newHandlerTable(c.List)
	switch {
	case c.Rev == b.InterestsRev:
		b.interests = next
		b.InterestsRev++
	case c.Rev+1 != b.InterestsRev || !maps.EqualFunc(next, b.interests, slices.Equal):
		return Result{Code: Conflict, Version: b.InterestsRev, Msg: "the interests have another revision"}
	}
	return Result{Version: b.InterestsRev}
}
