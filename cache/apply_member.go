package cache

import (
	"encoding/binary"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/internal/jsonscan"
)

// VerifyNonce begins the nonce of every request for a guild's whole member list
// that is meant to verify it (op 8 with an empty query and no limit). When all
// chunks of such a request have come, members that none of them named are
// dropped: they left while no session was watching.
const VerifyNonce = "botnode-verify"

// member writes a member and its user. user is the user's object, member the
// member's, wherever they stand in the event.
func (c *Cache) member(guild uint64, user, member []byte, m manner) {
	c.memberOf(guild, idOf(user), user, member, m)
}

// memberOf is member for who knows the user's id; 0 is none.
func (c *Cache) memberOf(guild, id uint64, user, member []byte, m manner) {
	if id == 0 {
		return
	}
	k := key{guild, id}
	c.verified(k)
	c.seen = user
	c.store(Members, k, member, m, skipMember)
	c.seen = nil
	// A user is kept as long as a cached member refers to it, so one that is
	// cached is referred to.
	uk := key{id, 0}
	if !c.store(Users, uk, user, amend, skipUser) && c.placed(id) {
		c.store(Users, uk, user, overlay, skipUser)
	}
}

// user changes a user that is cached.
func (c *Cache) user(user []byte, m manner) { c.userOf(idOf(user), user, m) }

// userOf is user for who knows the id; 0 is none.
func (c *Cache) userOf(id uint64, user []byte, m manner) {
	if id != 0 {
		c.store(Users, key{id, 0}, user, m, skipUser)
	}
}

// memberAdd adds a member and counts it, unless it is known: Discord repeats the
// event for known members.
func (c *Cache) memberAdd(e *event) {
	id := idOf(e.user)
	if id == 0 {
		return
	}
	if !c.tables[Members].recs.has(key{e.guild, id}) {
		c.count(Guilds, key{e.guild, 0}, "member_count", 1)
	}
	c.member(e.guild, e.user, e.d, replace)
}

// memberRemove removes what is cached of a user in a guild.
func (c *Cache) memberRemove(e *event) {
	id := idOf(e.user)
	if id == 0 {
		return
	}
	k := key{e.guild, id}
	c.count(Guilds, key{e.guild, 0}, "member_count", -1)
	c.user(e.user, amend)
	c.drop(Members, k)
	c.drop(Presences, k)
	c.drop(VoiceStates, k)
	c.verified(k)
}

// memberSeen takes the member that an interaction or another event shows.
func (c *Cache) memberSeen(e *event) {
	c.member(e.guild, jsonscan.Get(e.member, "user"), e.member, overlay)
}

// memberList writes a list of whole members.
func (c *Cache) memberList(guild uint64, list []byte) {
	_ = jsonscan.Elements(list, func(val []byte) bool {
		c.member(guild, jsonscan.Get(val, "user"), val, replace)
		return true
	})
}

// membersChunk takes a chunk of a guild's members. The last chunk of a request
// that verifies drops the members that are still unverified.
func (c *Cache) membersChunk(e *event) {
	c.memberList(e.guild, e.members)
	_ = jsonscan.Elements(e.presences, func(val []byte) bool {
		if id, skip := element(Presences, val); id != 0 {
			c.store(Presences, key{e.guild, id}, val, replace, skip)
		}
		return true
	})
	nonce := jsonscan.String(e.nonce)
	if !strings.HasPrefix(nonce, VerifyNonce) {
		return
	}
	index, ok := jsonscan.Int(e.chunkIndex)
	total, ok2 := jsonscan.Int(e.chunkCount)
	if !ok || !ok2 || index < 0 || index >= maxChunks-1 {
		return
	}
	// Chunks of a request come in order, but two requests may be under way, of
	// two owners of the shard, say, and a session may end in the middle. Only the
	// next chunk of the request that began last counts.
	request := xxh3.HashString(nonce) * maxChunks
	seen, _ := c.stores.chunks.get(key{e.guild, 0})
	if index > 0 && seen != request+uint64(index) {
		return
	}
	if index+1 < total {
		c.setChunks(e.guild, request+uint64(index)+1)
		return
	}
	for _, id := range c.stores.unverified.ids(e.guild) {
		c.drop(Members, key{e.guild, id})
	}
	c.forgetMarks(e.guild)
}

// maxChunks is more chunks than a guild has: of 1,000 members each.
const maxChunks = 1 << 20

// setChunks stores which request for a guild's member list is under way and how
// many of its chunks have come, as the sum of hash(nonce) * maxChunks and the
// number; 0 forgets.
func (c *Cache) setChunks(guild, seen uint64) {
	k := key{guild, 0}
	if old, had := c.stores.chunks.remove(k); had {
		c.unhash(tagChunks, k, encodeCount(old))
	}
	if seen > 0 {
		c.stores.chunks.set(k, seen)
		c.hash(tagChunks, k, encodeCount(seen))
	}
}

// encodeCount returns the bytes of a count in digests and snapshots.
func encodeCount(n uint64) string {
	return string(binary.LittleEndian.AppendUint64(nil, n))
}

// unverify marks all cached members of a guild.
func (c *Cache) unverify(guild uint64) {
	c.setChunks(guild, 0)
	for _, id := range c.tables[Members].recs.ids(guild) {
		k := key{guild, id}
		if _, had := c.stores.unverified.set(k, struct{}{}); !had {
			c.hash(tagUnverified, k, "")
		}
	}
}

// forgetMarks forgets which members of a guild are unverified.
func (c *Cache) forgetMarks(guild uint64) {
	for _, id := range c.stores.unverified.ids(guild) {
		c.verified(key{guild, id})
	}
	c.setChunks(guild, 0)
}

// presenceUpdate takes a presence. It is partial and its types are unchecked
// (developers/events/gateway-events.mdx, "Presence Update"), and so may its user
// be. A user who went offline has none, as in a fresh GUILD_CREATE.
func (c *Cache) presenceUpdate(e *event) {
	id := idOf(e.user)
	if id == 0 {
		return
	}
	c.user(e.user, amend)
	k := key{e.guild, id}
	if jsonscan.String(e.status) == "offline" {
		c.drop(Presences, k)
		return
	}
	c.store(Presences, k, e.d, overlay, skipGuildID)
}

// voiceUpdate takes a voice state; without a channel the user has left voice.
func (c *Cache) voiceUpdate(e *event) {
	if e.userID == 0 {
		return
	}
	c.memberSeen(e)
	k := key{e.guild, e.userID}
	if e.channel == 0 {
		c.drop(VoiceStates, k)
		return
	}
	c.store(VoiceStates, k, e.d, replace, skipVoice)
}
