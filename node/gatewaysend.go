package node

import (
	"context"
	"fmt"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// SendGateway sends a payload on a shard's gateway connection, whichever node
// has it.
func (n *Node) SendGateway(ctx context.Context, bot string, index int, op discord.Opcode, d []byte) error {
	key, err := n.shardKey(bot, index)
	if err != nil {
		return err
	}
	return n.manager.Speak(ctx, bot, key, op, d)
}

// ShowPresence sets the presence of a shard, or of all for a negative index, in
// the replicated state: its owner shows it, and so does every later one.
func (n *Node) ShowPresence(ctx context.Context, bot string, index int, d []byte) error {
	shard := uint32(fsm.AllShards)
	if index >= 0 {
		key, err := n.shardKey(bot, index)
		if err != nil {
			return err
		}
		shard = key.Index
	}
	for {
		res, err := n.command(ctx, func(s *fsm.State) fsm.Command {
			rev := uint64(0)
			if b := s.Bot(bot); b != nil {
				rev = b.PresenceRev()
			}
			return &fsm.Presence{Bot: bot, Rev: rev, Shard: shard, Raw: d}
		})
		if err == nil || res.Code != fsm.Conflict {
			return err
		}
		// Somebody else set one at the same time. This node will have applied it.
		changed := n.machine.Changed()
		if n.presenceRev(bot) >= res.Version {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: the presence kept changing", admin.ErrConflict)
		}
	}
}

func (n *Node) presenceRev(bot string) (rev uint64) {
	n.machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(bot); b != nil {
			rev = b.PresenceRev()
		}
	})
	return rev
}
