package sim_test

import (
	"errors"
	"net"
	"testing"

	"github.com/botnode/botnode/discord/sim"
)

// Any event can be sent, to the session that would get it.
func TestDispatch(t *testing.T) {
	srv := start(t, sim.Options{Guilds: 2, Shards: 2, MaxConcurrency: 2})
	guilds := srv.GuildIDs()
	one := login(t, srv, 1<<0|1<<2, 1, 2).guilds(1) // guilds and moderation
	send := func(guild sim.ID, kind string, want int) {
		t.Helper()
		n, err := srv.Dispatch(guild, kind, m{"guild_id": guild, "user": m{"id": "5"}})
		if err != nil || n != want {
			t.Errorf("%s of %d went to %d sessions, want %d: %v", kind, guild, n, want, err)
		}
	}
	send(guilds[0], "GUILD_BAN_ADD", 0) // shard 0 isn't there
	send(guilds[1], "GUILD_MEMBER_ADD", 0)
	send(guilds[1], "GUILD_BAN_ADD", 1)
	mustHave(t, string(one.event("GUILD_BAN_ADD").D), `"user":{"id":"5"}`)
	if _, err := srv.Dispatch(7, "GUILD_BAN_ADD", m{}); !errors.Is(err, sim.ErrUnknown) {
		t.Errorf("a guild that isn't there: %v", err)
	}
	if _, err := srv.Dispatch(0, "X", func() {}); err == nil {
		t.Error("a function was sent")
	}
}

// The server serves a listener that it is given, and closes it.
func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, sim.Options{Listener: l})
	want(t, "address", srv.Addr(), l.Addr().String())
	want(t, "status", call(t, srv, "GET", "/gateway", nil).status, 200)
	srv.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
