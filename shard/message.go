package shard

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// messageTimeout bounds a message between nodes. None is needed for safety.
const messageTimeout = time.Second

// The kinds of message between the shard packages of two nodes.
const (
	msgFresh    = "fresh"    // node to leader: do you lead?
	msgAsk      = "ask"      // owner to leader: a permit, please
	msgPrepared = "prepared" // target to leader: my connection has its HELLO
	msgAnnounce = "announce" // leader to target: connect up to HELLO
	msgInfo     = "info"     // leader to any node: read the bot's gateway information
	msgStranded = "stranded" // owner to leader: I don't reach Discord
	msgTry      = "try"      // leader to such an owner: dial now, another node does
	msgReleased = "released" // old owner to new owner: my connection is gone
	msgSpeak    = "speak"    // any node to owner: send a payload on the gateway connection
)

// message is sent from node to node. It is advice: state changes by commands.
type message struct {
	Kind    string       `json:"kind"`
	Bot     string       `json:"bot,omitempty"`
	Shard   fsm.ShardKey `json:"shard,omitzero"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Key     uint32       `json:"key,omitempty"`
	Ask     uint64       `json:"ask,omitempty"`
	Node    fsm.NodeRef  `json:"node,omitzero"`
	Leaving bool         `json:"leaving,omitempty"`

	Op   discord.Opcode  `json:"op,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// ErrNotLeading is answered by a node that is asked as the leader and isn't,
// or whose term is not established yet.
var ErrNotLeading = errors.New("this node does not lead the cluster")

// send delivers a message to a node, or to the leader where to is "".
func (m *Manager) send(ctx context.Context, to string, msg message) ([]byte, error) {
	if to == "" {
		id, ok := m.o.Cluster.Leader()
		if !ok {
			return nil, errors.New("no leader is known")
		}
		to = id
	}
	if msg.Node.None() {
		msg.Node = m.o.Self
	}
	if to == m.o.Self.ID {
		return m.receive(ctx, msg)
	}
	b, err := json.Marshal(msg)
	if err != nil {
		return nil, err
	}
	return m.o.Cluster.Call(ctx, to, b)
}

// HandleMessage takes a message of another node.
func (m *Manager) HandleMessage(ctx context.Context, from string, b []byte) ([]byte, error) {
	var msg message
	if err := json.Unmarshal(b, &msg); err != nil {
		return nil, fmt.Errorf("a message that can't be read: %w", err)
	}
	if msg.Node.ID != from {
		return nil, fmt.Errorf("a message of %s that names %s", from, msg.Node.ID)
	}
	return m.receive(ctx, msg)
}

// receive takes a message. Questions for freshness and for a bot's gateway have answers.
func (m *Manager) receive(ctx context.Context, msg message) ([]byte, error) {
	if msg.Kind == msgFresh {
		if err := m.lead.fresh(ctx, msg.Node, msg.Leaving); err != nil {
			return nil, err
		}
		answer := binary.AppendUvarint(nil, m.o.Machine.Index())
		return append(answer, strings.Join(m.Waiting(), ",")...), nil
	}
	if msg.Kind == msgInfo {
		return m.infoFor(ctx, msg.Bot)
	}
	if msg.Kind == msgSpeak {
		return nil, m.speak(ctx, msg)
	}
	return nil, m.take(msg)
}

func (m *Manager) take(msg message) error {
	ref := fsm.ShardRef{Bot: msg.Bot, Shard: msg.Shard}
	switch msg.Kind {
	case msgAsk:
		return m.lead.with(func(l *Leader) error {
			l.AskedPermit(m.now(), msg.Bot, msg.Key, msg.Shard, msg.Epoch, msg.Ask)
			return nil
		})
	case msgPrepared:
		return m.lead.with(func(l *Leader) error {
			l.Prepared(msg.Bot, msg.Shard, msg.Epoch)
			return nil
		})
	case msgStranded:
		// Each of its shards says so twice a second, which is no reason to plan.
		return m.lead.hear(func(l *Leader) { l.Stranded(m.now(), msg.Node, msg.Bot, msg.Shard, msg.Epoch) })
	case msgAnnounce, msgTry, msgReleased:
		r := m.runner(ref)
		if r == nil {
			return ErrUnknownShard
		}
		switch msg.Kind {
		case msgAnnounce:
			r.mail.push(Announced{Epoch: msg.Epoch})
		case msgTry:
			r.mail.push(TriedAgain{Epoch: msg.Epoch})
		default:
			r.mail.push(HandedOver{Epoch: msg.Epoch})
		}
		return nil
	}
	return fmt.Errorf("a message of unknown kind %q", msg.Kind)
}
