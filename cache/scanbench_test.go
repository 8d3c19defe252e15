package cache

import "testing"

// BenchmarkMessageCreate applies a message whose author is known, hot.
func BenchmarkMessageCreate(b *testing.B) {
	c := New(DefaultPolicies())
	guild, list := benchGuild(1, 50, 1000)
	c.Apply(0, 1, "GUILD_CREATE", guild)
	d := benchMessage(1, list[3], 1)
	c.Apply(0, 1, "MESSAGE_CREATE", d)
	b.Run("slice", func(b *testing.B) {
		for b.Loop() {
			c.ev.scan(d)
			c.reset()
		}
	})
	parts := Slice(d).Slices
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			Slice(d)
		}
	})
	b.Run("sliced", func(b *testing.B) {
		for b.Loop() {
			c.ApplySliced(0, 1, "MESSAGE_CREATE", d, parts)
		}
	})
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			c.Apply(0, 1, "MESSAGE_CREATE", d)
		}
	})
}
