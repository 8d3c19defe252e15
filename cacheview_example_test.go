package botnode_test

import (
	"fmt"
	"time"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/cache"
)

// Caches are read in disgo's types; loops hold no lock. Here the caches are
// filled by hand, as in a test; a handler has them from Context.Cache.
func ExampleCache() {
	held := cache.New(cache.DefaultPolicies())
	for _, e := range [][2]string{
		{"READY", `{"user":{"id":"9"},"guilds":[{"id":"100"}]}`},
		{"GUILD_CREATE", `{"id":"100","name":"home","roles":[{"id":"7","name":"admin"}],"members":[
			{"user":{"id":"1","username":"ann"},"roles":["7"]},{"user":{"id":"2","username":"bob"},"roles":[]}]}`},
	} {
		held.Apply(0, 1, e[0], []byte(e[1]))
	}
	c := botnode.CacheOf(held)

	guild, err := c.Guild(100)
	fmt.Println(guild.Name, err)
	for m, err := range c.MembersWithRole(100, 7) {
		if err != nil {
			return
		}
		fmt.Println(m.User.Username, "is an admin")
	}
	_, err = c.Presence(100, 1)
	fmt.Println(err)
	// Output:
	// home <nil>
	// ann is an admin
	// botnode: not in the cache: the bot's configuration turns this cache off (presences)
}

// A handler that looks at what somebody has written in the last hour.
func ExampleContext_Cache() {
	bot := botnode.New()
	botnode.On(bot, "repeats", func(c *botnode.Context, e gateway.EventMessageCreate) error {
		hour := botnode.Span{From: time.Now().Add(-time.Hour)}
		for m, err := range c.Cache().ChannelMessagesBy(e.ChannelID, e.Author.ID, hour) {
			if err != nil {
				return err // messages aren't cached unless the configuration says so
			}
			if m.ID != e.ID && m.Content == e.Content {
				return c.Reply("you said that before")
			}
		}
		return nil
	})
}
