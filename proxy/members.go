package proxy

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// The sizes of answers to op 8 (events/gateway-events.mdx, "Request Guild
// Members").
const (
	chunkSize = 1000
	mostFound = 100 // of a prefix, or of a list of users
)

// requests are the requests for members that Discord is to answer, and the
// client's own nonces, by the nonces that they were sent with.
type requests map[string]string

// mostAsked bounds requests: those that Discord never answers are forgotten.
const mostAsked = 256

// answer turns an event that answers a request into what the client that asked
// gets; mine is false if it was another.
func (r requests) answer(event string, d []byte) (out []byte, mine bool) {
	at := d
	if event == discord.EventRateLimited {
		at = jsonscan.Get(d, "meta")
	}
	nonce := jsonscan.String(jsonscan.Get(at, "nonce"))
	theirs, mine := r[nonce]
	if !mine || !strings.HasPrefix(nonce, fsm.ClientNonce) {
		return nil, false
	}
	at = withNonce(at, theirs)
	if event == discord.EventRateLimited {
		delete(r, nonce)
		return jsonscan.Merge(nil, d, append(append([]byte(`{"meta":`), at...), '}'), nil), true
	}
	index, _ := jsonscan.Int(jsonscan.Get(d, "chunk_index"))
	count, _ := jsonscan.Int(jsonscan.Get(d, "chunk_count"))
	if index+1 >= count {
		delete(r, nonce)
	}
	return at, true
}

// withNonce returns an object with another nonce, or without one.
func withNonce(obj []byte, nonce string) []byte {
	if nonce == "" {
		return jsonscan.Merge(nil, []byte("{}"), obj, func(key []byte) bool { return string(key) == "nonce" })
	}
	n, _ := json.Marshal(nonce) // a string always marshals
	return jsonscan.Merge(nil, obj, append(append([]byte(`{"nonce":`), n...), '}'), nil)
}

// memberRequest is an op 8.
type memberRequest struct {
	guild     discord.Snowflake
	users     []discord.Snowflake // nil unless users are asked for
	byID      bool
	query     string
	limit     int64
	presences bool
	nonce     string
}

// parseMemberRequest reads the d of an op 8.
func parseMemberRequest(d []byte) (r memberRequest, ok bool) {
	guilds := snowflakes(jsonscan.Get(d, "guild_id"))
	query, users := jsonscan.Get(d, "query"), jsonscan.Get(d, "user_ids")
	if jsonscan.IsNull(users) {
		users = nil
	}
	if len(guilds) != 1 || users == nil && (len(query) == 0 || query[0] != '"') {
		return r, false
	}
	r = memberRequest{guild: guilds[0], byID: users != nil, query: jsonscan.String(query), nonce: nonceOf(jsonscan.Get(d, "nonce"))}
	r.users = snowflakes(users)
	r.users = r.users[:min(len(r.users), mostFound)]
	r.limit, _ = jsonscan.Int(jsonscan.Get(d, "limit"))
	r.presences, _ = jsonscan.Bool(jsonscan.Get(d, "presences"))
	return r, true
}

// ask returns the d of the op 8 that Discord gets: what was understood and may be
// had, since a payload that Discord can't read ends the bot's own connection.
func (r *memberRequest) ask(nonce string) []byte {
	d := append([]byte(`{"guild_id":`), quoted(r.guild)...)
	if r.byID {
		ids, _ := json.Marshal(append([]discord.Snowflake{}, r.users...)) // ids always marshal
		d = append(append(d, `,"user_ids":`...), ids...)
	} else {
		query, _ := json.Marshal(r.query) // a string always marshals
		d = append(append(d, `,"query":`...), query...)
	}
	d = append(d, `,"limit":`...)
	d = strconv.AppendInt(d, min(max(0, r.limit), mostFound), 10)
	d = append(d, `,"presences":`...)
	d = strconv.AppendBool(d, r.presences)
	return append(append(append(d, `,"nonce":"`...), nonce...), '"', '}')
}

// whole reports whether all members of the guild are asked for.
func (r *memberRequest) whole() bool { return !r.byID && r.query == "" && r.limit == 0 }

// requestMembers answers an op 8: from the cache if that knows for certain, else
// Discord is asked.
func (c *conn) requestMembers(d []byte) {
	r, ok := parseMemberRequest(d)
	s := c.sess
	switch {
	case !ok:
		c.end(closing(discord.CloseDecodeError, "op 8 needs a guild_id, and a query or user_ids"))
		return
	case !s.owns(r.guild), r.whole() && !s.intents.Has(discord.IntentGuildMembers):
		return // Discord doesn't answer either
	}
	r.presences = r.presences && s.intents.Has(discord.IntentGuildPresences)
	frozen, layout := c.frozen(s.client.Bot)
	if frozen == nil {
		return
	}
	if knows(frozen, &r) {
		found, missing := find(frozen, &r)
		c.answers = append(c.answers, &memberAnswer{
			memberRequest: r, found: found, missing: missing,
			chunks: max(1, (len(found)+chunkSize-1)/chunkSize),
		})
		return
	}
	if c.asked == nil {
		c.asked = make(requests)
	}
	for nonce := range c.asked {
		if len(c.asked) < mostAsked {
			break
		}
		delete(c.asked, nonce)
	}
	nonce := fsm.ClientNonce + strconv.FormatUint(rand.Uint64(), 36)
	c.asked[nonce] = r.nonce
	bot := s.client.Bot
	c.enqueue(func(ctx context.Context) {
		c.say(ctx, bot, discord.ShardOf(r.guild, layout), discord.OpRequestGuildMembers, r.ask(nonce))
	})
}

// frozen returns a bot's cache as it is now, nil if there is no such bot, and
// its shard count.
func (c *conn) frozen(bot string) (frozen *cache.Cache, layout int) {
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		if b := st.Bot(bot); b != nil {
			frozen, layout = b.Cache().Freeze(), int(b.Layout)
		}
	})
	return frozen, layout
}

// knows reports whether a cache has all that a request asks for.
func knows(ca *cache.Cache, r *memberRequest) bool {
	if _, kept := ca.Count(cache.Presences); r.presences && !kept {
		return false
	}
	if unavailable, in := ca.Home(r.guild); unavailable || !in {
		return false
	}
	if ca.MembersComplete(r.guild) {
		return true
	}
	if !r.byID || len(r.users) == 0 {
		return false
	}
	for _, id := range r.users {
		if _, ok := ca.Member(r.guild, id); !ok || ca.Unverified(r.guild, id) {
			return false
		}
	}
	return true
}

// memberAnswer is a request that is being answered from the cache.
type memberAnswer struct {
	memberRequest
	found, missing []discord.Snowflake
	sent, chunks   int
}

// sendMembers sends a chunk of an answer, if there is one to give, and reports
// whether there are more. Events go out between two chunks, and heartbeats are answered.
//
// Chunks are no part of the journal, so they have no number of their own: they
// repeat the one that was sent last.
func (c *conn) sendMembers() (more bool) {
	if len(c.answers) == 0 {
		return false
	}
	a := c.answers[0]
	// As it is now: a member that is gone since, and whose event was sent, isn't
	// brought back, and no copy of the cache is kept for a client that is slow.
	frozen, _ := c.frozen(c.sess.client.Bot)
	if frozen == nil {
		c.answers = nil // without the bot the session ends
		return false
	}
	part := a.found[min(len(a.found), a.sent*chunkSize):min(len(a.found), (a.sent+1)*chunkSize)]
	d := a.chunk(frozen, part, a.missing, a.sent, a.chunks)
	c.dispatch(discord.EventGuildMembersChunk, c.sess.lastS, &body{d: d})
	if a.sent++; a.sent == a.chunks {
		c.answers = c.answers[1:]
	}
	return len(c.answers) > 0
}

// find returns the members that a request asks for, and the users that are none.
func find(ca *cache.Cache, r *memberRequest) (found, missing []discord.Snowflake) {
	if r.byID {
		for _, id := range r.users {
			if _, ok := ca.Member(r.guild, id); ok {
				found = append(found, id)
			} else {
				missing = append(missing, id)
			}
		}
		return found, missing
	}
	most := int(r.limit)
	if !r.whole() && (r.limit <= 0 || r.limit > mostFound) {
		most = mostFound
	}
	query := strings.ToLower(r.query)
	for id, member := range ca.GuildMembers(r.guild) {
		if query != "" && !named(ca, id, member, query) {
			continue
		}
		if found = append(found, id); len(found) == most {
			break
		}
	}
	return found, nil
}

// named reports whether a member's name begins with a prefix, in lower case.
func named(ca *cache.Cache, id discord.Snowflake, member []byte, prefix string) bool {
	user, _ := ca.User(id)
	for _, name := range [][]byte{jsonscan.Get(user, "username"), jsonscan.Get(user, "global_name"), jsonscan.Get(member, "nick")} {
		if strings.HasPrefix(strings.ToLower(jsonscan.String(name)), prefix) {
			return true
		}
	}
	return false
}

// chunk is the d of one GUILD_MEMBERS_CHUNK.
func (r *memberRequest) chunk(ca *cache.Cache, part, missing []discord.Snowflake, i, n int) []byte {
	d := append([]byte(`{"guild_id":`), quoted(r.guild)...)
	d = append(d, `,"chunk_index":`...)
	d = strconv.AppendInt(d, int64(i), 10)
	d = append(d, `,"chunk_count":`...)
	d = strconv.AppendInt(d, int64(n), 10)
	d = appendList(d, "members", part, func(id discord.Snowflake) ([]byte, bool) { return ca.MemberWithUser(r.guild, id) })
	if r.presences {
		d = appendList(d, "presences", part, func(id discord.Snowflake) ([]byte, bool) { return ca.Presence(r.guild, id) })
	}
	if len(missing) > 0 && i == 0 {
		d = appendList(d, "not_found", missing, func(id discord.Snowflake) ([]byte, bool) { return []byte(quoted(id)), true })
	}
	if r.nonce != "" {
		nonce, _ := json.Marshal(r.nonce) // a string always marshals
		d = append(append(d, `,"nonce":`...), nonce...)
	}
	return append(d, '}')
}

// appendList appends a member of an object that is a list of what get returns.
func appendList(d []byte, name string, ids []discord.Snowflake, get func(discord.Snowflake) ([]byte, bool)) []byte {
	d = append(append(append(d, `,"`...), name...), `":[`...)
	begun := false
	for _, id := range ids {
		v, ok := get(id)
		if !ok {
			continue
		}
		if begun {
			d = append(d, ',')
		}
		d, begun = append(d, v...), true
	}
	return append(d, ']')
}
