package fsm

import (
	"encoding/json"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/internal/mutant"
)

// EventTick is the type of the journal entries that schedules make.
const EventTick = "BOTNODE_TICK"

// tickSID stands in for a session in a tick's entry: with the time and the
// schedule's name it tells ticks apart, as whoever derives a nonce needs.
const tickSID = "tick"

// Tick makes the journal entry of one time of a schedule.
//
// Guard: the program of the owner of the bot's first shard has the schedule, or
// the entry would be a dead letter while a version is rolled out; no tick of the
// schedule with this time or a later one was made, so
// each time has one entry at most, whoever proposes it. The first Tick of a
// schedule only marks where it begins, and so does one that is Quiet.
type Tick struct {
	Bot   string
	Name  string // of the schedule, and of the handler that gets the entry
	Due   int64  // the time of the schedule, Unix milliseconds
	At    int64  // when it was proposed, by the proposer's clock
	Quiet bool
}

// Kind implements Command.
func (*Tick) Kind() Kind { return KindTick }

func (c *Tick) encode(w *writer) {
	w.string(c.Bot)
	w.string(c.Name)
	w.int(c.Due)
	w.int(c.At)
	w.bool(c.Quiet)
}

func (c *Tick) decode(r *reader) {
	c.Bot, c.Name, c.Due, c.At, c.Quiet = r.string(), r.string(), r.int(), r.int(), r.bool()
}

func (c *Tick) apply(s *State) Result {
	b := s.bots[c.Bot]
	if b == nil {
		return noBot
	}
	if len(c.Name) == 0 || len(c.Name) > MaxKey {
		return refused("a schedule's name has 1 to 512 bytes")
	}
	last, known := b.ticks[c.Name]
	if known && c.Due <= last && !s.Mutant.Has(mutant.TickOnce) {
		return Result{Code: Old}
	}
	if !known || c.Quiet {
		b.ticks[c.Name] = c.Due
		return Result{}
	}
	sh := b.firstShard()
	if sh == nil {
		return refused("the bot has no shard that is connected")
	}
	if p, ok := s.programs[sh.Owner]; ok && !slices.Contains(p[b.Name][EventTick], c.Name) {
		return refused("the program of the shard's owner has no such schedule")
	}
	b.ticks[c.Name] = c.Due
	b.LastPos++
	lane := discord.Snowflake(xxh3.HashString(c.Name))
	raw, _ := json.Marshal(struct { // of a string and a number: it can't fail
		Name string `json:"name"`
		Due  int64  `json:"due"`
	}{c.Name, c.Due})
	b.journal.add(s, sh, &Entry{
		Bot: b.Name, Pos: b.LastPos, Shard: sh.Key, SID: tickSID, S: c.Due, Type: EventTick,
		Lane: lane, At: c.At, Raw: raw, Handlers: []string{c.Name}, Runner: sh.Owner, Why: sh.Why,
	}, b.Config.RetainBytes)
	return Result{}
}

// Serves reports whether the bot has a shard that no operator has disconnected:
// only then is this the cluster that runs what belongs to no shard.
func (b *Bot) Serves() bool { return b.firstShard() != nil }

// firstShard returns the shard that carries what belongs to no shard.
func (b *Bot) firstShard() *Shard {
	for _, sh := range b.sortedShards() {
		if sh.Key.Layout == b.Layout && !sh.Parked {
			return sh
		}
	}
	return nil
}

// LastTick returns the newest time of a schedule that was made or marked, Unix
// milliseconds.
func (b *Bot) LastTick(name string) (due int64, known bool) {
	due, known = b.ticks[name]
	return due, known
}
