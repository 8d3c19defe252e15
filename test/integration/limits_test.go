//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

const (
	loadChannels = 40
	// loadOffered is what is offered a second: twice what the channels take.
	loadOffered = 80
	// loadPatience is how long a message may wait, in seconds.
	loadPatience = 10
	// loadWindow and loadLimit are the channels' limit.
	loadWindow, loadLimit = 5, 5
)

// offered is what a node of loadbot wrote down.
type offered struct {
	Offered, Sent, Refused, Quiet int
	Errors                        []string
}

// loadSeconds is how long messages are offered: the long form is for figures.
func loadSeconds() int {
	if long() {
		return 60
	}
	return 10
}

// limited starts three nodes of loadbot in front of a Discord that limits, and
// returns the channels that messages go to.
func limited(t *testing.T) (*cluster, []sim.ID) {
	o := simOptions(3)
	o.GlobalLimit, o.NoRouteLimits, o.Guilds, o.Channels = 50, false, 4, loadChannels/4
	c := newCluster(t, o)
	c.config = c.file("botnode.yaml", fmt.Sprintf("bots: {default: {discord_api: %q, rest_per_second: 50}}\n", c.sim.APIURL()))
	for _, id := range []string{"joe", "mike", "robert"} {
		c.Launch(c.New(id), program(t, "./test/integration/loadbot"))
		c.WaitServing(id)
	}
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	c.WaitReady()
	var channels []sim.ID
	for _, g := range c.sim.GuildIDs() {
		channels = append(channels, c.sim.TextChannels(g)...)
	}
	if len(channels) != loadChannels {
		t.Fatalf("%d channels", len(channels))
	}
	return c, channels
}

// offer has every node send, and calls midway when half of the time is over. It
// returns what the living wrote down.
func (c *cluster) offer(channels []sim.ID, midway func()) map[string]offered {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{
		"channels": channels, "rate": loadOffered / 3, "seconds": loadSeconds(), "patience": loadPatience,
	})
	must(c.t, err)
	path := filepath.Join(c.dir, "load.json")
	must(c.t, os.WriteFile(path+".new", raw, 0o600))
	begun := time.Now()
	must(c.t, os.Rename(path+".new", path))
	c.poll("half of the load", time.Minute, func() error {
		return yes(time.Since(begun) > time.Duration(loadSeconds())*time.Second/2, "not yet")
	})
	midway()
	out := map[string]offered{}
	c.poll("the nodes' outcomes", time.Duration(loadSeconds()+3*loadPatience)*time.Second, func() error {
		for _, id := range c.alive() {
			var o offered
			b, err := os.ReadFile(filepath.Join(c.dir, "load-"+id+".json"))
			if err != nil {
				return err
			}
			must(c.t, json.Unmarshal(b, &o))
			out[id] = o
		}
		return nil
	})
	return out
}

// judged is what the simulated Discord saw of a load.
type judged struct {
	requests, limited, global int
	posted                    map[string]bool // by content
	byChannel                 map[sim.ID]int  // within the time of the load
	allowed                   int
}

// judge reads the ledger.
func (c *cluster) judge(channels []sim.ID) judged {
	j := judged{posted: map[string]bool{}, byChannel: map[sim.ID]int{}}
	first := time.Time{}
	for _, r := range c.sim.Ledger().Requests() {
		if r.Bucket != "messages.create" {
			continue
		}
		j.requests++
		if r.Status == 429 {
			j.limited++
			c.t.Logf("429 (%s) at %s, %v into the load", r.Scope, r.Path, r.At.Sub(first).Round(time.Millisecond))
			if r.Scope == "global" {
				j.global++
			}
		}
		if first.IsZero() {
			first = r.At
		}
	}
	end := first.Add(time.Duration(loadSeconds()) * time.Second)
	for _, p := range c.sim.Ledger().Posted() {
		j.posted[p.Content] = true
		if p.At.Before(end) {
			j.byChannel[p.Channel]++
		}
	}
	j.allowed = len(channels) * loadLimit * loadSeconds() / loadWindow
	return j
}

// spread returns the least and the most that a channel got, and the sum.
func (j judged) spread(channels []sim.ID) (least, most, sum int) {
	least = j.byChannel[channels[0]]
	for _, ch := range channels {
		n := j.byChannel[ch]
		least, most, sum = min(least, n), max(most, n), sum+n
	}
	return least, most, sum
}

// kept counts the messages that a node said were sent and Discord doesn't have,
// and fails for each that ended in an error that is no limit's.
func (c *cluster) kept(out map[string]offered, j judged) (sent, quiet, lost int) {
	perNode := map[string]int{}
	for content := range j.posted {
		if f := strings.Fields(content); len(f) == 3 && f[0] == "load" {
			perNode[f[1]]++
		}
	}
	for id, o := range out {
		if len(o.Errors) > 0 {
			c.t.Errorf("%s: %d messages failed: %v", id, len(o.Errors), slices.Compact(slices.Sorted(slices.Values(o.Errors))))
		}
		if o.Sent+o.Refused+o.Quiet+len(o.Errors) != o.Offered {
			c.t.Errorf("%s: %+v doesn't add up", id, o)
		}
		sent, quiet = sent+o.Sent, quiet+o.Quiet
		lost += max(o.Sent-perNode[id], 0)
	}
	return sent, quiet, lost
}

// TestClusterKeepsDiscordsLimits offers twice what Discord takes, from three
// nodes at once.
func TestClusterKeepsDiscordsLimits(t *testing.T) {
	c, channels := limited(t)
	out := c.offer(channels, func() {})
	j := c.judge(channels)
	sent, quiet, lost := c.kept(out, j)
	least, most, sum := j.spread(channels)
	t.Logf("FIGURE limiter of three nodes, %d channels of %d per %d s, 50 a second in all, %d a second offered for %d s: %d requests, %d 429s (%.2f %%); "+
		"%d messages in that time, %.1f %% of the %d allowed; %d to %d a channel; %d sent in all, %d lost",
		loadChannels, loadLimit, loadWindow, loadOffered, loadSeconds(), j.requests, j.limited, 100*float64(j.limited)/float64(j.requests),
		sum, 100*float64(sum)/float64(j.allowed), j.allowed, least, most, sent, lost)
	if 1000*j.limited > j.requests || lost+quiet > 0 {
		t.Errorf("%d 429s in %d requests, %d lost, %d not sent", j.limited, j.requests, lost, quiet)
	}
	// The load isn't a whole number of windows long from each channel's first
	// request on; of a minute that is little, of ten seconds more.
	if share := float64(sum) / float64(j.allowed); share < 0.95 && loadSeconds() >= 60 || share < 0.8 {
		t.Errorf("%.1f %% of the allowed messages were sent", 100*share)
	}
	if most > least+2*loadLimit {
		t.Errorf("a channel got %d messages, another %d", least, most)
	}
}

// TestLimiterOutlivesANode kills a node in the middle of such a load.
func TestLimiterOutlivesANode(t *testing.T) {
	parallel(t)
	c, channels := limited(t)
	out := c.offer(channels, func() { c.Kill9(c.status().Leader.ID) })
	j := c.judge(channels)
	sent, quiet, lost := c.kept(out, j)
	least, most, sum := j.spread(channels)
	t.Logf("FIGURE limiter, kill -9 of the leader amid %d s of that load: %d requests, %d 429s (%d global); "+
		"%d messages in that time, %.1f %% of the %d allowed; %d to %d a channel; the living sent %d, %d not sent without a leader, %d lost",
		loadSeconds(), j.requests, j.limited, j.global, sum, 100*float64(sum)/float64(j.allowed), j.allowed, least, most, sent, quiet, lost)
	if j.limited > loadChannels || lost > 0 {
		t.Errorf("%d 429s, more than one a channel, or %d lost", j.limited, lost)
	}
	if share := float64(sum) / float64(j.allowed); share < 0.7 {
		t.Errorf("%.1f %% of the allowed messages were sent", 100*share)
	}
}
