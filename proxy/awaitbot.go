package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// What an IDENTIFY waits for besides this node. READY names the guilds that a bot
// is in, and each GUILD_CREATE of another one means to a library that the bot has
// been invited. So READY comes when Discord has told the cluster of all of them.
var (
	// errNoSelf means that the bot has had no READY of its own yet.
	errNoSelf = errors.New("the bot has no session of its own yet; connect again in a while")
	// errNoSession means that a shard which may share guilds with the client's has
	// none now; those of the last one are known.
	errNoSession = errors.New("a shard of the bot has no session")
)

// awaitBot waits until the cache knows the bot's own user, which READY shows, and
// the guilds of all the bot's shards that may share some with the session's.
//
// A shard that has lost its session ends those of clients when it gets the next
// one, so that it is waited for, too, but nobody is refused for it. One that an
// operator has disconnected is not waited for.
func (c *conn) awaitBot(ctx context.Context, sess *session) *ending {
	err := poll(ctx, c.s.o.times.serve, func() (err error) {
		err = errNoSelf
		c.s.o.Backend.ViewState(func(st *fsm.State) {
			if b := st.Bot(sess.client.Bot); b != nil && len(b.Cache().Self()) > 0 {
				err = lacking(b, &sess.filter)
			}
		})
		return err
	})
	if err != nil && !errors.Is(err, errNoSession) {
		return elsewhere(err.Error())
	}
	return nil
}

// lacking returns what keeps a session from beginning, or nil.
func lacking(b *fsm.Bot, f *filter) (err error) {
	for _, sh := range b.Shards() {
		if sh.Parked || !sh.Key.Shares(uint32(f.shard), uint32(f.shards)) {
			continue
		}
		switch {
		case sh.Sessions == 0:
			return fmt.Errorf("shard %d of the bot has had no session yet, and its guilds aren't known; connect again in a while", sh.Key.Index)
		case sh.SID == "":
			err = errNoSession
		}
	}
	return err
}

// awaitGuilds waits for the guilds that Discord has named and not sent yet, for
// as long as they come: a library that has READY has them all at once then. Those
// of an outage don't come, and nothing tells them from the others; a GUILD_DELETE
// says of them that they are unavailable, and their GUILD_CREATE is no surprise.
func (c *conn) awaitGuilds(ctx context.Context, sess *session) {
	ctx, cancel := context.WithTimeout(ctx, c.s.o.times.guilds)
	defer cancel()
	var missing []discord.Snowflake
	c.viewBot(sess, func(b *fsm.Bot) {
		b.Cache().HomeGuilds(func(guild discord.Snowflake, unavailable bool) bool {
			if unavailable && sess.owns(guild) {
				missing = append(missing, guild)
			}
			return true
		})
	})
	for since := time.Now(); len(missing) > 0 && time.Since(since) < c.s.o.times.pause; {
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return
		}
		before := len(missing)
		c.viewBot(sess, func(b *fsm.Bot) {
			left := missing[:0]
			for _, guild := range missing {
				if unavailable, in := b.Cache().Home(guild); unavailable && in {
					left = append(left, guild)
				}
			}
			missing = left
		})
		if len(missing) < before {
			since = time.Now()
		}
	}
}

// viewBot looks at the session's bot, if there is one.
func (c *conn) viewBot(sess *session, f func(b *fsm.Bot)) {
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		if b := st.Bot(sess.client.Bot); b != nil {
			f(b)
		}
	})
}
