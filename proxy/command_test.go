package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Commands go to the shard that has their guild, in order, and not beyond the
// client's own shard.
func TestCommandsGoToTheirShard(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 4, shards: 4})
	c := b.nodes[0].dial("")
	c.begun(bedIntents, `,"shard":[0,2]`)
	voice := fmt.Sprintf(`{"guild_id":"%d","channel_id":null,"self_mute":false,"self_deaf":false}`, guildID(2))
	c.send(discord.OpVoiceStateUpdate, voice)
	c.send(discord.OpVoiceStateUpdate, fmt.Sprintf(`{"guild_id":"%d"}`, guildID(1))) // another client's
	sounds := fmt.Sprintf(`{"guild_ids":["%d","%d","%d"]}`, guildID(0), guildID(1), guildID(2))
	c.send(discord.OpRequestSoundboardSounds, sounds)
	c.send(opGuildSubscriptions, fmt.Sprintf(`{"guild_id":"%d","typing":true}`, guildID(2)))
	c.send(discord.OpRequestChannelInfo, fmt.Sprintf(`{"guild_id":"%d","fields":["status"]}`, guildID(0)))
	for i, want := range []spoken{
		{2, discord.OpVoiceStateUpdate, voice},
		{0, discord.OpRequestSoundboardSounds, fmt.Sprintf(`{"guild_ids":["%d"]}`, guildID(0))},
		{2, discord.OpRequestSoundboardSounds, fmt.Sprintf(`{"guild_ids":["%d"]}`, guildID(2))},
		{2, opGuildSubscriptions, fmt.Sprintf(`{"guild_id":"%d","typing":true}`, guildID(2))},
		{0, discord.OpRequestChannelInfo, fmt.Sprintf(`{"guild_id":"%d","fields":["status"]}`, guildID(0))},
	} {
		if got := b.spokenNext(i); got != want {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
}

// A presence is that of the bot's shard if the client has as many, else of all.
func TestPresence(t *testing.T) {
	b := newBed(t, bedOptions{guilds: 1, shards: 2})
	shown := func() (of [2]string, rev uint64) {
		b.nodes[0].ViewState(func(s *fsm.State) {
			for i := range of {
				raw, _ := s.Bot(bedBot).PresenceOf(uint32(i))
				of[i] = string(raw)
			}
			rev = s.Bot(bedBot).PresenceRev()
		})
		return of, rev
	}
	p := func(name string) string {
		return `{"since":null,"afk":false,"status":"idle","activities":[{"name":"` + name + `","type":0}]}`
	}
	all, one := b.nodes[0].dial(""), b.nodes[0].dial("")
	all.begun(0, `,"presence":`+p("a"))
	await(t, "IDENTIFY's", func() bool { of, _ := shown(); return of == [2]string{p("a"), p("a")} })
	one.begun(0, `,"shard":[1,2]`)
	one.send(discord.OpPresenceUpdate, p("b"))
	await(t, "one shard's", func() bool { of, _ := shown(); return of == [2]string{p("a"), p("b")} })
	all.send(discord.OpPresenceUpdate, p("c"))
	await(t, "of all", func() bool { of, _ := shown(); return of == [2]string{p("c"), p("c")} })
	_, before := shown()
	all.send(discord.OpPresenceUpdate, p("c"))
	all.send(discord.OpPresenceUpdate, p("d"))
	await(t, "the next", func() bool { of, _ := shown(); return strings.Contains(of[0], `"d"`) })
	if _, rev := shown(); rev != before+1 {
		t.Errorf("what was shown already was set again: %d changes", rev-before)
	}
}

// What clients ask for reaches Discord in the proxy's own words, or not at all.
func TestInOurWords(t *testing.T) {
	for _, x := range []struct {
		op   discord.Opcode
		d    string
		want string // "" for a refusal
	}{
		{discord.OpVoiceStateUpdate, `{"guild_id":"1","channel_id":"2","self_mute":true,"self_deaf":false,"x":[1]}`, `{"guild_id":"1","channel_id":"2","self_mute":true,"self_deaf":false}`},
		{discord.OpVoiceStateUpdate, `{"guild_id":1,"channel_id":null}`, `{"guild_id":"1","channel_id":null,"self_mute":false,"self_deaf":false}`},
		{discord.OpVoiceStateUpdate, `{"guild_id":"1","channel_id":{}}`, ""},
		{discord.OpVoiceStateUpdate, `{"guild_id":"1","self_mute":"yes"}`, ""},
		{discord.OpVoiceStateUpdate, `{"guild_id":"1"`, ""},
		{discord.OpRequestSoundboardSounds, `{"guild_ids":["1","2"],"junk":null}`, `{"guild_ids":["1","2"]}`},
		{discord.OpRequestSoundboardSounds, `{"guild_ids":"1"}`, ""},
		{discord.OpRequestChannelInfo, `{"guild_id":"1","fields":["status"]}`, `{"guild_id":"1","fields":["status"]}`},
		{discord.OpRequestChannelInfo, `{"guild_id":"1","fields":[1]}`, ""},
		{opGuildSubscriptions, `{"guild_id":"1","typing":true}`, `{"guild_id":"1","typing":true}`},
		{opGuildSubscriptions, `{"guild_id":"1",}`, ""},
	} {
		got, ok := inOurWords(x.op, []byte(x.d))
		if ok != (x.want != "") || string(got) != x.want && ok {
			t.Errorf("%v %s: %s, %t; want %s", x.op, x.d, got, ok, x.want)
		}
	}
}
