package botnode

import (
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// interactionWindow is how long Discord takes the first answer to an
// interaction (interactions/receiving-and-responding.mdx).
const interactionWindow = 3 * time.Second

// LateInteractions lets handlers run for interactions whose time to be answered
// is over. Others skip them: since nothing that they answer would arrive, the
// event counts as handled, and in the metric botnode_interactions_skipped_total.
// An interaction is late after an outage of the bot, and after its handler has
// failed for three seconds.
//
// A handler that defers its answer and may take long should be named here: if
// its node dies after the three seconds, the next one runs it again, its
// Defer succeeds as the repeat that it is, and its follow-up arrives as long as
// the interaction's token lives, 15 minutes.
func (b *Bot) LateInteractions(handlers ...string) {
	if b.late == nil {
		b.late = make(map[string]bool)
	}
	for _, name := range handlers {
		b.late[name] = true
	}
}

// tooLate reports whether a handler has no use for an entry any more. The age
// is by the clocks of nodes alone: if Discord's were asked, a clock that is
// wrong by seconds would have every interaction skipped.
func (b *Bot) tooLate(e *fsm.Entry, handler string, now time.Time) bool {
	return e.Type == discord.EventInteractionCreate && !b.late[handler] &&
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
