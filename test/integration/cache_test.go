//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// mutations is how many random changes Discord makes while nodes are killed.
const mutations = 3000

// TestCachesAreTrueAfterThreeKills has Discord change guilds, channels, roles
// and members at random while the leader is killed three times, and compares
// every cached object of every node with Discord's own.
func TestCachesAreTrueAfterThreeKills(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three("--intents", "all")
	kinds := []string{"guild", "channel", "role", "member", "join", "leave"}
	var loads []*sim.Running
	for _, kind := range kinds {
		n := mutations / len(kinds)
		loads = append(loads, c.sim.StartLoad(sim.Load{Kind: kind, Rate: float64(n) / 12, N: n}))
	}
	for range 3 {
		id := c.Leader()
		c.Load(roundPings/2, func() { c.Kill9(id) })
		c.Restart(id)
		c.WaitReady()
	}
	for _, l := range loads {
		if err := l.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	c.WaitRead()
	c.Unharmed()
	c.Emptied()
	c.SameDigests()
	for _, id := range c.alive() {
		for _, guild := range c.sim.GuildIDs() {
			c.SameAsTruth(id, guild)
		}
	}
}

// WaitRead waits until every live node has applied all that Discord has sent.
func (c *cluster) WaitRead() {
	c.t.Helper()
	c.poll("all events are applied", 20*time.Second, func() error {
		for _, live := range c.sim.LiveSessions() {
			for _, id := range c.alive() {
				st, err := c.Status(id)
				if err != nil {
					return err
				}
				for _, s := range st.Shards {
					if s.ID == int(live.Shard[0]) && s.Seq != live.Seq {
						return yes(false, "%s: shard %d is at %d of %d", id, s.ID, s.Seq, live.Seq)
					}
				}
			}
		}
		return nil
	})
}

// SameAsTruth compares a node's cache of a guild with Discord.
func (c *cluster) SameAsTruth(id string, guild sim.ID) {
	c.t.Helper()
	truth, ok := c.sim.Truth(guild)
	if !ok {
		c.t.Fatalf("no guild %s", guild)
	}
	path := "/v1/cache/guilds/" + guild.String()
	var cached map[string]any
	if err := c.request(http.MethodGet, id, path, nil, &cached); err != nil {
		c.t.Fatal(err)
	}
	want := decode(c, truth.Guild)
	for key := range want { // the node may know more: what only GUILD_CREATE tells
		if !reflect.DeepEqual(cached[key], want[key]) {
			c.t.Errorf("%s: guild %s: %s is %v, want %v", id, guild, key, cached[key], want[key])
		}
	}
	for name, rows := range map[string]map[sim.ID]json.RawMessage{
		"channels": truth.Channels, "roles": truth.Roles, "members": truth.Members,
		"emojis": truth.Emojis, "threads": truth.Threads,
	} {
		c.sameRows(id, path+"/"+name, rows)
	}
}

// sameRows compares a list of the API with true objects.
func (c *cluster) sameRows(id, path string, want map[sim.ID]json.RawMessage) {
	c.t.Helper()
	var list []map[string]any
	if err := c.request(http.MethodGet, id, path, nil, &list); err != nil {
		c.t.Fatal(err)
	}
	got := map[string]map[string]any{}
	for _, row := range list {
		delete(row, "guild_id")
		delete(row, "last_message_id")
		key, _ := row["id"].(string)
		if user, ok := row["user"].(map[string]any); ok {
			key, _ = user["id"].(string)
		}
		got[key] = row
	}
	if len(got) != len(want) {
		c.t.Errorf("%s: %s: %d objects, want %d", id, path, len(got), len(want))
	}
	wrong := 0
	for key, raw := range want {
		w := decode(c, raw)
		delete(w, "last_message_id") // bots learn it from messages, Discord's object lags
		if !reflect.DeepEqual(got[key.String()], w) && wrong < 3 {
			wrong++
			c.t.Errorf("%s: %s: %s differs:\n  cached %s\n  true   %s", id, path, key, text(got[key.String()]), text(w))
		}
	}
}

func decode(c *cluster, raw json.RawMessage) (v map[string]any) {
	c.t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
