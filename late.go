package botnode

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// interactionWindow is how long Discord takes the first answer to an
// interaction (interactions/receiving-and-responding.mdx).
const interactionWindow = 3 * time.Second

// LateInteractions lets handlers that are registered already run for
// interactions whose time to be answered is over, as their option AnyAge does.
// Others skip them: since nothing that they answer would arrive, the
// event counts as handled, and in the metric botnode_interactions_skipped_total.
// An interaction is late after an outage of the bot, after its handler has
// failed for three seconds, and if its handler fails since Discord says so.
//
// A handler that defers its answer and may take long should be named here: if
// its node dies after the three seconds, the next one runs it again, its
// Defer succeeds as the repeat that it is, and its follow-up arrives as long as
// the interaction's token lives, 15 minutes.
func (b *Bot) LateInteractions(handlers ...string) {
	for _, name := range handlers {
		h := b.handlers[name]
		if h == nil {
			panic(fmt.Errorf("botnode: no handler is named %q yet", name))
		}
		h.anyAge = true
	}
}

// tooLate reports whether the handler has no use for an entry any more. The age
// is by the clocks of nodes alone: if Discord's were asked, a clock that is
// wrong by seconds would have every interaction skipped.
func (h *handler) tooLate(e *fsm.Entry, now time.Time) bool {
	return e.Type == discord.EventInteractionCreate && !h.anyAge &&
		now.Sub(time.UnixMilli(e.At)) > interactionWindow
}

// samplePayload is the least that disgo decodes an event of a name from.
func samplePayload(event string) []byte {
	switch event {
	case discord.EventInteractionCreate:
		return []byte(`{"type":1}`)
	case discord.EventIntegrationCreate, discord.EventIntegrationUpdate:
		return []byte(`{"type":"twitch"}`)
	}
	return []byte("{}")
}
