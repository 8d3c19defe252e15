package shard

import (
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
)

// largeThreshold is the guild size above which GUILD_CREATE names only the
// members that are online; 250 is the most that Discord takes
// (events/gateway-events.mdx, "Identify Structure").
const largeThreshold = 250

func identifyOf(b *fsm.Bot, k fsm.ShardKey) gateway.Identify {
	presence, _ := b.PresenceOf(k.Index)
	return gateway.Identify{
		Shard:          [2]int{int(k.Index), int(k.Layout)},
		Intents:        discord.Intents(b.Config.Intents),
		Presence:       presence,
		LargeThreshold: largeThreshold,
	}
}
