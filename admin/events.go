package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// eventPage is how many entries are read while the state is held still, and
// keepAlive how often a quiet stream says that it lives.
const (
	eventPage = 512
	keepAlive = 15 * time.Second
)

// Gap says that events between two positions are not in the stream any more.
type Gap struct {
	From   uint64 `json:"from"` // the first position that is missing
	To     uint64 `json:"to"`   // the last
	Reason string `json:"reason"`
}

// eventStream is a reader of a bot's journal.
type eventStream struct {
	q       *request
	bot     string
	next    uint64 // the position to read next
	kind    string // only this type, "" for all
	guild   discord.Snowflake
	follow  bool
	changed <-chan struct{}
}

// getEvents streams the journal as server-sent events whose ids are positions.
//
// Last-Event-ID: N goes on after N; ?from=N begins with N. Without either the
// stream begins with what comes next, or with the oldest that is retained if
// ?follow=0 asks for what there is and no more.
func (s *Server) getEvents(q *request) error {
	st, err := q.eventStream()
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	q.unbounded()
	return st.run()
}

func (q *request) eventStream() (*eventStream, error) {
	bot, err := q.bot()
	if err != nil {
		return nil, err
	}
	query := q.URL.Query()
	e := &eventStream{q: q, bot: bot, kind: query.Get("type"), follow: query.Get("follow") != "0"}
	if g := query.Get("guild"); g != "" {
		if e.guild, err = discord.ParseSnowflake(g); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	if last := q.Header.Get("Last-Event-ID"); last != "" {
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: Last-Event-ID %q is not a position", ErrBadRequest, last)
		}
		e.next = n + 1
	} else if query.Has("from") {
		if e.next, err = q.number("from"); err != nil {
			return nil, err
		}
		e.next = max(e.next, 1)
	}
	if err := q.viewBot(bot, func(b *fsm.Bot, _ *cache.Cache) { e.begin(b) }); err != nil {
		return nil, err
	}
	return e, e.catchUp()
}

// catchUp waits until this node has the positions that the client has read,
// perhaps of another node that was further: to begin at this node's end would
// send them again.
func (e *eventStream) catchUp() error {
	ahead := false
	look := func(b *fsm.Bot, _ *cache.Cache) { ahead = e.next > b.LastPos+1 }
	if err := e.q.viewBot(e.bot, look); err != nil || !ahead {
		return err
	}
	// Everything that any node has shown was committed: after this it is here,
	// or the state is another one.
	return e.q.s.o.Backend.Sync(e.q.Context())
}

// begin chooses where a stream begins that doesn't say it.
func (e *eventStream) begin(b *fsm.Bot) {
	switch {
	case e.next > 0:
	case e.follow || b.RetainedFirst() == 0:
		e.next = b.LastPos + 1
	default:
		e.next = b.RetainedFirst()
	}
}

func (e *eventStream) run() error {
	e.q.begun = true
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	// The first id tells where the stream stands, so that a client that breaks
	// off before the first event misses nothing.
	if err := e.write(fmt.Appendf(nil, ": botnode events\nid: %d\n\n", e.next-1)); err != nil {
		return err
	}
	for {
		more, err := e.step()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if !e.follow {
			return nil
		}
		select {
		case <-e.changed:
		case <-beat.C:
			// An id without data moves the client's Last-Event-ID on, past
			// events that it didn't ask for.
			if err := e.write(fmt.Appendf(nil, "id: %d\n\n", e.next-1)); err != nil {
				return err
			}
		case <-e.q.Context().Done():
			return nil
		case <-e.q.s.streams.Done():
			return nil
		}
	}
}

// step sends what there is, a page at most. It returns whether there is more.
func (e *eventStream) step() (bool, error) {
	var entries []*fsm.Entry
	var gap *Gap
	e.changed = e.q.s.o.Backend.Changed() // before the look, so that nothing is missed
	if err := e.q.viewBot(e.bot, func(b *fsm.Bot, _ *cache.Cache) { entries, gap = e.read(b) }); err != nil {
		return false, err
	}
	var out bytes.Buffer
	if gap != nil {
		data, _ := json.Marshal(gap) // plain fields
		fmt.Fprintf(&out, "id: %d\nevent: gap\ndata: %s\n\n", e.next-1, data)
	}
	for _, en := range entries {
		e.next = en.Pos + 1
		if (e.kind != "" && e.kind != en.Type) || (e.guild != 0 && e.guild != en.Guild) {
			continue
		}
		fmt.Fprintf(&out, "id: %d\ndata: %s\n\n", en.Pos, eventJSON(e.bot, en))
	}
	if out.Len() == 0 {
		return len(entries) == eventPage, nil
	}
	return len(entries) == eventPage, e.write(out.Bytes())
}

// read returns the entries from e.next on, and what is missing before them.
func (e *eventStream) read(b *fsm.Bot) (entries []*fsm.Entry, gap *Gap) {
	first := b.RetainedFirst()
	if first == 0 {
		first = b.LastPos + 1
	}
	switch {
	case e.next < first:
		gap = &Gap{From: e.next, To: first - 1, Reason: "behind the retention"}
		e.next = first
	case e.next > b.LastPos+1:
		// Positions only rise within a generation, so the state is another one.
		gap = &Gap{From: b.LastPos + 1, To: e.next - 1, Reason: "the state was restored, or the position is none yet"}
		e.next = b.LastPos + 1
	}
	for en := range b.RetainedFrom(e.next) {
		entries = append(entries, en)
		if len(entries) == eventPage {
			break
		}
	}
	return entries, gap
}

// eventJSON is an entry on one line: what isn't JSON becomes a string.
func eventJSON(bot string, en *fsm.Entry) []byte {
	ev := Event{Pos: en.Pos, Bot: bot, Shard: int(en.Shard.Index), Seq: en.S, Type: en.Type, AtMS: en.At, Data: en.Raw}
	if en.Guild != 0 {
		ev.Guild = en.Guild.String()
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ev); err != nil {
		ev.Data, _ = json.Marshal(string(en.Raw)) // a string always marshals
		buf.Reset()
		_ = enc.Encode(ev) // as above
	}
	return bytes.TrimSpace(buf.Bytes())
}

func (e *eventStream) write(b []byte) error {
	e.q.piece()
	if _, err := e.q.w.Write(b); err != nil {
		return err
	}
	return http.NewResponseController(e.q.w).Flush()
}
