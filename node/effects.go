package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// The methods in this file are for programs: what they may do besides answering
// events.

// ErrFenced means that what a write depends on, such as a lock, is another's by
// now.
var ErrFenced = errors.New("fenced")

// Write changes a key of a bot's store and returns the key's new version. It
// gives the command its request number.
func (n *Node) Write(ctx context.Context, cmd *fsm.KVWrite) (uint64, error) {
	if k, v := len(cmd.Change.Key), len(cmd.Change.Value); k == 0 || k > fsm.MaxKey || v > fsm.MaxValue {
		return 0, admin.WithHint(admin.ErrBadRequest, fmt.Sprintf("a key has 1 to %d bytes, a value at most %d", fsm.MaxKey, fsm.MaxValue))
	}
	cmd.ID = rand.Uint64() | 1
	res, err := n.command(ctx, func(*fsm.State) fsm.Command { return cmd })
	return res.Version, err
}

// Lock waits until this process holds a named lock of a bot.
func (n *Node) Lock(ctx context.Context, bot, name string) (*shard.Held, error) {
	if len(name) == 0 || len(name) > fsm.MaxKey {
		return nil, fmt.Errorf("%w: a lock's name has 1 to %d bytes", admin.ErrBadRequest, fsm.MaxKey)
	}
	return n.manager.Lock(ctx, bot, name)
}

// presenceTries bounds how often SetPresence meets another's change.
const presenceTries = 20

// SetPresence sets the presence of a shard, or of fsm.AllShards; raw is the d of
// an op 3. It is kept: sessions that begin later show it, too.
//
// One that Discord would not take ends the connection that it is sent on; kept,
// it would end every session to come. So it is looked at before.
func (n *Node) SetPresence(ctx context.Context, bot string, shard uint32, raw []byte) (err error) {
	if err := checkPresence(raw); err != nil {
		return admin.WithHint(fmt.Errorf("%w: %w", admin.ErrBadRequest, err), "a presence has a status and activities: see Discord's Update Presence")
	}
	for range presenceTries {
		_, err = n.command(ctx, func(s *fsm.State) fsm.Command {
			cmd := &fsm.Presence{Bot: bot, Shard: shard, Raw: raw}
			if b := s.Bot(bot); b != nil {
				cmd.Rev = b.PresenceRev()
			}
			return cmd
		})
		if !errors.Is(err, admin.ErrConflict) {
			break
		}
		if err := n.catchUp(ctx); err != nil {
			return err
		}
	}
	return err
}

// checkPresence looks at the d of an op 3; empty takes a presence back.
func checkPresence(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > fsm.MaxPresence {
		return fmt.Errorf("the presence has more than %d bytes", fsm.MaxPresence)
	}
	return discord.CheckPresence(raw)
}

// Speak sends a payload on the gateway connection of the shard with this index,
// whichever node has it. While the shard has none, it waits for one.
func (n *Node) Speak(ctx context.Context, bot string, index int, op discord.Opcode, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for {
		key, err := n.shardKey(bot, index)
		if err != nil {
			return err
		}
		if err = n.manager.Speak(ctx, bot, key, op, data); err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("shard %d: %w", index, err)
		}
	}
}

// Logger returns the node's log, for what its programs have to say.
func (n *Node) Logger() *zap.Logger { return n.log }

// RunSchedule makes an entry for a schedule of a bot as if its time had come,
// besides its own times; before the schedule has begun in the cluster it makes
// none, and says so.
func (n *Node) RunSchedule(ctx context.Context, bot, name string) error {
	last, begun := int64(0), false
	_, err := n.View(bot, func(b *fsm.Bot, _ *cache.Cache) { last, begun = b.LastTick(name) })
	if err == nil && !begun {
		err = admin.WithHint(fmt.Errorf("%w: no schedule %q has begun", admin.ErrRefused, name), "a schedule begins when a leader first sees it")
	}
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	// One time, however often it is proposed: it has one entry at most.
	cmd := &fsm.Tick{Bot: bot, Name: name, Due: max(now, last+1), At: now}
	_, err = n.command(ctx, func(*fsm.State) fsm.Command { return cmd })
	return err
}
