package jsonscan

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkEnvelope(b *testing.B) {
	frame := messageFrame(b)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Envelope(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSplitGuild walks a GUILD_CREATE of 1,000 members down to each user's id.
func BenchmarkSplitGuild(b *testing.B) {
	frame := guildFrame(1000)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	var ids uint64
	for b.Loop() {
		env, err := Envelope(frame)
		if err != nil {
			b.Fatal(err)
		}
		_ = Fields(env.Data, func(key, val []byte) bool {
			if string(key) != "members" {
				return true
			}
			_ = Elements(val, func(m []byte) bool {
				ids += ID(Get(Get(m, "user"), "id"))
				return true
			})
			return true
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	env, err := Envelope(messageFrame(b))
	if err != nil {
		b.Fatal(err)
	}
	patch := []byte(`{"content":"edited","edited_timestamp":"2025-05-05T10:11:13.131000+00:00","guild_id":"1012345678901234570"}`)
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = Merge(buf[:0], env.Data, patch, func(key []byte) bool { return string(key) == "guild_id" })
	}
}

// guildFrame returns a GUILD_CREATE with so many members of about 600 bytes.
func guildFrame(members int) []byte {
	var out bytes.Buffer
	out.WriteString(`{"t":"GUILD_CREATE","s":1,"op":0,"d":{"id":"1","name":"guild","members":[`)
	for i := range members {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"user":{"username":"somebody","public_flags":0,"primary_guild":null,"id":"2212233445566%05d","global_name":"Some Body","display_name_styles":null,"discriminator":"0","collectibles":null,"bot":false,"avatar_decoration_data":null,"avatar":"b8dc5e3c4ab5c2bb1c7b1dcd6fd5b6d1"},"roles":["1012345678901234567","1012345678901234568"],"premium_since":null,"pending":false,"nick":"nick","mute":false,"joined_at":"2021-01-02T03:04:05.678000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null}`, i)
	}
	out.WriteString(`]}}`)
	return out.Bytes()
}
