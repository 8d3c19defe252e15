package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// opGuildSubscriptions is what some libraries send to see more of a guild. It is
// in no document, and is passed on.
const opGuildSubscriptions discord.Opcode = 14

// command is something to do for a client beside its loop, in the order in which
// the client asked.
type command func(ctx context.Context)

// maxCommands is how many may wait: a client may send no more in a minute.
const maxCommands = maxSends

// enqueue has the connection's worker do something.
func (c *conn) enqueue(do command) {
	if c.cmds == nil {
		c.cmds = make(chan command, maxCommands)
		cmds := c.cmds
		c.wg.Go(func() {
			for {
				select {
				case do := <-cmds:
					c.do(do)
				case <-c.done:
					return
				}
			}
		})
	}
	select {
	case c.cmds <- do:
	default:
		c.end(closing(discord.CloseRateLimited, "too many payloads wait for Discord"))
	}
}

func (c *conn) do(do command) {
	ctx, cancel := context.WithTimeout(c.ctx, actTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("a gateway client's command panicked", zap.String("code", "proxy_panic"), zap.Any("panic", p))
			c.stop(dropped("internal error; connect again"))
		}
	}()
	do(ctx)
}

// command carries out what a client with a session asks for.
func (c *conn) command(f frame) {
	if len(f.d) == 0 || f.d[0] != '{' {
		c.end(closing(discord.CloseDecodeError, "the d of this opcode is an object"))
		return
	}
	bot := c.sess.client.Bot
	switch f.op {
	case discord.OpPresenceUpdate:
		if !validPresence(f.d) {
			c.end(closing(discord.CloseDecodeError, "a presence has a status and a list of activities"))
			return
		}
		pair := []int64{int64(c.sess.shard), int64(c.sess.shards)}
		c.enqueue(func(ctx context.Context) { c.setPresence(ctx, bot, pair, f.d) })
	case discord.OpRequestGuildMembers:
		c.requestMembers(f.d)
	default:
		d, ok := inOurWords(f.op, f.d)
		if !ok {
			c.end(closing(discord.CloseDecodeError, "the d of this opcode doesn't have the shape that it must have"))
			return
		}
		f.d = d
		guilds := guildsOf(f.d)
		guilds = slices.DeleteFunc(guilds, func(g discord.Snowflake) bool { return g == 0 || !c.sess.owns(g) })
		if len(guilds) > 0 {
			c.enqueue(func(ctx context.Context) { c.speak(ctx, bot, f, guilds) })
		}
	}
}

// inOurWords writes what a client asks for anew, from the fields that Discord
// documents (events/gateway-events.mdx, "Send Events"): what Discord can't read
// ends the connection that the bot has for everybody.
func inOurWords(op discord.Opcode, d []byte) (out []byte, ok bool) {
	var fields any
	switch op {
	case discord.OpVoiceStateUpdate:
		fields = &struct {
			Guild   discord.Snowflake  `json:"guild_id"`
			Channel *discord.Snowflake `json:"channel_id"`
			Mute    bool               `json:"self_mute"`
			Deaf    bool               `json:"self_deaf"`
			Video   bool               `json:"self_video,omitempty"`
		}{}
	case discord.OpRequestSoundboardSounds:
		fields = &struct {
			Guilds []discord.Snowflake `json:"guild_ids"`
		}{}
	case discord.OpRequestChannelInfo:
		fields = &struct {
			Guild  discord.Snowflake `json:"guild_id"`
			Fields []string          `json:"fields"`
		}{}
	default:
		return d, json.Valid(d)
	}
	if json.Unmarshal(d, fields) != nil {
		return nil, false
	}
	out, err := json.Marshal(fields)
	return out, err == nil
}

// guildsOf returns the guilds that a payload is about.
func guildsOf(d []byte) []discord.Snowflake {
	for _, name := range []string{"guild_ids", "guild_id"} {
		if ids := snowflakes(jsonscan.Get(d, name)); len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// snowflakes reads an id or a list of ids; what is none is left out.
func snowflakes(val []byte) []discord.Snowflake {
	if len(val) == 0 || val[0] != '[' {
		if id := jsonscan.ID(val); id != 0 {
			return []discord.Snowflake{discord.Snowflake(id)}
		}
		return nil
	}
	var ids []discord.Snowflake
	_ = jsonscan.Elements(val, func(v []byte) bool {
		if id := jsonscan.ID(v); id != 0 {
			ids = append(ids, discord.Snowflake(id))
		}
		return true
	})
	return ids
}

// speak sends a payload on the connections of the shards that have its guilds.
func (c *conn) speak(ctx context.Context, bot string, f frame, guilds []discord.Snowflake) {
	layout := c.layout(bot)
	parts := make(map[int][]discord.Snowflake)
	var order []int
	for _, g := range guilds {
		i := discord.ShardOf(g, layout)
		if len(parts[i]) == 0 {
			order = append(order, i)
		}
		parts[i] = append(parts[i], g)
	}
	for _, i := range order {
		d := f.d
		if jsonscan.Get(d, "guild_ids") != nil {
			ids, _ := json.Marshal(parts[i]) // ids always marshal
			d = jsonscan.Merge(nil, d, append(append([]byte(`{"guild_ids":`), ids...), '}'), nil)
		}
		c.say(ctx, bot, i, f.op, d)
	}
}

// say sends a payload on a shard's connection. A payload that can't be sent is
// lost, as it is with a connection to Discord that breaks.
func (c *conn) say(ctx context.Context, bot string, shard int, op discord.Opcode, d []byte) {
	if err := c.s.o.Backend.Speak(ctx, bot, shard, op, d); err != nil {
		c.log.Warn("a client's payload was not sent to Discord", zap.String("code", "proxy_not_sent"),
			zap.Stringer("op", op), zap.Int("shard", shard), zap.Error(err))
	}
}

// layout returns the bot's own shard count.
func (c *conn) layout(bot string) (n int) {
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		if b := st.Bot(bot); b != nil {
			n = int(b.Layout)
		}
	})
	return n
}

// validPresence looks at the d of an op 3: one that Discord would not take ends
// the bot's own connection.
func validPresence(d []byte) bool {
	return len(d) <= fsm.MaxPresence && discord.CheckPresence(d) == nil
}

// presenceTries bounds how often setPresence meets another's change.
const presenceTries = 20

// setPresence shows a presence on the bot's shard that the client's stands for:
// the same one if the client has as many shards as the bot, else all.
func (c *conn) setPresence(ctx context.Context, bot string, pair []int64, raw []byte) {
	if !validPresence(raw) {
		return // of an IDENTIFY; it is not worth a session
	}
	for range presenceTries {
		same := false
		res, err := c.proposeUnless(ctx, &same, func(st *fsm.State) fsm.Command {
			cmd := &fsm.Presence{Bot: bot, Shard: fsm.AllShards, Raw: raw}
			b := st.Bot(bot)
			if b == nil {
				return cmd
			}
			if len(pair) == 2 && pair[1] == int64(b.Layout) && b.Layout > 1 {
				cmd.Shard = uint32(pair[0])
			}
			cmd.Rev = b.PresenceRev()
			shown, _ := b.PresenceOf(cmd.Shard)
			same = bytes.Equal(shown, raw)
			return cmd
		})
		if same || err == nil && res.Code != fsm.Conflict {
			return
		}
		if err != nil {
			c.log.Warn("a client's presence was not set", zap.String("code", "proxy_not_sent"), zap.Error(err))
			return
		}
	}
}

// proposeUnless proposes a command, unless making it shows that there is
// nothing to do.
func (c *conn) proposeUnless(ctx context.Context, same *bool, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	c.s.o.Backend.ViewState(func(st *fsm.State) { build(st) })
	if *same {
		return fsm.Result{}, nil
	}
	return c.s.o.Backend.ProposeState(ctx, build)
}

// nonceOf reads a nonce of a client's; one of more than 32 bytes is none
// (events/gateway-events.mdx, "Request Guild Members").
func nonceOf(val []byte) string {
	n := jsonscan.String(val)
	if len(n) > 32 || strings.ContainsRune(n, 0) {
		return ""
	}
	return n
}
