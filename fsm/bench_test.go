package fsm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/botnode/botnode/discord"
)

// chat is a MESSAGE_CREATE of 1.1 KB, as a busy guild sends them.
func chat(s int64, guild discord.Snowflake) Event {
	raw := fmt.Sprintf(`{"type":0,"tts":false,"timestamp":"2024-05-01T10:11:12.345000+00:00","pinned":false,"nonce":"%d",`+
		`"mentions":[],"mention_roles":[],"mention_everyone":false,"member":{"roles":["102","103","104"],"premium_since":null,`+
		`"pending":false,"nick":"somebody","mute":false,"joined_at":"2020-01-01T00:00:00.000000+00:00","flags":0,"deaf":false,`+
		`"communication_disabled_until":null,"banner":null,"avatar":null},"id":"%d","flags":0,"embeds":[],"edited_timestamp":null,`+
		`"content":"%s","components":[],"channel_id":"%d","channel_type":0,"author":{"username":"user%d","public_flags":64,`+
		`"primary_guild":null,"id":"%d","global_name":"Some Body","discriminator":"0","collectibles":null,"clan":null,`+
		`"avatar_decoration_data":null,"avatar":"0123456789abcdef0123456789abcdef"},"attachments":[],"guild_id":"%d"}`,
		s, 1<<50+s, bytes.Repeat([]byte("lorem "), 50), uint64(guild)+1, s%1000, 5000+s%1000, guild)
	return Event{S: s, Type: discord.EventMessageCreate, Guild: guild, Lane: guild, Raw: []byte(raw)}
}

// traffic is a log of full batches for shard 0, with the size of each.
func traffic(batches int) (entries [][]byte, perBatch int) {
	s := int64(1)
	for range batches {
		c := events(1, s)
		for size := 0; size < MaxBatch; {
			s++
			e := chat(s, discord.Snowflake(40+s%50))
			size += len(e.Raw)
			c.Evs = append(c.Evs, e)
		}
		perBatch = len(c.Evs)
		entries = append(entries, EncodeBatch([][]byte{Encode(1, c)}))
	}
	return entries, perBatch
}

// BenchmarkEvents applies full batches of messages that one handler wants, and
// then each one's Done, in batches of the same number.
func BenchmarkEvents(b *testing.B) {
	const batches = 64
	entries, n := traffic(batches)
	var dones [][]byte
	pos := uint64(1)
	for range batches {
		var cmds [][]byte
		for range n {
			cmds = append(cmds, Encode(1, done(pos, "ping", joe)))
			pos++
		}
		dones = append(dones, EncodeBatch(cmds))
	}
	for _, mode := range []string{"apply", "done"} {
		b.Run(mode, func(b *testing.B) {
			b.ReportAllocs()
			events := 0
			m := benchMachine(b)
			at := 0
			for b.Loop() {
				if at == batches {
					b.StopTimer()
					m, at = benchMachine(b), 0
					b.StartTimer()
				}
				if mode == "apply" {
					m.Apply(uint64(100+at), entries[at])
				} else {
					b.StopTimer()
					m.Apply(uint64(100+at), entries[at])
					b.StartTimer()
					if r := m.Apply(uint64(100+at), dones[at]).([]Result); r[0].Code != OK {
						b.Fatal(r[0])
					}
				}
				events += n
				at++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}

// benchMachine is a machine with a session and the guilds of traffic.
func benchMachine(b *testing.B) *Machine {
	b.Helper()
	m := NewMachine()
	cmds := []Command{
		&Up{Node: joe}, &Configure{Bot: testBot, Config: []byte(`{}`)}, &Layout{Bot: testBot, Total: 2, To: 1},
		&Interests{Bot: testBot, List: []Interest{{Type: discord.EventMessageCreate, Handlers: []string{"ping"}}}},
		&Grant{Bot: testBot, Shard: shard0, To: joe},
		&Ready{Bot: testBot, Shard: shard0, Epoch: 1, SID: "s1", S: 1, Raw: []byte(`{"user":{"id":"9"},"guilds":[]}`)},
	}
	for _, cmd := range cmds {
		if r, err := m.state.Apply(Encode(1, cmd)); err != nil || r.Code != OK {
			b.Fatal(r, err)
		}
	}
	return m
}

func BenchmarkEncodeEvents(b *testing.B) {
	c := events(1, 1)
	for s := int64(2); s < 60; s++ {
		c.Evs = append(c.Evs, chat(s, 40))
	}
	b.ReportAllocs()
	for b.Loop() {
		EncodeBatch([][]byte{Encode(1, c)})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.Evs)), "ns/event")
}

func BenchmarkDigest(b *testing.B) {
	m := benchMachine(b)
	for b.Loop() {
		m.state.Digest()
	}
}
