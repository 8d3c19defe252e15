package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// Waits of commands about shards that are connected by hand.
const (
	// dropTime bounds the wait for the owner's word that it has let go of its
	// connection. One that can't be asked has no say any more in any case.
	dropTime = 2 * time.Second
	// readyTime bounds the wait for a shard that was connected to be ready.
	readyTime = 20 * time.Second
	// askEvery is how often other nodes are asked meanwhile.
	askEvery = 20 * time.Millisecond
)

// shardOf reads a shard's record, its bot's configuration and whether it is known.
func (n *Node) shardOf(bot string, index int) (sh fsm.Shard, known bool, b botFacts, err error) {
	err = admin.ErrUnknownBot
	n.machine.View(func(_ uint64, s *fsm.State) {
		have := s.Bot(bot)
		if have == nil {
			return
		}
		err = nil
		b = botFacts{layout: have.Layout, setting: have.Config.Shards, intents: have.Config.Intents, self: have.Cache().Self()}
		sh, known = have.Shard(fsm.ShardKey{Layout: have.Layout, Index: uint32(index)})
		b.guilds = have.Cache().GuildCount(index, int(have.Layout))
	})
	return sh, known, b, err
}

// botFacts is what the commands of this file look at of a bot.
type botFacts struct {
	layout  uint32
	setting string
	intents uint64
	self    []byte
	guilds  int // of the shard
}

// DisconnectShard implements admin.Backend.
func (n *Node) DisconnectShard(ctx context.Context, bot string, index int, drain time.Duration) (admin.Resume, error) {
	key, err := n.shardKey(bot, index)
	if err != nil {
		return admin.Resume{}, err
	}
	owner, err := n.park(ctx, bot, key)
	if err != nil {
		return admin.Resume{}, err
	}
	n.awaitDrop(ctx, bot, key, owner)
	n.awaitDrained(ctx, bot, key, drain)
	out := n.resumeOf(bot, key)
	n.log.Info("shard is disconnected", zap.String("bot", bot), zap.Uint32("shard", key.Index),
		zap.Int64("seq", out.Seq), zap.Int("undone", out.Undone))
	return out, nil
}

// park has a shard parked, and returns who owned it.
func (n *Node) park(ctx context.Context, bot string, key fsm.ShardKey) (owner fsm.NodeRef, err error) {
	for {
		changed := n.machine.Changed()
		sh, _, _, err := n.shardOf(bot, int(key.Index))
		if err != nil || sh.Parked {
			return owner, err
		}
		owner = sh.Owner
		res, err := n.command(ctx, func(*fsm.State) fsm.Command {
			return &fsm.Disconnect{Bot: bot, Shard: key, Epoch: sh.Epoch}
		})
		if err != nil && res.Code != fsm.Fenced {
			return owner, err
		}
		if err := n.awaitEpoch(ctx, bot, key, res.Epoch, changed); err != nil {
			return owner, err
		}
	}
}

// awaitEpoch waits until this node has applied an epoch of a shard: the leader
// has, when it answers.
func (n *Node) awaitEpoch(ctx context.Context, bot string, key fsm.ShardKey, epoch uint64, changed <-chan struct{}) error {
	for {
		if sh, known, _, err := n.shardOf(bot, int(key.Index)); err != nil || known && sh.Epoch >= epoch {
			return err
		}
		select {
		case <-changed:
			changed = n.machine.Changed()
		case <-ctx.Done():
			return fmt.Errorf("%w: this node has not heard of it in time", admin.ErrUnknownOutcome)
		}
	}
}

// awaitDrop waits for the owner before to have let go of its connection.
func (n *Node) awaitDrop(ctx context.Context, bot string, key fsm.ShardKey, owner fsm.NodeRef) {
	up := false
	n.machine.View(func(_ uint64, s *fsm.State) { up = s.IsUp(owner) })
	if !up {
		return // its sockets went with it
	}
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	n.each(ctx, askEvery, func() bool {
		reports := n.reports(ctx)
		if _, answers := reports[owner.ID]; !answers {
			return false
		}
		_, has := ownerReport(reports, owner.ID, bot, key.Index)
		return !has
	})
}

// each calls done until it is, or the context ends.
func (n *Node) each(ctx context.Context, every time.Duration, done func() bool) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// awaitDrained waits until no event of a shard waits for a handler.
func (n *Node) awaitDrained(ctx context.Context, bot string, key fsm.ShardKey, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		changed := n.machine.Changed()
		pending := 0
		n.machine.View(func(_ uint64, s *fsm.State) {
			if b := s.Bot(bot); b != nil {
				if sh, ok := b.Shard(key); ok {
					pending = sh.PendingCount()
				}
			}
		})
		if pending == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// undoneNamed is how many of the events that are left undone are named.
const undoneNamed = 20

// resumeOf describes a parked shard's session.
func (n *Node) resumeOf(bot string, key fsm.ShardKey) admin.Resume {
	out := admin.Resume{
		Schema: 1, ClusterID: n.ClusterID(), Bot: bot, UserID: n.userID(bot), Shard: int(key.Index), Total: int(key.Layout), At: time.Now().UTC(),
	}
	n.machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(bot)
		sh, _ := b.Shard(key)
		out.SessionID, out.ResumeURL, out.Seq = sh.SID, sh.URL, sh.C
		out.Guilds, out.Intents = b.Cache().GuildCount(int(key.Index), int(key.Layout)), b.Config.Intents
		out.User = bytes.Clone(b.Cache().Self())
		out.Undone = sh.PendingCount()
		for e := range b.PendingEntries() {
			if e.Shard != key || len(out.UndoneEvents) == undoneNamed {
				continue
			}
			u := admin.UndoneEvent{Pos: e.Pos, Seq: e.S, Type: e.Type, Handlers: e.Handlers}
			if e.Guild != 0 {
				u.Guild = e.Guild.String()
			}
			out.UndoneEvents = append(out.UndoneEvents, u)
		}
	})
	return out
}

// userID is the account whose token this node has: a token begins with the
// account's id, in base64.
func (n *Node) userID(bot string) string {
	rt := n.bots[bot]
	if rt == nil {
		return ""
	}
	return userOf(rt.tokenNow())
}

// userOf returns the id of the user that a token is of, "" if it doesn't say.
func userOf(token string) string {
	first, _, _ := strings.Cut(token, ".")
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(first, "="))
	if err != nil {
		return ""
	}
	id, err := discord.ParseSnowflake(string(b))
	if err != nil {
		return ""
	}
	return id.String()
}

// ConnectShard implements admin.Backend.
func (n *Node) ConnectShard(ctx context.Context, bot string, index int, req admin.ConnectRequest) (admin.Shard, error) {
	if err := n.connectable(bot, req.Resume); err != nil {
		return admin.Shard{}, err
	}
	if req.To != "" {
		if err := n.known(req.To); err != nil {
			return admin.Shard{}, err
		}
	}
	key, err := n.connect(ctx, bot, index, req)
	if err != nil || req.Check {
		return admin.Shard{}, err
	}
	out := n.awaitReady(ctx, bot, key)
	n.log.Info("shard is connected by hand", zap.String("bot", bot), zap.Uint32("shard", key.Index),
		zap.String("owner", out.Owner), zap.String("state", out.State), zap.Int64("seq", out.Seq))
	return out, nil
}

// connectable refuses a session of another account.
func (n *Node) connectable(bot string, r *admin.Resume) error {
	if r == nil {
		return nil
	}
	if id := n.userID(bot); id != "" && r.UserID != "" && id != r.UserID {
		return admin.WithHint(fmt.Errorf("%w: the session is of the account %s, this node's token of %s", admin.ErrRefused, r.UserID, id),
			"start the nodes with the token of the bot whose session it is")
	}
	return nil
}

// connect has a shard connected, and returns its key.
func (n *Node) connect(ctx context.Context, bot string, index int, req admin.ConnectRequest) (key fsm.ShardKey, err error) {
	for {
		changed := n.machine.Changed()
		sh, key, facts, err := n.unconnected(bot, index, req.Of)
		if err != nil {
			return key, err
		}
		cmd, err := n.connectCommand(bot, key, sh, req)
		if err != nil || req.Check {
			return key, err
		}
		if req.Resume != nil && facts.self == nil && len(req.Resume.User) > 0 {
			self := []fsm.Imported{{Type: discord.EventReady, Raw: slices.Concat([]byte(`{"user":`), req.Resume.User, []byte("}"))}}
			if err := n.importEvents(ctx, bot, key, sh.Epoch, self); err != nil {
				return key, err
			}
		}
		res, err := n.command(ctx, func(*fsm.State) fsm.Command { return cmd })
		if res.Code != fsm.Fenced {
			if err == nil {
				err = n.awaitEpoch(ctx, bot, key, res.Epoch, changed)
			}
			return key, err
		}
		if err := n.awaitEpoch(ctx, bot, key, res.Epoch, changed); err != nil {
			return key, err
		}
	}
}

// unconnected returns a shard that may be connected: parked, or not known yet.
func (n *Node) unconnected(bot string, index, of int) (fsm.Shard, fsm.ShardKey, botFacts, error) {
	sh, known, facts, err := n.shardOf(bot, index)
	key := fsm.ShardKey{Layout: facts.layout, Index: uint32(index)}
	switch {
	case err != nil:
	case facts.layout == 0 && facts.setting != "manual":
		err = admin.WithHint(fmt.Errorf("%w: the shard count of bot %s is not known yet", admin.ErrNotReady, bot), "`botnode status` says what it waits for")
	case facts.layout == 0 && of == 0:
		err = admin.WithHint(fmt.Errorf("%w: how many shards has bot %s in all?", admin.ErrBadRequest, bot), fmt.Sprintf("`botnode shard connect %d --of N`", index))
	case facts.layout == 0:
		key.Layout = uint32(of)
	case of != 0 && uint32(of) != facts.layout:
		err = admin.WithHint(fmt.Errorf("%w: bot %s has %d shards in all here, not %d", admin.ErrRefused, bot, facts.layout, of),
			"a session goes on under the shard count that it began with: start the other cluster with the same")
	}
	switch {
	case err != nil:
	case key.Index >= key.Layout:
		err = admin.WithHint(fmt.Errorf("%w: %d of %d", admin.ErrUnknownShard, index, key.Layout), "shards are counted from 0")
	case known && !sh.Parked:
		err = admin.WithHint(fmt.Errorf("%w: shard %d is connected", admin.ErrRefused, index),
			fmt.Sprintf("`botnode shard move %d --to ID` moves it, `botnode shard disconnect %d` disconnects it", index, index))
	}
	return sh, key, facts, err
}

func (n *Node) connectCommand(bot string, key fsm.ShardKey, sh fsm.Shard, req admin.ConnectRequest) (*fsm.Connect, error) {
	cmd := &fsm.Connect{Bot: bot, Shard: key, Epoch: sh.Epoch, At: time.Now().UnixMilli()}
	if r := req.Resume; r != nil {
		if sh.SID == r.SessionID && r.Seq < sh.C {
			return nil, admin.WithHint(fmt.Errorf("%w: the resume information ends at event %d, this cluster has that session up to %d", admin.ErrRefused, r.Seq, sh.C),
				fmt.Sprintf("`botnode shard connect %d` goes on from here", key.Index))
		}
		cmd.SID, cmd.URL, cmd.C, cmd.Guilds = r.SessionID, r.ResumeURL, r.Seq, int64(r.Guilds)
	}
	if req.To == "" {
		return cmd, nil
	}
	err := admin.WithHint(fmt.Errorf("%w: node %s is not up, or is draining", admin.ErrRefused, req.To), "`botnode node list` shows the nodes")
	n.machine.View(func(_ uint64, s *fsm.State) {
		if to, ok := s.Node(req.To); ok && to.Up && !to.Draining {
			cmd.To, err = fsm.NodeRef{ID: req.To, Inc: to.Inc}, nil
		}
	})
	return cmd, err
}

// awaitReady waits a while for a shard to be ready, and returns it as it is then.
func (n *Node) awaitReady(ctx context.Context, bot string, key fsm.ShardKey) (out admin.Shard) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	n.each(ctx, askEvery, func() bool {
		reports := n.reports(ctx)
		n.machine.View(func(_ uint64, s *fsm.State) {
			_, shards := botStatus(s.Bot(bot), reports, s)
			for _, sh := range shards {
				if sh.ID == int(key.Index) {
					out = sh
				}
			}
		})
		return out.State == "ready"
	})
	return out
}

// ImportShard implements admin.Backend.
func (n *Node) ImportShard(ctx context.Context, bot string, index, of int, evs []fsm.Imported) error {
	sh, key, _, err := n.unconnected(bot, index, of)
	if err != nil {
		return err
	}
	return n.importEvents(ctx, bot, key, sh.Epoch, evs)
}

// importBatch is about how large an Import is; an event is never split.
const importBatch = fsm.MaxBatch

// importEvents proposes events for the caches, in order.
func (n *Node) importEvents(ctx context.Context, bot string, key fsm.ShardKey, epoch uint64, evs []fsm.Imported) error {
	for len(evs) > 0 {
		size, count := 0, 0
		for count < len(evs) && (count == 0 || size+len(evs[count].Raw) <= importBatch) {
			size += len(evs[count].Raw)
			count++
		}
		batch := evs[:count]
		res, err := n.command(ctx, func(*fsm.State) fsm.Command {
			return &fsm.Import{Bot: bot, Shard: key, Epoch: epoch, Evs: batch}
		})
		if err != nil {
			if res.Code == fsm.Fenced {
				err = fmt.Errorf("%w: the shard was connected meanwhile", admin.ErrRefused)
			}
			return err
		}
		evs = evs[count:]
	}
	return nil
}
