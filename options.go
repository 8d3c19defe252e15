package botnode

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/disgoorg/disgo/gateway"
)

// HandlerFunc is a handler as middleware sees it: the event is in the Context.
type HandlerFunc func(*Context) error

// Middleware wraps every turn of every handler that is registered after it, the
// first one outermost. It may look at the Context, refuse the turn with an
// error, or skip it by returning nil, which acknowledges the event.
type Middleware func(next HandlerFunc) HandlerFunc

// Use adds middleware for the handlers that are registered from here on.
func (b *Bot) Use(mw ...Middleware) { b.middleware = append(b.middleware, mw...) }

// Option is a setting of one handler.
type Option func(*handler)

// Timeout bounds one attempt of the handler; 30 s unless set. When it is over
// the handler's context ends. One that doesn't return within 5 s more is
// abandoned: its requests and writes are refused.
func Timeout(d time.Duration) Option { return func(h *handler) { h.policy.Timeout = d } }

// Retries sets how often the handler is tried again after it has failed, and
// the wait before the first time, which doubles with each up to a hundred
// times that. Then the event is a dead letter for this handler, which an
// operator can list, retry and drop (`botnode dead-letter`). Without this
// option the bot's max_attempts holds, with a wait of 100 ms.
func Retries(n int, backoff time.Duration) Option {
	return func(h *handler) { h.policy.Attempts, h.policy.Backoff = max(1, n+1), backoff }
}

// Filter looks at Discord's JSON of the event before anything is decoded. Where
// it answers false the handler has nothing to do, and the event is
// acknowledged for it.
func Filter(want func(raw []byte) bool) Option { return func(h *handler) { h.filter = want } }

// AnyAge lets the handler run for interactions that are too old to be answered:
// see LateInteractions.
func AnyAge() Option { return func(h *handler) { h.anyAge = true } }

// OnUpdate registers a handler for events that change or delete something, and
// gives it what the cache held before, decoded into Old: for a
// gateway.EventGuildMemberUpdate that is a discord.Member. old is nil if the
// cache did not hold the object. What was before is kept with the event in the
// replicated journal: it is the same on whichever node the handler runs, and
// however often.
func OnUpdate[E gateway.EventData, Old any](b *Bot, name string, f func(c *Context, old *Old, e E) error, opts ...Option) {
	On(b, name, func(c *Context, e E) error {
		var old *Old
		if len(c.entry.Before) > 0 {
			old = new(Old)
			if err := json.Unmarshal(c.entry.Before, old); err != nil {
				// Not the cause itself: a decoding error quotes the payload.
				return fmt.Errorf("what was before %s at position %d does not decode into %T", c.Event(), c.Position(), *old)
			}
		}
		return f(c, old, e)
	}, opts...)
}
