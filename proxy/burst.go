package proxy

import (
	"encoding/json"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

// burst is what a session begins with: READY, then each guild, all as they were
// at one moment. Numbers count up from 1, but for the last: it has the number of
// the position of that moment, so that a client that has it has everything.
type burst struct {
	frozen      *cache.Cache
	application []byte // the bot's, as READY has it
	guilds      []discord.Snowflake
	threshold   int       // large_threshold of IDENTIFY
	named       bool      // IDENTIFY named a shard
	sent        int       // guilds so far
	until       time.Time // when all must have been read
	ready       bool      // READY was sent
}

// burstSize is how much goes out before the loop looks around again, in bytes.
const burstSize = 256 << 10

// sendGuilds sends a part of what the session begins with.
func (c *conn) sendGuilds() {
	b, s := c.burst, c.sess
	c.batch(func() {
		n := 0
		if !b.ready {
			b.ready = true
			d := c.readyData()
			n += len(d)
			c.dispatch(discord.EventReady, b.number(s), &body{d: d})
		}
		for n < burstSize && b.sent < len(b.guilds) && c.over == nil {
			if time.Now().After(b.until) {
				c.end(dropped("READY and the guilds were not read in time; connect again"))
				return
			}
			guild := b.guilds[b.sent]
			b.sent++
			name, d := b.event(guild, s)
			n += len(d)
			c.dispatch(name, b.number(s), &body{d: d})
		}
	})
	if c.over == nil && b.sent == len(b.guilds) {
		c.burst, c.phase = nil, live
	}
}

// number returns the number of the event that is sent next or, once it is taken
// off the list, now.
func (b *burst) number(s *session) int64 {
	s.lastS = int64(b.sent) + 1
	if b.sent == len(b.guilds) {
		s.lastS = s.seq(s.next - 1)
	}
	return s.lastS
}

// event returns the event that tells a session of a guild.
func (b *burst) event(guild discord.Snowflake, s *session) (name string, d []byte) {
	unavailable, _ := b.frozen.Home(guild)
	if unavailable {
		// events/gateway-events.mdx, "Guild Create".
		return discord.EventGuildDelete, []byte(`{"id":` + quoted(guild) + `,"unavailable":true}`)
	}
	return discord.EventGuildCreate, b.frozen.AppendGuildCreate(nil, guild, b.view(guild, s))
}

// The bounds of large_threshold (events/gateway-events.mdx, "Identify").
const (
	minThreshold = 50
	maxThreshold = 250
)

// view says what a session sees of a guild.
func (b *burst) view(guild discord.Snowflake, s *session) cache.GuildView {
	v := cache.GuildView{
		Members: cache.AllMembers, Presences: s.intents.Has(discord.IntentGuildPresences),
		VoiceStates: s.intents.Has(discord.IntentGuildVoiceStates),
	}
	threshold := b.threshold
	if threshold < minThreshold || threshold > maxThreshold {
		threshold = minThreshold
	}
	object, _ := b.frozen.Guild(guild)
	if n, ok := jsonscan.Int(jsonscan.Get(object, "member_count")); ok && n > int64(threshold) {
		v.Members = cache.MembersInUse
	}
	return v
}

// readyData is the d of READY (events/gateway-events.mdx, "Ready"), with what
// libraries expect besides.
func (c *conn) readyData() []byte {
	b, s := c.burst, c.sess
	type unavailable struct {
		ID          discord.Snowflake `json:"id"`
		Unavailable bool              `json:"unavailable"`
	}
	ready := struct {
		V           int             `json:"v"`
		User        json.RawMessage `json:"user"`
		Guilds      []unavailable   `json:"guilds"`
		SID         string          `json:"session_id"`
		Type        string          `json:"session_type"`
		Resume      string          `json:"resume_gateway_url"`
		Shard       []int           `json:"shard,omitempty"`
		Application json.RawMessage `json:"application"`
		Settings    struct{}        `json:"user_settings"`
		Private     []struct{}      `json:"private_channels"`
		Relations   []struct{}      `json:"relationships"`
		Presences   []struct{}      `json:"presences"`
		Requests    []struct{}      `json:"guild_join_requests"`
		Regions     []string        `json:"geo_ordered_rtc_regions"`
		Trace       []string        `json:"_trace"`
	}{
		V: c.version, User: b.frozen.Self(), Guilds: []unavailable{}, SID: s.sid, Type: "normal", Resume: c.self,
		Application: b.application, Private: []struct{}{}, Relations: []struct{}{}, Presences: []struct{}{},
		Requests: []struct{}{}, Regions: []string{}, Trace: []string{"botnode"},
	}
	if len(ready.Application) == 0 {
		ready.Application = json.RawMessage(`{"id":` + quoted(s.self) + `,"flags":0}`)
	}
	if b.named {
		ready.Shard = []int{s.shard, s.shards}
	}
	for _, g := range b.guilds {
		ready.Guilds = append(ready.Guilds, unavailable{g, true})
	}
	if !s.intents.Has(discord.IntentGuilds) {
		b.guilds = nil // READY names them; events of guilds need the intent
	}
	d, err := json.Marshal(ready)
	if err != nil {
		panic(err) // what the state keeps is JSON
	}
	return d
}
