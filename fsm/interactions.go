package fsm

import (
	"crypto/sha256"

	"github.com/tidwall/btree"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/jsonscan"
)

const (
	// InteractionLife is how long an interaction's token is good for, in
	// milliseconds (interactions/receiving-and-responding.mdx, "Followup Messages").
	InteractionLife = 15 * 60 * 1000
	// MaxInteractions bounds the interactions of a bot that are remembered.
	MaxInteractions = 1 << 16
)

// Interaction is what is remembered of an interaction that the bot was sent: who
// knows its token may answer it.
type Interaction struct {
	ID          discord.Snowflake
	Application discord.Snowflake
	At          int64 // when it was read, Unix milliseconds by its reader's clock
}

// tokenHash is what the state keeps of a token: a part of its SHA-256. A token
// can't be guessed, so a plain hash gives nothing away, and how long a look-up
// takes says nothing of the tokens that are there.
type tokenHash [16]byte

func hashToken(token string) (h tokenHash) {
	sum := sha256.Sum256([]byte(token))
	copy(h[:], sum[:])
	return h
}

// noted is an Interaction with its token's hash.
type noted struct {
	Interaction
	token tokenHash
}

type notedTree = btree.Map[uint64, noted]

// interactions remembers the interactions of a bot that has clients of the proxy:
// they answer without showing a key, and perhaps to a node that has never seen
// them. Each is kept for as long as its token is good, as far as there is room.
type interactions struct {
	order   *notedTree // in the order in which they came
	next    uint64     // the number of the next one in order
	byToken map[tokenHash]uint64
	digest  Digest
}

func newInteractions() interactions {
	return interactions{order: new(notedTree), byToken: make(map[tokenHash]uint64)}
}

// noteInteraction remembers the interaction of an INTERACTION_CREATE, and
// forgets those that were read InteractionLife before it.
func (b *Bot) noteInteraction(d []byte, at int64) {
	token := jsonscan.String(jsonscan.Get(d, "token"))
	if len(b.clients.keys) == 0 || token == "" {
		return
	}
	in := &b.interactions
	for {
		_, oldest, ok := in.order.Min()
		if !ok || oldest.At > at-InteractionLife && in.order.Len() < MaxInteractions {
			break
		}
		in.forgetOldest()
	}
	in.put(noted{token: hashToken(token), Interaction: Interaction{
		ID:          discord.Snowflake(jsonscan.ID(jsonscan.Get(d, "id"))),
		Application: discord.Snowflake(jsonscan.ID(jsonscan.Get(d, "application_id"))),
		At:          at,
	}})
}

// put adds an interaction, unless its token is known.
func (in *interactions) put(n noted) {
	if _, known := in.byToken[n.token]; known {
		return
	}
	in.byToken[n.token] = in.next
	in.order.Load(in.next, n)
	in.next++
	in.digest.add(n.digest())
}

func (in *interactions) forgetOldest() {
	_, n, _ := in.order.PopMin()
	delete(in.byToken, n.token)
	in.digest.sub(n.digest())
}

func (n *noted) digest() Digest {
	w := writer{b: make([]byte, 0, 64)}
	w.byte('i')
	n.encode(&w)
	return w.hash()
}

func (n *noted) encode(w *writer) {
	w.bytes(n.token[:])
	w.uint(uint64(n.ID))
	w.uint(uint64(n.Application))
	w.int(n.At)
}

func (n *noted) decode(r *reader) {
	if copy(n.token[:], r.bytes()) != len(n.token) {
		r.fail("a token's hash of another length")
	}
	n.ID, n.Application, n.At = discord.Snowflake(r.uint()), discord.Snowflake(r.uint()), r.int()
}

// loadInteraction puts one of a snapshot's where it was.
func (s *State) loadInteraction(r *reader) error {
	b := s.bots[r.string()]
	if b == nil {
		r.fail("an interaction of no bot")
		return r.err
	}
	var n noted
	n.decode(r)
	b.interactions.put(n)
	return nil
}

// Interaction returns the interaction that the bot was sent with a token. It may
// be older than InteractionLife: Apply has no clock to tell.
func (b *Bot) Interaction(token string) (Interaction, bool) {
	pos, ok := b.interactions.byToken[hashToken(token)]
	if !ok {
		return Interaction{}, false
	}
	n, _ := b.interactions.order.Get(pos)
	return n.Interaction, true
}

// InteractionCount returns how many interactions are remembered.
func (b *Bot) InteractionCount() int { return b.interactions.order.Len() }
