package sim

import (
	"sync"
	"time"
)

// nonces remembers the bot's nonces (resources/message.mdx, enforce_nonce):
// equal nonces of one author within the window are one message, in whatever
// channel. Every message with a nonce is remembered; only enforce_nonce looks.
type nonces struct {
	opts *Options

	mu   sync.Mutex // guards the map
	rows map[string]nonceRow
}

type nonceRow struct {
	channel, id ID
	message     raw
	at          time.Time
}

func (n *nonces) key(channel ID, nonce string) string {
	if n.opts.NoncePerChannel {
		return channel.String() + "/" + nonce
	}
	return nonce
}

func (n *nonces) keep(channel ID, nonce string, id ID, message raw) {
	if nonce == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rows[n.key(channel, nonce)] = nonceRow{channel, id, message, time.Now()}
}

func (n *nonces) find(channel ID, nonce string) (nonceRow, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.key(channel, nonce)
	r, found := n.rows[k]
	if found && time.Since(r.at) > n.opts.NonceWindow {
		delete(n.rows, k)
		found = false
	}
	return r, found
}

// dedupe answers a repeated nonce with the first message. If that was deleted
// Discord answers an error and creates nothing (discord-api-docs issue 6647).
func (s *Server) dedupe(c *call, channel ID, b *messageBody) (reply, bool) {
	if !b.EnforceNonce || b.nonce() == "" || s.opts.NonceOff {
		return reply{}, false
	}
	row, found := s.nonces.find(channel, b.nonce())
	if !found {
		return reply{}, false
	}
	if s.world.history(row.channel).gone[row.id] {
		if s.opts.DeletedNonceFree {
			return reply{}, false
		}
		return unknown(10008, "Message"), true
	}
	c.record(row.id, row.channel, b, true, 0)
	return ok(row.message), true
}
