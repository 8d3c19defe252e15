package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// Resume is what it takes to go on with the session of a shard that was
// disconnected, in its own cluster or in another one. Who has it and the bot's
// token has the session.
type Resume struct {
	Schema    int    `json:"schema"` // 1
	ClusterID string `json:"cluster_id"`
	Bot       string `json:"bot"`
	// UserID is the bot's account at Discord, "" if it is not known.
	UserID    string `json:"user_id"`
	Shard     int    `json:"shard"`
	Total     int    `json:"total"`
	SessionID string `json:"session_id"` // "" if the shard had no session
	ResumeURL string `json:"resume_url"`
	// Seq is the number of the last event that the cluster has committed.
	Seq     int64  `json:"seq"`
	Guilds  int    `json:"guilds"`
	Intents uint64 `json:"intents"`
	// User is Discord's object of the bot's account, which only READY brings.
	User json.RawMessage `json:"user,omitempty"`
	// Undone counts the events that are committed and that handlers still want.
	// They stay in the cluster that names them, which goes on with them.
	Undone       int           `json:"undone"`
	UndoneEvents []UndoneEvent `json:"undone_events,omitempty"` // the oldest
	At           time.Time     `json:"at"`
}

// UndoneEvent is an event that was not handled when its shard was disconnected.
type UndoneEvent struct {
	Pos      uint64   `json:"pos"`
	Seq      int64    `json:"seq"`
	Type     string   `json:"type"`
	Guild    string   `json:"guild_id,omitempty"`
	Handlers []string `json:"handlers"`
}

// DisconnectRequest is the body of POST /v1/shards/{id}/disconnect.
type DisconnectRequest struct {
	// DrainMS is how long to wait for events that are not handled yet; nil for
	// the usual time, 20 s.
	DrainMS *int64 `json:"drain_ms,omitempty"`
}

// ConnectRequest is the body of POST /v1/shards/{id}/connect.
type ConnectRequest struct {
	Of     int     `json:"of,omitempty"`     // how many shards the bot has in all
	To     string  `json:"to,omitempty"`     // the node that gets it; "" for any
	Resume *Resume `json:"resume,omitempty"` // the session that goes on; nil for the one on record, or a new one
	Check  bool    `json:"check,omitempty"`  // only say whether it would be refused
}

// Waits of a disconnect.
const (
	drainTime = 20 * time.Second
	drainMost = 40 * time.Second
)

// maxState bounds a piece of a shard's guilds that is imported: the largest
// event is a guild with everything in it.
const maxState = 32 << 20

func (q *request) shardID() (int, error) {
	index, err := strconv.Atoi(q.PathValue("id"))
	if err != nil || index < 0 || index >= fsm.MaxShards {
		return 0, fmt.Errorf("%w: shard %q is not a number of a shard", ErrBadRequest, q.PathValue("id"))
	}
	return index, nil
}

// shard returns the bot and the number of the shard that a request is about.
func (q *request) shard() (bot string, index int, err error) {
	if bot, err = q.bot(); err != nil {
		return "", 0, err
	}
	index, err = q.shardID()
	return bot, index, err
}

func (s *Server) disconnectShard(q *request) error {
	bot, index, err := q.shard()
	if err != nil {
		return err
	}
	var body DisconnectRequest
	if err := q.body(&body); err != nil {
		return err
	}
	drain := drainTime
	if body.DrainMS != nil {
		drain = time.Duration(*body.DrainMS) * time.Millisecond
	}
	if drain < 0 || drain > drainMost {
		return fmt.Errorf("%w: drain_ms is 0 to %d", ErrBadRequest, drainMost.Milliseconds())
	}
	ctx, cancel := q.command()
	defer cancel()
	out, err := s.o.Backend.DisconnectShard(ctx, bot, index, drain)
	if err != nil {
		return err
	}
	return q.json(out)
}

func (s *Server) connectShard(q *request) error {
	bot, index, err := q.shard()
	if err != nil {
		return err
	}
	var body ConnectRequest
	if err := q.body(&body); err != nil {
		return err
	}
	if err := body.check(bot, index); err != nil {
		return err
	}
	if body.Resume != nil { // names the address to which the bot's token is sent
		if err := q.needs(fsm.AdminAll); err != nil {
			return err
		}
	}
	ctx, cancel := q.command()
	defer cancel()
	out, err := s.o.Backend.ConnectShard(ctx, bot, index, body)
	if err != nil {
		return err
	}
	return q.json(out)
}

// check says what is wrong with a request before anything is asked of the
// cluster.
func (c *ConnectRequest) check(bot string, index int) error {
	if c.Of < 0 || c.Of > fsm.MaxShards {
		return fmt.Errorf("%w: a bot has 1 to %d shards", ErrBadRequest, fsm.MaxShards)
	}
	if c.Resume == nil {
		return nil
	}
	r := c.Resume
	switch {
	case r.Schema != 1:
		return WithHint(fmt.Errorf("%w: resume information of schema %d", ErrBadRequest, r.Schema), "it is what `botnode shard disconnect` prints")
	case r.SessionID == "" || r.Seq < 1:
		return WithHint(fmt.Errorf("%w: the resume information has no session: the shard had none when it was disconnected", ErrBadRequest),
			"`botnode shard connect` without --resume begins one")
	case r.Bot != bot:
		return WithHint(fmt.Errorf("%w: the resume information is of bot %q, not of %q", ErrRefused, r.Bot, bot),
			"the bot keeps its name when it moves: events are told apart by it")
	case r.Shard != index:
		return fmt.Errorf("%w: the resume information is of shard %d, not of %d", ErrRefused, r.Shard, index)
	case r.Total < 1 || r.Total > fsm.MaxShards || c.Of != 0 && c.Of != r.Total:
		return fmt.Errorf("%w: the session is of a bot with %d shards in all, not %d", ErrRefused, r.Total, c.Of)
	case len(r.User) > 0 && jsonscan.ID(jsonscan.Get(r.User, "id")) == 0:
		return fmt.Errorf("%w: the resume information has a user that is none", ErrBadRequest)
	}
	c.Of = r.Total
	return nil
}

// StateLine is one event of a shard's exported guilds: a line of JSON.
type StateLine struct {
	T string          `json:"t"`
	D json.RawMessage `json:"d"`
}

// exportState writes the cached guilds of a disconnected shard, as the events
// that bring them into another cluster, one a line.
func (s *Server) exportState(q *request) error {
	index, err := q.shardID()
	if err != nil {
		return err
	}
	bot, err := q.bot()
	if err != nil {
		return err
	}
	var guilds []discord.Snowflake
	problem := WithHint(fmt.Errorf("%w: %d", ErrUnknownShard, index), "`botnode shard list` shows the shards")
	err = q.viewBot(bot, func(b *fsm.Bot, c *cache.Cache) {
		sh, ok := b.Shard(fsm.ShardKey{Layout: b.Layout, Index: uint32(index)})
		switch {
		case !ok:
		case !sh.Parked:
			problem = WithHint(fmt.Errorf("%w: shard %d is connected, and its guilds change", ErrRefused, index),
				fmt.Sprintf("`botnode shard disconnect %d` first", index))
		default:
			problem = nil
			guilds = slices.Collect(c.ShardGuilds(index, int(b.Layout)))
		}
	})
	if err = errors.Join(err, problem); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/x-ndjson")
	q.begun = true
	for _, guild := range guilds {
		if err := q.exportGuild(bot, guild); err != nil {
			return err
		}
	}
	return nil
}

// exportGuild writes one guild. The state is held still for an event at a time.
func (q *request) exportGuild(bot string, guild discord.Snowflake) error {
	x := cache.NewExport(guild)
	for {
		var l StateLine
		more := false
		err := q.viewBot(bot, func(_ *fsm.Bot, c *cache.Cache) {
			var name string
			var d []byte
			name, d, more = x.Next(c)
			l = StateLine{T: name, D: d}
		})
		if err != nil || !more {
			return err
		}
		b := append([]byte(`{"t":"`+l.T+`","d":`), l.D...)
		q.piece()
		if _, err := q.w.Write(append(b, "}\n"...)); err != nil {
			return err
		}
	}
}

// maxDepth bounds how deep an imported object nests, as the gateway does it for
// events.
const maxDepth = 256

// importState takes lines of exportState into a shard that is not connected.
func (s *Server) importState(q *request) error {
	bot, index, err := q.shard()
	if err != nil {
		return err
	}
	of, err := q.number("of")
	if err != nil {
		return err
	}
	if of < 1 || of > fsm.MaxShards || uint64(index) >= of {
		return fmt.Errorf("%w: ?of= says how many shards the bot has in all, 1 to %d, and shard %d is one of them", ErrBadRequest, fsm.MaxShards, index)
	}
	evs, err := readState(http.MaxBytesReader(q.w, q.whole, maxState), index, int(of))
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.ImportShard(ctx, bot, index, int(of), evs))
}

// readState reads lines of exportState, and makes sure that they are the shard's.
func readState(r io.Reader, index, of int) ([]fsm.Imported, error) {
	var evs []fsm.Imported
	lines := json.NewDecoder(bufio.NewReader(r))
	for n := 1; ; n++ {
		var l StateLine
		err := lines.Decode(&l)
		if errors.Is(err, io.EOF) {
			return evs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: object %d of the state is not the JSON that is expected: %w", ErrBadRequest, n, err)
		}
		if err := l.check(index, of); err != nil {
			return nil, fmt.Errorf("%w: object %d of the state: %w", ErrBadRequest, n, err)
		}
		evs = append(evs, fsm.Imported{Type: l.T, Raw: l.D})
	}
}

func (l *StateLine) check(index, of int) error {
	field := ""
	switch l.T {
	case discord.EventGuildCreate:
		field = "id"
	case discord.EventGuildMembersChunk:
		field = "guild_id"
	default:
		return fmt.Errorf("%q is no event that is imported", l.T)
	}
	if err := jsonscan.Depth(l.D, maxDepth); err != nil {
		return err
	}
	guild := discord.Snowflake(jsonscan.ID(jsonscan.Get(l.D, field)))
	if guild == 0 || discord.ShardOf(guild, of) != index {
		return fmt.Errorf("guild %s is not of shard %d of %d", guild, index, of)
	}
	return nil
}
