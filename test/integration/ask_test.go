//go:build unix

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/botnode/botnode/admin"
)

// request sends a request to a node's API and decodes the answer into out.
func (c *cluster) request(method, id, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.nodes[id].http+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.admin != "" {
		req.Header.Set("Authorization", "Bearer "+c.admin)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// WaitServing waits until a node's API answers.
func (c *cluster) WaitServing(id string) {
	c.t.Helper()
	c.poll(id+" serves", 15*time.Second, func() error {
		if !c.nodes[id].proc.Alive() {
			c.t.Fatalf("%s has ended: %s", id, c.nodes[id].proc.Log())
		}
		return c.request(http.MethodGet, id, "/livez", nil, nil)
	})
}

// Status is what a node says of the cluster.
func (c *cluster) Status(id string) (st admin.Status, err error) {
	err = c.request(http.MethodGet, id, "/v1/status?shards=all", nil, &st)
	return st, err
}

// status is the status of the first node that answers.
func (c *cluster) status() admin.Status {
	c.t.Helper()
	var st admin.Status
	c.poll("a node tells the status", 10*time.Second, func() (err error) {
		for _, id := range c.alive() {
			if st, err = c.Status(id); err == nil && st.Leader != nil {
				return nil
			}
		}
		return fmt.Errorf("no leader: %w", orNotYet(err))
	})
	return st
}

func orNotYet(err error) error {
	if err == nil {
		return errNotYet
	}
	return err
}

// Leader is the leader that all live nodes agree on.
func (c *cluster) Leader() (leader string) {
	c.t.Helper()
	c.poll("one leader", 15*time.Second, func() error {
		leader = ""
		for _, id := range c.alive() {
			st, err := c.Status(id)
			if err != nil {
				return err
			}
			if st.Leader == nil || leader != "" && leader != st.Leader.ID {
				return yes(false, "%s knows another leader than %q, or none", id, leader)
			}
			leader = st.Leader.ID
		}
		return yes(leader != "", "no node lives")
	})
	return leader
}

// OwnerOf is the node that owns a shard, "" if none.
func (c *cluster) OwnerOf(shard int) string {
	c.t.Helper()
	for _, s := range c.status().Shards {
		if s.ID == shard {
			return s.Owner
		}
	}
	return ""
}

// ShardOf is a shard that a node owns.
func (c *cluster) ShardOf(id string) int {
	c.t.Helper()
	for _, s := range c.status().Shards {
		if s.Owner == id {
			return s.ID
		}
	}
	c.t.Fatalf("%s owns no shard", id)
	return -1
}

// WaitOwned waits until a shard is ready at a node.
func (c *cluster) WaitOwned(shard int, id string) {
	c.t.Helper()
	c.poll(fmt.Sprintf("%s has shard %d", id, shard), 20*time.Second, func() error {
		for _, s := range c.status().Shards {
			if s.ID == shard {
				return yes(s.Owner == id && s.State == "ready", "owner %s, %s", s.Owner, s.State)
			}
		}
		return yes(false, "no such shard")
	})
}

// WaitReady waits until every live node is a voter and fresh, every shard is
// ready, and no node has two more shards than another.
func (c *cluster) WaitReady() {
	c.t.Helper()
	c.waitAll("the cluster is ready", func(st admin.Status) error {
		if err := c.served(st); err != nil {
			return err
		}
		return even(st)
	})
}

// WaitServed is WaitReady without regard to who has how many shards.
func (c *cluster) WaitServed() {
	c.t.Helper()
	c.waitAll("all shards are served", c.served)
}

// WaitPlaced waits until every shard is ready at the node that has it in want,
// by id.
func (c *cluster) WaitPlaced(want map[string]int) {
	c.t.Helper()
	c.waitAll(fmt.Sprintf("the shards are placed as %v", want), func(st admin.Status) error {
		if err := c.served(st); err != nil {
			return err
		}
		got := map[string]int{}
		for _, s := range st.Shards {
			got[s.Owner]++
		}
		return yes(maps.Equal(got, want), "they are placed as %v", got)
	})
}

// waitAll waits until a condition holds by the word of every live node.
func (c *cluster) waitAll(what string, cond func(admin.Status) error) {
	c.t.Helper()
	c.poll(what, 40*time.Second, func() error {
		for _, id := range c.alive() {
			st, err := c.Status(id)
			if err == nil {
				err = cond(st)
			}
			if err != nil {
				return fmt.Errorf("%s says: %w", id, err)
			}
		}
		return nil
	})
}

func (c *cluster) served(st admin.Status) error {
	if st.Leader == nil || st.Stale || len(st.Shards) == 0 {
		return yes(false, "leader %v, stale %v, %d shards", st.Leader, st.Stale, len(st.Shards))
	}
	live := 0
	for _, n := range st.Nodes {
		if !n.Alive {
			continue
		}
		if !n.Voter || !n.Fresh {
			return yes(false, "%s: voter %v, fresh %v", n.ID, n.Voter, n.Fresh)
		}
		live++
	}
	for _, s := range st.Shards {
		if s.State != "ready" {
			return yes(false, "shard %d is %s at %s", s.ID, s.State, s.Owner)
		}
	}
	return yes(live == len(c.alive()), "%d nodes", live)
}

// even returns nil if no node has two more shards than another.
func even(st admin.Status) error {
	least, most := len(st.Shards), 0
	for _, n := range st.Nodes {
		if n.Alive && !n.Draining {
			least, most = min(least, n.Shards), max(most, n.Shards)
		}
	}
	return yes(most-least <= 1, "%d to %d shards each", least, most)
}

// Move moves a shard and returns when its new owner has it.
func (c *cluster) Move(shard int, to string) {
	c.t.Helper()
	path := fmt.Sprintf("/v1/shards/%d/move", shard)
	if err := c.request(http.MethodPost, to, path, map[string]string{"to": to}, nil); err != nil {
		c.t.Fatal(err)
	}
}

// SameDigests waits until all live nodes have applied the same entry, and
// compares their digests there.
func (c *cluster) SameDigests() {
	c.t.Helper()
	c.poll("equal digests", 15*time.Second, func() error {
		byIndex := map[uint64]map[string]string{}
		for _, id := range c.alive() {
			var d admin.Digest
			if err := c.request(http.MethodGet, id, "/v1/digest", nil, &d); err != nil {
				return err
			}
			if byIndex[d.AppliedIndex] == nil {
				byIndex[d.AppliedIndex] = map[string]string{}
			}
			for other, digest := range byIndex[d.AppliedIndex] {
				if digest != d.Digest {
					c.t.Fatalf("digests differ at index %d: %s has %s, %s has %s", d.AppliedIndex, other, digest, id, d.Digest)
				}
			}
			byIndex[d.AppliedIndex][id] = d.Digest
		}
		return yes(len(byIndex) == 1, "indices differ: %v", byIndex)
	})
}
