package admin

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// cachePage is how many objects are read while the state is held still. A list
// that is longer is read in several steps, so that no reader holds up applying.
const cachePage = 5000

// guildKinds are the lists of a guild that the API shows.
var guildKinds = []cache.Kind{
	cache.Channels, cache.Roles, cache.Members, cache.Emojis, cache.VoiceStates, cache.Threads,
	cache.Stickers, cache.Presences, cache.StageInstances, cache.ScheduledEvents, cache.SoundboardSounds,
}

func (s *Server) getGuild(q *request) error {
	id, err := q.snowflake("id")
	if err != nil {
		return err
	}
	return q.object("guild", func(c *cache.Cache) ([]byte, bool) { return c.Guild(id) })
}

func (s *Server) getUser(q *request) error {
	id, err := q.snowflake("id")
	if err != nil {
		return err
	}
	return q.object("user", func(c *cache.Cache) ([]byte, bool) { return c.User(id) })
}

// object answers with one of Discord's objects as it is cached.
func (q *request) object(what string, get func(*cache.Cache) ([]byte, bool)) error {
	var raw []byte
	var ok bool
	if err := q.view(func(_ *fsm.Bot, c *cache.Cache) { raw, ok = get(c) }); err != nil {
		return err
	}
	if !ok {
		return WithHint(fmt.Errorf("%w: %s %s is not cached", ErrNotFound, what, q.PathValue("id")),
			"`botnode cache stats` shows what is cached, and under which policy")
	}
	q.w.Header().Set("Content-Type", "application/json")
	_, _ = q.w.Write(raw) // the client is gone if this fails
	return nil
}

// page is a step of reading a guild's list.
type page struct {
	objects [][]byte
	next    discord.Snowflake // where the list goes on, if it does
	more    bool
	guild   bool // the guild is cached
}

// readPage reads up to limit objects.
func (q *request) readPage(bot string, kind cache.Kind, guild, from discord.Snowflake, limit int) (page, error) {
	var p page
	err := q.viewBot(bot, func(_ *fsm.Bot, c *cache.Cache) {
		_, p.guild = c.Guild(guild)
		for id, raw := range c.GuildList(kind, guild, from) {
			if len(p.objects) == limit {
				p.next, p.more = id, true
				return
			}
			p.objects = append(p.objects, raw)
		}
	})
	return p, err
}

func (s *Server) getGuildList(q *request) error {
	guild, err := q.snowflake("id")
	if err != nil {
		return err
	}
	kind, err := cache.ParseKind(q.PathValue("kind"))
	if err != nil || !slices.Contains(guildKinds, kind) {
		return WithHint(fmt.Errorf("%w: a guild has no list of %s", ErrNotFound, q.PathValue("kind")),
			"channels, roles, members, emojis, voice_states, threads")
	}
	bot, err := q.bot()
	if err != nil {
		return err
	}
	limit, err := q.number("limit")
	if err != nil {
		return err
	}
	cursor, err := q.number("cursor")
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = math.MaxInt
	}
	return q.list(bot, kind, guild, discord.Snowflake(cursor), int(min(limit, math.MaxInt)))
}

// list answers with an array of up to limit objects. Where it goes on is in the
// header Botnode-Cursor, which only a list that was asked in pages can have.
func (q *request) list(bot string, kind cache.Kind, guild, from discord.Snowflake, limit int) error {
	p, err := q.readPage(bot, kind, guild, from, min(limit, q.s.page))
	if err != nil {
		return err
	}
	if !p.guild && len(p.objects) == 0 {
		return WithHint(fmt.Errorf("%w: guild %s is not cached", ErrNotFound, guild), "`botnode cache stats` shows what is cached")
	}
	if p.more && limit <= q.s.page {
		q.w.Header().Set("Botnode-Cursor", strconv.FormatUint(uint64(p.next), 10))
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.begun = true
	out := &arrayWriter{q: q}
	for {
		for _, raw := range p.objects {
			if err := out.object(raw); err != nil {
				return err
			}
		}
		limit -= len(p.objects)
		if !p.more || limit == 0 {
			return out.end()
		}
		if p, err = q.readPage(bot, kind, guild, p.next, min(limit, q.s.page)); err != nil {
			return err
		}
	}
}

// arrayWriter writes a JSON array of raw objects.
type arrayWriter struct {
	q *request
	n int
}

func (w *arrayWriter) object(raw []byte) error {
	sep := ","
	if w.n == 0 {
		sep = "["
	}
	if w.n%1000 == 0 {
		w.q.piece()
	}
	w.n++
	if _, err := w.q.w.Write([]byte(sep)); err != nil {
		return err
	}
	_, err := w.q.w.Write(raw)
	return err
}

func (w *arrayWriter) end() error {
	end := "]\n"
	if w.n == 0 {
		end = "[]\n"
	}
	_, err := w.q.w.Write([]byte(end))
	return err
}

func (s *Server) getCacheStats(q *request) error {
	out := []CacheStats{}
	err := q.view(func(b *fsm.Bot, c *cache.Cache) {
		for _, k := range c.Stats() {
			out = append(out, CacheStats{
				Bot: b.Name, Kind: k.Kind.String(), Policy: policyText(k.Policy),
				Count: k.Count, Bytes: k.Bytes, Evicted: k.Evicted, Sweeping: k.Sweeping,
			})
		}
	})
	if err != nil {
		return err
	}
	return q.json(out)
}

func policyText(p cache.Policy) string {
	text := p.Mode.String()
	if p.MaxCount > 0 {
		text += fmt.Sprintf(" %d objects", p.MaxCount)
	}
	if p.MaxBytes > 0 {
		text += fmt.Sprintf(" %d bytes", p.MaxBytes)
	}
	if p.Filter != nil {
		text += " if " + p.Filter.String()
	}
	return text
}
