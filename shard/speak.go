package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// ErrNoConnection means that a shard's owner has no connection to the gateway
// at the moment. It may have one soon.
var ErrNoConnection = errors.New("the shard has no connection at the moment")

// noPresence takes a presence back (events/gateway-events.mdx, "Update
// Presence").
var noPresence = []byte(`{"since":null,"activities":[],"status":"online","afk":false}`)

// Speak sends a payload on a shard's gateway connection, whichever node has it.
// It returns once the payload was handed to TCP; an error may mean that it was
// sent all the same.
func (m *Manager) Speak(ctx context.Context, bot string, k fsm.ShardKey, op discord.Opcode, data []byte) error {
	v, ok := m.view(fsm.ShardRef{Bot: bot, Shard: k})
	switch {
	case !ok:
		return ErrUnknownShard
	case v.Owner.None():
		return ErrNoConnection
	}
	_, err := m.send(ctx, v.Owner.ID, message{Kind: msgSpeak, Bot: bot, Shard: k, Op: op, Data: data})
	return err
}

// speak carries out a Speak on the shard's owner.
func (m *Manager) speak(ctx context.Context, msg message) error {
	ref := fsm.ShardRef{Bot: msg.Bot, Shard: msg.Shard}
	v, ok := m.view(ref)
	r := m.known(ref)
	if !ok || r == nil || v.Owner != m.o.Self {
		return fmt.Errorf("%w: this node does not own it", ErrNoConnection)
	}
	c := r.conn.Load()
	if c == nil {
		return ErrNoConnection
	}
	return c.Send(ctx, msg.Op, msg.Data)
}

// showPresence brings a session's presence in line with the applied state.
func (r *runner) showPresence() {
	if r.owner.Phase() != Live {
		return
	}
	var want []byte
	r.m.o.Machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(r.ref.Bot); b != nil {
			want, _ = b.PresenceOf(r.ref.Shard.Index)
		}
	})
	if bytes.Equal(want, r.shown) {
		return
	}
	c := r.conn.Load()
	if c == nil {
		return
	}
	r.shown = want
	// Op 3 wants all fields, IDENTIFY takes a part of them.
	data := jsonscan.Merge(nil, noPresence, want, nil)
	before, sent := r.showing, make(chan struct{})
	r.showing = sent
	r.wg.Go(func() {
		defer close(sent)
		if before != nil {
			<-before // or an older presence might be shown last
		}
		if err := c.Send(r.ctx, discord.OpPresenceUpdate, data); err != nil {
			// The next connection shows it: a resumed one is told in any case.
			r.log.Debug("presence not sent", zap.Error(err))
		}
	})
}
