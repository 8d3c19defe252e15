package botnode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// Context is one handler's turn at one event. It ends when another node takes
// the event over, when the handler's time is up, or when the node stops.
type Context struct {
	context.Context

	rt      *runtime
	entry   *fsm.Entry
	handler string
	kv      *KV
	api     turnREST
}

// Event returns the event's gateway name, such as "MESSAGE_CREATE".
func (c *Context) Event() string { return c.entry.Type }

// Raw returns Discord's JSON of the event. It must not be changed.
func (c *Context) Raw() []byte { return c.entry.Raw }

// Guild returns the event's guild, 0 if it has none.
func (c *Context) Guild() discord.Snowflake { return c.entry.Guild }

// Shard returns the shard that the event came from, and the number of shards.
func (c *Context) Shard() (index, total int) {
	return int(c.entry.Shard.Index), int(c.entry.Shard.Layout)
}

// Age returns how long ago the event was read from Discord, by the clocks of
// the node that read it and of this one.
func (c *Context) Age() time.Duration {
	return max(0, time.Since(time.UnixMilli(c.entry.At)))
}

// Attempt returns 1 at the first attempt at the event, and counts up.
func (c *Context) Attempt() int { return int(c.entry.Attempts) + 1 }

// Replayed reports whether an earlier attempt at the event may have had an
// effect outside of the store: it failed, its process died, or another handler
// of the event has it run again.
func (c *Context) Replayed() bool { return c.entry.Attempts > 0 }

// Key identifies this handler's turn at this event, whatever attempt: 24
// characters that are safe in a URL. Give it to services that recognise repeats
// by a key of the caller's.
func (c *Context) Key() string {
	h := sha256.New()
	for _, part := range []string{c.entry.Bot, stream(c.entry), strconv.FormatInt(c.entry.S, 10), c.handler} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash never fails
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:24]
}

// Scheduled returns the time that a handler of [Bot.Every] or [Bot.Cron] is run
// for; zero for others.
func (c *Context) Scheduled() time.Time {
	if c.entry.Type != fsm.EventTick {
		return time.Time{}
	}
	return time.UnixMilli(c.entry.S)
}

// Position returns the event's position in the bot's journal.
func (c *Context) Position() uint64 { return c.entry.Pos }

// KV returns the bot's replicated store. What the handler writes takes effect
// when the handler returns nil, at once and exactly once.
func (c *Context) KV() *KV { return c.kv }

// ErrNoChannel is returned by Reply for an event that has no channel.
var ErrNoChannel = errors.New("botnode: the event has no channel to reply to")

// Reply sends a message to the channel of the event.
func (c *Context) Reply(content string) error {
	channel := jsonscan.ID(jsonscan.Get(c.entry.Raw, "channel_id"))
	if channel == 0 {
		return ErrNoChannel
	}
	return c.Send(discord.Snowflake(channel), content)
}

// Send sends a message to a channel.
func (c *Context) Send(channel discord.Snowflake, content string) error {
	trip, api, err := c.rt.rest()
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Content string `json:"content"`
	}{content})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(c, http.MethodPost, api+"/channels/"+channel.String()+"/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := trip.RoundTrip(req)
	if err != nil {
		return rest.Redact(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("discord answers %s to Create Message", res.Status)
	}
	return nil
}
