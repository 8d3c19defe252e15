package cli

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// botKey is one key of a bot's section in a file.
type botKey struct {
	name  string
	usage string
	// set puts the value into a configuration; nil for keys of this node alone.
	set func(c *fsm.Config, value string) error
	// decode reads a structure; for keys whose value isn't plain.
	decode func(c *fsm.Config, yml []byte) error
	// effect says how a change takes effect while the bot runs.
	effect string
}

// botKeyTable is the one list of the keys of a bot.
var botKeyTable = []botKey{
	{name: "token_file", usage: "file with the bot's Discord token; this node's own, not replicated"},
	{name: "discord_api", usage: "Discord's REST API", set: setAPI, effect: "REST requests at once, gateway sessions when they begin anew"},
	{name: "intents", usage: "gateway intents: names, or default, all, privileged, none", set: setIntents,
		effect: "each shard begins a new session, one after the other; what happens meanwhile is recorded as a planned gap"},
	{name: "shards", usage: "auto, N, LO-HI/N (a part of N), or manual (each by `shard connect`)", set: setShards, effect: "refused if it means other shards than those in force"},
	{name: "placement", usage: "spread, or prefer:joe,mike+robert: on joe, else on mike and robert, else on the others", set: setPlacement, effect: effectAtOnce},
	{name: "failback", usage: "give shards back to a preferred node once it is stable", set: setFailback, effect: effectAtOnce},
	{name: "failback_after", usage: "how long that node must have been up before, without a break: 10s", set: setFailbackAfter, effect: effectAtOnce},
	{name: "retain_bytes", usage: "how many bytes of the newest events are kept for readers that follow",
		set: setNumber(func(c *fsm.Config, n int64) { c.RetainBytes = n }), effect: effectAtOnce},
	{name: "max_attempts", usage: "how often an event is tried before it is a dead letter",
		set: setNumber(func(c *fsm.Config, n int64) { c.MaxAttempts = int(n) }), effect: effectAtOnce},
	{name: "identify_reserve", usage: "session starts of the daily limit that stay unused",
		set: setNumber(func(c *fsm.Config, n int64) { c.IdentifyReserve = int(n) }), effect: effectAtOnce},
	{name: "rest_per_second", usage: "global limit of REST requests a second of the whole cluster; 0 for Discord's own",
		set: setNumber(func(c *fsm.Config, n int64) { c.RESTPerSecond = int(n) }), effect: effectAtOnce},
	{name: "journal", usage: "event types that the journal takes without a handler (default: all but TYPING_START and PRESENCE_UPDATE)", set: setJournal, effect: "at once, for events from then on"},
	{name: "presence", usage: "the presence object of IDENTIFY", decode: decodePresence, effect: "at once, in the sessions that there are"},
	{name: "caches", usage: "policy of each kind: on, off, or {max: N, max_bytes: N, filter: \"...\"}, as in {members: {max: 100000, filter: \"user.bot == false\"}}",
		decode: decodeCaches, effect: "at once for what comes; what is cached follows in steps (`botnode cache stats`)"},
}

// effectAtOnce is the effect of what is read whenever it is needed.
const effectAtOnce = "at once"

// appKey is the author's own settings, for all bots or for one: whatever the
// author's program makes of it.
const appKey = "app"

func botKeys() []string {
	names := []string{appKey}
	for _, k := range botKeyTable {
		names = append(names, k.name)
	}
	return names
}

// apply puts a section of the file into a configuration.
func (f *file) apply(c *fsm.Config, bot string, section map[string]entry) error {
	for _, k := range botKeyTable {
		e, ok := section[k.name]
		if !ok {
			continue
		}
		if err := f.applyKey(c, k, e); err != nil {
			return usagef("%s:%d: bots: %s: %s: %w", f.path, e.line, bot, k.name, err)
		}
	}
	return nil
}

func (f *file) applyKey(c *fsm.Config, k botKey, e entry) error {
	switch {
	case k.decode != nil:
		return k.decode(c, []byte(e.node.String()))
	case k.set != nil:
		value, err := f.words(e)
		if err != nil {
			return err
		}
		return k.set(c, value)
	}
	return nil
}

func setAPI(c *fsm.Config, v string) error {
	if !strings.HasPrefix(v, "http://") && !strings.HasPrefix(v, "https://") {
		return fmt.Errorf("%q is not an http or https address", v)
	}
	c.API = strings.TrimRight(v, "/")
	return nil
}

func setIntents(c *fsm.Config, v string) error {
	i, err := discord.ParseIntents(v)
	if err != nil {
		return err
	}
	c.Intents = uint64(i)
	return nil
}

var shardRange = regexp.MustCompile(`^(?:(\d+)-(\d+)/)?(\d+)$`)

func setShards(c *fsm.Config, v string) error {
	if v != "auto" && v != "manual" {
		m := shardRange.FindStringSubmatch(v)
		if m == nil {
			return fmt.Errorf("%q is none of auto, N, LO-HI/N and manual", v)
		}
		total, err := strconv.Atoi(m[3])
		if err != nil || total < 1 || total > fsm.MaxShards {
			return fmt.Errorf("%q: a bot has 1 to %d shards", v, fsm.MaxShards)
		}
		lo, _ := strconv.Atoi(m[1]) // "" is 0, what is too long fails below
		hi, _ := strconv.Atoi(m[2])
		if m[1] != "" && (lo > hi || hi >= total) {
			return fmt.Errorf("%q: a range lies in 0 to N-1", v)
		}
	}
	c.Shards = v
	return nil
}

func setPlacement(c *fsm.Config, v string) error {
	if _, err := fsm.ParsePlacement(v); err != nil {
		return err
	}
	c.Placement = v
	return nil
}

func setFailback(c *fsm.Config, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	c.Failback = b
	return nil
}

func setFailbackAfter(c *fsm.Config, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > 24*time.Hour {
		return fmt.Errorf("%q is no duration like 10s, up to 24h", v)
	}
	c.FailbackAfterMS = d.Milliseconds()
	return nil
}

func setNumber(set func(*fsm.Config, int64)) func(*fsm.Config, string) error {
	return func(c *fsm.Config, v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number", v)
		}
		set(c, n)
		return nil
	}
}

func setJournal(c *fsm.Config, v string) error {
	c.Journal = nil
	for word := range strings.SplitSeq(v, ",") {
		t := strings.ToUpper(strings.TrimSpace(word))
		if t == "" {
			continue
		}
		if !slices.Contains(discord.AllEvents(), t) {
			msg := fmt.Sprintf("%q is not an event type", word)
			if near := nearest(t, discord.AllEvents()); near != "" {
				msg += fmt.Sprintf(": did you mean %q?", near)
			}
			return fmt.Errorf("%s", msg)
		}
		c.Journal = append(c.Journal, t)
	}
	return nil
}

func decodePresence(c *fsm.Config, yml []byte) error {
	b, err := yaml.YAMLToJSON(yml)
	if err != nil {
		return err
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return fmt.Errorf("an object is wanted: %w", err)
	}
	if c.Presence, err = json.Marshal(object); err != nil {
		return err
	}
	return nil
}

// configJSON is a configuration as the API takes it.
func configJSON(c fsm.Config) (json.RawMessage, error) { return json.Marshal(c) }
