package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/membership"
)

// targetTimeout bounds how long a move waits for a node that is about to be up:
// one that has joined a moment ago registers once it has caught up.
const targetTimeout = 8 * time.Second

// perShard is what a move of many shards gets beyond opTimeout for each.
const perShard = 250 * time.Millisecond

// MoveShard implements admin.Backend.
func (n *Node) MoveShard(ctx context.Context, bot string, index int, to string) error {
	key, err := n.shardKey(bot, index)
	if err != nil {
		return err
	}
	return n.pin(ctx, pinning{bot: bot, shards: []fsm.ShardKey{key}, to: to, why: fsm.WhyHandoff})
}

// Takeover implements admin.Backend.
func (n *Node) Takeover(ctx context.Context, bot, to string) error {
	shards, err := n.shardsOf(ctx, bot)
	if err != nil {
		return err
	}
	return n.pin(ctx, pinning{bot: bot, shards: shards, to: to, why: fsm.WhyTakeover})
}

// shardsOf returns a bot's shards, and waits a while for their number to be
// known.
func (n *Node) shardsOf(ctx context.Context, bot string) (shards []fsm.ShardKey, err error) {
	ctx, cancel := context.WithTimeout(ctx, targetTimeout)
	defer cancel()
	for {
		changed := n.machine.Changed()
		_, err = n.View(bot, func(b *fsm.Bot, _ *cache.Cache) {
			for _, sh := range b.Shards() {
				if !sh.Parked {
					shards = append(shards, sh.Key)
				}
			}
		})
		if err != nil || len(shards) > 0 {
			return shards, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: the bot's shard count is not known yet", admin.ErrNotReady)
		}
	}
}

// pinning is what an operator wants of shards.
type pinning struct {
	bot    string
	shards []fsm.ShardKey // of the layout in force
	to     string         // "" to take the pins away
	why    fsm.Why
}

// command returns the command that does it.
func (p *pinning) command(s *fsm.State) fsm.Command {
	c := &fsm.Pin{Bot: p.bot, To: p.to, Why: p.why}
	if b := s.Bot(p.bot); b != nil {
		c.Rev, c.Layout = b.PinRev, b.Layout
	}
	for _, k := range p.shards {
		c.Shards = append(c.Shards, k.Index)
	}
	return c
}

// pin has the leader move shards to a node and keep them there, and returns
// when that node has them.
func (n *Node) pin(ctx context.Context, p pinning) error {
	if p.to != "" {
		if err := n.known(p.to); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout+time.Duration(len(p.shards))*perShard)
	defer cancel()
	if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		changed := n.machine.Changed()
		pinned, moved := n.pinned(&p)
		if !pinned {
			if err := n.proposePin(ctx, &p); err != nil {
				return err
			}
			continue
		}
		if moved || p.to == "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return admin.WithHint(fmt.Errorf("%w: %s does not have all of the shards yet", admin.ErrUnknownOutcome, p.to),
		"`botnode shard list`: what is left moves as soon as it can; --release takes the order back")
}

// proposePin proposes the pin once its node can take it.
func (n *Node) proposePin(ctx context.Context, p *pinning) error {
	if p.to != "" {
		if err := n.awaitTarget(ctx, p); err != nil {
			return err
		}
	}
	_, err := n.command(ctx, p.command)
	if errors.Is(err, admin.ErrConflict) {
		return nil // somebody else has changed pins: look again
	}
	if err != nil {
		return err
	}
	applied, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = poll(applied, func() bool { // this node may not have applied it yet; else it is proposed again
		pinned, _ := n.pinned(p)
		return pinned
	})
	return nil
}

// pinned reports whether all shards are pinned as wanted, and whether their
// node has them.
func (n *Node) pinned(p *pinning) (pinned, moved bool) {
	pinned, moved = true, true
	n.machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(p.bot)
		if b == nil {
			return
		}
		for _, k := range p.shards {
			sh, _ := b.Shard(k)
			pinned = pinned && sh.Pin == p.to
			moved = moved && sh.Owner.ID == p.to && s.IsUp(sh.Owner)
		}
	})
	return pinned, moved
}

var (
	errNotUp    = errors.New("is not up")
	errDraining = errors.New("is draining")
	errNoRoom   = errors.New("has no room for so many shards")
	errParked   = errors.New("the shard is disconnected")
)

// unable says why a node can't have the shards now, nil if it can.
func (n *Node) unable(p *pinning) (err error) {
	n.machine.View(func(_ uint64, s *fsm.State) {
		node, ok := s.Node(p.to)
		others := 0
		for _, name := range s.BotNames() {
			b := s.Bot(name)
			for _, sh := range b.Shards() {
				asked := name == p.bot && slices.Contains(p.shards, sh.Key)
				if sh.Owner.ID == p.to && !asked {
					others++
				}
				if asked && sh.Parked {
					err = errParked
				}
			}
		}
		switch {
		case err != nil:
		case !ok || !node.Up:
			err = errNotUp
		case node.Draining:
			err = errDraining
		case node.MaxShards > 0 && others+len(p.shards) > int(node.MaxShards):
			err = errNoRoom
		}
	})
	return err
}

// awaitTarget waits a while for the node to be up.
func (n *Node) awaitTarget(ctx context.Context, p *pinning) error {
	limit, cancel := context.WithTimeout(ctx, targetTimeout)
	defer cancel()
	for {
		changed := n.machine.Changed()
		err := n.unable(p)
		if errors.Is(err, errNotUp) && !n.isDead(p.to) {
			select {
			case <-changed:
				continue
			case <-time.After(200 * time.Millisecond): // gossip may have news of it
				continue
			case <-limit.Done():
			}
		}
		return refusedTarget(p.to, err)
	}
}

// isDead reports whether gossip takes a node for dead.
func (n *Node) isDead(id string) bool {
	m, ok := n.memberOf(id)
	return ok && (m.Status == membership.Dead || m.Status == membership.Left)
}

// refusedTarget turns a node's inability into an error with a hint.
func refusedTarget(id string, err error) error {
	refuse := func(hint string) error {
		return admin.WithHint(fmt.Errorf("%w: %s %w", admin.ErrRefused, id, err), hint)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotUp):
		return refuse("start it; `botnode node list` shows who is up")
	case errors.Is(err, errDraining):
		return refuse("`botnode undrain " + id + "` first")
	case errors.Is(err, errNoRoom):
		return refuse("start it with a larger --max-shards, or move other shards away first")
	}
	return admin.WithHint(fmt.Errorf("%w: %w", admin.ErrRefused, err), "`botnode shard connect N --to "+id+"` connects it there")
}
