package botnode

import (
	"strings"
	"testing"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

func TestEventNamesOfDisgoTypes(t *testing.T) {
	t.Parallel()
	if name, err := eventName[gateway.EventMessageCreate](); err != nil || name != discord.EventMessageCreate {
		t.Errorf("message create: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventGuildMemberUpdate](); err != nil || name != discord.EventGuildMemberUpdate {
		t.Errorf("member update: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventInteractionCreate](); err != nil || name != discord.EventInteractionCreate {
		t.Errorf("interaction create: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventIntegrationUpdate](); err != nil || name != discord.EventIntegrationUpdate {
		t.Errorf("integration update: %q, %v", name, err)
	}
	if _, err := eventName[gateway.EventUnknown](); err == nil {
		t.Error("an unknown event has a name")
	}
}

func TestHandlerNamesAreUnique(t *testing.T) {
	t.Parallel()
	b := New()
	OnRaw(b, "a", discord.EventMessageCreate, func(*Context) error { return nil })
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(error).Error(), `"a"`) {
			t.Errorf("a second handler of one name: %v", p)
		}
	}()
	OnRaw(b, "a", discord.EventMessageDelete, func(*Context) error { return nil })
}

func TestDefaultIntentsNeedNoApprovalButMessageContent(t *testing.T) {
	t.Parallel()
	got := DefaultIntents()
	if got&(discord.IntentGuildMembers|discord.IntentGuildPresences) != 0 {
		t.Errorf("privileged intents in %v", got)
	}
	if got&discord.IntentMessageContent == 0 || got&discord.IntentGuildMessages == 0 {
		t.Errorf("messages can't be read with %v", got)
	}
}

func TestEventsOfOneNumberHaveNoncesOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := &fsm.Entry{SID: "s", S: 1, Guild: 7}, &fsm.Entry{SID: "s", S: 1, Guild: 8}
	if stream(a) == stream(b) {
		t.Error("the deletions of two guilds by one READY would share their nonces")
	}
}
